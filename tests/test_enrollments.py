"""Enrollments: who is enrolled, what a person may do to one, and what the database refuses whoever asks for it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from functions.events_api.app import handler as events
from leadline import dnc
from leadline.db import tenant_transaction
from leadline.nurture.enrollments import beginning
from tests.calling import caller
from tests.leads import change, create, delete, list_number
from tests.nurture import (
    a_segment,
    a_sequence,
    an_enrollment,
    change_sequence,
    decide,
    enroll,
    listed,
    make_sequence,
    of_sequence,
    read,
    steer,
)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


@pytest.fixture
def database_row(connect):
    """Changes an enrollment past the layer, as the superuser, whom triggers and constraints bind too."""
    conn = connect("superuser")

    def change(enrollment, assignments: str) -> None:
        conn.execute(
            f"update lead_sequence_enrollments set {assignments} where id = %s",  # noqa: S608
            [enrollment["id"]],
        )

    return change


@pytest.fixture
def add_run(connect):
    """Writes the run of an enrollment's current step, as the worker would."""
    conn = connect("superuser")

    def add_run(enrollment, status, **columns) -> str:
        given = {"sent_at": None, "sending_until": None, "round": 1, "step": 1} | columns
        (row,) = conn.execute(
            """
            insert into step_runs (
                tenant_id, organization_id, enrollment_id, lead_id, sequence_id, sequence_version, step, round, channel,
                template_id, status, decision_id, due_at, started_at, sent_at, sending_until, body, address
            )
            select tenant_id, organization_id, id, lead_id, sequence_id, 1, %(step)s, %(round)s, 'sms', 'a', %(status)s,
                gen_random_uuid(), now(), now(), %(sent_at)s, %(sending_until)s, 'a secret text', '+14155550142'
            from lead_sequence_enrollments where id = %(id)s returning id
            """,
            {"id": enrollment["id"], "status": status, **given},
        ).fetchall()
        return str(row["id"])

    return add_run


@pytest.fixture
def enrollment(organization, manager):
    return an_enrollment(organization, create(manager).body)


def people(member, count, **fields):
    return [create(member, phone_number=f"+14155550{100 + number}", **fields).body for number in range(count)]


def read_time(text):
    return datetime.fromisoformat(text)


# Enrolling ------------------------------------------------------------------------------------------------------------


def test_an_enrolled_lead_waits_for_the_delay_of_the_first_step(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body, 2, 3)
    due = read_time(enrollment["next_step_scheduled_at"])
    assert due - read_time(enrollment["enrolled_at"]) == timedelta(days=2)
    assert (enrollment["status"], enrollment["current_step"], enrollment["enrolled_on"]) == ("active", 1, "person")
    assert enrollment["enrolled_by"] == str(organization.members["admin"].id)


def test_each_lead_that_is_not_enrolled_is_told_why(organization, customer, manager):
    sequence = a_sequence(organization)
    free, twice, gone, listed_one, recruited, blocked = people(manager, 6)
    assert delete(manager, gone).status == 204
    list_number(organization, listed_one["phone_number"])
    assert change(manager, recruited, status="recruited").status == 200
    with tenant_transaction(organization.caller("admin")) as tx:
        tx.execute("update leads set calling_blocked = true where id = %s", [blocked["id"]])
    strangers = create(caller(customer(), "admin")).body
    enroll(manager, sequence, twice)
    asked = [free, twice, gone, listed_one, recruited, blocked, strangers, {"id": str(uuid4())}, free]
    reply = enroll(manager, sequence, *asked).body
    assert [(item["lead_id"], item["error"]) for item in reply["items"]] == [
        (free["id"], None),
        (twice["id"], "already_enrolled"),
        (gone["id"], "lead_deleted"),
        (listed_one["id"], "opted_out"),
        (recruited["id"], "recruited"),
        (blocked["id"], "opted_out"),
        (strangers["id"], "not_found"),
        (asked[7]["id"], "not_found"),
    ]
    counts = {"already_enrolled": 1, "opted_out": 2, "lead_deleted": 1, "not_found": 2, "recruited": 1}
    assert reply["skipped"] == counts
    assert (reply["enrolled"], reply["more"]) == (1, False)
    (enrollment_id,) = [item["enrollment_id"] for item in reply["items"] if item["enrollment_id"]]
    assert read(manager, enrollment_id).body["enrollment"]["lead_id"] == free["id"]


def test_a_named_lead_may_go_through_a_sequence_again_once_the_last_time_has_ended(organization, manager):
    sequence, lead = a_sequence(organization), create(manager).body
    (item,) = enroll(manager, sequence, lead).body["items"]
    assert enroll(manager, sequence, lead).body["items"][0]["error"] == "already_enrolled"
    steer(manager, "cancel", item["enrollment_id"])
    assert enroll(manager, sequence, lead).body["enrolled"] == 1


def test_in_a_sequence_that_is_not_active_a_lead_waits_until_it_is(organization, manager):
    sequence = a_sequence(organization, 2, active=False)
    (item,) = enroll(manager, sequence, create(manager).body).body["items"]
    waiting = read(manager, item["enrollment_id"]).body["enrollment"]
    assert (waiting["status"], waiting["pause_reason"]) == ("paused", "sequence_paused")
    assert waiting["remaining_seconds"] == 2 * 24 * 3600
    change_sequence(manager, sequence, active=True)
    going = read(manager, item["enrollment_id"]).body["enrollment"]
    assert going["status"] == "active"
    assert read_time(going["next_step_scheduled_at"]) - read_time(going["updated_at"]) == timedelta(days=2)


def test_a_sequence_without_steps_enrolls_nobody(manager):
    sequence = make_sequence(manager).body
    assert enroll(manager, sequence, create(manager).body).code == "no_steps"


def test_a_segment_is_enrolled_as_it_is_now_and_each_lead_once(organization, manager):
    sequence = a_sequence(organization)
    hot, other, listed_one = people(manager, 3)
    for lead in (hot, listed_one):
        change(manager, lead, status="hot")
    list_number(organization, listed_one["phone_number"])
    segment = a_segment(organization, **{"or": [{"status": ["hot", "dnc"]}]})
    reply = enroll(manager, sequence, segment_id=segment).body
    assert (reply["enrolled"], reply["items"], reply["more"]) == (1, [], False)
    assert reply["skipped"]["opted_out"] == 1
    (enrollment,) = listed(manager, sequence_id=sequence["id"])
    assert enrollment["lead_id"] == hot["id"] != other["id"]
    steer(manager, "cancel", enrollment["id"])
    again = enroll(manager, sequence, segment_id=segment).body
    assert (again["enrolled"], again["skipped"]["already_enrolled"]) == (0, 1)


def test_a_large_segment_goes_on_where_the_last_call_ended(organization, manager, monkeypatch):
    monkeypatch.setattr(beginning, "MOST_OF_A_SEGMENT", 2)
    sequence, segment = a_sequence(organization), a_segment(organization)
    people(manager, 5)
    replies = [enroll(manager, sequence, segment_id=segment).body for _ in range(3)]
    assert [(reply["enrolled"], reply["more"]) for reply in replies] == [(2, True), (2, True), (1, False)]
    assert len({one["lead_id"] for one in listed(manager, sequence_id=sequence["id"])}) == 5


def test_leads_by_ids_or_a_segment_and_not_both(organization, manager):
    sequence = a_sequence(organization)
    segment, lead = a_segment(organization), create(manager).body
    both = enroll(manager, sequence, segment_id=segment, lead_ids=[lead["id"]])
    assert (both.status, both.code) == (422, "one_of")
    assert enroll(manager, sequence, lead_ids=[]).status == 422
    assert enroll(manager, sequence, lead_ids=[str(uuid4())] * 1001).code == "too_long"


def test_a_segment_that_another_member_keeps_to_himself_is_not_found(organization, manager, connect):
    sequence, segment = a_sequence(organization), a_segment(organization)
    connect("superuser").execute("update segments set is_public = false where id = %s", [segment])
    assert enroll(manager, sequence, segment_id=segment).status == 404
    assert enroll(caller(organization, "admin"), sequence, segment_id=segment).status == 200


def test_things_of_another_organization_are_not_there(customer, organization, manager):
    other = customer(beside=organization)
    sequence, segment = a_sequence(other), a_segment(other)
    lead = create(manager).body
    assert enroll(manager, sequence, lead).status == 404
    assert enroll(manager, a_sequence(organization), segment_id=segment).status == 404
    assert read(caller(other, "admin"), an_enrollment(organization, lead)["id"]).status == 404


def test_thousands_of_leads_are_enrolled_in_one_call(organization, manager):
    with tenant_transaction(organization.caller("admin")) as tx:
        tx.execute(
            "insert into leads (phone_number) select '+1415' || (5000000 + n) from generate_series(1, 2001) as n"
        )
    sequence = a_sequence(organization)
    assert enroll(manager, sequence, segment_id=a_segment(organization)).body["enrolled"] == 2001
    assert of_sequence(manager, sequence).body["total_enrollments"] == 2001


@pytest.mark.storm
def test_two_who_enroll_the_same_leads_at_once_make_one_enrollment_each(organization, manager, in_processes):
    sequence = a_sequence(organization)
    leads = people(manager, 20)
    asked = [(manager, sequence, *(leads if turn % 2 else reversed(leads))) for turn in range(4)]
    replies = in_processes(enroll, *asked)
    assert sum(reply.body["enrolled"] for reply in replies) == 20
    assert {reply.status for reply in replies} == {200}


# Own leads ------------------------------------------------------------------------------------------------------------


def test_who_sees_his_own_leads_only_sees_and_steers_their_enrollments_only(organization, manager):
    agent = caller(organization, "agent")
    own, others = people(manager, 2)
    change(manager, own, user_id=str(organization.members["agent"].id))
    of_own, of_others = an_enrollment(organization, own), an_enrollment(organization, others)
    assert len(listed(agent)) == 2
    decide(organization, "agents_see_own_leads_only", value=True)
    assert [one["id"] for one in listed(agent)] == [of_own["id"]]
    assert read(agent, of_others["id"]).status == 404
    for what in ("pause", "resume", "skip", "cancel"):
        assert steer(agent, what, of_others["id"]).status == 404
    assert steer(agent, "pause", of_own["id"]).status == 200
    sequence = a_sequence(organization)
    assert enroll(agent, sequence, others).body["skipped"]["not_found"] == 1
    assert enroll(agent, sequence, segment_id=a_segment(organization)).body["enrolled"] == 1
    assert len(listed(manager)) == 3


# Reading --------------------------------------------------------------------------------------------------------------


def test_enrollments_are_listed_newest_first_by_lead_sequence_and_status(organization, manager):
    first, second = people(manager, 2)
    made = [an_enrollment(organization, lead) for lead in (first, second, first)]
    assert [one["id"] for one in listed(manager)] == [one["id"] for one in reversed(made)]
    assert [one["id"] for one in listed(manager, lead_id=first["id"])] == [made[2]["id"], made[0]["id"]]
    assert [one["id"] for one in listed(manager, sequence_id=made[1]["sequence_id"])] == [made[1]["id"]]
    steer(manager, "pause", made[0]["id"])
    assert [one["id"] for one in listed(manager, status="paused")] == [made[0]["id"]]


def test_an_enrollment_shows_its_runs_and_not_what_they_said(organization, manager, add_run):
    enrollment = an_enrollment(organization, create(manager).body)
    run_id = add_run(enrollment, "sent", sent_at=datetime.now(UTC))
    reply = read(manager, enrollment["id"])
    (run,) = reply.body["runs"]
    assert (run["id"], run["step"], run["status"]) == (run_id, 1, "sent")
    assert "a secret text" not in str(reply.body)
    assert "+1415" not in str(reply.body)


# Steering -------------------------------------------------------------------------------------------------------------


def test_a_paused_enrollment_goes_on_with_what_was_left_of_its_delay(organization, manager, database_row):
    enrollment = an_enrollment(organization, create(manager).body, 2)
    database_row(enrollment, "next_step_scheduled_at = now() + interval '5 hours', claimable_at = now()")
    paused = steer(manager, "pause", enrollment["id"]).body["enrollment"]
    assert (paused["status"], paused["pause_reason"]) == ("paused", "person")
    assert paused["next_step_scheduled_at"] is None
    assert 4.99 * 3600 < paused["remaining_seconds"] <= 5 * 3600
    going = steer(manager, "resume", enrollment["id"]).body["enrollment"]
    left = read_time(going["next_step_scheduled_at"]) - read_time(going["updated_at"])
    assert abs(left.total_seconds() - paused["remaining_seconds"]) < 1
    assert (going["status"], going["pause_reason"], going["remaining_seconds"]) == ("active", None, None)


@pytest.mark.parametrize("what", ["pause", "skip", "cancel"])
def test_each_act_is_kept_with_its_reason_and_who_did_it(organization, manager, what):
    enrollment = an_enrollment(organization, create(manager).body)
    kept = steer(manager, what, enrollment["id"], "on holiday").body["enrollment"]
    assert kept["note"] == "on holiday"
    word = {"pause": "paused", "skip": "skipped", "cancel": "cancelled"}[what]
    (told,) = manager.ask(events, "GET /events", query={"type": f"enrollment_{word}"}).body["items"]
    assert told["subject_id"] == enrollment["id"]
    member_id = str(organization.members["manager"].id)
    assert told["data"] == {"reason": "on holiday", "member_id": member_id, "step": 1}


def test_an_act_without_a_reason_is_refused(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body)
    assert steer(manager, "pause", enrollment["id"], " ").status == 422


def test_a_cancelled_enrollment_has_ended_for_good(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body)
    ended = steer(manager, "cancel", enrollment["id"]).body["enrollment"]
    assert (ended["status"], ended["exit_reason"]) == ("cancelled", "person")
    assert ended["completed_at"] == ended["updated_at"]
    for what in ("pause", "resume", "skip", "cancel"):
        assert (steer(manager, what, enrollment["id"]).status, steer(manager, what, enrollment["id"]).code) == (
            409,
            "not_possible_now",
        )


def test_only_what_is_active_is_paused_and_only_what_is_paused_resumed(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body)
    assert steer(manager, "resume", enrollment["id"]).code == "not_possible_now"
    steer(manager, "pause", enrollment["id"])
    assert steer(manager, "pause", enrollment["id"]).code == "not_possible_now"


def test_a_skipped_step_is_not_sent_and_the_next_one_waits_from_now(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body, 0, 3)
    reply = steer(manager, "skip", enrollment["id"], "has had it").body
    after, (run,) = reply["enrollment"], reply["runs"]
    assert (after["current_step"], after["status"]) == (2, "active")
    assert read_time(after["next_step_scheduled_at"]) - read_time(after["updated_at"]) == timedelta(days=3)
    assert (run["step"], run["status"], run["error"], run["sent_at"]) == (1, "skipped", "person", None)
    (done,) = after["executed_steps"]
    assert (done["step"], done["round"], done["status"]) == (1, 1, "skipped")


def test_skipping_a_paused_step_sets_it_going_with_the_delay_of_the_next(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body, 1, 3, paused=True)
    after = steer(manager, "skip", enrollment["id"]).body["enrollment"]
    assert (after["current_step"], after["status"], after["pause_reason"]) == (2, "active", None)
    assert read_time(after["next_step_scheduled_at"]) - read_time(after["updated_at"]) == timedelta(days=3)


def test_skipping_the_last_step_completes(organization, manager):
    enrollment = an_enrollment(organization, create(manager).body)
    after = steer(manager, "skip", enrollment["id"]).body["enrollment"]
    assert (after["status"], after["exit_reason"]) == ("completed", None)
    assert after["completed_at"] is not None


def test_a_step_that_is_being_sent_is_not_skipped(organization, manager, add_run):
    enrollment = an_enrollment(organization, create(manager).body)
    add_run(enrollment, "sending", sending_until=datetime.now(UTC) + timedelta(minutes=5))
    assert steer(manager, "skip", enrollment["id"]).code == "not_possible_now"


def test_of_a_step_that_was_left_while_being_sent_nobody_knows_and_it_can_be_skipped(organization, manager, add_run):
    enrollment = an_enrollment(organization, create(manager).body, 0, 1)
    add_run(enrollment, "sending", sending_until=datetime.now(UTC) - timedelta(minutes=5))
    after = steer(manager, "skip", enrollment["id"]).body
    assert (after["runs"][0]["status"], after["enrollment"]["current_step"]) == ("unknown", 2)
    assert after["enrollment"]["executed_steps"][0]["status"] == "unknown"


def test_a_step_that_waits_to_be_sent_again_is_skipped(organization, manager, add_run):
    enrollment = an_enrollment(organization, create(manager).body, 0, 1)
    run_id = add_run(enrollment, "retrying")
    (run,) = steer(manager, "skip", enrollment["id"]).body["runs"]
    assert (run["id"], run["status"], run["error"]) == (run_id, "skipped", "person")


def test_an_unknown_delivery_that_a_person_resumes_is_sent_again_in_a_new_round(
    organization, manager, database_row, add_run
):
    enrollment = an_enrollment(organization, create(manager).body, 0, 1)
    add_run(enrollment, "unknown")
    database_row(enrollment, "status = 'paused', pause_reason = 'delivery_unknown'")
    after = steer(manager, "resume", enrollment["id"], "they had nothing").body["enrollment"]
    assert (after["status"], after["current_step"], after["round"]) == ("active", 1, 2)
    assert after["next_step_scheduled_at"] == after["updated_at"]


@pytest.mark.parametrize("status", ["sent", "delivered", "replied", "bounced"])
def test_an_unknown_delivery_that_has_proved_sent_is_not_sent_again(
    organization, manager, database_row, add_run, status
):
    enrollment = an_enrollment(organization, create(manager).body, 0, 1)
    sent_at = datetime.now(UTC) - timedelta(hours=20)
    run_id = add_run(enrollment, status, sent_at=sent_at)
    database_row(enrollment, "status = 'paused', pause_reason = 'delivery_unknown'")
    after = steer(manager, "resume", enrollment["id"]).body["enrollment"]
    assert (after["status"], after["current_step"], after["round"]) == ("active", 2, 1)
    assert read_time(after["next_step_scheduled_at"]) == sent_at + timedelta(days=1)
    assert [(one["run_id"], one["status"]) for one in after["executed_steps"]] == [(run_id, status)]


@pytest.mark.storm
def test_of_two_who_cancel_and_skip_at_once_each_is_told_the_truth(organization, manager, in_processes):
    lead = create(manager).body
    for _ in range(10):
        enrollment = an_enrollment(organization, lead, 0, 1)
        replies = in_processes(steer, (manager, "cancel", enrollment["id"]), (manager, "skip", enrollment["id"]))
        assert {reply.status for reply in replies} <= {200, 409}
        assert read(manager, enrollment["id"]).body["enrollment"]["status"] == "cancelled"


# The database ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ("status = 'cancelled'", ("status = 'active'", "an_ended_enrollment_stays_ended")),
        ("status = 'completed'", ("status = 'paused'", "an_ended_enrollment_stays_ended")),
        ("status = 'failed'", ("note = 'x'", "an_ended_enrollment_stays_ended")),
        ("current_step = 2", ("current_step = 1", "an_enrollment_goes_forward")),
        ("round = 2", ("round = 1", "an_enrollment_goes_forward")),
        ("note = 'x'", ("lead_id = gen_random_uuid()", "an_enrollment_goes_forward")),
        ("note = 'x'", ("sequence_id = gen_random_uuid()", "an_enrollment_goes_forward")),
        ("note = 'x'", ("sequence_version = 2", "an_enrollment_goes_forward")),
        ("note = 'x'", ("claimable_at = null", "only_an_active_one_can_be_claimed")),
        ("status = 'paused'", ("pause_reason = 'boredom'", "a_pause_has_its_reason")),
        ("status = 'paused'", ("pause_reason = null", "a_pause_has_its_reason")),
        ("note = 'x'", ("exit_reason = 'person'", "an_end_before_the_last_step_has_its_reason")),
        ("note = 'x'", ("waiting_for = 'godot'", "lead_sequence_enrollments_waiting_for_check")),
    ],
)
def test_the_database_refuses_what_makes_no_sense(organization, manager, database_row, before, refused):
    enrollment = an_enrollment(organization, create(manager).body)
    database_row(enrollment, before)
    assignments, constraint = refused
    with pytest.raises(psycopg.IntegrityError) as error:
        database_row(enrollment, assignments)
    assert error.value.diag.constraint_name == constraint


def test_one_live_enrollment_a_lead_and_sequence_whoever_writes(organization, manager, connect):
    enrollment = an_enrollment(organization, create(manager).body)
    with pytest.raises(psycopg.errors.UniqueViolation):
        connect("superuser").execute(
            """
            insert into lead_sequence_enrollments (tenant_id, organization_id, lead_id, sequence_id, sequence_version)
            select tenant_id, organization_id, lead_id, sequence_id, 1 from lead_sequence_enrollments where id = %s
            """,
            [enrollment["id"]],
        )


def test_a_step_runs_once_a_round(organization, manager, add_run):
    enrollment = an_enrollment(organization, create(manager).body)
    add_run(enrollment, "sent")
    add_run(enrollment, "sent", round=2)
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        add_run(enrollment, "sent")
    assert refused.value.diag.constraint_name == "a_step_runs_once_a_round"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("sent", "sending"),
        ("sent", "retrying"),
        ("sent", "unknown"),
        ("delivered", "sent"),
        ("replied", "delivered"),
        ("skipped", "sending"),
        ("unknown", "sending"),
        ("failed", "sending"),
        ("bounced", "sent"),
    ],
)
def test_a_run_never_goes_back_to_before_it_was_sent(enrollment, connect, add_run, before, after):
    run_id = add_run(enrollment, before)
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        connect("superuser").execute(
            "update step_runs set status = %s, sending_until = case when %s = 'sending' then now() end where id = %s",
            [after, after, run_id],
        )
    assert refused.value.diag.constraint_name == "a_run_goes_forward"


def test_the_counters_of_a_sequence_follow_its_enrollments(organization, manager):
    sequence = a_sequence(organization)
    ids = [one["enrollment_id"] for one in enroll(manager, sequence, *people(manager, 3)).body["items"]]
    steer(manager, "skip", ids[0])
    steer(manager, "cancel", ids[1])
    found = of_sequence(manager, sequence).body
    counts = {"total_enrollments": 3, "ended_enrollments": 2, "completed_enrollments": 1, "completion_rate": 0.5}
    assert {name: found[name] for name in counts} == counts


def test_who_is_enrolled_while_the_sequence_is_started_does_not_wait_for_ever(
    organization, manager, monkeypatch, connect
):
    sequence = a_sequence(organization, active=False)
    lead = create(manager).body
    lock = dnc.lock_numbers

    def started_meanwhile(tx, numbers):
        connect("superuser").execute("update nurture_sequences set active = true where id = %s", [sequence["id"]])
        return lock(tx, numbers)

    monkeypatch.setattr(beginning.dnc, "lock_numbers", started_meanwhile)
    enroll(manager, sequence, lead)
    (enrollment,) = listed(manager)
    assert enrollment["status"] == "active"
