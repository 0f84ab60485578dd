"""What came of sending, written down: runs, what they cost, and when the next step is due."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString
from uuid import UUID

from pydantic_core import to_json

from leadline import budget, domain_events, metrics
from leadline.db import Transaction
from leadline.nurture import receipts, runs
from leadline.nurture.channels import GoneWrong, Outcome, Outgoing, Refused, Sent, live

Told = Counter[tuple[str, str]]  # channel and status

# What was refused is sent again after these, and no more after the last.
BACKOFF = (timedelta(minutes=1), timedelta(minutes=10), timedelta(minutes=60))


@dataclass(frozen=True, slots=True)
class Result:
    """What is written of one message."""

    run_id: UUID
    enrollment_id: UUID
    attempts: int
    status: Literal["sent", "retrying", "failed", "unknown"]
    error: str | None
    exit_reason: str | None
    provider: str
    provider_message_id: str | None
    next_at: datetime | None  # of the next step, or of the next attempt
    next_delay: timedelta | None
    is_last: bool


def record(tx: Transaction, outgoing: Sequence[Outgoing], outcomes: Sequence[Outcome], now: datetime) -> Told:
    """Records what became of each message, and answers how many came to what.

    What a receipt or a person has said in the meantime stays. A hold is spent or given back as the channel settles it;
    of what nobody knows it stays, and expires.
    """
    results = [_result(message, outcome, now) for message, outcome in zip(outgoing, outcomes, strict=True)]
    if not results:
        return Counter()
    _write(tx, results, now)
    domain_events.note_all(
        tx,
        [runs.unknown(one.run_id, one.attempts, one.enrollment_id) for one in results if one.status == "unknown"],
    )
    if failed := [one.run_id for one in results if one.status == "failed"]:
        receipts.stop_failing(tx, now, of_runs=failed)
    spent = {name for name, channel in live().items() if channel.settles}
    ended = {
        status: [
            message.hold_id
            for message, result in zip(outgoing, results, strict=True)
            if message.hold_id and result.status in status and (message.channel in spent or result.status != "sent")
        ]
        for status in (("sent",), ("retrying", "failed"))
    }
    budget.settle_all(tx, ended["sent",])
    budget.release_all(tx, ended["retrying", "failed"])
    told = Counter((message.channel, result.status) for message, result in zip(outgoing, results, strict=True))
    for (channel, status), count in told.items():
        metrics.count("Steps", count, Channel=channel, Outcome=status)
    return told


def close_lost(tx: Transaction, until: datetime, now: datetime) -> int:
    """Gives up as unknown what was to be sent by then, where its enrollment has ended or is paused; answers how many.

    That of an active one is found when it is claimed. A pause keeps its reason: who resumes it finds the run unknown.
    """
    values = {"until": until, "now": now}
    tx.execute(
        """
        select enrollment.id from lead_sequence_enrollments as enrollment
        where enrollment.id in (
            select enrollment_id from step_runs where status = 'sending' and sending_until <= %(until)s
        )
        order by enrollment.id
        for update
        """,
        values,
    )
    rows = tx.execute(
        """
        update step_runs as run set status = 'unknown', error = 'not_recorded', updated_at = %(now)s
        from lead_sequence_enrollments as enrollment
        where enrollment.id = run.enrollment_id and enrollment.status <> 'active'
            and run.status = 'sending' and run.sending_until <= %(until)s
        returning run.id, run.attempts, run.enrollment_id
        """,
        values,
    ).fetchall()
    domain_events.note_all(tx, [runs.unknown(row["id"], row["attempts"], row["enrollment_id"]) for row in rows])
    return len(rows)


def _result(message: Outgoing, outcome: Outcome, now: datetime) -> Result:
    status: Literal["sent", "retrying", "failed", "unknown"] = "sent"
    error = exit_reason = provider_message_id = next_at = None
    match outcome:
        case Sent(provider_message_id):
            next_at = None if message.next_delay is None else now + message.next_delay
        case Refused(error, again):
            if not again:
                status, exit_reason = "failed", "refused_for_good"
            elif message.attempts > len(BACKOFF):
                status, exit_reason = "failed", "retries_exhausted"
            else:
                status, next_at = "retrying", now + BACKOFF[message.attempts - 1]
        case GoneWrong(error):
            status = "unknown"
    return Result(
        run_id=message.run_id,
        enrollment_id=message.enrollment_id,
        attempts=message.attempts,
        status=status,
        error=error,
        exit_reason=exit_reason,
        provider="ses" if message.channel == "email" else "call_system",
        provider_message_id=provider_message_id,
        next_at=next_at,
        next_delay=message.next_delay,
        is_last=message.next_delay is None,
    )


def _write(tx: Transaction, results: Sequence[Result], now: datetime) -> None:
    """Enrollments before runs, as everybody locks them. A second time it changes nothing."""
    values = {"now": now, "results": to_json(results).decode(), "ids": [one.enrollment_id for one in results]}
    tx.execute(
        "select from lead_sequence_enrollments where id = any (%(ids)s) order by id for update",
        values,
    )
    tx.execute(RECORD, values)


RECORD: LiteralString = """
    with result as (
        select * from json_to_recordset(%(results)s::json) as result (
            run_id uuid, attempts integer, status text, error text, exit_reason text, provider text,
            provider_message_id text, next_at timestamptz, next_delay interval, is_last boolean
        )
    ),
    run as (
        update step_runs as run set
            -- What a receipt has said already is later than this.
            status = case when run.status in ('sending', 'unknown') then result.status else run.status end,
            error = case when run.status in ('sending', 'unknown') then result.error else run.error end,
            provider = result.provider,
            provider_message_id = coalesce(result.provider_message_id, run.provider_message_id),
            sent_at = case when result.status = 'sent' then coalesce(run.sent_at, %(now)s) end,
            ended_at = case when result.status = 'failed' then %(now)s::timestamptz else run.ended_at end,
            updated_at = %(now)s
        from result
        where run.id = result.run_id and run.attempts = result.attempts
            and (run.status = 'sending' or result.status = 'sent')
        returning run.id, run.enrollment_id, run.step, run.round, result.status, result.exit_reason, result.next_at,
            result.next_delay, result.is_last
    )
    update lead_sequence_enrollments as enrollment set
        status = case
            when run.status = 'failed' then 'failed'
            when run.status = 'unknown' then 'paused'
            when run.status = 'sent' and run.is_last then 'completed'
            else enrollment.status
        end,
        exit_reason = run.exit_reason,
        pause_reason = case
            when run.status = 'unknown' then 'delivery_unknown'
            when enrollment.status = 'paused' then enrollment.pause_reason
        end,
        current_step = enrollment.current_step + (run.status = 'sent' and not run.is_last)::integer,
        next_step_scheduled_at = case
            when enrollment.status = 'active' then coalesce(run.next_at, enrollment.next_step_scheduled_at)
        end,
        claimable_at = case
            when enrollment.status = 'active' then coalesce(run.next_at, enrollment.claimable_at)
        end,
        remaining_delay = case
            when enrollment.status = 'paused' and run.status = 'sent' then run.next_delay
            else enrollment.remaining_delay
        end,
        waiting_for = case when enrollment.status = 'active' and run.status = 'retrying' then 'retry' end,
        executed_steps = case
            when run.status in ('sent', 'failed') then
                enrollment.executed_steps || jsonb_build_object(
                    'step', run.step, 'round', run.round, 'run_id', run.id, 'status', run.status, 'at', %(now)s
                )
            else enrollment.executed_steps
        end,
        updated_at = case
            when run.status in ('failed', 'unknown') or (run.status = 'sent' and run.is_last) then %(now)s
            else enrollment.updated_at
        end
    from run
    where enrollment.id = run.enrollment_id and enrollment.status in ('active', 'paused')
        and enrollment.current_step = run.step and enrollment.round = run.round
"""
