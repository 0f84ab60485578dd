"""Sequences: what may be saved, versions, starting and stopping, and their numbers."""

from datetime import UTC, datetime, timedelta

import pytest

from leadline.db import tenant_transaction
from leadline.nurture import sequences
from leadline.nurture.stats import rate
from tests.calling import caller
from tests.leads import create
from tests.nurture import (
    EMAIL,
    STEP,
    a_sequence,
    a_template,
    an_enrollment,
    change_sequence,
    enroll,
    listed,
    make_sequence,
    make_template,
    of_sequence,
    read,
    resume_all,
    steer,
    steps,
)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def manager(organization):
    member = caller(organization, "manager")
    assert make_template(member).status == 201
    return member


def paused_for(connect, reason, *enrollments):
    """Sets the reason as the engine would."""
    connect("superuser").execute(
        "update lead_sequence_enrollments set status = 'paused', pause_reason = %s where id = any (%s)",
        [reason, [one["id"] for one in enrollments]],
    )


# Saving ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "pointer", "code"),
    [
        ({"channel": "fax"}, "/steps/1/channel", "literal_error"),
        ({"template_id": "nothing"}, "/steps/1/template_id", "unknown_template"),
        ({"template_id": "welcome_email"}, "/steps/1/template_id", "wrong_channel"),
        ({"step": 3}, "/steps/1/step", "bad_step_number"),
        ({"step": 1}, "/steps/1/step", "bad_step_number"),
        ({"delay_days": -1}, "/steps/1/delay_days", "greater_than_equal"),
        ({"delay_days": 367}, "/steps/1", "bad_delay"),
        ({"delay_days": 366, "delay_minutes": 1}, "/steps/1", "bad_delay"),
        ({"delay_weeks": 1}, "/steps/1/delay_weeks", "unknown_field"),
        ({"conditions": {"shoe_size": 9}}, "/steps/1/conditions/shoe_size", None),
        ({"conditions": {"lead_score": {"gte": "x"}}}, "/steps/1/conditions/lead_score/gte", None),
    ],
)
def test_a_step_that_could_not_run_is_refused_with_its_place(manager, step, pointer, code):
    make_template(manager, **EMAIL)
    reply = make_sequence(manager, steps=[STEP, STEP | {"step": 2} | step])
    assert reply.status == 422
    assert pointer in [error["pointer"] for error in reply.body["errors"]], reply.body
    assert code in (None, reply.code)


@pytest.mark.parametrize(
    ("conditions", "pointer"),
    [
        ({"on": ["birthday"]}, "/trigger_conditions/on/0"),
        ({"filter": {"status": ["new"]}}, "/trigger_conditions/on"),
        ({"on": ["lead_created"], "filter": {"shoe_size": 9}}, "/trigger_conditions/filter/shoe_size"),
        ({"on": ["lead_created"], "re_enroll_after_days": 0}, "/trigger_conditions/re_enroll_after_days"),
    ],
)
def test_what_could_enroll_nobody_is_refused_with_its_place(manager, conditions, pointer):
    reply = make_sequence(manager, trigger_conditions=conditions)
    assert (reply.status, [error["pointer"] for error in reply.body["errors"]]) == (422, [pointer])


def test_a_sequence_has_fifty_steps_at_most(manager):
    assert make_sequence(manager, steps=steps(*[0] * 50)).status == 201
    assert make_sequence(manager, steps=steps(*[0] * 51)).code == "too_long"


def test_a_delay_is_the_sum_of_its_parts():
    step = sequences.Step.model_validate(STEP | {"delay_days": 1, "delay_hours": 2, "delay_minutes": 3})
    assert sequences.delay(step) == timedelta(days=1, hours=2, minutes=3)


def test_a_sequence_is_answered_as_it_was_saved(manager):
    conditions = {"on": ["status_changed", "lead_created"], "filter": {"status": ["new"]}, "re_enroll_after_days": 30}
    made = make_sequence(manager, description="For all", steps=steps(0, 2), trigger_conditions=conditions)
    assert made.status == 201
    assert made.body["trigger_conditions"] == conditions | {"on": ["lead_created", "status_changed"]}
    assert [step["delay_days"] for step in made.body["steps"]] == [0, 2]
    assert (made.body["active"], made.body["version"], made.headers["etag"]) == (False, 1, '"1"')
    assert of_sequence(manager, made.body).body == made.body


# Versions -------------------------------------------------------------------------------------------------------------


def test_other_steps_are_a_new_version_and_an_enrollment_keeps_its_own(organization, manager):
    sequence = make_sequence(manager, active=True, steps=steps(0)).body
    enroll(manager, sequence, create(manager).body)
    changed = change_sequence(manager, sequence, 1, steps=steps(1, 2))
    assert (changed.status, changed.body["version"]) == (200, 2)
    (enrollment,) = listed(manager, sequence_id=sequence["id"])
    assert enrollment["sequence_version"] == 1
    found = of_sequence(manager, sequence, "versions").body["items"]
    assert [(one["version"], len(one["steps"]), one["enrollments"]) for one in found] == [(2, 2, 0), (1, 1, 1)]
    assert {one["created_by"] for one in found} == {str(organization.members["manager"].id)}


def test_a_change_of_anything_else_is_no_new_version_and_needs_none(manager):
    sequence = make_sequence(manager, steps=steps(0)).body
    changed = change_sequence(manager, sequence, name="Another", description=None)
    assert (changed.body["name"], changed.body["version"]) == ("Another", 1)
    assert change_sequence(manager, sequence, 1, steps=steps(0)).body["version"] == 1


def test_steps_are_changed_only_by_who_has_read_them(manager):
    sequence = make_sequence(manager, steps=steps(0)).body
    assert change_sequence(manager, sequence, steps=steps(1)).code == "version_required"
    assert change_sequence(manager, sequence, 1, steps=steps(1)).status == 200
    assert change_sequence(manager, sequence, 1, steps=steps(2)).code == "version_mismatch"


def test_the_engine_gets_the_steps_of_each_version(organization, manager):
    sequence = make_sequence(manager, steps=steps(0)).body
    change_sequence(manager, sequence, 1, steps=steps(1, 2))
    with tenant_transaction(organization.caller(None)) as tx:
        keys = [(sequences.UUID(sequence["id"]), version) for version in (1, 2, 3)]
        found = sequences.steps_of(tx, keys)
    assert {version: [step.delay_days for step in of] for (_, version), of in found.items()} == {1: [0], 2: [1, 2]}


# Starting and stopping ------------------------------------------------------------------------------------------------


def test_a_sequence_without_steps_cannot_be_active(manager):
    assert make_sequence(manager, active=True).code == "no_steps"
    sequence = make_sequence(manager).body
    assert change_sequence(manager, sequence, active=True).code == "no_steps"
    running = make_sequence(manager, active=True, steps=steps(0)).body
    assert change_sequence(manager, running, 1, steps=[]).code == "no_steps"


def test_who_stops_a_sequence_is_told_as_its_reason_and_starting_it_clears_that(manager):
    sequence = make_sequence(manager, active=True, steps=steps(0)).body
    stopped = change_sequence(manager, sequence, active=False).body
    assert (stopped["active"], stopped["paused_reason"]) == (False, "person")
    started = change_sequence(manager, sequence, active=True).body
    assert (started["active"], started["paused_reason"]) == (True, None)


def test_stopping_what_the_failure_rate_has_stopped_keeps_the_reason(manager, connect):
    sequence = make_sequence(manager, steps=steps(0)).body
    connect("superuser").execute(
        "update nurture_sequences set paused_reason = 'failure_rate' where id = %s", [sequence["id"]]
    )
    assert change_sequence(manager, sequence, active=False).body["paused_reason"] == "failure_rate"


def test_starting_a_sequence_resumes_whom_it_had_paused_and_nobody_else(manager, connect):
    sequence = make_sequence(manager, active=True, steps=steps(0)).body
    leads = [create(manager, phone_number=f"+1415555010{number}").body for number in range(2)]
    first, second = (one["enrollment_id"] for one in enroll(manager, sequence, *leads).body["items"])
    paused_for(connect, "sequence_paused", {"id": first})
    steer(manager, "pause", second)
    change_sequence(manager, sequence, active=False)
    change_sequence(manager, sequence, active=True)
    assert read(manager, first).body["enrollment"]["status"] == "active"
    assert read(manager, second).body["enrollment"]["status"] == "paused"


def test_all_that_wait_for_one_reason_are_resumed_at_once(organization, manager, connect):
    first, second, third = (
        an_enrollment(organization, create(manager, phone_number=f"+1415555010{number}").body) for number in range(3)
    )
    paused_for(connect, "insufficient_budget", first, third)
    paused_for(connect, "no_consent", second)
    assert resume_all(manager, {"id": first["sequence_id"]}, "insufficient_budget").body == {"resumed": 1}
    assert read(manager, first["id"]).body["enrollment"]["status"] == "active"
    assert read(manager, third["id"]).body["enrollment"]["status"] == "paused"
    assert resume_all(manager, {"id": second["sequence_id"]}, "insufficient_budget").body == {"resumed": 0}


def test_unknown_deliveries_are_not_resumed_all_at_once(organization, manager):
    sequence = a_sequence(organization)
    assert resume_all(manager, sequence, "delivery_unknown").status == 422


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "whole", "expected"), [(0, 0, None), (1, 3, 0.3333), (0, 2, 0.0), (2, 2, 1.0)])
def test_the_rate_of_nothing_is_null(part, whole, expected):
    assert rate(part, whole) == expected


def test_a_sequence_nobody_is_in_has_zeros_and_no_rate(organization, manager):
    found = of_sequence(manager, a_sequence(organization, 0, 1), "stats").body
    assert (found["enrolled"], found["completion_rate"], found["runs"]["sent"]) == (0, None, 0)
    assert [(one["step"], one["enrolled"], one["completion_rate"]) for one in found["steps"]] == [
        (1, 0, None),
        (2, 0, None),
    ]


def test_the_numbers_are_what_happened_by_step_and_version(organization, manager, connect):
    sequence = a_sequence(organization, 0, 1)
    leads = [create(manager, phone_number=f"+1415555010{number}").body for number in range(4)]
    ids = [one["enrollment_id"] for one in enroll(manager, sequence, *leads).body["items"]]
    now = datetime.now(UTC)
    ran = [
        (0, 1, "replied", {"sent_at": now, "delivered_at": now, "replied_at": now, "opted_out_at": now}),
        (1, 1, "delivered", {"sent_at": now, "delivered_at": now}),
        (1, 2, "bounced", {"sent_at": now}),
        (2, 1, "skipped", {}),
        (2, 2, "unknown", {}),
        (3, 1, "failed", {}),
    ]
    conn = connect("superuser")
    for place, step, status, times in ran:
        conn.execute(
            """
            insert into step_runs (
                tenant_id, organization_id, enrollment_id, lead_id, sequence_id, sequence_version, step, channel,
                template_id, status, decision_id, due_at, started_at, sent_at, delivered_at, replied_at, opted_out_at
            )
            select tenant_id, organization_id, id, lead_id, sequence_id, 1, %(step)s, 'sms', 'a', %(status)s,
                gen_random_uuid(), now(), now(), %(sent_at)s, %(delivered_at)s, %(replied_at)s, %(opted_out_at)s
            from lead_sequence_enrollments where id = %(id)s
            """,
            {"sent_at": None, "delivered_at": None, "replied_at": None, "opted_out_at": None}
            | {"id": ids[place], "step": step, "status": status, **times},
        )
    conn.execute("update lead_sequence_enrollments set current_step = 2 where id = any (%s)", [ids[1:3]])
    conn.execute("update lead_sequence_enrollments set status = 'completed' where id = %s", [ids[1]])
    conn.execute("update lead_sequence_enrollments set status = 'failed' where id = %s", [ids[3]])
    found = of_sequence(manager, sequence, "stats").body
    assert {name: found[name] for name in ("enrolled", "active", "completed", "failed", "completion_rate")} == {
        "enrolled": 4,
        "active": 2,
        "completed": 1,
        "failed": 1,
        "completion_rate": 0.5,
    }
    nothing = dict.fromkeys(found["runs"], 0)
    first = nothing | {"sent": 2, "delivered": 2, "replied": 1, "opted_out": 1, "failed": 1, "skipped": 1}
    second = nothing | {"sent": 1, "bounced": 1, "unknown": 1}
    assert [one["runs"] for one in found["steps"]] == [first, second]
    assert found["runs"] == {name: first[name] + second[name] for name in nothing}
    assert [(one["enrolled"], one["completed"], one["completion_rate"]) for one in found["steps"]] == [
        (4, 2, 0.5),
        (2, 1, 0.5),
    ]
    assert of_sequence(manager, sequence, "stats", version="1").body["enrolled"] == 4
    change_sequence(manager, sequence, 1, steps=steps(5, template_id=a_template(organization)["template_id"]))
    of_new = of_sequence(manager, sequence, "stats", version="2").body
    assert (of_new["enrolled"], of_new["runs"]["sent"], len(of_new["steps"])) == (0, 0, 1)
    assert len(of_sequence(manager, sequence, "stats").body["steps"]) == 2
    assert of_sequence(manager, sequence, "stats", version="3").status == 404
