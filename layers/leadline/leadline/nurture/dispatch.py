"""The clock's side of nurture: claims what is due over all tenants, and says which organization has to work on what."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import Field, RootModel

from leadline.db import Transaction, fetch_one
from leadline.inputs import Input, Instant

# A message that waits longer than this matches nothing any more: what it names has been claimed anew.
LEASE = timedelta(minutes=15)
SMALLEST, LARGEST = 100, 1000  # enrollments in one message
MESSAGES = 20  # in one claim: two calls of SQS


class DueSteps(Input):
    """Enrollments of one organization whose step is due: good while their `claimable_at` is `lease`."""

    tenant_id: UUID
    organization_id: UUID
    lease: Instant
    enrollment_ids: Annotated[list[UUID], Field(min_length=1, max_length=LARGEST)]


class DueTriggers(Input):
    """An organization in which something has happened to leads that may enroll them."""

    tenant_id: UUID
    organization_id: UUID


class LostRuns(Input):
    """An organization with runs that were to be sent by `until`, and of which nobody has told."""

    tenant_id: UUID
    organization_id: UUID
    until: Instant


class Due(RootModel[DueSteps | LostRuns | DueTriggers]):
    """What the clock hands over to the worker."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How far behind the clock is: the oldest step that is due and not claimed, in seconds; 0 where none is."""

    oldest_due_seconds: float


def claim(tx: Transaction, now: datetime, size: int) -> list[DueSteps]:
    """Takes what has been due for longest, until LEASE ends, in messages of one organization and at most `size` ids.

    Two who claim at once get different ones. For the dispatcher, which sees ids and times of active enrollments only.
    """
    lease = now + LEASE
    rows = tx.execute(
        """
        update lead_sequence_enrollments set claimable_at = %(lease)s
        where ctid = any (array(
            select ctid from lead_sequence_enrollments
            where status = 'active' and claimable_at <= %(now)s
            order by claimable_at
            limit %(most)s
            for update skip locked
        ))
        returning tenant_id, organization_id, id
        """,
        {"now": now, "lease": lease, "most": size * MESSAGES},
    ).fetchall()
    claimed: defaultdict[tuple[UUID, UUID], list[UUID]] = defaultdict(list)
    for row in rows:
        claimed[row["tenant_id"], row["organization_id"]].append(row["id"])
    return [
        DueSteps(tenant_id=tenant_id, organization_id=organization_id, lease=lease, enrollment_ids=ids[start:][:size])
        for (tenant_id, organization_id), ids in sorted(claimed.items())
        for start in range(0, len(ids), size)
    ]


def release(tx: Transaction, unsent: Sequence[DueSteps], now: datetime) -> None:
    """Gives back at once what could not be handed over; what somebody has claimed since stays theirs."""
    for message in unsent:
        tx.execute(
            """
            update lead_sequence_enrollments set claimable_at = %(now)s
            where organization_id = %(organization_id)s and id = any (%(enrollment_ids)s)
                and status = 'active' and claimable_at = %(lease)s
            """,
            vars(message) | {"now": now},
        )


def triggered(tx: Transaction) -> list[DueTriggers]:
    """Every organization in which something waits that may enroll leads."""
    rows = tx.execute("select distinct tenant_id, organization_id from enrollment_triggers order by 1, 2").fetchall()
    return [DueTriggers(**row) for row in rows]


def lost(tx: Transaction, now: datetime) -> list[LostRuns]:
    """Every organization with runs that nobody is sending any more."""
    rows = tx.execute(
        """
        select distinct tenant_id, organization_id from step_runs
        where status = 'sending' and sending_until <= %(now)s
        order by 1, 2
        """,
        {"now": now},
    ).fetchall()
    return [LostRuns(**row, until=now) for row in rows]


def lateness(tx: Transaction, now: datetime) -> Lateness:
    """How late the oldest step is that nobody has claimed."""
    row = fetch_one(
        tx,
        """
        select coalesce(extract(epoch from %(now)s - min(claimable_at)), 0)::float8 as oldest_due_seconds
        from lead_sequence_enrollments where status = 'active' and claimable_at <= %(now)s
        """,
        {"now": now},
    )
    return Lateness(**row)
