"""Automatic enrollment: who is enrolled by what happens to leads, once, and never after an opt-out."""

from datetime import UTC, datetime, timedelta

import pytest

from functions.dnc_reviews_api.app import handler as reviews
from functions.events_api.app import handler as events
from leadline import dnc, domain_events
from leadline.db import tenant_transaction
from leadline.nurture.enrollments import automatic
from tests.calling import caller
from tests.leads import NUMBER, change, create, delete
from tests.nurture import a_sequence, change_sequence, decide, listed, run_triggers, steer, steps

CREATED = {"on": ["lead_created"]}


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


def waiting(organization) -> int:
    with tenant_transaction(organization.caller(None)) as tx:
        return tx.execute("select count(*) as count from enrollment_triggers").fetchall()[0]["count"]


def opt_out(organization, address, channel, verdict="certain"):
    with tenant_transaction(organization.caller("manager")) as tx:
        tx.execute(
            """
            insert into opt_out_events (address, channel, reason, verdict, occurred_at, due_on)
            values (%(address)s, %(channel)s, 'lead_requested', %(verdict)s, now(), current_date)
            """,
            {"address": address, "channel": channel, "verdict": verdict},
        )


def test_a_new_lead_that_matches_is_enrolled_with_its_delay(organization, manager):
    sequence = a_sequence(organization, 2, trigger_conditions=CREATED | {"filter": {"source": ["website"]}})
    lead = create(manager, source="website").body
    create(manager, phone_number="+14155550143", source="referral")
    now = datetime.now(UTC)
    assert run_triggers(organization, now) == 2
    (enrollment,) = listed(manager)
    assert (enrollment["lead_id"], enrollment["sequence_id"]) == (lead["id"], sequence["id"])
    assert (enrollment["enrolled_on"], enrollment["enrolled_by"]) == ("lead_created", None)
    assert datetime.fromisoformat(enrollment["next_step_scheduled_at"]) == now + timedelta(days=2)


def test_what_has_been_judged_is_gone_and_judging_again_changes_nothing(organization, manager):
    a_sequence(organization, trigger_conditions=CREATED)
    create(manager)
    assert (waiting(organization), run_triggers(organization), waiting(organization)) == (1, 1, 0)
    assert run_triggers(organization) == 0
    assert len(listed(manager)) == 1


def test_a_change_of_status_enrolls_into_a_sequence_that_asks_for_it(organization, manager):
    a_sequence(organization, trigger_conditions={"on": ["status_changed"], "filter": {"status": ["cold"]}})
    lead = create(manager).body
    assert waiting(organization) == 0, "nobody asks for new leads"
    change(manager, lead, 1, status="hot")
    run_triggers(organization)
    assert listed(manager) == []
    change(manager, lead, 2, status="cold")
    run_triggers(organization)
    assert [one["enrolled_on"] for one in listed(manager)] == ["status_changed"]


def test_a_crossed_score_enrolls(organization, manager):
    a_sequence(organization, trigger_conditions={"on": ["score_crossed"]})
    lead = create(manager).body
    with tenant_transaction(organization.caller(None)) as tx:
        domain_events.note(tx, "score_crossed", lead["id"], "once", {})
    run_triggers(organization)
    assert [one["enrolled_on"] for one in listed(manager)] == ["score_crossed"]


def test_every_sequence_that_asks_takes_the_lead(organization, manager):
    made = {a_sequence(organization, trigger_conditions=CREATED)["id"] for _ in range(2)}
    a_sequence(organization, trigger_conditions=CREATED, active=False)
    a_sequence(organization)
    create(manager)
    run_triggers(organization)
    assert {one["sequence_id"] for one in listed(manager)} == made


def test_a_sequence_that_was_stopped_meanwhile_takes_nobody(organization, manager):
    sequence = a_sequence(organization, trigger_conditions=CREATED)
    create(manager)
    change_sequence(manager, sequence, active=False)
    assert (run_triggers(organization), listed(manager)) == (1, [])


def test_a_lead_is_judged_as_it_is_by_then(organization, manager):
    a_sequence(organization, trigger_conditions=CREATED | {"filter": {"status": ["new"]}})
    lead = create(manager).body
    change(manager, lead, status="hot")
    run_triggers(organization)
    assert listed(manager) == []


def test_a_sequence_takes_a_lead_once(organization, manager):
    a_sequence(organization, trigger_conditions={"on": ["lead_created", "status_changed"]})
    lead = create(manager).body
    run_triggers(organization)
    steer(manager, "cancel", listed(manager)[0]["id"])
    change(manager, lead, status="hot")
    run_triggers(organization)
    assert len(listed(manager)) == 1


def test_or_again_so_many_days_after_the_last_time_has_ended(organization, manager):
    a_sequence(organization, trigger_conditions={"on": ["status_changed"], "re_enroll_after_days": 30})
    lead = create(manager).body
    now = datetime.now(UTC)
    change(manager, lead, 1, status="hot")
    run_triggers(organization, now)
    change(manager, lead, 2, status="cold")
    run_triggers(organization, now + timedelta(days=365))
    assert len(listed(manager)) == 1, "the first has not ended"
    steer(manager, "cancel", listed(manager)[0]["id"])
    change(manager, lead, 3, status="hot")
    run_triggers(organization, now + timedelta(days=29))
    assert len(listed(manager)) == 1
    change(manager, lead, 4, status="cold")
    run_triggers(organization, now + timedelta(days=31))
    assert [one["status"] for one in listed(manager)] == ["active", "cancelled"]


@pytest.mark.parametrize("address", [NUMBER, "ada@example.com"])
def test_never_after_an_opt_out_of_the_number_or_the_email(organization, manager, address):
    a_sequence(organization, trigger_conditions=CREATED)
    opt_out(organization, address, "email" if "@" in address else "sms")
    create(manager, email="Ada@Example.com")
    assert (run_triggers(organization), listed(manager)) == (1, [])


def test_an_opt_out_that_a_review_has_rejected_is_none(organization, manager):
    a_sequence(organization, trigger_conditions=CREATED)
    opt_out(organization, NUMBER, "sms", "uncertain")
    create(manager)
    (review,) = manager.ask(reviews, "GET /dnc/reviews").body["items"]
    body = {"decision": "reject", "reason": "asked about bus stops"}
    done = manager.ask(reviews, "POST /dnc/reviews/{event_id}", path={"event_id": review["id"]}, body=body)
    assert done.status == 200, done.body
    run_triggers(organization)
    assert len(listed(manager)) == 1


def test_nobody_who_is_listed_deleted_or_recruited(organization, manager):
    a_sequence(organization, trigger_conditions=CREATED)
    leads = [create(manager, phone_number=f"+1415555010{number}").body for number in range(3)]
    with tenant_transaction(organization.caller("admin")) as tx:
        dnc.lock_number(tx, leads[0]["phone_number"])
        dnc.add(tx, leads[0]["phone_number"], reason="legal_requirement", source="test")
    delete(manager, leads[1])
    change(manager, leads[2], status="recruited")
    assert (run_triggers(organization), listed(manager)) == (3, [])


def test_a_filter_that_asks_for_what_there_is_no_longer_stops_no_other_sequence(organization, manager):
    decide(organization, "custom_fields", [{"name": "team", "type": "text"}])
    broken = a_sequence(organization, trigger_conditions=CREATED | {"filter": {"custom_fields.team": "blue"}})
    whole = a_sequence(organization, trigger_conditions=CREATED)
    decide(organization, "custom_fields", [])
    create(manager)
    run_triggers(organization)
    assert [one["sequence_id"] for one in listed(manager)] == [whole["id"]]
    (told,) = manager.ask(events, "GET /events", query={"type": "trigger_filter_invalid"}).body["items"]
    assert told["subject_id"] == broken["id"]


def test_more_than_a_call_takes_wait_for_the_next(organization, manager, monkeypatch):
    monkeypatch.setattr(automatic, "MOST_TRIGGERS", 2)
    a_sequence(organization, trigger_conditions=CREATED)
    for number in range(3):
        create(manager, phone_number=f"+1415555010{number}")
    assert [run_triggers(organization) for _ in range(3)] == [2, 1, 0]
    assert len(listed(manager)) == 3


def test_nothing_is_noted_where_no_sequence_asks(organization, manager):
    sequence = a_sequence(organization)
    create(manager)
    assert waiting(organization) == 0
    change_sequence(manager, sequence, trigger_conditions=CREATED)
    create(manager, phone_number="+14155550143")
    assert waiting(organization) == 1
    change_sequence(manager, sequence, 1, steps=steps(1, template_id=sequence["steps"][0]["template_id"]))
    run_triggers(organization)
    assert [one["sequence_version"] for one in listed(manager)] == [2]


def test_what_happens_elsewhere_enrolls_nobody_here(organization, customer, manager):
    a_sequence(organization, trigger_conditions=CREATED)
    other = customer(beside=organization)
    a_sequence(other, trigger_conditions=CREATED)
    create(caller(other, "admin"))
    assert (run_triggers(organization), waiting(other)) == (0, 1)
    run_triggers(other)
    assert (listed(manager), len(listed(caller(other, "admin")))) == ([], 1)


@pytest.mark.storm
def test_two_workers_at_once_enroll_each_lead_once(organization, manager, in_processes):
    a_sequence(organization, trigger_conditions=CREATED)
    for number in range(20):
        create(manager, phone_number=f"+14155550{110 + number}")
    assert sum(in_processes(run_triggers, *[(organization,)] * 4)) == 20
    assert len(listed(manager)) == 20
