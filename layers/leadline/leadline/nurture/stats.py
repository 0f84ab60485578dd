"""Numbers of a sequence and of each of its steps, counted from enrollments and step runs as they are."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from leadline.consent import Channel
from leadline.db import Transaction
from leadline.errors import NotFound
from leadline.inputs import Input
from leadline.nurture import sequences


class StatsQuery(Input):
    """Of one version of the steps, or of all."""

    version: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of runs.

    `sent` are those that went out, whatever became of them then; who has replied or opted out was delivered to.
    """

    sent: int = 0
    delivered: int = 0
    replied: int = 0
    opted_out: int = 0
    failed: int = 0
    bounced: int = 0
    unknown: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class StepStats:
    """Of a step: the enrollments that have got to it (`enrolled`), and those that have it behind them (`completed`).

    completion_rate = completed / enrolled; null where nobody has got to it.
    """

    step: int
    channel: Channel | None
    template_id: str | None
    enrolled: int
    completed: int
    completion_rate: float | None
    runs: Counts


@dataclass(frozen=True, slots=True)
class Stats:
    """Of a sequence: its enrollments by status, all its runs together, and each step.

    completion_rate = completed / (completed + cancelled + failed); null while none has ended. What a step is, is told
    of the version asked for, or of the newest one.
    """

    sequence_id: UUID
    version: int | None
    enrolled: int
    active: int
    paused: int
    completed: int
    cancelled: int
    failed: int
    completion_rate: float | None
    runs: Counts
    steps: list[StepStats]


# Rules --------------------------------------------------------------------------------------------------------------


def rate(part: int, whole: int) -> float | None:
    """The part of a whole to four places; null of nothing."""
    return round(part / whole, 4) if whole else None


# Queries ------------------------------------------------------------------------------------------------------------


def of_sequence(tx: Transaction, sequence_id: UUID, query: StatsQuery) -> Stats:
    """The numbers of a sequence, or of one version of it. Raises NotFound, also for a version that there is not."""
    values = {"sequence_id": sequence_id, "version": query.version}
    reached = tx.execute(
        """
        select current_step as step, status, count(*) as count from lead_sequence_enrollments
        where sequence_id = %(sequence_id)s and (%(version)s::integer is null or sequence_version = %(version)s)
        group by 1, 2
        """,
        values,
    )
    ran = tx.execute(
        """
        select
            step, count(*) filter (where sent_at is not null or status in ('sent', 'delivered', 'bounced', 'replied'))
                as sent,
            count(*) filter (where delivered_at is not null or replied_at is not null or opted_out_at is not null
                or status in ('delivered', 'replied')) as delivered,
            count(*) filter (where replied_at is not null or status = 'replied') as replied,
            count(*) filter (where opted_out_at is not null) as opted_out,
            count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'bounced') as bounced,
            count(*) filter (where status = 'unknown') as unknown, count(*) filter (where status = 'skipped') as skipped
        from step_runs
        where sequence_id = %(sequence_id)s and (%(version)s::integer is null or sequence_version = %(version)s)
        group by step
        """,
        values,
    )
    version = query.version or sequences.get(tx, sequence_id).version
    steps = sequences.steps_of(tx, [(sequence_id, version)]).get((sequence_id, version))
    if steps is None:
        raise NotFound
    runs = {row.pop("step"): Counts(**row) for row in ran.fetchall()}
    return _stats(sequence_id, query.version, steps, reached.fetchall(), runs)


def _stats(
    sequence_id: UUID,
    version: int | None,
    steps: list[sequences.Step],
    reached: list[dict[str, Any]],
    runs: dict[int, Counts],
) -> Stats:
    by_status = dict.fromkeys(("active", "paused", "completed", "cancelled", "failed"), 0)
    for row in reached:
        by_status[row["status"]] += row["count"]
    ended = by_status["completed"] + by_status["cancelled"] + by_status["failed"]
    # An older version may have had more steps than the newest has.
    last = max([len(steps), *runs, *(row["step"] for row in reached)])
    return Stats(
        sequence_id,
        version,
        enrolled=sum(by_status.values()),
        **by_status,
        completion_rate=rate(by_status["completed"], ended),
        runs=_sum(list(runs.values())),
        steps=[_step(number, steps, reached, runs.get(number, Counts())) for number in range(1, last + 1)],
    )


def _step(number: int, steps: list[sequences.Step], reached: list[dict[str, Any]], runs: Counts) -> StepStats:
    known = steps[number - 1] if number <= len(steps) else None
    enrolled = sum(row["count"] for row in reached if row["step"] >= number)
    completed = sum(
        row["count"]
        for row in reached
        if row["step"] > number or (row["step"] == number and row["status"] == "completed")
    )
    return StepStats(
        number,
        known.channel if known else None,
        known.template_id if known else None,
        enrolled,
        completed,
        rate(completed, enrolled),
        runs,
    )


def _sum(counts: list[Counts]) -> Counts:
    return Counts(**{name: sum(getattr(one, name) for one in counts) for name in Counts.__dataclass_fields__})
