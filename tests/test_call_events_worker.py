"""The worker of the call system's queue: batches, dead letters, retries and what a crash leaves."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from functions.call_events_worker.app import handler
from leadline import db
from leadline.calls import batches
from leadline.errors import Busy
from tests.call_messages import batch, call, deliver, text
from tests.calling import caller
from tests.leads import create, get
from tests.ledger import Ledger

MOST_STATEMENTS = 40  # however many messages
MOST_TRIPS = 9


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    """The dead letters of a test: body and attributes."""
    sent = []
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "dead letters")
    monkeypatch.setattr("leadline.events._send", lambda _, body, told: sent.append((body, told)))
    return sent


@pytest.fixture
def organization(customer):
    organization = customer()
    Ledger(organization.caller("admin")).credit("1000")
    return organization


def number(place) -> str:
    return f"+1415555{place:04d}"


def calls_to(organization, count, **told) -> list[dict]:
    """A completed call to each of as many leads, which are made."""
    agent = caller(organization)
    messages = []
    for place in range(count):
        lead = create(agent, phone_number=number(place + 100)).body
        one = {"lead_id": lead["id"], "cost_usd": "1", "outcome": "interested", **told}
        messages.append(call(organization, "completed", place, id=f"call-{place}", **one))
    return messages


def done(connect, organization) -> dict:
    """What has been done, each effect by its call."""
    conn = connect("superuser")
    queries = {
        "kept": "select message_id as x from inbox_messages where organization_id = %s",
        "calls": "select call_id as x from calls where organization_id = %s",
        "counted": "select id::text as x from leads where organization_id = %s and interaction_count = 1",
        "booked": "select reference_id as x from budget_transactions"
        " where transaction_type = 'debit' and organization_id = %s",
        "moved": "select trigger_id as x from lead_status_history where trigger_type = 'call' and organization_id = %s",
    }
    return {
        name: [row["x"] for row in conn.execute(query + " order by 1", [organization.organization_id])]
        for name, query in queries.items()
    }


def counts(connect, organization) -> set[int]:
    return {len(found) for found in done(connect, organization).values()}


def reasons(letters) -> list[str]:
    return [told["reason"]["StringValue"] for _, told in letters]


# Poison ---------------------------------------------------------------------------------------------------------------


def poison(organization, kind) -> object:
    message = call(organization, "completed", 3, id="poison", to=number(1), cost_usd="1")
    return {
        "malformed_json": json.dumps(message)[:-1],
        "unknown_type": message | {"type": "call.exploded"},
        "malformed": message | {"call": {"id": "poison"}},
        "bad_money": message | {"call": {**message["call"], "cost_usd": 1}},
        "too_far_ahead": message | {"occurred_at": (datetime.now(UTC) + timedelta(minutes=6)).isoformat()},
        "not_the_tenants_organization": message | {"tenant_id": str(uuid.uuid4())},
    }[kind]


KINDS = [
    *("malformed_json", "unknown_type", "malformed", "bad_money", "too_far_ahead"),
    "not_the_tenants_organization",
]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_good_messages_around_one_poisoned_are_ten_effects_and_one_dead_letter(
    organization, connect, letters, kind
):
    messages = calls_to(organization, 10)
    poisoned = poison(organization, kind)
    assert deliver(*messages[:5], poisoned, *messages[5:]) == 0
    assert counts(connect, organization) == {10}
    assert reasons(letters) == [kind]
    body = poisoned if isinstance(poisoned, str) else json.dumps(poisoned)
    assert letters[0][0] == body


def test_what_the_database_refuses_is_a_dead_letter_with_its_sqlstate(organization, connect, letters, monkeypatch):
    messages = calls_to(organization, 10)
    take = batches.take

    def refusing(tx, taken, now):
        take(tx, taken, now)
        if any(message.id == messages[4]["id"] for message in taken):
            tx.execute("select 1 / 0")

    monkeypatch.setattr("leadline.calls.take", refusing)
    assert deliver(*messages) == 0
    assert counts(connect, organization) == {9}
    assert reasons(letters) == ["refused_by_database"]
    assert letters[0][1]["detail"]["StringValue"] == "22012"


@pytest.mark.parametrize("failure", [Busy(), KeyError("a bug"), psycopg.OperationalError("lost")])
def test_what_fails_otherwise_comes_again_alone(organization, connect, letters, monkeypatch, failure):
    messages = calls_to(organization, 10)
    take = batches.take

    def failing(tx, taken, now):
        take(tx, taken, now)
        if any(message.id == messages[4]["id"] for message in taken):
            raise failure

    with monkeypatch.context() as patch:
        patch.setattr("leadline.calls.take", failing)
        event = batch(messages)
        answer = handler(event, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][4]["messageId"]}]}
    assert (counts(connect, organization), letters) == ({9}, [])
    assert handler(event, None) == {"batchItemFailures": []}
    assert counts(connect, organization) == {10}


def test_a_database_that_has_no_time_is_not_asked_for_every_message(organization, letters, monkeypatch):
    asked = []

    def busy(tx, taken, now):
        del tx, now
        asked.append(len(taken))
        raise Busy

    monkeypatch.setattr("leadline.calls.take", busy)
    assert deliver(*calls_to(organization, 10)) == 10
    assert (asked, letters) == ([10, 1, 1, 1], [])


def test_a_message_whose_opt_out_cannot_be_kept_now_comes_again_and_is_not_buried(organization, letters, monkeypatch):
    message = call(organization, "completed", to=number(1), cost_usd=1, opt_out={"phrase": "stop"})

    def busy(*_):
        raise Busy

    with monkeypatch.context() as patch:
        patch.setattr("leadline.calls.take", busy)
        assert (deliver(message), letters) == (1, [])
    assert (deliver(message), reasons(letters)) == (0, ["bad_money"])


def test_a_dead_letter_that_cannot_be_sent_comes_again(organization, connect, monkeypatch, logged):
    def unsent(*_):
        raise ConnectionError("of a number: +14155550100")

    monkeypatch.setattr("leadline.events._send", unsent)
    messages = calls_to(organization, 2)
    assert deliver(messages[0], poison(organization, "bad_money"), messages[1]) == 1
    assert counts(connect, organization) == {2}
    assert "ConnectionError" in logged()
    assert "+14155550100" not in logged()


def test_a_dead_letter_is_logged_without_what_stood_in_it(organization, logged):
    message = call(organization, "completed", to=number(1), cost_usd="secret", outcome="personal words")
    deliver(message)
    assert '"reason":"bad_money"' in logged()
    assert "/call/cost_usd" in logged()
    for told in ("secret", "personal words", number(1)):
        assert told not in logged()


# Whose ----------------------------------------------------------------------------------------------------------------


def test_each_organization_of_a_batch_gets_its_own(organization, customer, connect, letters):
    other = customer(beside=organization)
    Ledger(other.caller("admin")).credit("1000")
    mine, theirs = calls_to(organization, 3), calls_to(other, 3)
    assert deliver(*[message for pair in zip(mine, theirs, strict=True) for message in pair]) == 0
    assert counts(connect, organization) == counts(connect, other) == {3}
    assert letters == []


def test_another_organizations_failure_is_no_matter(organization, customer, connect, letters):
    stranger = customer()
    of_wrong_tenant = call(stranger, "completed", to=number(1)) | {"tenant_id": str(organization.tenant_id)}
    assert deliver(*calls_to(organization, 3), of_wrong_tenant) == 0
    assert (counts(connect, organization), counts(connect, stranger)) == ({3}, {0})
    assert reasons(letters) == ["not_the_tenants_organization"]


def test_message_ids_of_two_organizations_do_not_meet(organization, customer, connect):
    other = customer()
    message = call(organization, "completed", to=number(1), cost_usd="1")
    ids = {"tenant_id": str(other.tenant_id), "organization_id": str(other.organization_id)}
    deliver(message, message | ids)
    assert done(connect, organization)["kept"] == done(connect, other)["kept"] == [message["id"]]


# Once -----------------------------------------------------------------------------------------------------------------


def test_a_message_delivered_again_and_again_is_done_once(organization, connect):
    messages = calls_to(organization, 5)
    deliver(*messages, *messages)
    for message in messages:
        deliver(message)
    assert counts(connect, organization) == {5}


def test_a_second_message_of_one_id_is_none_whatever_it_says(organization, connect):
    (message,) = calls_to(organization, 1)
    deliver(message)
    deliver(message | {"call": {"id": "another", "to": number(2), "cost_usd": "5"}})
    assert counts(connect, organization) == {1}


@pytest.mark.parametrize("where", ["after the inbox", "after the leads", "after the ledger", "before the commit"])
def test_a_crash_leaves_nothing_and_the_next_delivery_does_it_once(organization, connect, monkeypatch, where):
    place = {
        "after the inbox": ("leadline.calls.effects.lock_leads", False),
        "after the leads": ("leadline.calls.ledger.book", False),
        "after the ledger": ("leadline.calls.batches.domain_events.note_all", False),
        "before the commit": ("leadline.calls.take", True),
    }[where]
    messages = calls_to(organization, 3)
    take = batches.take

    def crash(tx, *rest):
        if place[1]:
            take(tx, *rest)
        tx.execute("select pg_terminate_backend(pg_backend_pid())")
        tx.execute("select 1").fetchone()

    with monkeypatch.context() as patch:
        patch.setattr(place[0], crash)
        assert deliver(*messages) == 3
    assert counts(connect, organization) == {0}
    assert deliver(*messages) == 0
    assert counts(connect, organization) == {3}


# Few statements -------------------------------------------------------------------------------------------------------


@pytest.fixture
def statements(monkeypatch):
    """Counts the statements of this process."""
    seen = []
    execute = psycopg.Cursor.execute

    def counting(self, query, *rest, **options):
        seen.append(query)
        return execute(self, query, *rest, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counting)
    return seen


def everything(organization, prefix, count) -> list[dict]:
    """Messages that have every effect there is, each of a lead, a call or text and a hold of its own."""
    agent, ledger = caller(organization), Ledger(organization.caller("admin"))
    messages = []
    for place in range(count):
        lead_id = create(agent, phone_number=f"+1{prefix}555{place + 1000:04d}").body["id"]
        told = {"lead_id": lead_id, "id": f"{prefix}-{place}", "cost_usd": "1", "outcome": "interested"}
        told["hold_id"] = str(ledger.hold("2"))
        match place % 5:
            case 0:
                messages.append(call(organization, "completed", place, **told))
            case 1:
                messages.append(call(organization, "completed", place, **told, opt_out={"phrase": "stop"}))
            case 2:
                told |= {"outcome": f"unheard of {place}", "hold_id": str(uuid.uuid4())}
                messages.append(call(organization, "completed", place, **told))
            case 3:
                messages.append(call(organization, "failed", place, **told))
            case _:
                messages.append(text(organization, "received", id=told["id"], lead_id=lead_id, text="yes"))
    return messages


def test_a_batch_for_one_organization_is_few_statements_and_few_round_trips(
    organization, connect, delayed, statements, letters
):
    five, hundred = everything(organization, 415, 5), everything(organization, 212, 100)
    statements.clear()
    assert deliver(*five) == 0
    of_five = len(statements)
    with delayed() as trips:
        with db.tenant_transaction(organization.caller(None)) as tx:
            tx.execute("select 1")  # the connection is open
        before = trips()
        statements.clear()
        assert deliver(*hundred) == 0
        assert trips() - before <= MOST_TRIPS
    assert len(statements) == of_five <= MOST_STATEMENTS
    assert len(done(connect, organization)["kept"]) == 105
    assert letters == []


def test_only_what_is_new_is_written(organization, connect):
    agent = caller(organization)
    messages = calls_to(organization, 1)
    deliver(*messages)
    lead = {"id": messages[0]["call"]["lead_id"]}
    version = get(agent, lead).body["version"]
    deliver(*messages, call(organization, "analyzed", 1, id="call-0", intent={"interest": True}))
    assert get(agent, lead).body["version"] == version
    assert counts(connect, organization) == {1, 2}
