"""The worker of nurture: each step that is due once, and what becomes of its enrollment."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from leadline import calls, dnc, links, provider_keys
from leadline.db import tenant_transaction
from leadline.nurture import dispatch, engine, enrollments, results, unsubscribing
from leadline.nurture.channels import GoneWrong, Refused, Sent
from leadline.nurture.enrollments import Reason
from leadline.nurture.results import BACKOFF
from tests.ledger import Ledger, on_a_connection
from tests.nurturing import EVENING, NOON, Organization, minutes


@pytest.fixture(autouse=True)
def _clock_of_the_test(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")
    monkeypatch.setenv("LEADLINE_LINK_KEYS", json.dumps({"current": "k1", "keys": {"k1": "x" * 64}}))
    monkeypatch.setenv("LEADLINE_PUBLIC_URL", "https://api.example.com")


@pytest.fixture
def organization(customer, connect):
    organization = Organization(customer(), connect)
    organization.credit()
    organization.template()
    yield organization
    assert Ledger(organization.customer.caller("admin")).mismatches() == []


def enrolled(organization, *steps, at=NOON, **fields):
    """One enrollment of one lead."""
    (lead,) = organization.leads(**fields)
    (enrollment,) = organization.enroll(organization.sequence(*steps), [lead], at)
    return enrollment


def state(organization, enrollment) -> tuple:
    after = organization.enrollment(enrollment)
    return after["status"], after["current_step"], after["pause_reason"] or after["exit_reason"] or after["waiting_for"]


def statuses(organization) -> list[str]:
    return [run["status"] for run in organization.runs()]


# A step that is due ---------------------------------------------------------------------------------------------------


def test_a_due_step_is_sent_and_the_next_one_is_due_its_delay_after_that(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 2})
    (message,) = organization.tick(NOON + minutes(7))
    assert message.text == "Hello Ada"
    (run,) = organization.runs()
    assert (run["status"], run["sent_at"], run["due_at"], run["body"]) == ("sent", NOON + minutes(7), NOON, "Hello Ada")
    assert run["provider_message_id"] == f"provider {run['id']}"
    after = organization.enrollment(enrollment)
    assert (after["status"], after["current_step"]) == ("active", 2)
    assert after["next_step_scheduled_at"] == after["claimable_at"] == NOON + minutes(127)
    (done,) = after["executed_steps"]
    assert (done["step"], done["round"], done["run_id"], done["status"]) == (1, 1, str(run["id"]), "sent")
    assert datetime.fromisoformat(done["at"]) == NOON + minutes(7)


def test_after_its_last_step_a_sequence_is_completed(organization):
    enrollment = enrolled(organization, {}, {"delay_minutes": 1})
    organization.tick()
    assert organization.tick() == []  # not due yet
    assert len(organization.tick(NOON + minutes(1))) == 1
    after = organization.enrollment(enrollment)
    assert (after["status"], after["completed_at"], len(after["executed_steps"])) == ("completed", NOON + minutes(1), 2)
    assert organization.tick(NOON + minutes(60)) == []


def test_an_sms_that_went_out_has_spent_its_hold(organization):
    enrolled(organization)
    organization.tick()
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.95", "0.00", "0.00")


def test_a_call_that_was_asked_for_keeps_its_hold_for_the_messages_of_the_call(organization):
    organization.template("ring", "call", body="Ask for {{first_name|somebody}}", script_id="intro", script_version="3")
    enrolled(organization, {"channel": "call", "template_id": "ring"})
    (message,) = organization.tick()
    assert (message.voice, message.script_id, message.script_version, message.text) == (
        *("artificial", "intro", "3"),
        "Ask for Ada",
    )
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.00", "1.00", "0.00")
    assert statuses(organization) == ["sent"]


# Messages that come twice, late, or from somebody else ----------------------------------------------------------------


def test_a_message_that_comes_twice_or_late_does_nothing_more(organization):
    enrolled(organization, {}, {})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    assert organization.prepare(message) == []
    organization.record(outgoing, [Sent("1")])
    assert organization.prepare(message, NOON + minutes(60)) == []
    assert statuses(organization) == ["sent"]


def test_what_is_recorded_twice_is_recorded_once(organization):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    for _ in range(2):
        organization.record(outgoing, [Sent("1")])
    after = organization.enrollment(enrollment)
    assert (after["current_step"], len(after["executed_steps"])) == (2, 1)
    assert Ledger(organization.customer.caller("admin")).balances()[0] == "999.95"


def test_ids_of_another_tenant_in_a_message_do_nothing(organization, customer, connect):
    enrollment = enrolled(organization)
    (message,) = organization.claim()
    stranger = Organization(customer(), connect)
    with tenant_transaction(stranger.caller) as tx:
        theirs = message.model_copy(
            update={"tenant_id": stranger.caller.tenant_id, "organization_id": stranger.caller.organization_id}
        )
        assert engine.prepare(tx, theirs, [enrollment, uuid4()], NOON).outgoing == []
    assert organization.runs() == stranger.runs() == []
    assert organization.enrollment(enrollment)["claimable_at"] == message.lease


def test_a_message_of_a_thousand_is_worked_on_in_parts_of_five_hundred(organization):
    leads = organization.leads(620)
    organization.enroll(organization.sequence(), leads)
    (message,) = organization.claim(size=1000)
    assert [len(part) for part in engine.parts(message)] == [500, 120]
    assert len(organization.prepare(message)) == 620


# Crashes --------------------------------------------------------------------------------------------------------------


def test_a_crash_after_the_claim_only_delays_the_step_until_the_lease_ends(organization):
    enrolled(organization)
    (message,) = organization.claim()
    assert organization.tick(NOON + minutes(14)) == []
    assert len(organization.tick(message.lease)) == 1
    assert statuses(organization) == ["sent"]


@pytest.mark.parametrize("point", ["before the send", "after the send"])
def test_a_crash_around_the_send_is_found_reported_and_never_sent_again(organization, point):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    (lost,) = organization.prepare(message)
    if point == "after the send":
        organization.recorder.send([lost])
    assert organization.tick(NOON + dispatch.LEASE - minutes(1)) == []
    assert statuses(organization) == ["sending"]
    assert organization.tick(NOON + dispatch.LEASE) == []
    assert state(organization, enrollment) == ("paused", 1, "delivery_unknown")
    assert statuses(organization) == ["unknown"]
    (event,) = organization.sql("select * from domain_events where type = 'delivery_unknown'")
    assert event["subject_id"] == str(enrollment)
    assert organization.tick(NOON + timedelta(days=2)) == []
    organization.sql("update lead_sequence_enrollments set status = 'active'")  # by mistake: it stays as unknown
    assert organization.tick(NOON + timedelta(days=400)) == []
    assert state(organization, enrollment) == ("paused", 1, "delivery_unknown")


def test_while_a_worker_is_sending_another_leaves_the_step_alone(organization):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.sql("update lead_sequence_enrollments set claimable_at = %s", NOON)  # as a resume does
    assert organization.tick(NOON + minutes(1)) == []
    assert organization.enrollment(enrollment)["claimable_at"] == NOON + dispatch.LEASE
    organization.record(outgoing, [Sent("1")])
    assert state(organization, enrollment) == ("active", 2, None)


def test_a_send_that_is_recorded_after_it_was_given_up_says_that_it_went_out(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 1})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.tick(NOON + dispatch.LEASE)
    organization.record(outgoing, [Sent("1")], NOON + minutes(20))
    assert statuses(organization) == ["sent"]
    assert state(organization, enrollment) == ("paused", 2, "delivery_unknown")
    assert organization.enrollment(enrollment)["remaining_delay"] == timedelta(hours=1)


def test_a_round_that_a_person_has_started_anew_is_a_run_of_its_own(organization):
    enrollment = enrolled(organization, {}, {})
    organization.recorder.outcome = lambda _: GoneWrong("ReadTimeoutError")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "delivery_unknown")
    organization.sql(
        "update lead_sequence_enrollments set status = 'active', round = 2, updated_at = %s", NOON + minutes(1)
    )
    organization.recorder.outcome = lambda _: Sent("2")
    assert len(organization.tick(NOON + minutes(1))) == 1
    assert statuses(organization) == ["unknown", "sent"]
    assert state(organization, enrollment) == ("active", 2, None)


@pytest.mark.parametrize("then", ["cancelled", "paused"])
def test_a_send_whose_worker_died_is_found_also_where_its_enrollment_is_never_claimed_again(
    organization, connect, then
):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    organization.prepare(message)
    organization.sql("update lead_sequence_enrollments set status = %s, updated_at = %s", then, NOON)
    late = NOON + dispatch.LEASE

    def lost(now):
        conn = connect("dispatch")
        with conn.transaction():
            found = dispatch.lost(conn, now)
        return [one for one in found if one.organization_id == organization.customer.organization_id]

    assert lost(late - minutes(1)) == []
    (found,) = lost(late)
    with tenant_transaction(organization.caller) as tx:
        assert results.close_lost(tx, found.until, late) == 1
        assert results.close_lost(tx, found.until, late) == 0
    assert statuses(organization) == ["unknown"]
    assert len(organization.sql("select id from domain_events where type = 'delivery_unknown'")) == 1
    assert state(organization, enrollment) == (then, 1, "person")


def test_the_send_of_an_active_enrollment_is_left_to_whoever_claims_it(organization):
    enrolled(organization, {}, {})
    (message,) = organization.claim()
    organization.prepare(message)
    with tenant_transaction(organization.caller) as tx:
        assert results.close_lost(tx, NOON + dispatch.LEASE, NOON + dispatch.LEASE) == 0
    assert statuses(organization) == ["sending"]


def test_what_is_sent_is_good_for_as_long_as_its_decision(organization):
    enrolled(organization)
    (message,) = organization.claim()
    before = time.monotonic()
    (outgoing,) = organization.prepare(message)
    good_for = (outgoing.valid_until - NOON).total_seconds()
    assert 0 < good_for <= 60
    assert before + good_for <= outgoing.good_until <= time.monotonic() + good_for


def test_the_database_refuses_a_second_run_of_a_step(organization):
    enrollment = enrolled(organization)
    organization.tick()
    with pytest.raises(psycopg.errors.UniqueViolation, match="a_step_runs_once_a_round"):
        organization.sql(
            """
            insert into step_runs (
                enrollment_id, lead_id, sequence_id, sequence_version, step, channel, template_id, status, due_at,
                started_at
            )
            select enrollment_id, lead_id, sequence_id, sequence_version, step, channel, template_id, 'skipped', due_at,
                started_at
            from step_runs where enrollment_id = %s
            """,
            enrollment,
        )


# What came of it ------------------------------------------------------------------------------------------------------


def test_what_was_refused_is_sent_again_three_times_with_longer_and_longer_waits_and_then_fails(organization):
    enrollment = enrolled(organization)
    organization.recorder.outcome = lambda _: Refused("RequestThrottled", again=True)
    at = NOON
    for attempt, wait in enumerate(BACKOFF, 1):
        assert len(organization.tick(at)) == 1
        assert state(organization, enrollment) == ("active", 1, "retry")
        (run,) = organization.runs()
        assert (run["status"], run["attempts"], run["error"]) == ("retrying", attempt, "RequestThrottled")
        assert organization.tick(at + wait - minutes(0.5)) == []
        at += wait
    assert len(organization.tick(at)) == 1
    assert state(organization, enrollment) == ("failed", 1, "retries_exhausted")
    assert statuses(organization) == ["failed"]
    assert len({message.run_id for message in organization.recorder.sent}) == 1  # the key stays
    assert Ledger(organization.customer.caller("admin")).balances() == ("1000.00", "0.00", "0.00")


def test_a_retry_that_goes_out_goes_on_from_when_it_did(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 1})
    organization.recorder.outcome = lambda message: Refused("x", again=True) if message.attempts == 1 else Sent("1")
    organization.tick()
    assert len(organization.tick(NOON + minutes(1))) == 1
    assert state(organization, enrollment) == ("active", 2, None)
    assert organization.enrollment(enrollment)["claimable_at"] == NOON + minutes(61)
    (run,) = organization.runs()
    assert (run["status"], run["attempts"], run["error"]) == ("sent", 2, None)
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.95", "0.00", "0.00")


def test_a_retry_passes_the_gate_anew(organization):
    enrollment = enrolled(organization)
    organization.recorder.outcome = lambda _: Refused("x", again=True)
    organization.tick()
    with tenant_transaction(organization.caller) as tx:
        dnc.lock_number(tx, "+12125550001")
        tx.execute("insert into dnc_list (phone_number, reason, source) values ('+12125550001', 'complaint', 'test')")
    assert organization.tick(NOON + minutes(1)) == []
    assert state(organization, enrollment)[0] == "cancelled"
    assert statuses(organization) in (["skipped"], ["retrying"])


def test_what_is_refused_for_good_fails_the_enrollment_and_gives_its_money_back(organization):
    enrollment = enrolled(organization, {}, {})
    organization.recorder.outcome = lambda _: Refused("MessageRejected", again=False)
    organization.tick()
    assert state(organization, enrollment) == ("failed", 1, "refused_for_good")
    (run,) = organization.runs()
    assert (run["status"], run["error"], run["ended_at"]) == ("failed", "MessageRejected", NOON)
    assert Ledger(organization.customer.caller("admin")).balances() == ("1000.00", "0.00", "0.00")


def test_what_nobody_knows_pauses_and_its_money_stays_held(organization):
    enrollment = enrolled(organization, {}, {})
    organization.recorder.outcome = lambda _: GoneWrong("ReadTimeoutError")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "delivery_unknown")
    assert len(organization.sql("select id from domain_events where type = 'delivery_unknown'")) == 1
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.95", "0.05", "0.00")


def test_a_receipt_that_came_before_the_record_stays(organization):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.sql("update step_runs set status = 'delivered', delivered_at = %s", NOON)
    organization.record(outgoing, [Sent("1")])
    (run,) = organization.runs()
    assert (run["status"], run["provider_message_id"], run["sent_at"]) == ("delivered", "1", NOON)
    assert state(organization, enrollment) == ("active", 2, None)


def test_an_opt_out_between_the_mark_and_the_record_cancels_and_the_text_is_paid_all_the_same(organization):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    with tenant_transaction(organization.caller) as tx:
        dnc.lock_number(tx, "+12125550001")
        dnc.add(tx, "+12125550001", reason="lead_requested", source="test")
    organization.record(outgoing, [Sent("1")])
    assert state(organization, enrollment) == ("cancelled", 1, "opted_out")
    assert statuses(organization) == ["sent"]
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.95", "0.00", "0.00")


def test_a_pause_while_sending_keeps_the_pause_and_the_next_step_waits_its_whole_delay(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 3})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.sql("update lead_sequence_enrollments set status = 'paused', updated_at = %s", NOON)
    organization.record(outgoing, [Sent("1")])
    assert state(organization, enrollment) == ("paused", 2, "person")
    organization.sql("update lead_sequence_enrollments set status = 'active', updated_at = %s", NOON + minutes(30))
    assert organization.enrollment(enrollment)["claimable_at"] == NOON + minutes(210)


def test_a_pause_and_a_resume_while_sending_change_nothing_of_the_send(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 3})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    for status in ("paused", "active"):
        organization.sql("update lead_sequence_enrollments set status = %s, updated_at = %s", status, NOON + minutes(1))
    assert organization.tick(NOON + minutes(2)) == []  # somebody is at it
    organization.record(outgoing, [Sent("1")], NOON + minutes(2))
    assert state(organization, enrollment) == ("active", 2, None)
    assert statuses(organization) == ["sent"]


# Hours, caps and money ------------------------------------------------------------------------------------------------


def test_outside_the_hours_a_step_waits_for_the_next_allowed_moment_and_says_so(organization):
    enrollment = enrolled(organization, {}, {"delay_hours": 1}, at=EVENING)
    assert organization.tick(EVENING) == []
    after = organization.enrollment(enrollment)
    opens = EVENING.replace(hour=12, minute=0)
    assert state(organization, enrollment) == ("active", 1, "outside_hours")
    assert after["next_step_scheduled_at"] == after["claimable_at"] == opens
    assert organization.runs() == []
    (decision,) = organization.sql("select * from gate_decisions")
    assert (decision["allowed"], decision["next_allowed_at"]) == (False, opens)
    # Held time is no delay: the next step counts from when this one was sent, and the run is not late.
    assert len(organization.tick(opens)) == 1
    (run,) = organization.runs()
    assert run["due_at"] == opens
    assert organization.enrollment(enrollment)["claimable_at"] == opens + minutes(60)
    assert organization.enrollment(enrollment)["waiting_for"] is None


def test_without_money_a_step_pauses_with_the_reason_and_those_before_it_are_paid(customer, connect):
    organization = Organization(customer(), connect)
    organization.template()
    organization.credit("0.12")
    enrollments = organization.enroll(organization.sequence(), organization.leads(3))
    assert len(organization.tick()) == 2
    found = sorted(state(organization, one) for one in enrollments)
    assert found == [("completed", 1, None), ("completed", 1, None), ("paused", 1, "insufficient_budget")]


def test_without_consent_a_step_pauses(organization):
    enrollment = enrolled(organization, consent=False)
    assert organization.tick() == []
    assert state(organization, enrollment) == ("paused", 1, "no_consent")


def test_a_number_without_a_rule_pauses(organization):
    enrollment = enrolled(organization, area="800555")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "no_rule_for_region")


# Exits, skips and conditions ------------------------------------------------------------------------------------------


EXITS = {
    "lead_deleted": "update leads set deleted_at = now()",
    "recruited": "update leads set status = 'recruited'",
    "opted_out": "update leads set status = 'dnc'",
    "calling_blocked": "update leads set calling_blocked = true",
}


@pytest.mark.parametrize("reason", EXITS)
def test_who_leaves_is_cancelled_with_the_reason(organization, reason):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    organization.sql(EXITS[reason])
    assert organization.prepare(message) == []
    assert state(organization, enrollment) == ("cancelled", 1, reason)


def test_a_sequence_that_is_not_active_pauses_whom_it_would_have_written_to(organization):
    enrollment = enrolled(organization)
    organization.sql("update nurture_sequences set active = false")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "sequence_paused")


def test_a_lead_that_does_not_meet_the_conditions_skips_the_step(organization):
    enrollment = enrolled(organization, {"conditions": {"status": ["hot"]}}, {"delay_hours": 1})
    assert organization.tick() == []
    (run,) = organization.runs()
    assert (run["status"], run["error"], run["attempts"]) == ("skipped", "conditions", 0)
    assert state(organization, enrollment) == ("active", 2, None)
    after = organization.enrollment(enrollment)
    assert after["claimable_at"] == NOON + minutes(60)
    assert [one["status"] for one in after["executed_steps"]] == ["skipped"]


def test_a_lead_that_meets_the_conditions_gets_the_step(organization):
    enrolled(organization, {"conditions": {"status": ["hot"]}}, status="hot")
    assert len(organization.tick()) == 1


def test_conditions_on_a_field_that_is_no_longer_declared_wait_for_a_person_and_hold_up_nobody_else(organization):
    one = enrolled(organization, {"conditions": {"custom_fields.boat": "yes"}})
    (lead,) = organization.leads(area="212556")
    (other,) = organization.enroll(organization.sequence({}, {}), [lead])
    assert [message.lead_id for message in organization.tick()] == [lead]
    assert state(organization, one) == ("paused", 1, "not_allowed")
    assert state(organization, other) == ("active", 2, None)


def test_an_email_can_be_found_by_what_ses_tells_of_it_before_it_goes_out(organization, connect):
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "1 Pier, Boston")
    enrolled(organization, {"channel": "email", "template_id": "mail"}, email="ada@example.com")
    (message,) = organization.claim()
    (email,) = organization.prepare(message)
    dispatcher = connect("dispatch")
    with dispatcher.transaction():
        (owner,) = provider_keys.owners(dispatcher, "ses", [str(email.run_id)])
    assert owner.organization_id == organization.customer.organization_id


def test_a_sequence_of_which_too_many_steps_are_refused_for_good_stops(organization):
    organization.decide("nurture_failure_limit", {"rate": 0.5, "minimum": 4, "days": 7})
    sequence = organization.sequence({}, {})
    organization.enroll(sequence, organization.leads(4))
    organization.recorder.outcome = lambda _: Refused("invalid", again=False)
    organization.tick()
    stopped = organization.one("select active, paused_reason from nurture_sequences where id = %s", sequence)
    assert stopped == {"active": False, "paused_reason": "failure_rate"}
    assert organization.one("select subject_id from domain_events where type = 'sequence_stopped'") == {
        "subject_id": str(sequence)
    }


def test_who_has_opted_out_of_email_skips_the_email_and_gets_the_text_after_it(organization):
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "1 Pier, Boston")
    enrollment = enrolled(organization, {"channel": "email", "template_id": "mail"}, {}, email="ada@example.com")
    organization.sql(
        "insert into opt_out_events (address, channel, source, reason, occurred_at, verdict, due_on)"
        " values ('ada@example.com', 'email', 'unsubscribe', 'lead_requested', now(), 'certain', now())"
    )
    assert organization.tick() == []
    assert [(run["status"], run["error"]) for run in organization.runs()] == [("skipped", "consent_revoked")]
    assert [message.channel for message in organization.tick()] == ["sms"]
    assert state(organization, enrollment) == ("completed", 2, None)


# What goes out --------------------------------------------------------------------------------------------------------


def test_an_email_has_a_sender_a_postal_address_and_a_link_to_unsubscribe(organization):
    organization.template("mail", "email", html="<p>Hi {{first_name|you}}</p>")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "1 Pier, Boston")
    enrolled(organization, {"channel": "email", "template_id": "mail"}, email="Ada@Example.com", first_name="<Ada>")
    (message,) = organization.tick()
    assert message.to == "Ada@Example.com"
    assert message.sender.endswith("<hello@harbor.example>")
    for said in (message.text, message.html):
        assert message.unsubscribe_url in said
        assert "1 Pier, Boston" in said
    assert "&lt;Ada&gt;" in message.html
    assert (message.hold_id, statuses(organization)) == (None, ["sent"])


def test_without_a_sender_an_email_pauses(organization):
    organization.template("mail", "email")
    organization.decide("postal_address", "1 Pier, Boston")
    enrollment = enrolled(organization, {"channel": "email", "template_id": "mail"}, email="ada@example.com")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "not_allowed")


def test_without_a_postal_address_the_gate_denies_the_email(organization):
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    enrollment = enrolled(organization, {"channel": "email", "template_id": "mail"}, email="ada@example.com")
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "no_consent")
    (decision,) = organization.sql("select reasons from gate_decisions")
    assert decision["reasons"][0]["rule"] == "email.postal_address"


def test_without_an_address_the_enrollment_fails(organization):
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "1 Pier, Boston")
    enrollment = enrolled(organization, {"channel": "email", "template_id": "mail"})
    organization.tick()
    assert state(organization, enrollment) == ("failed", 1, "no_address")
    assert [(run["status"], run["error"]) for run in organization.runs()] == [("failed", "no_address")]


def test_a_text_that_has_become_too_long_fails_before_money_is_held(organization):
    organization.template("long", body="{{first_name|x}}" + "x" * 1590)
    enrollment = enrolled(organization, {"template_id": "long"}, first_name="Wilhelmine-Theodora")
    organization.tick()
    assert state(organization, enrollment) == ("failed", 1, "message_too_long")
    assert organization.sql("select id from gate_decisions") == []


def test_a_step_whose_template_is_gone_pauses(organization):
    enrollment = enrolled(organization, {"template_id": "gone"})
    organization.tick()
    assert state(organization, enrollment) == ("paused", 1, "not_allowed")


def test_every_send_names_its_decision_and_every_denial_is_kept(organization):
    sequence = organization.sequence()
    organization.enroll(sequence, [*organization.leads(2), *organization.leads(2, area="213555", consent=False)])
    organization.tick()
    decisions = {one["id"]: one["allowed"] for one in organization.sql("select id, allowed from gate_decisions")}
    assert sorted(decisions.values()) == [False, False, True, True]
    assert all(decisions[run["decision_id"]] for run in organization.runs())


def test_a_batch_takes_the_same_few_statements_and_trips_however_many_steps_it_has(organization, delayed):
    trips = []
    for count in (1, 40):
        organization.enroll(organization.sequence(), organization.leads(count, area=f"21{count % 8 + 2}555"))
        (message,) = organization.claim()
        with delayed() as counted:
            outgoing = organization.prepare(message)
            organization.record(outgoing, [Sent("x")] * len(outgoing))
            trips.append(counted())
        assert len(outgoing) == count
    assert trips[0] == trips[1] <= 9  # three of them open the connection


def test_a_message_that_comes_when_its_lease_has_nearly_ended_is_left_for_the_next_claim(organization):
    enrollment = enrolled(organization, {}, {})
    (message,) = organization.claim()
    late = message.lease - engine.TO_WORK + timedelta(seconds=1)
    assert organization.prepare(message, late) == []
    assert statuses(organization) == []
    assert len(organization.tick(message.lease)) == 1
    assert state(organization, enrollment) == ("active", 2, None)


# What a review found --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ada", "\u00dcNAL", "\u0130pek", "\u0391\u03a3"])
def test_who_follows_the_link_gets_no_more_email_however_the_address_is_written(organization, name):
    address = f"{name}@Example.com"
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "1 Pier, Boston")
    enrollment = enrolled(organization, *[{"channel": "email", "template_id": "mail"}] * 2, email=address)
    (email,) = organization.tick()
    assert email.to == address
    customer = organization.customer
    told = links.find_unsubscribe(links.unsubscribe_token(customer.tenant_id, customer.organization_id, address))
    assert told
    with tenant_transaction(organization.caller) as tx:
        unsubscribing.unsubscribe(tx, told.address, NOON)
    assert organization.runs()[0]["opted_out_at"] == NOON
    assert organization.tick() == []
    assert organization.enrollment(enrollment)["status"] == "completed"


def test_an_email_that_is_allowed_and_has_nothing_to_say_waits_for_a_person(organization):
    organization.template("mail", "email")
    organization.decide("email_from", "hello@harbor.example")
    organization.decide("postal_address", "\x1c")
    enrollment = enrolled(organization, {"channel": "email", "template_id": "mail"}, email="ada@example.com")
    assert organization.tick() == []
    assert state(organization, enrollment) == ("paused", 1, "not_allowed")


def test_a_text_whose_worker_died_and_that_has_come_all_the_same_is_paid(organization):
    enrolled(organization, {})
    (message,) = organization.claim()
    (text,) = organization.prepare(message)
    now = datetime.now(UTC)
    receipt = {
        "id": "evt-1",
        "type": "message.status",
        "occurred_at": now.isoformat(),
        "tenant_id": str(organization.caller.tenant_id),
        "organization_id": str(organization.caller.organization_id),
        "message": {"id": str(text.run_id), "channel": "sms", "direction": "outbound", "status": "delivered"},
    }
    for _ in range(2):
        with tenant_transaction(organization.caller) as tx:
            calls.take(tx, [calls.read(json.dumps(receipt), now)], now)
    assert statuses(organization) == ["delivered"]
    assert Ledger(organization.customer.caller("admin")).balances() == ("999.95", "0.00", "0.00")


def test_the_confirmation_of_an_opt_out_goes_to_who_wrote_and_to_nobody_else(organization):
    (lead,) = organization.leads()
    now = datetime.now(UTC)
    stop = {
        "id": "evt-1",
        "type": "message.received",
        "occurred_at": now.isoformat(),
        "tenant_id": str(organization.caller.tenant_id),
        "organization_id": str(organization.caller.organization_id),
        "message": {"id": "sms-1", "channel": "sms", "from": "+13105550199", "text": "STOP", "lead_id": str(lead)},
    }
    with tenant_transaction(organization.caller) as tx:
        asked_for = calls.take(tx, [calls.read(json.dumps(stop), now)], now)
    assert [one.to for one in asked_for] == ["+13105550199"]


def test_who_resumes_after_a_late_record_waits_for_the_next_steps_own_delay(organization):
    enrollment = enrolled(organization, {}, {"delay_days": 5})
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.tick(message.lease)
    organization.record(outgoing, [Sent("1")], message.lease + minutes(1))
    with tenant_transaction(organization.customer.caller("manager")) as tx:
        enrollments.resume(tx, enrollment, Reason(reason="it went out"), message.lease + minutes(2))
    after = organization.enrollment(enrollment)
    assert (after["status"], after["current_step"], after["round"]) == ("active", 2, 1)
    assert after["next_step_scheduled_at"] == message.lease + minutes(2) + timedelta(days=5)


def test_one_worker_ends_an_enrollment_beside_another_that_completes_one_of_the_same_sequence(
    organization, connect, monkeypatch
):
    sequence = organization.sequence({})
    one, other, third = [*organization.leads(2), *organization.leads(1, area="212556")]
    organization.enroll(sequence, [one])
    (message,) = organization.claim()
    outgoing = organization.prepare(message)
    organization.enroll(sequence, [other, third])
    organization.sql("update leads set status = 'recruited' where id = %s", other)
    later = NOON + minutes(1)
    (due,) = organization.claim(later)
    recorded, decided = threading.Event(), threading.Event()
    settle, write = results.budget.settle_all, engine._write

    def settle_later(tx, hold_ids):
        tx.execute("select 1").fetchall()
        recorded.set()
        decided.wait(1)
        settle(tx, hold_ids)

    def write_later(tx, batch):
        decided.set()
        recorded.wait(1)
        return write(tx, batch)

    monkeypatch.setattr(results.budget, "settle_all", settle_later)
    monkeypatch.setattr(engine, "_write", write_later)
    conn = connect()

    def record():
        with on_a_connection(conn, organization.customer.caller("admin")):
            results.record(conn, outgoing, [Sent("1")], later)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(record)
        assert len(organization.prepare(due, later)) == 1
        done.result()
