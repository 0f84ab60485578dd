"""What a person does to an enrollment: pause, resume, skip a step, cancel; each with a reason that is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from leadline import domain_events
from leadline.db import Transaction
from leadline.errors import Conflict, NotFound
from leadline.nurture import sequences
from leadline.nurture.enrollments.shapes import SEEN, EnrollmentWithRuns, Reason, ResumeAll, Resumed, get
from leadline.nurture.sequences import delay

SENT = ("sent", "delivered", "replied", "bounced")


class NotPossibleNow(Conflict):
    """This enrollment is in a status in which that makes no sense."""


@dataclass(frozen=True, slots=True)
class Found:
    """An enrollment under its lock, with the run of its current step in its round, if there is one."""

    id: UUID
    lead_id: UUID
    sequence_id: UUID
    sequence_version: int
    current_step: int
    round: int
    status: str
    pause_reason: str | None
    next_step_scheduled_at: datetime | None
    member_id: UUID | None
    run_id: UUID | None
    run_status: str | None
    run_sending_until: datetime | None
    run_sent_at: datetime | None


# Commands -----------------------------------------------------------------------------------------------------------


def pause(tx: Transaction, enrollment_id: UUID, why: Reason, now: datetime) -> EnrollmentWithRuns:
    """Pauses an active enrollment; its clock stands still. Raises NotFound and NotPossibleNow."""
    found = _find(tx, enrollment_id, "active")
    return _change(tx, found, "paused", why, now, status="paused", pause_reason="person")


def resume(tx: Transaction, enrollment_id: UUID, why: Reason, now: datetime) -> EnrollmentWithRuns:
    """Lets a paused enrollment go on, with the rest of its delay.

    One whose delivery is unknown sends its step again, in a new round, as the person has decided; where it has proved
    sent by now, the next step follows. Raises NotFound and NotPossibleNow.
    """
    found = _find(tx, enrollment_id, "paused")
    # Without a run the one before was told as sent after all: what remains is this step's own delay.
    if found.pause_reason != "delivery_unknown" or found.run_status is None:
        return _change(tx, found, "resumed", why, now, status="active")
    if found.run_status in SENT:
        since = found.run_sent_at or now
        return _change(tx, found, "resumed", why, now, **_onwards(tx, found, now, since, found.run_status or ""))
    return _change(tx, found, "resumed", why, now, status="active", round=found.round + 1, remaining_delay=timedelta())


def skip(tx: Transaction, enrollment_id: UUID, why: Reason, now: datetime) -> EnrollmentWithRuns:
    """Goes on to the next step without sending the current one; a paused enrollment is active again.

    Raises NotFound, and NotPossibleNow also while the step is being sent.
    """
    found = _find(tx, enrollment_id, "active", "paused")
    if found.run_status == "sending" and found.run_sending_until and found.run_sending_until > now:
        raise NotPossibleNow("The step is being sent at this moment")
    ended = _end_run(tx, found, now)
    return _change(tx, found, "skipped", why, now, **_onwards(tx, found, now, now, ended))


def cancel(tx: Transaction, enrollment_id: UUID, why: Reason, now: datetime) -> EnrollmentWithRuns:
    """Ends an enrollment before its last step, for good. Raises NotFound and NotPossibleNow."""
    found = _find(tx, enrollment_id, "active", "paused")
    return _change(tx, found, "cancelled", why, now, status="cancelled", exit_reason="person")


def resume_all(tx: Transaction, sequence_id: UUID, which: ResumeAll, now: datetime) -> Resumed:
    """Lets all of a sequence go on that are paused for one reason, each with its remaining delay. Raises NotFound."""
    sequences.get(tx, sequence_id)
    return Resumed(sequences.resume_paused(tx, sequence_id, which.pause_reason, now))


def _find(tx: Transaction, enrollment_id: UUID, *statuses: str) -> Found:
    """The enrollment, locked. Raises NotFound, and NotPossibleNow where it is in none of the statuses."""
    # Two statements: the second sees what whoever held the lock has done.
    tx.execute("select id from lead_sequence_enrollments where id = %(id)s for update", {"id": enrollment_id})
    statement = sql.SQL(
        """
        select
            enrollment.id, enrollment.lead_id, enrollment.sequence_id, enrollment.sequence_version,
            enrollment.current_step, enrollment.round, enrollment.status, enrollment.pause_reason,
            enrollment.next_step_scheduled_at, current_user_id() as member_id, run.id as run_id,
            run.status as run_status, run.sending_until as run_sending_until, run.sent_at as run_sent_at
        from (select * from lead_sequence_enrollments where id = %(id)s and {seen}) as enrollment
        left join step_runs as run on run.enrollment_id = enrollment.id
            and run.step = enrollment.current_step and run.round = enrollment.round
        """
    ).format(seen=SEEN)
    row = tx.execute(statement, {"id": enrollment_id}).fetchone()
    if row is None:
        raise NotFound
    if row["status"] not in statuses:
        raise NotPossibleNow(f"The enrollment is {row['status']}")
    return Found(**row)


def _onwards(tx: Transaction, found: Found, now: datetime, since: datetime, run_status: str) -> dict[str, Any]:
    """The changes that lead to the step after the current one, due so long after `since`, or to the end."""
    key = found.sequence_id, found.sequence_version
    steps = sequences.steps_of(tx, [key])[key]
    done = {
        "step": found.current_step,
        "round": found.round,
        "run_id": str(found.run_id) if found.run_id else None,
        "status": run_status,
        "at": now.isoformat(),
    }
    if found.current_step >= len(steps):
        return {"status": "completed", "done": done}
    wait = max(since + delay(steps[found.current_step]) - now, timedelta())
    onwards: dict[str, Any] = {"current_step": found.current_step + 1, "done": done}
    if found.status == "paused":
        # The trigger makes of what remains when it is due.
        return {**onwards, "status": "active", "remaining_delay": wait}
    return {**onwards, "next_step_scheduled_at": now + wait, "claimable_at": now + wait, "waiting_for": None}


def _end_run(tx: Transaction, found: Found, now: datetime) -> str:
    """Keeps that the current step was skipped, as far as nothing of it can have gone out; answers what its run is then.

    Of a run that was left while it was being sent nobody knows, and that is what it stays.
    """
    if found.run_status in (None, "retrying"):
        tx.execute(
            """
            insert into step_runs (
                enrollment_id, lead_id, sequence_id, sequence_version, step, round, channel, template_id, status,
                attempts, error, due_at, started_at, ended_at, updated_at
            )
            select
                enrollment.id, lead_id, sequence_id, sequence_version, current_step, round, step ->> 'channel',
                step ->> 'template_id', 'skipped', 0, 'person', coalesce(next_step_scheduled_at, %(now)s), %(now)s,
                %(now)s, %(now)s
            from lead_sequence_enrollments as enrollment
            join sequence_versions as version using (sequence_id)
            cross join lateral (select version.steps -> (current_step - 1) as step) as steps
            where enrollment.id = %(id)s and version.version = sequence_version
            on conflict (organization_id, enrollment_id, step, round) do update
                set status = 'skipped', error = 'person', ended_at = %(now)s, updated_at = %(now)s
                where step_runs.status = 'retrying'
            """,
            {"id": found.id, "now": now},
        )
        return "skipped"
    if found.run_status == "sending":
        tx.execute(
            "update step_runs set status = 'unknown', updated_at = %(now)s where id = %(id)s",
            {"id": found.run_id, "now": now},
        )
        return "unknown"
    return found.run_status


def _change(
    tx: Transaction,
    found: Found,
    what: Literal["paused", "resumed", "skipped", "cancelled"],
    why: Reason,
    now: datetime,
    **changes: Any,
) -> EnrollmentWithRuns:
    """Changes the enrollment, and keeps who did it and why."""
    done = changes.pop("done", None)
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in changes
    ]
    if done:
        assignments.append(sql.SQL("executed_steps = executed_steps || %(done)s::jsonb"))
    statement = sql.SQL(
        "update lead_sequence_enrollments set {assignments}, note = %(note)s, updated_at = %(now)s where id = %(id)s"
    ).format(assignments=sql.SQL(", ").join(assignments))
    tx.execute(statement, {**changes, "done": Jsonb([done]), "note": why.reason, "now": now, "id": found.id})
    domain_events.note(
        tx,
        f"enrollment_{what}",
        str(found.id),
        f"{found.id} {now.isoformat()}",
        {"reason": why.reason, "member_id": found.member_id and str(found.member_id), "step": found.current_step},
    )
    return get(tx, found.id)
