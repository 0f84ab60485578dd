"""What is written before anything is sent: each step's run, and where its enrollment goes."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic_core import to_json

from leadline import domain_events
from leadline.db import Transaction
from leadline.domain_events import NewEvent
from leadline.nurture.due import Enrollment
from leadline.nurture.steps import Advance, End, Fate, LeaveAlone, Lost, Pause, Skip, Wait


@dataclass(slots=True)
class NewRun:
    """A run as it is written; of one that is there already, what becomes of it."""

    id: UUID
    enrollment_id: UUID
    lead_id: UUID
    sequence_id: UUID
    sequence_version: int
    step: int
    round: int
    channel: str
    template_id: str
    template_version: int | None
    status: Literal["sending", "skipped", "failed", "unknown"]
    attempts: int
    sending_until: datetime | None
    address: str | None
    subject: str | None
    body: str | None
    decision_id: UUID | None
    hold_id: UUID | None
    error: str | None
    due_at: datetime
    is_new: bool


@dataclass(slots=True)
class Move:
    """Where an enrollment goes. `due_at` is null where its step stays due as it was."""

    id: UUID
    status: str
    reason: str | None
    step: int
    due_at: datetime | None
    claimable_at: datetime | None
    waiting_for: str | None
    executed: dict[str, Any] | None


def run_of(
    enrollment: Enrollment, status: Literal["sending", "skipped", "failed", "unknown"], error: str | None = None
) -> NewRun:
    """The run of the step that is due: the one that it has, or a new one."""
    run, step = enrollment.run, enrollment.current
    return NewRun(
        id=run.id if run else uuid_v7(),
        enrollment_id=enrollment.id,
        lead_id=enrollment.lead_id,
        sequence_id=enrollment.sequence_id,
        sequence_version=enrollment.sequence_version,
        step=enrollment.step,
        round=enrollment.round,
        channel=step.channel if step else "",
        template_id=step.template_id if step else "",
        template_version=None,
        status=status,
        attempts=(run.attempts if run else 0) + (status == "sending"),
        sending_until=None,
        address=None,
        subject=None,
        body=None,
        decision_id=None,
        hold_id=None,
        error=error,
        due_at=enrollment.due_at,
        is_new=run is None,
    )


def run_after(enrollment: Enrollment, fate: Fate) -> NewRun | None:
    """The run that tells what has become of a step that is not sent; a pause or a wait is told by its enrollment."""
    match fate:
        case Skip(why):
            return run_of(enrollment, "skipped", why)
        case Lost():
            return run_of(enrollment, "unknown", "not_recorded")
        case End("failed", reason):
            return run_of(enrollment, "failed", reason)
        case End(_, reason) if enrollment.run and enrollment.run.status == "retrying":
            return run_of(enrollment, "skipped", reason)
        case _:
            return None


def move(enrollment: Enrollment, fate: Fate, run: NewRun | None, now: datetime) -> Move:
    """Where the enrollment goes."""
    goes = Move(enrollment.id, "active", None, enrollment.step, None, None, None, None)
    if run and run.status in ("skipped", "failed"):
        goes.executed = executed(enrollment.step, enrollment.round, run.id, run.status, now)
    match fate:
        case End(status, reason) | Lost(End(status, reason)):
            goes.status, goes.reason = status, reason
        case Lost():
            goes.status, goes.reason = "paused", "delivery_unknown"
        case Pause(reason):
            goes.status, goes.reason = "paused", reason
        case Wait(until, waiting_for):
            goes.due_at = goes.claimable_at = until
            goes.waiting_for = waiting_for
        case LeaveAlone(until):
            goes.claimable_at = until
        case Skip():
            _advance(goes, enrollment, now)
        case Advance():
            # It has proved done since nobody recorded it.
            if over := enrollment.run:
                goes.executed = executed(enrollment.step, enrollment.round, over.id, over.status, now)
            _advance(goes, enrollment, now)
    return goes


def _advance(goes: Move, enrollment: Enrollment, now: datetime) -> None:
    delay = enrollment.next_delay
    if delay is None:
        goes.status = "completed"
    else:
        goes.step += 1
        goes.due_at = goes.claimable_at = now + delay


def executed(step: int, round_: int, run_id: UUID, status: str, at: datetime) -> dict[str, Any]:
    """What an enrollment keeps of a run that is over."""
    return {"step": step, "round": round_, "run_id": run_id, "status": status, "at": at}


def write(tx: Transaction, runs: Sequence[NewRun], moves: Sequence[Move], now: datetime) -> None:
    """Writes all of it in a statement a table, unfetched."""
    if new := [run for run in runs if run.is_new]:
        _insert(tx, new, now)
    if known := [run for run in runs if not run.is_new]:
        _update(tx, known, now)
    if moves:
        _move(tx, moves, now)
    lost = [run for run in runs if run.status == "unknown"]
    domain_events.note_all(tx, [unknown(run.id, run.attempts, run.enrollment_id) for run in lost])


def unknown(run_id: UUID, attempts: int, enrollment_id: UUID) -> NewEvent:
    """The event of a step of which nobody knows whether it went out."""
    return NewEvent("delivery_unknown", str(enrollment_id), f"{run_id} {attempts}", {"run_id": str(run_id)})


def _insert(tx: Transaction, runs: Sequence[NewRun], now: datetime) -> None:
    tx.execute(
        """
        insert into step_runs (
            id, enrollment_id, lead_id, sequence_id, sequence_version, step, round, channel, template_id,
            template_version, status, attempts, sending_until, address, subject, body, decision_id, hold_id, error,
            due_at, started_at, ended_at, updated_at
        )
        select
            id, enrollment_id, lead_id, sequence_id, sequence_version, step, round, channel, template_id,
            template_version, status, attempts, sending_until, address, subject, body, decision_id, hold_id, error,
            due_at, %(now)s, case when status <> 'sending' then %(now)s::timestamptz end, %(now)s
        from json_to_recordset(%(runs)s::json) as run (
            id uuid, enrollment_id uuid, lead_id uuid, sequence_id uuid, sequence_version integer, step integer,
            round integer, channel text, template_id text, template_version integer, status text, attempts integer,
            sending_until timestamptz, address text, subject text, body text, decision_id uuid, hold_id uuid,
            error text, due_at timestamptz
        )
        """,
        {"runs": to_json(runs).decode(), "now": now},
    )


def _update(tx: Transaction, runs: Sequence[NewRun], now: datetime) -> None:
    """What was sent once stays as it was sent; what is sent again is what it is by now."""
    tx.execute(
        """
        update step_runs as run set
            status = new.status, error = new.error, attempts = new.attempts, sending_until = new.sending_until,
            template_version = coalesce(new.template_version, run.template_version),
            address = coalesce(new.address, run.address), subject = coalesce(new.subject, run.subject),
            body = coalesce(new.body, run.body), decision_id = coalesce(new.decision_id, run.decision_id),
            hold_id = case when new.decision_id is null then run.hold_id else new.hold_id end,
            ended_at = case when new.status <> 'sending' then %(now)s::timestamptz end, updated_at = %(now)s
        from json_to_recordset(%(runs)s::json) as new (
            id uuid, template_version integer, status text, attempts integer, sending_until timestamptz, address text,
            subject text, body text, decision_id uuid, hold_id uuid, error text
        )
        where run.id = new.id
        """,
        {"runs": to_json(runs).decode(), "now": now},
    )


def _move(tx: Transaction, moves: Sequence[Move], now: datetime) -> None:
    tx.execute(
        """
        update lead_sequence_enrollments as enrollment set
            status = new.status,
            pause_reason = case when new.status = 'paused' then new.reason end,
            exit_reason = case when new.status in ('cancelled', 'failed') then new.reason end,
            current_step = new.step,
            next_step_scheduled_at = coalesce(new.due_at, enrollment.next_step_scheduled_at),
            claimable_at = coalesce(new.claimable_at, enrollment.claimable_at),
            waiting_for = new.waiting_for,
            executed_steps = case
                when new.executed is null then enrollment.executed_steps
                else enrollment.executed_steps || new.executed
            end,
            updated_at = case when new.status = enrollment.status then enrollment.updated_at else %(now)s end
        from json_to_recordset(%(moves)s::json) as new (
            id uuid, status text, reason text, step integer, due_at timestamptz, claimable_at timestamptz,
            waiting_for text, executed jsonb
        )
        where enrollment.id = new.id
        """,
        {"moves": to_json(moves).decode(), "now": now},
    )


def uuid_v7() -> UUID:
    """An id that sorts by time, as the database makes them, for what is told before the database knows it."""
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    chance = int.from_bytes(os.urandom(8))
    value = (milliseconds << 80) | (0x7 << 76) | ((rest * 4096 // 1_000_000) << 64) | (0b10 << 62) | (chance >> 2)
    return UUID(int=value)
