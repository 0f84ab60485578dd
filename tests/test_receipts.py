"""What is told of a step after it was sent: receipts in any order, replies, bounces, what fails, confirmations."""

import itertools
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.config_api.app import handler as config
from leadline import links
from leadline.db import tenant_transaction
from leadline.nurture import receipts, unsubscribing
from tests.call_messages import call, deliver, envelope, text
from tests.calling import caller
from tests.leads import NUMBER, create

NUMBERS = itertools.count(1)
EMAIL = "ana@example.com"


@pytest.fixture(autouse=True)
def requests(monkeypatch):
    """What the call system is asked for after the commit."""
    sent: list[Any] = []
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "dead letters")
    monkeypatch.setattr("leadline.events._send", lambda *_: pytest.fail("a dead letter"))
    monkeypatch.setattr(
        "leadline.events.hand_over",
        lambda url, messages: sent.extend((url, json.loads(one.model_dump_json())) for one in messages),
    )
    return sent


class World:
    """An organization with one lead in one sequence, and steps that were sent to it."""

    def __init__(self, organization, connect) -> None:
        self.organization, self.conn = organization, connect("superuser")
        self.lead = create(caller(organization), email=EMAIL).body
        self.sequence, self.enrollment = self.enroll(self.lead["id"])

    def enroll(self, lead_id, sequence=None) -> tuple[uuid.UUID, uuid.UUID]:
        with tenant_transaction(self.organization.caller(None)) as tx:
            if sequence is None:
                (made,) = tx.execute(
                    "insert into nurture_sequences (name, active) values (gen_random_uuid()::text, true) returning id"
                ).fetchall()
                sequence = made["id"]
            (enrolled,) = tx.execute(
                "insert into lead_sequence_enrollments (lead_id, sequence_id) values (%s, %s) returning id",
                [lead_id, sequence],
            ).fetchall()
        return sequence, enrolled["id"]

    def run(self, channel="sms", status="sent", *, hours_ago: float = 48, **columns) -> uuid.UUID:
        """A step that was sent before the messages of `call_messages` begin, unless it is said otherwise."""
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        values = {
            "enrollment_id": self.enrollment,
            "lead_id": self.lead["id"],
            "sequence_id": self.sequence,
            "sequence_version": 1,
            "step": next(NUMBERS),
            "channel": channel,
            "template_id": "a",
            "status": status,
            "sending_until": at if status == "sending" else None,
            "decision_id": uuid.uuid4(),
            "due_at": at,
            "started_at": at,
            "sent_at": at if status in ("sent", "delivered", "replied") else None,
            **columns,
        }
        with tenant_transaction(self.organization.caller(None)) as tx:
            (row,) = tx.execute(
                f"insert into step_runs ({', '.join(values)}) values ({', '.join(['%s'] * len(values))}) returning id",  # noqa: S608
                list(values.values()),
            ).fetchall()
        return row["id"]

    def row(self, run) -> dict[str, Any]:
        (row,) = self.conn.execute("select * from step_runs where id = %s", [run]).fetchall()
        return row

    def status(self, run) -> str:
        return self.row(run)["status"]

    def standing(self, enrollment=None) -> tuple[str, str | None]:
        (row,) = self.conn.execute(
            "select status, exit_reason, pause_reason from lead_sequence_enrollments where id = %s",
            [enrollment or self.enrollment],
        ).fetchall()
        return row["status"], row["exit_reason"] or row["pause_reason"]

    def told(self, query, *values) -> list[Any]:
        return self.conn.execute(query, [self.organization.organization_id, *values]).fetchall()

    def tell(self, run, word, minutes: float = 0, **other) -> None:
        assert deliver(text(self.organization, "status", minutes, id=str(run), status=word, **other)) == 0


@pytest.fixture
def world(customer, connect):
    return World(customer(), connect)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("DELIVERED", "delivered"),
        ("opened", "delivered"),
        ("delivery_failed", "failed"),
        ("sending_failed", "failed"),
        ("soft_bounced", "failed"),
        ("rejected", "failed"),
        ("bounced", "bounced"),
        ("delivery_unconfirmed", "sent"),
        ("queued", "sent"),
        ("a word of tomorrow", "sent"),
    ],
)
@pytest.mark.parametrize("known_by", ["run", "provider"])
def test_a_receipt_moves_the_run_by_its_id_or_the_providers(world, word, status, known_by):
    provider_id = f"prov-{uuid.uuid4()}"
    run, other = world.run(provider_message_id=provider_id), world.run()
    world.tell(run if known_by == "run" else provider_id, word)
    assert (world.status(run), world.status(other)) == (status, "sent")


@pytest.mark.parametrize("was", ["sending", "unknown", "retrying"])
def test_a_receipt_proves_that_what_nobody_knew_went_out(world, was):
    run = world.run(status=was)
    world.tell(run, "delivered")
    row = world.row(run)
    assert (row["status"], row["sending_until"]) == ("delivered", None)
    assert row["sent_at"] == row["delivered_at"] is not None


def test_a_failure_of_an_earlier_attempt_does_not_end_the_retry(world):
    run = world.run(status="retrying")
    world.tell(run, "failed")
    assert world.status(run) == "retrying"


@pytest.mark.parametrize("was", ["skipped", "replied", "bounced", "delivered"])
@pytest.mark.parametrize("word", ["sent", "failed"])
def test_what_makes_no_sense_of_a_run_is_passed_over_and_no_poison(world, was, word):
    run = world.run(status=was)
    world.tell(run, word)
    assert world.status(run) == was


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(["sent", "delivered", "failed", "bounced", "opened"]), min_size=1, max_size=5),
    data=st.data(),
)
def test_receipts_in_any_order_and_however_often_end_the_same(world, words, data):
    ends = []
    for order in (words, data.draw(st.permutations(words)) + words[:1]):
        run = world.run("sms")
        messages = [text(world.organization, "status", words.index(word), id=str(run), status=word) for word in order]
        cut = data.draw(st.integers(0, len(messages)))
        for batch in (messages[:cut], messages[cut:], messages):
            assert deliver(*batch) == 0
        row = world.row(run)
        ends.append((row["status"], row["delivered_at"], row["error"]))
    assert ends[0] == ends[1]


def test_an_email_that_bounces_for_good_ends_its_enrollment_and_a_text_does_not(world):
    world.tell(world.run("sms"), "bounced")
    assert world.standing() == ("active", None)
    world.tell(world.run("email"), "soft_bounced", channel="email")
    assert world.standing() == ("active", None)
    world.tell(world.run("email"), "bounced", channel="email")
    assert world.standing() == ("failed", "bounced")


def test_a_complaint_stops_email_and_is_kept_as_one(world):
    run = world.run("email", address=EMAIL)
    world.tell(run, "complained", channel="email", direction="outbound", to="Ana@Example.com")
    row = world.row(run)
    assert (row["status"], row["opted_out_at"] is not None) == ("delivered", True)
    found = world.told("select address, channel, reason, verdict from opt_out_events where organization_id = %s")
    assert [tuple(one.values()) for one in found] == [(EMAIL, "email", "complaint", "certain")]
    assert world.told("select 1 from dnc_list where organization_id = %s") == []


@pytest.mark.parametrize(
    ("types", "status"),
    [
        (["started"], "sent"),
        (["started", "completed"], "delivered"),
        (["failed"], "failed"),
        (["completed", "failed"], "delivered"),
        (["failed", "completed"], "delivered"),
    ],
)
@pytest.mark.parametrize("known_by", ["decision", "run"])
def test_a_call_moves_the_step_that_it_was_placed_for(world, types, status, known_by):
    decision = uuid.uuid4()
    run, other = world.run("call", decision_id=decision), world.run("call")
    named = {"decision_id": str(decision)} if known_by == "decision" else {"id": str(run)}
    for minutes, type_ in enumerate(types):
        told = {"outcome": "invalid_number"} if type_ == "failed" else {}
        assert deliver(call(world.organization, type_, minutes, to=NUMBER, **named, **told)) == 0
    assert (world.status(run), world.status(other)) == (status, "sent")


def test_a_reply_marks_the_newest_step_of_its_channel_and_pauses(world):
    old, newest, email = world.run(hours_ago=72), world.run(hours_ago=60), world.run("email")
    later = world.run(hours_ago=1)
    reply = text(world.organization, "received", 0, **{"from": NUMBER}, text="Who is this?")
    assert deliver(reply) == deliver(reply) == 0
    assert [world.status(run) for run in (old, newest, email, later)] == ["sent", "replied", "sent", "sent"]
    assert world.row(newest)["opted_out_at"] is None
    assert world.standing() == ("paused", "replied")


def test_a_second_reply_marks_no_older_step(world):
    old, newest = world.run(hours_ago=72), world.run(hours_ago=60)
    for place in range(2):
        deliver(text(world.organization, "received", place, id=f"sms-{place}", **{"from": NUMBER}, text="Hello?"))
    assert [world.status(run) for run in (old, newest)] == ["sent", "replied"]


def test_an_opt_out_in_answer_is_kept_with_the_step(world):
    run = world.run()
    deliver(text(world.organization, "received", **{"from": NUMBER}, text="STOP"))
    row = world.row(run)
    assert (row["status"], row["opted_out_at"]) == ("replied", row["replied_at"])
    assert world.standing() == ("cancelled", "opted_out")


def test_an_opt_out_by_the_link_is_kept_with_the_newest_email(world):
    old, newest = world.run("email", address=EMAIL, hours_ago=72), world.run("email", address=EMAIL)
    now = datetime.now(UTC)
    with tenant_transaction(world.organization.caller(None)) as tx:
        unsubscribing.unsubscribe(tx, EMAIL, now)
    assert [world.row(run)["opted_out_at"] for run in (old, newest)] == [None, now]
    assert world.standing() == ("active", None)


@pytest.mark.parametrize("outcome", ["no_answer", "busy"])
def test_a_call_that_nobody_took_was_made_and_is_no_failure_of_its_sequence(world, outcome):
    decision = uuid.uuid4()
    run = world.run("call", decision_id=decision)
    deliver(call(world.organization, "failed", to=NUMBER, decision_id=str(decision), outcome=outcome))
    assert world.status(run) == "sent"


def test_what_is_told_of_another_organizations_step_moves_nothing(world, customer):
    run, decision = world.run(provider_message_id="prov-1"), world.row(world.run("call"))["decision_id"]
    stranger = customer()
    for message_id in (run, "prov-1"):
        deliver(text(stranger, "status", id=str(message_id), status="failed"))
    deliver(call(stranger, "failed", to=NUMBER, decision_id=str(decision), outcome="busy"))
    found = world.told("select distinct status from step_runs where organization_id = %s")
    assert [row["status"] for row in found] == ["sent"]


# Sequences that fail --------------------------------------------------------------------------------------------------


def decide(world, **limit) -> None:
    asked = caller(world.organization, "admin").ask(
        config, "PUT /config/{key}", path={"key": "nurture_failure_limit"}, body={"value": limit}
    )
    assert asked.status == 200, asked.body


def is_active(world) -> tuple[bool, str | None]:
    (row,) = world.told(
        "select active, paused_reason from nurture_sequences where organization_id = %s and id = %s", world.sequence
    )
    return row["active"], row["paused_reason"]


def stops(world) -> list[dict[str, Any]]:
    found = world.told("select data from domain_events where organization_id = %s and type = 'sequence_stopped'")
    return [row["data"] for row in found]


def test_a_sequence_of_which_too_many_steps_fail_stops_with_an_event(world):
    decide(world, rate=0.5, minimum=4)
    runs = [world.run() for _ in range(4)]
    for place, run in enumerate(runs[:3]):
        assert is_active(world) == (True, None)
        world.tell(run, "failed", place)
    assert is_active(world) == (False, "failure_rate")
    assert stops(world) == [{"reason": "failure_rate", "steps": 4, "failed": 3}]
    world.tell(runs[3], "failed", 5)
    assert len(stops(world)) == 1


def test_few_steps_old_ones_and_those_of_other_sequences_do_not_stop_it(world):
    decide(world, rate=0.1, minimum=3, days=3)
    for _ in range(3):
        world.run(status="failed", hours_ago=24 * 4)
    world.sequence, other = (
        world.enroll(create(caller(world.organization), phone_number="+13055550123").body["id"])[0],
        world.sequence,
    )
    for _ in range(3):
        world.run(status="failed")
    world.sequence = other
    world.tell(world.run(), "failed")
    world.tell(world.run(), "failed", 1)
    assert is_active(world) == (True, None)
    world.tell(world.run(), "failed", 2)
    assert is_active(world) == (False, "failure_rate")


def test_what_failed_before_it_was_started_again_does_not_stop_it(world):
    decide(world, rate=0.1, minimum=1)
    world.tell(world.run(), "failed")
    assert is_active(world) == (False, "failure_rate")
    with tenant_transaction(world.organization.caller(None)) as tx:
        tx.execute("update nurture_sequences set active = true, paused_reason = null where id = %s", [world.sequence])
    world.tell(world.run(), "failed", 1)
    assert is_active(world) == (True, None)
    world.tell(world.run(hours_ago=-0.001), "failed", 2)
    with tenant_transaction(world.organization.caller(None)) as tx:
        receipts.stop_failing(tx, datetime.now(UTC) + timedelta(minutes=1), sequence_ids=[world.sequence])
    assert is_active(world) == (False, "failure_rate")
    assert len(stops(world)) == 2


def test_without_a_decision_thirty_in_a_hundred_of_fifty_at_least(world):
    for place in range(49):
        world.run(status="failed" if place < 15 else "delivered")
    with tenant_transaction(world.organization.caller(None)) as tx:
        receipts.stop_failing(tx, datetime.now(UTC), sequence_ids=[world.sequence])
    assert is_active(world) == (True, None)
    world.tell(world.run(), "failed")
    assert is_active(world) == (False, "failure_rate")


# Confirmations --------------------------------------------------------------------------------------------------------


def reply(organization, words="STOP", *, ago=timedelta(0), sender=NUMBER, **other) -> dict[str, Any]:
    at = (datetime.now(UTC) - ago).isoformat()
    told = {"id": f"in-{next(NUMBERS)}", "channel": "sms", "from": sender, "to": "+14155550000", "text": words}
    return envelope(organization, "message.received", 0, message=told, **other) | {"occurred_at": at}


def test_who_opts_out_by_text_is_told_once_within_five_minutes(world, requests):
    message = reply(world.organization)
    assert deliver(message) == deliver(message) == deliver(reply(world.organization)) == 0
    ((url, asked),) = requests
    (name,) = world.told("select name from organizations where id = %s")
    assert (url, asked["type"], asked["purpose"]) == ("requests", "sms.request", "opt_out_confirmation")
    assert (asked["to"], asked["lead_id"]) == (NUMBER, world.lead["id"])
    assert asked["sms"]["from"] == "+14155550000"
    assert name["name"] in asked["sms"]["text"]
    ends = datetime.fromisoformat(asked["valid_until"])
    assert ends == datetime.fromisoformat(message["occurred_at"]) + timedelta(minutes=5)
    (row,) = world.told("select id from opt_out_confirmations where organization_id = %s")
    assert str(row["id"]) == asked["id"]


def test_two_stops_in_one_batch_are_confirmed_once(world, requests):
    deliver(*(reply(world.organization) for _ in range(3)))
    assert len(requests) == 1


def test_an_old_an_uncertain_and_a_spoken_opt_out_are_not_confirmed(world, requests):
    doubted = {"phrase": "stop by", "confidence": 0.3}
    deliver(reply(world.organization, ago=timedelta(minutes=5, seconds=1), sender="+13055550101"))
    deliver(reply(world.organization, "stop by my office", sender="+13055550102", opt_out=doubted))
    deliver(call(world.organization, "completed", to="+13055550103", opt_out={"phrase": "stop"}))
    listed = world.told("select phone_number from dnc_list where organization_id = %s order by 1")
    assert [row["phone_number"] for row in listed] == [f"+1305555010{place}" for place in (1, 2, 3)]
    assert requests == []


def test_an_organization_may_confirm_nothing_or_in_its_own_words(world, requests):
    admin = caller(world.organization, "admin")
    for value, status in ((None, 200), ("Done, {{organization.name}}.", 200), ("", 422), ("x" * 321, 422)):
        path = {"key": "opt_out_confirmation"}
        assert admin.ask(config, "PUT /config/{key}", path=path, body={"value": value}).status == status
        if status == 200:
            deliver(reply(world.organization, sender=f"+1305555011{2 if value else 1}"))
    ((_, asked),) = requests
    assert asked["to"] == "+13055550112"
    assert asked["sms"]["text"].startswith("Done, organization ")


def test_what_is_not_sent_after_the_commit_is_never_sent(world, requests, monkeypatch):
    def fails(*_):
        raise RuntimeError

    message = reply(world.organization)
    with monkeypatch.context() as patch:
        patch.setattr("leadline.events.hand_over", fails)
        assert deliver(message) == 1
    assert deliver(message) == 0
    assert requests == []
    assert len(world.told("select 1 from dnc_list where organization_id = %s")) == 1


def test_a_link_is_for_the_address_that_it_was_written_to(world):
    token = links.unsubscribe_token(world.organization.tenant_id, world.organization.organization_id, EMAIL)
    told = links.find_unsubscribe(token)
    assert told
    assert told.address == EMAIL
