"""What messages of the call system do: to the lead, the ledger, the Do-Not-Call list and the sequences."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from functions.config_api.app import handler as config
from functions.dnc_reviews_api.app import handler as reviews
from leadline.db import tenant_transaction
from tests import leads
from tests.call_messages import START, at, call, deliver, text
from tests.calling import caller
from tests.leads import NUMBER, create, of_lead
from tests.ledger import Ledger

BANTI = {"business_interest": 80, "employment": 55, "income": 40.5, "experience": 0, "decision": 100}


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    """The dead letters of a test: body, reason."""
    sent = []
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "dead letters")
    monkeypatch.setattr(
        "leadline.events._send", lambda url, body, told: sent.append((url, body, told["reason"]["StringValue"]))
    )
    yield sent
    assert {url for url, _, _ in sent} <= {"dead letters"}


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


@pytest.fixture
def lead(agent):
    return create(agent).body


@pytest.fixture
def ledger(organization):
    """With 100 in it."""
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("100")
    return ledger


@pytest.fixture
def rows(connect, organization):
    """Rows of the organization, of any table."""

    def rows(query, **values):
        conn = connect("superuser")
        return conn.execute(query, {"org": organization.organization_id, **values}).fetchall()

    return rows


@pytest.fixture
def the_call(rows):
    def the_call(call_id="call-1"):
        (row,) = rows("select * from calls where organization_id = %(org)s and call_id = %(id)s", id=call_id)
        return row

    return the_call


@pytest.fixture
def enroll(organization, rows):
    """Enrolls a lead in a sequence of its own, and answers a function that tells how that stands."""

    def enroll(lead):
        with tenant_transaction(organization.caller("agent")) as tx:
            (made,) = tx.execute(
                """
                with made as (insert into nurture_sequences (name) values (gen_random_uuid()::text) returning id)
                insert into lead_sequence_enrollments (lead_id, sequence_id) select %s, id from made returning id
                """,
                [lead["id"]],
            ).fetchall()

        def standing():
            (row,) = rows(
                "select status, pause_reason, exit_reason from lead_sequence_enrollments where id = %(id)s",
                id=made["id"],
            )
            return row["status"], row["exit_reason"] or row["pause_reason"]

        return standing

    return enroll


def now(agent, lead) -> dict:
    return leads.get(agent, lead).body


def told_events(rows) -> list[tuple[str, str]]:
    found = rows("select type, subject_id from domain_events where organization_id = %(org)s order by type, subject_id")
    return [(row["type"], row["subject_id"]) for row in found if not row["type"].startswith("budget")]


# A call ---------------------------------------------------------------------------------------------------------------


def test_a_whole_call_is_one_row_with_all_that_was_told(organization, agent, lead, ledger, the_call):
    hold = ledger.hold("5")
    decision = str(uuid.uuid4())
    known = {"lead_id": lead["id"], "to": "(415) 555-0142", "from": "+14155550000", "hold_id": str(hold)}
    known |= {"voice": "artificial", "script": {"id": "intro", "version": 12}, "decision_id": decision}
    ended = {"duration_seconds": 61, "cost_usd": "0.46400049", "outcome": "interested", "recording_url": "https://r/1"}
    assert deliver(call(organization, "started", 1, **known)) == 0
    assert (the_call()["status"], the_call()["counted"], ledger.state(hold)) == ("started", False, "held")
    assert now(agent, lead)["interaction_count"] == 0
    deliver(call(organization, "completed", 2, **known, **ended, qualification=BANTI, intent={"interest": True}))
    deliver(call(organization, "analyzed", 3, qualification={"income": 60}, intent={"callback": True}))
    row = the_call()
    expected = {
        "lead_id": uuid.UUID(lead["id"]),
        "direction": "outbound",
        "from_number": "+14155550000",
        "to_number": NUMBER,
        "phone_number": NUMBER,
        "voice": "artificial",
        "script_id": "intro",
        "script_version": "12",
        "decision_id": uuid.UUID(decision),
        "hold_id": hold,
        "status": "completed",
        "rang": True,
        "duration_seconds": 61,
        "cost_usd": Decimal("0.464000"),
        "cost_as_sent": "0.46400049",
        "outcome": "interested",
        "outcome_status": "qualified",
        "qualification": {**BANTI, "income": 60},
        "intent": {"interest": True, "callback": True},
        "recording_url": "https://r/1",
        "counted": True,
    }
    assert {name: row[name] for name in expected} == expected
    times = [row[name].isoformat() for name in ("occurred_at", "started_at", "ended_at")]
    assert times == [at(1), at(1), at(2)]


def test_a_completed_call_moves_the_lead_and_settles_its_hold(organization, agent, lead, ledger):
    hold = ledger.hold("5")
    deliver(
        call(organization, "completed", lead_id=lead["id"], hold_id=str(hold), cost_usd="1.5", outcome="interested")
    )
    after = now(agent, lead)
    assert (after["status"], after["interaction_count"]) == ("qualified", 1)
    assert after["last_contact_date"] == START.isoformat().replace("+00:00", "Z")
    assert (ledger.state(hold), ledger.balances()) == ("settled", ("98.50", "0.00", "0.00"))
    change = of_lead(agent, "status-history", lead).body["items"][0]
    told = {"from_status": "new", "to_status": "qualified", "trigger_type": "call", "trigger_id": "call-1"}
    assert change | told | {"user_id": None} == change


def test_two_leads_of_one_batch_have_each_its_own_call_in_their_history(organization, agent, lead):
    other = create(agent, phone_number="+14155550143").body
    deliver(
        call(organization, "completed", id="call-a", lead_id=lead["id"], outcome="interested"),
        call(organization, "completed", id="call-b", lead_id=other["id"], outcome="not_interested"),
        call(organization, "completed", id="call-c", to="+14155550143", opt_out={"phrase": "stop"}),
    )
    for one, statuses in ((lead, [("qualified", "call-a")]), (other, [("dnc", "call-c"), ("cold", "call-b")])):
        items = of_lead(agent, "status-history", one).body["items"][:-1]
        assert [(item["to_status"], item["trigger_id"]) for item in items] == statuses
        assert {item["trigger_type"] for item in items} == {"call"}


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        *(("qualified", "qualified"), ("callback_requested", "contacted"), ("not_interested", "cold")),
        *(("recruited", "recruited"), ("no_answer", "new"), ("voicemail", "new"), ("no such outcome", "new")),
    ],
)
def test_an_outcome_asks_for_a_status(organization, lead, rows, outcome, status):
    agent = caller(organization)
    deliver(call(organization, "completed", lead_id=lead["id"], outcome=outcome))
    assert now(agent, lead)["status"] == status
    assert told_events(rows) == ([("unknown_outcome", "call-1")] if outcome == "no such outcome" else [])


def test_an_organization_says_itself_what_an_outcome_means(organization, agent, lead):
    admin = caller(organization, "admin")
    admin.ask(config, "PUT /config/{key}", path={"key": "call_outcomes"}, body={"value": {"demo": "hot"}})
    deliver(call(organization, "completed", lead_id=lead["id"], outcome="demo"))
    assert now(agent, lead)["status"] == "hot"


def test_the_newest_outcome_counts_whatever_comes_last(organization, agent, lead):
    deliver(call(organization, "completed", 10, id="later", lead_id=lead["id"], outcome="not_interested"))
    deliver(call(organization, "completed", 5, id="earlier", lead_id=lead["id"], outcome="interested"))
    assert now(agent, lead)["status"] == "cold"
    assert now(agent, lead)["interaction_count"] == 2
    assert now(agent, lead)["last_contact_date"].startswith(at(10)[:19])


def test_of_two_outcomes_at_one_moment_the_greater_message_id_counts(organization, agent, lead):
    first = call(organization, "completed", id="a", lead_id=lead["id"], outcome="interested")
    second = call(organization, "completed", id="b", lead_id=lead["id"], outcome="not_interested")
    deliver(second)
    deliver(first)
    assert first["id"] < second["id"]
    assert now(agent, lead)["status"] == "cold"


def test_an_outcome_that_asks_for_nothing_says_nothing_against_an_earlier_one(organization, agent, lead):
    deliver(call(organization, "completed", 10, id="later", lead_id=lead["id"], outcome="no_answer"))
    deliver(call(organization, "completed", 5, id="earlier", lead_id=lead["id"], outcome="interested"))
    assert now(agent, lead)["status"] == "qualified"


def test_what_a_person_decided_after_the_call_stands(organization, agent, lead):
    leads.change(agent, lead, 1, status="hot")
    deliver(call(organization, "completed", lead_id=lead["id"], outcome="not_interested"))
    assert now(agent, lead)["status"] == "hot"
    afterwards = (datetime.now(UTC) - START) / timedelta(minutes=1) + 2
    deliver(call(organization, "completed", afterwards, id="next", lead_id=lead["id"], outcome="not_interested"))
    assert now(agent, lead)["status"] == "cold"


def test_no_outcome_leads_out_of_dnc(organization, agent, lead):
    leads.list_number(organization)
    deliver(call(organization, "completed", 24 * 60 + 2, lead_id=lead["id"], outcome="recruited"))
    assert (now(agent, lead)["status"], now(agent, lead)["interaction_count"]) == ("dnc", 1)


def test_a_lead_is_found_by_its_number(organization, agent, lead, the_call):
    deliver(call(organization, "completed", id="to", to="415.555.0142", outcome="interested"))
    inbound = {"from": "+1 415 555 0142", "to": "+14155550000", "direction": "inbound"}
    deliver(call(organization, "completed", 1, id="from", **inbound))
    assert the_call("to")["lead_id"] == the_call("from")["lead_id"] == uuid.UUID(lead["id"])
    assert (now(agent, lead)["status"], now(agent, lead)["interaction_count"]) == ("qualified", 2)


def test_a_number_that_cannot_be_read_is_kept_as_it_was_sent(organization, the_call):
    deliver(call(organization, "completed", to="anonymous"))
    assert (the_call()["to_number"], the_call()["phone_number"], the_call()["lead_id"]) == ("anonymous", None, None)


def test_a_deleted_lead_keeps_its_calls_and_is_not_touched(organization, agent, lead, the_call, rows):
    leads.delete(agent, lead)
    deliver(call(organization, "completed", lead_id=lead["id"], outcome="interested"))
    assert (the_call()["lead_id"], the_call()["counted"]) == (uuid.UUID(lead["id"]), False)
    (row,) = rows("select status, interaction_count from leads where id = %(id)s", id=lead["id"])
    assert (row["status"], row["interaction_count"]) == ("new", 0)
    leads.restore(agent, lead)
    deliver(call(organization, "analyzed", 1, intent={"interest": True}))
    assert (now(agent, lead)["status"], now(agent, lead)["interaction_count"]) == ("qualified", 1)


def test_a_lead_that_becomes_known_later_counts_the_call_then_and_once(organization, agent, the_call):
    deliver(call(organization, "completed", to=NUMBER, outcome="interested"))
    assert the_call()["lead_id"] is None
    lead = create(agent).body
    for minutes in (1, 2):
        deliver(call(organization, "analyzed", minutes, intent={"interest": True}))
    assert (now(agent, lead)["status"], now(agent, lead)["interaction_count"]) == ("qualified", 1)


def test_another_organizations_lead_is_nobody_here(organization, agent, lead, customer):
    other = customer(beside=organization)
    deliver(call(other, "completed", lead_id=lead["id"], outcome="interested"))
    assert (now(agent, lead)["status"], now(agent, lead)["interaction_count"]) == ("new", 0)


# Money ----------------------------------------------------------------------------------------------------------------


def test_a_call_without_a_hold_is_debited_once(organization, ledger):
    for minutes in range(3):
        deliver(call(organization, "completed", minutes, to=NUMBER, cost_usd="2.0000005"))
    assert ledger.balances()[0] == "97.999999"
    assert ledger.transactions()[1:] == [("debit", "available", "call_spend", "2.000001")]


def test_a_cost_that_a_later_message_tells_otherwise_is_told_and_the_first_stays_booked(organization, ledger, rows):
    deliver(call(organization, "completed", 1, to=NUMBER, cost_usd="3"))
    assert told_events(rows) == []
    deliver(call(organization, "completed", 2, to=NUMBER, cost_usd="5"))
    assert (ledger.balances()[0], told_events(rows)) == ("97.00", [("call_cost_changed", "call-1")])


@pytest.mark.parametrize("order", [1, -1])
def test_a_hold_that_the_start_alone_names_pays_the_call_in_either_order(organization, ledger, order):
    hold = ledger.hold("5")
    for one in [
        call(organization, "started", 1, to=NUMBER, hold_id=str(hold)),
        call(organization, "completed", 2, to=NUMBER, cost_usd="3"),
    ][::order]:
        deliver(one)
    assert (ledger.state(hold), ledger.balances()) == ("settled", ("97.00", "0.00", "0.00"))


def test_an_unknown_hold_books_the_cost_and_is_told(organization, ledger, rows):
    deliver(call(organization, "completed", to=NUMBER, cost_usd="2", hold_id=str(uuid.uuid4())))
    assert (ledger.balances()[0], told_events(rows)) == ("98.00", [("unknown_hold", "call-1")])


def test_a_failed_call_releases_its_hold(organization, ledger, the_call):
    hold = ledger.hold("5")
    deliver(call(organization, "failed", to=NUMBER, hold_id=str(hold), outcome="network_error"))
    assert (ledger.state(hold), ledger.balances()[0]) == ("released", "100.00")
    assert (the_call()["status"], the_call()["rang"]) == ("failed", False)


@pytest.mark.parametrize(("outcome", "rang"), [("no_answer", True), (None, True), ("invalid_number", False)])
def test_only_a_failure_before_the_telephone_did_not_ring(organization, the_call, outcome, rang):
    deliver(call(organization, "failed", to=NUMBER, outcome=outcome))
    assert the_call()["rang"] is rang


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("failed_at", [0, 2])
def test_a_call_that_failed_costs_nothing_in_any_order_and_a_contradiction_is_told(
    organization, ledger, rows, order, failed_at
):
    messages = [
        call(organization, "failed", failed_at, to=NUMBER),
        call(organization, "completed", 1, to=NUMBER, cost_usd="3"),
    ]
    for place in order:
        deliver(messages[place])
    assert ledger.balances() == ("100.00", "0.00", "0.00")
    assert told_events(rows) == [("call_failed_and_completed", "call-1")]
    assert ledger.mismatches() == []


def test_a_call_that_cost_more_than_there_is_is_booked_all_the_same(organization, ledger):
    hold = ledger.hold("5")
    deliver(call(organization, "completed", to=NUMBER, cost_usd="130", hold_id=str(hold)))
    assert ledger.balances() == ("0.00", "0.00", "30.00")


@pytest.mark.usefixtures("ledger")
def test_the_ledger_is_left_alone_by_messages_without_money(organization, rows):
    deliver(call(organization, "completed", to=NUMBER, cost_usd="3"))
    sequence = "select max(sequence) as last from budget_transactions where organization_id = %(org)s"
    before = rows(sequence)
    deliver(call(organization, "analyzed", 1, intent={"interest": True}), call(organization, "started", to=NUMBER))
    assert rows(sequence) == before


# Opt-outs -------------------------------------------------------------------------------------------------------------

OPT_OUT = {"phrase": "take me off your list", "confidence": 0.97}


def test_a_completed_call_with_an_opt_out_stops_everything_in_one_transaction(organization, lead, ledger, enroll, rows):
    agent = caller(organization)
    enrollment = enroll(lead)
    own, other = ledger.hold("5", phone_number=NUMBER), ledger.hold("7", phone_number=NUMBER)
    deliver(
        call(organization, "completed", lead_id=lead["id"], to=NUMBER, hold_id=str(own), cost_usd="1", opt_out=OPT_OUT)
    )
    after = now(agent, lead)
    assert (after["status"], after["calling_blocked"], after["interaction_count"]) == ("dnc", True, 1)
    assert enrollment() == ("cancelled", "opted_out")
    assert (ledger.state(own), ledger.state(other), ledger.balances()[0]) == ("settled", "released", "99.00")
    (entry,) = rows("select * from dnc_list where organization_id = %(org)s")
    assert (entry["phone_number"], entry["reason"], entry["source"]) == (NUMBER, "ai_detected", "call")
    assert entry["detected_phrase"] == "take me off your list"
    (event,) = rows("select * from opt_out_events where organization_id = %(org)s")
    assert (event["words"], event["channel"], event["verdict"]) == ("take me off your list", "call", "certain")
    assert (event["occurred_at"], event["confidence"]) == (START, Decimal("0.970"))
    # One transaction: PostgreSQL says which wrote each row.
    written = rows(
        """
        select xmin::text from dnc_list where organization_id = %(org)s
        union select xmin::text from leads where organization_id = %(org)s
        union select xmin::text from lead_sequence_enrollments where organization_id = %(org)s
        union select xmin::text from budget_holds where organization_id = %(org)s
        union select xmin::text from calls where organization_id = %(org)s
        """
    )
    assert len(written) == 1


def test_an_opt_out_that_came_once_is_kept_once(organization, lead, rows):
    message = call(organization, "analyzed", lead_id=lead["id"], opt_out=OPT_OUT)
    for _ in range(3):
        deliver(message, message)
    assert len(rows("select from opt_out_events where organization_id = %(org)s")) == 1


def test_an_uncertain_opt_out_suppresses_at_once_and_waits_for_a_review(organization, agent, lead, rows):
    deliver(call(organization, "analyzed", lead_id=lead["id"], opt_out={"phrase": "hm", "confidence": 0.5}))
    assert now(agent, lead)["status"] == "dnc"
    (event,) = rows("select verdict from opt_out_events where organization_id = %(org)s")
    assert event["verdict"] == "uncertain"


@pytest.mark.parametrize("told", [{"to": "(212) 555-0199"}, {"to": "+12125550199", "lead_id": str(uuid.uuid4())}])
def test_the_opt_out_of_somebody_unknown_is_honoured_by_number(organization, agent, ledger, told):
    deliver(call(organization, "completed", **told, cost_usd="1", opt_out=OPT_OUT))
    assert create(agent, phone_number="+12125550199").code == "on_dnc_list"
    assert ledger.balances()[0] == "99.00"


def test_an_opt_out_lists_the_number_that_was_called_and_the_leads_own(organization, agent, lead, rows):
    deliver(call(organization, "completed", lead_id=lead["id"], to="+12125550199", opt_out=OPT_OUT))
    listed = rows("select phone_number from dnc_list where organization_id = %(org)s order by 1")
    assert [row["phone_number"] for row in listed] == ["+12125550199", NUMBER]
    assert now(agent, lead)["status"] == "dnc"


def test_who_calls_in_and_opts_out_is_listed_and_not_we(organization, rows):
    deliver(
        call(
            organization,
            "completed",
            **{"from": NUMBER, "to": "+14155550000"},
            direction="inbound",
            opt_out={"phrase": None},
        )
    )
    assert [row["phone_number"] for row in rows("select * from dnc_list where organization_id = %(org)s")] == [NUMBER]


@pytest.mark.parametrize("told", [{"to": "anonymous"}, {"lead_id": str(uuid.uuid4())}])
def test_an_opt_out_without_any_number_is_told_and_all_else_of_its_message_is_done(
    organization, ledger, letters, rows, told
):
    hold = ledger.hold("5")
    message = call(organization, "completed", cost_usd="3", hold_id=str(hold), opt_out=OPT_OUT, **told)
    assert (deliver(message), letters) == (0, [])
    assert ledger.balances() == ("97.00", "0.00", "0.00")
    assert told_events(rows) == [("opt_out_without_number", "call-1")]
    assert deliver(call(organization, "analyzed", 5, to=NUMBER)) == 0
    assert listed(rows) == [NUMBER]  # as soon as a message tells it


def listed(rows) -> list[str]:
    found = rows("select phone_number from dnc_list where organization_id = %(org)s and removed_at is null order by 1")
    return [row["phone_number"] for row in found]


OURS = "+12125550111"


@pytest.mark.parametrize("order", [1, -1])
def test_who_opts_out_of_a_call_that_another_message_calls_inbound_is_the_one_who_called(organization, rows, order):
    told = {"to": OURS, "from": NUMBER}
    started = call(organization, "started", 1, direction="inbound", **told)
    for message in [started, call(organization, "completed", 2, **told, opt_out=OPT_OUT)][::order]:
        assert deliver(message) == 0
    assert NUMBER in listed(rows)
    assert order == -1 or listed(rows) == [NUMBER]


@pytest.mark.parametrize("told", [{}, {"lead_id": str(uuid.uuid4())}])
@pytest.mark.parametrize("order", [1, -1])
def test_an_opt_out_is_honoured_whichever_message_tells_the_number(organization, rows, told, order):
    messages = [call(organization, "started", 1, to=NUMBER), call(organization, "analyzed", 2, opt_out=OPT_OUT, **told)]
    for message in messages[::order]:
        assert deliver(message) == 0
    assert listed(rows) == [NUMBER]


@pytest.mark.parametrize("outcome", ["opted_out", "Opt_Out", "DO_NOT_CALL"])
def test_an_outcome_that_says_opted_out_is_a_certain_opt_out(organization, lead, enroll, rows, outcome):
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("100")
    standing, hold = enroll(lead), ledger.hold("5", phone_number=NUMBER)
    deliver(call(organization, "completed", to=NUMBER, outcome=outcome))
    (event,) = rows("select reason, words, verdict from opt_out_events where organization_id = %(org)s")
    assert event == {"reason": "ai_detected", "words": None, "verdict": "certain"}
    assert (listed(rows), now(caller(organization), lead)["status"], standing()[0]) == ([NUMBER], "dnc", "cancelled")
    assert ledger.state(hold) == "released"


@pytest.mark.parametrize("words", ["STOP", " stop. ", "Stop all", "opt-out please", "UNSUBSCRIBE!"])
def test_a_reply_that_is_nothing_but_a_stop_word_is_an_opt_out(organization, rows, words):
    deliver(text(organization, "received", text=words, **{"from": NUMBER}))
    assert listed(rows) == [NUMBER]


@pytest.mark.parametrize(
    ("words", "judged"), [("take me off ur list", "certain"), ("Stop by my office tomorrow", "uncertain")]
)
def test_a_reply_that_may_be_an_opt_out_suppresses_at_once_and_waits_for_a_review(organization, rows, words, judged):
    deliver(text(organization, "received", text=words, **{"from": NUMBER}))
    (event,) = rows("select words, verdict from opt_out_events where organization_id = %(org)s")
    assert (listed(rows), event) == ([NUMBER], {"words": words, "verdict": judged})
    waiting = caller(organization, "manager").ask(reviews, "GET /dnc/reviews").body["items"]
    assert [one["detected_phrase"] for one in waiting] == ([words] if judged == "uncertain" else [])


def test_a_reply_in_which_a_stop_word_means_something_else_is_none(organization, rows):
    deliver(text(organization, "received", text="Meet me at the bus stop", **{"from": NUMBER}))
    assert listed(rows) == []


def test_a_footer_in_a_thread_that_is_quoted_back_is_no_opt_out(organization, rows):
    words = "Yes, call me\n\nOn Mon, Nov 23, 2026, Sam <sam@harbor.example> wrote:\n> Unsubscribe"
    deliver(text(organization, "received", channel="email", text=words, **{"from": "jo@example.com"}))
    assert rows("select from opt_out_events where organization_id = %(org)s") == []


AWAY = "I am out of the office until Monday."


@pytest.mark.parametrize("told", [{"text": AWAY}, {"text": "Back soon", "automatic": True}])
def test_an_automatic_reply_is_no_reply(organization, lead, enroll, rows, told):
    enrollment = enroll(lead)
    deliver(text(organization, "received", lead_id=lead["id"], **told))
    after = now(caller(organization), lead)
    assert (enrollment()[0], after["interaction_count"], after["last_contact_date"]) == ("active", 0, None)
    assert rows("select text, counted from messages where organization_id = %(org)s") == [
        {"text": told["text"], "counted": False}
    ]


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_person_wrote_counts_whatever_program_answers_under_the_same_id(organization, agent, lead, order):
    told = [{"text": AWAY}, {"text": AWAY, "automatic": False}]
    for minutes, one in list(enumerate(told))[::order]:
        deliver(text(organization, "received", minutes, lead_id=lead["id"], **one))
    assert now(agent, lead)["interaction_count"] == 1


def test_an_opt_out_in_an_automatic_reply_is_honoured_where_it_is_certain(organization, rows):
    for id_, words in (("a", "Automatic reply: I may cancel"), ("b", "Automatic reply: remove me from your list")):
        deliver(text(organization, "received", id=id_, text=words, **{"from": NUMBER}))
    assert rows("select words, verdict from opt_out_events where organization_id = %(org)s") == [
        {"words": "Automatic reply: remove me from your list", "verdict": "certain"}
    ]


def test_a_text_that_a_person_wrote_is_theirs_whatever_direction_it_tells(organization, rows):
    deliver(text(organization, "received", to=OURS, direction="outbound", opt_out=OPT_OUT, **{"from": NUMBER}))
    assert listed(rows) == [NUMBER]


@pytest.mark.parametrize("confidence", [0.99, 0.3])
def test_an_opt_out_by_email_stops_email_alone(organization, agent, rows, confidence):
    lead = create(agent, email="Jo@example.com").body
    message = text(
        organization,
        "received",
        channel="email",
        lead_id=lead["id"],
        opt_out={"phrase": "no more", "confidence": confidence},
        **{"from": "JO.TWO@example.com"},
    )
    deliver(message)
    deliver(message)
    found = rows("select address, channel, words from opt_out_events where organization_id = %(org)s order by address")
    assert [(row["address"], row["channel"], row["words"]) for row in found] == [
        ("jo.two@example.com", "email", "no more"),
        ("jo@example.com", "email", "no more"),
    ]
    assert (listed(rows), now(agent, lead)["status"]) == ([], "new")


def test_an_uncertain_opt_out_by_email_can_be_reviewed(organization, rows):
    opt_out = {"phrase": "hm", "confidence": 0.3}
    deliver(text(organization, "received", channel="email", opt_out=opt_out, **{"from": "jo@example.com"}))
    (event,) = rows("select id from opt_out_events where organization_id = %(org)s")
    reply = caller(organization, "manager").ask(
        reviews,
        "POST /dnc/reviews/{event_id}",
        path={"event_id": str(event["id"])},
        body={"decision": "reject", "reason": "misread"},
    )
    assert (reply.status, reply.body["listed"]) == (200, False)


# What the gate counts by ----------------------------------------------------------------------------------------------


def test_a_call_of_which_only_the_lead_is_told_is_to_its_number(organization, lead, the_call):
    deliver(call(organization, "started", lead_id=lead["id"]))
    assert the_call()["phone_number"] == NUMBER


def test_a_later_number_that_cannot_be_read_takes_none_away(organization, the_call):
    deliver(call(organization, "started", 1, to=NUMBER))
    deliver(call(organization, "completed", 2, to="sip:agent@example.com"))
    assert the_call()["phone_number"] == NUMBER


FAILED = {"outcome": "network_error"}


@pytest.mark.parametrize(
    ("rang", "messages"),
    [
        (False, [("failed", FAILED), ("failed", {"outcome": "INVALID_NUMBER"}), ("analyzed", {"outcome": "busy"})]),
        (True, [("failed", {"outcome": "canceled"})]),
        (True, [("failed", {"outcome": "no_answer"}), ("failed", FAILED)]),
        (True, [("failed", {"outcome": "no_answer"}), ("analyzed", {"outcome": "invalid_number"})]),
        (True, [("completed", {}), ("failed", FAILED)]),
        (True, [("failed", FAILED | {"duration_seconds": 45})]),
        (True, [("failed", {}), ("failed", FAILED)]),
    ],
)
def test_a_call_did_not_ring_only_where_nothing_says_that_it_may_have(organization, the_call, rang, messages):
    for minutes, (type_, told) in enumerate(messages):
        deliver(call(organization, type_, minutes, to=NUMBER, **told))
    assert the_call()["rang"] is rang


def test_an_analysis_of_long_ago_moves_no_call_out_of_its_day(organization, the_call):
    deliver(call(organization, "completed", 9, to=NUMBER), call(organization, "analyzed", -5000))
    assert the_call()["placed_at"] == START + timedelta(minutes=9)
    deliver(call(organization, "failed", 4, to=NUMBER))
    assert the_call()["placed_at"] == START + timedelta(minutes=4)
    deliver(call(organization, "started", 5, to=NUMBER))
    assert the_call()["placed_at"] == START + timedelta(minutes=5)


@pytest.mark.parametrize(
    "told",
    [
        {"outcome": "Not_Interested"},
        {"outcome": "refused"},
        {"outcome": "declined"},
        {"outcome": "opted_out"},
        {"intent": {"hard_objection": True}},
        {"opt_out": {"phrase": "no more"}},
    ],
)
def test_no_later_outcome_unsays_a_refusal(organization, the_call, told):
    body = {"value": {"declined": "cold", "wrong_number": "cold"}}
    caller(organization, "admin").ask(config, "PUT /config/{key}", path={"key": "call_outcomes"}, body=body)
    deliver(call(organization, "completed", 3, to=NUMBER, **told))
    deliver(call(organization, "analyzed", 5, outcome="interested", intent={"hard_objection": False}))
    assert the_call()["refused_at"] == START + timedelta(minutes=3)


@pytest.mark.parametrize("outcome", ["wrong_number", "interested", "no_answer", None])
def test_other_outcomes_are_no_refusal(organization, the_call, outcome):
    deliver(call(organization, "completed", to=NUMBER, **({"outcome": outcome} if outcome else {})))
    assert the_call()["refused_at"] is None


@pytest.mark.parametrize(
    ("type_", "told", "left"),
    [
        ("completed", {"cost_usd": "3"}, ("97.00", "settled")),
        ("failed", FAILED, ("100.00", "released")),
    ],
)
def test_a_call_that_names_its_decision_alone_is_paid_from_its_hold(organization, the_call, type_, told, left):
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("100")
    hold = ledger.hold("5")
    with tenant_transaction(organization.caller("admin")) as tx:
        (decision,) = tx.execute(
            """
            insert into gate_decisions (
                phone_number, channel, voice, allowed, reasons, inputs, max_cost, decided_at, valid_until, hold_id,
                hold_expires_at
            )
            values (%s, 'call', 'human', true, '[]', '{}', 5, now(), now() + interval '1 minute', %s, now())
            returning id
            """,
            [NUMBER, hold],
        ).fetchall()
    deliver(call(organization, type_, lead_id=str(uuid.uuid4()), decision_id=str(decision["id"]), **told))
    assert (ledger.balances()[0], ledger.state(hold)) == left
    assert (the_call()["hold_id"], the_call()["phone_number"]) == (hold, NUMBER)


@pytest.mark.parametrize("order", [1, -1])
def test_a_call_that_is_told_late_to_be_inbound_pauses_the_sequences(organization, lead, enroll, order):
    standing = enroll(lead)
    started = call(organization, "started", 1, direction="inbound", lead_id=lead["id"])
    for message in [started, call(organization, "completed", 2, lead_id=lead["id"])][::order]:
        deliver(message)
    assert standing() == ("paused", "replied")


@pytest.mark.usefixtures("ledger")
def test_calls_of_one_batch_are_booked_in_the_order_in_which_they_ended(organization, rows):
    messages = [call(organization, "completed", 9 - n, id=f"{n}", to=NUMBER, cost_usd="1") for n in range(9)]
    deliver(*messages)
    found = rows(
        "select reference_id from budget_transactions where organization_id = %(org)s and call_id is not null"
        " order by sequence"
    )
    assert [row["reference_id"] for row in found] == [str(n) for n in reversed(range(9))]


# Faults beside an opt-out ---------------------------------------------------------------------------------------------

FAULTS = [
    *({"cost_usd": 1.5}, {"cost_usd": "-1"}, {"voice": "robot"}, {"duration_seconds": 1.5}, {"outcome": ""}),
    *({"direction": "sideways"}, {"lead_id": "ada"}, {"script": {"id": "s", "version": -1}}, {"id": ""}),
]


@pytest.mark.parametrize("broken", FAULTS)
def test_a_fault_beside_an_opt_out_does_not_lose_it(organization, rows, letters, broken):
    message = call(organization, "completed", opt_out=OPT_OUT, **{"to": NUMBER} | broken)
    assert deliver(message) == 0
    assert (listed(rows), len(letters)) == ([NUMBER], 1)
    kept = rows("select message_id, type from inbox_messages where organization_id = %(org)s")
    assert [(row["message_id"] == message["id"], row["type"]) for row in kept] == [(False, "call.analyzed")]
    assert deliver(message) == 0
    assert len(rows("select from opt_out_events where organization_id = %(org)s")) == 1


@pytest.mark.parametrize("fault", [{"occurred_at": "soon"}, {"occurred_at": at(9999)}, {"id": 7}, {"type": "call.odd"}])
def test_a_fault_in_the_envelope_does_not_lose_an_opt_out_either(organization, rows, letters, fault):
    assert deliver(call(organization, "completed", to=NUMBER, opt_out=OPT_OUT) | fault) == 0
    assert (listed(rows), len(letters)) == ([NUMBER], 1)


def test_a_fault_of_another_kind_lists_nobody(organization, rows, letters):
    assert deliver(call(organization, "completed", to=NUMBER, cost_usd=1.5)) == 0
    assert (listed(rows), len(letters)) == ([], 1)


@pytest.mark.parametrize("phrase", ["x" * 10_001, "stop\0"])
def test_words_that_cannot_all_be_kept_are_cut(organization, rows, letters, phrase):
    deliver(call(organization, "completed", to=NUMBER, opt_out={"phrase": phrase}, recording_url="x" * 2001))
    (event,) = rows("select words from opt_out_events where organization_id = %(org)s")
    assert (event["words"], letters) == (phrase.replace("\0", "")[:10_000], [])


def test_a_deleted_leads_number_is_listed_too(organization, agent, lead, rows):
    leads.delete(agent, lead)
    deliver(call(organization, "completed", lead_id=lead["id"], opt_out=OPT_OUT))
    assert [row["phone_number"] for row in rows("select * from dnc_list where organization_id = %(org)s")] == [NUMBER]


def test_a_lead_whose_number_changes_meanwhile_is_listed_by_the_new_one_at_the_next_delivery(
    organization, agent, lead, monkeypatch, rows
):
    changed = leads.change(agent, lead, 1, phone_number="+12125550199").body
    message = call(organization, "completed", lead_id=lead["id"], to=NUMBER, opt_out=OPT_OUT)
    with monkeypatch.context() as patch:
        patch.setattr("leadline.calls.effects.numbers_of", lambda *_: {uuid.UUID(lead["id"]): NUMBER})
        assert deliver(message) == 1
    assert rows("select from inbox_messages where organization_id = %(org)s") == []
    assert deliver(message) == 0
    listed = rows("select phone_number from dnc_list where organization_id = %(org)s order by 1")
    assert [row["phone_number"] for row in listed] == [changed["phone_number"], NUMBER]


# Texts, sequences and scores ------------------------------------------------------------------------------------------


def test_a_lead_who_writes_is_contacted_and_its_sequences_pause(organization, agent, lead, enroll, rows):
    enrollment = enroll(lead)
    deliver(text(organization, "received", 1, **{"from": "415 555 0142"}, text="yes please", provider="telnyx"))
    (row,) = rows("select * from messages where organization_id = %(org)s")
    told = ("direction", "phone_number", "text", "status", "provider", "channel", "address")
    assert [row[name] for name in told] == [
        "inbound",
        NUMBER,
        "yes please",
        "received",
        "telnyx",
        "sms",
        "415 555 0142",
    ]
    assert row["lead_id"] == uuid.UUID(lead["id"])
    assert (now(agent, lead)["interaction_count"], now(agent, lead)["status"]) == (1, "new")
    assert enrollment() == ("paused", "replied")


def test_a_sequence_that_was_resumed_is_not_paused_by_the_same_message(organization, lead, enroll, connect):
    enrollment = enroll(lead)
    message = text(organization, "received", lead_id=lead["id"])
    deliver(message)
    connect("superuser").execute(
        "update lead_sequence_enrollments set status = 'active', pause_reason = null where lead_id = %s", [lead["id"]]
    )
    deliver(message)
    deliver(text(organization, "status", 1, status="read"))
    assert enrollment() == ("active", None)


@pytest.mark.parametrize(("direction", "paused"), [("inbound", "paused"), ("outbound", "active")])
def test_only_a_call_that_the_lead_made_pauses_its_sequences(organization, lead, enroll, direction, paused):
    enrollment = enroll(lead)
    deliver(call(organization, "completed", lead_id=lead["id"], direction=direction))
    assert enrollment()[0] == paused


def test_the_status_of_a_text_is_the_newest_whatever_comes_last(organization, lead, rows):
    sent = {"to": NUMBER, "direction": "outbound", "text": "hello"}
    deliver(text(organization, "status", 5, status="delivered"))
    deliver(text(organization, "status", 3, status="sent", **sent))
    (row,) = rows("select * from messages where organization_id = %(org)s")
    assert (row["status"], row["status_at"].isoformat(), row["text"]) == ("delivered", at(5), "hello")
    assert (row["direction"], row["lead_id"], row["counted"]) == ("outbound", uuid.UUID(lead["id"]), False)


def test_who_opts_out_by_text_is_listed(organization, agent, lead, enroll, rows):
    enrollment = enroll(lead)
    deliver(text(organization, "received", **{"from": NUMBER}, text="STOP", opt_out={"phrase": "STOP"}))
    (entry,) = rows("select * from dnc_list where organization_id = %(org)s")
    assert (entry["phone_number"], entry["source"], now(agent, lead)["status"]) == (NUMBER, "sms", "dnc")
    assert rows("select channel from opt_out_events where organization_id = %(org)s") == [{"channel": "sms"}]
    assert enrollment() == ("cancelled", "opted_out")


def test_a_call_and_a_text_of_one_id_are_two_things(organization, agent, lead):
    deliver(
        call(organization, "completed", id="same", lead_id=lead["id"]),
        text(organization, "received", id="same", lead_id=lead["id"]),
    )
    assert now(agent, lead)["interaction_count"] == 2


def test_calls_and_texts_are_in_the_timeline(organization, agent, lead):
    deliver(call(organization, "completed", 1, lead_id=lead["id"], outcome="interested", cost_usd="0.0075"))
    deliver(text(organization, "received", 2, lead_id=lead["id"], text="yes"))
    items = of_lead(agent, "timeline", lead).body["items"]
    told = {item["kind"]: item for item in items}
    assert told["call"] | {"call_id": "call-1", "outcome": "interested", "status": "completed"} == told["call"]
    assert Decimal(told["call"]["cost_usd"]) == Decimal("0.0075")
    assert told["message"] | {"message_id": "sms-1", "text": "yes", "direction": "inbound"} == told["message"]
    assert [item["kind"] for item in items if item["kind"] in ("call", "message")] == ["message", "call"]


@pytest.fixture
def a_score_of_ten_for_each_interaction(connect):
    """In the place of the rules of scoring, which are not what is tested here."""
    owner = connect("owner")
    (made,) = owner.execute("select pg_get_functiondef('calculate_lead_score'::regproc) as text").fetchall()
    owner.execute(
        """
        create or replace function calculate_lead_score(lead_id uuid) returns integer
        language sql stable set search_path = public, pg_temp
        as 'select 10 * interaction_count from leads where id = calculate_lead_score.lead_id'
        """
    )
    yield
    owner.execute(made["text"])


@pytest.mark.usefixtures("a_score_of_ten_for_each_interaction")
def test_a_score_is_calculated_at_every_call_and_kept_when_it_has_changed(organization, agent, lead, rows):
    first = call(organization, "completed", lead_id=lead["id"])
    deliver(first)
    deliver(first, call(organization, "analyzed", 1, intent={"interest": True}))
    deliver(text(organization, "received", 2, lead_id=lead["id"]))
    assert now(agent, lead)["lead_score"] == 20
    kept = rows("select score from lead_score_history where lead_id = %(id)s order by id", id=lead["id"])
    assert [row["score"] for row in kept] == [10, 20]
