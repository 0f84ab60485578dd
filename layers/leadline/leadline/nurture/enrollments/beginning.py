"""Enrolling leads by hand: those that are named, or those of a segment.

Whoever enrolls holds the locks of the numbers, so that a lead who opts out at this moment is either not enrolled or
cancelled.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from leadline import config, dnc, leads, segments
from leadline.db import Transaction, fetch_one
from leadline.nurture import sequences
from leadline.nurture.enrollments.shapes import Enrolled, Item, NewEnrollments, Skipped
from leadline.nurture.sequences import NoSteps, Sequence, Step, delay
from leadline.segments import Segment

MOST_OF_A_SEGMENT = 20_000

# Of a row of leads: who is not to be contacted now.
OPTED_OUT = sql.SQL(
    """(
        leads.status = 'dnc' or leads.calling_blocked or exists (
            select from dnc_list
            where dnc_list.phone_number = leads.phone_number and dnc_list.removed_at is null
                and (dnc_list.expires_at is null or dnc_list.expires_at > clock_timestamp())
        )
    )"""
)

# What both ways end in: `judged` are the leads, each with the code of why it is not to be enrolled.
ENROLL = sql.SQL(
    """
    chosen as (
        select id from judged where error is null order by id limit %(most)s
    ),
    made as (
        insert into lead_sequence_enrollments (
            lead_id, sequence_id, sequence_version, status, pause_reason, remaining_delay, enrolled_at,
            next_step_scheduled_at, updated_at
        )
        select
            id, %(sequence_id)s, %(version)s, case when %(active)s then 'active' else 'paused' end,
            case when not %(active)s then 'sequence_paused' end, case when not %(active)s then %(delay)s::interval end,
            %(now)s, case when %(active)s then %(now)s::timestamptz + %(delay)s::interval end, %(now)s
        from chosen
        order by id
        on conflict (organization_id, lead_id, sequence_id) where status in ('active', 'paused') do nothing
        returning id, lead_id
    )
    """
)
JUDGE_NAMED = sql.SQL(
    """
    case
        when leads.deleted_at is not null then 'lead_deleted'
        when leads.status = 'recruited' then 'recruited'
        when {opted_out} then 'opted_out'
        when exists (
            select from lead_sequence_enrollments as other
            where other.lead_id = leads.id and other.sequence_id = %(sequence_id)s
                and other.status in ('active', 'paused')
        ) then 'already_enrolled'
    end
    """
)
# The same of very many leads, over lead_candidates: of whole sets, which are read once and hashed, and without a join,
# so that it takes as long whatever the planner believes of how many rows there are.
JUDGE_MANY = sql.SQL(
    """
    case
        when status = 'recruited' then 'recruited'
        when status = 'dnc' or calling_blocked or phone_number in (
            select dnc_list.phone_number::text from dnc_list
            where removed_at is null and (expires_at is null or expires_at > clock_timestamp())
        ) then 'opted_out'
        when id in (
            select lead_id from lead_sequence_enrollments where sequence_id = %(sequence_id)s
        ) then 'already_enrolled'
    end
    """
)


@dataclass(frozen=True, slots=True)
class Start:
    """Where an enrollment begins."""

    sequence_id: UUID
    version: int
    active: bool
    now: datetime
    first: Step

    def values(self) -> dict[str, Any]:
        """As the statement takes them."""
        return {
            "sequence_id": self.sequence_id,
            "version": self.version,
            "active": self.active,
            "now": self.now,
            "delay": delay(self.first),
        }


def enroll(
    tx: Transaction, sequence_id: UUID, new: NewEnrollments, now: datetime, *, sees_all: bool = False
) -> Enrolled:
    """Enrolls leads, the first step due after its delay; in a sequence that is not active they wait until it is.

    A lead that is named may have been through the sequence before; of a segment everybody is taken once, so that the
    same call goes on where the one before ended. `sees_all` is of segments that others keep to themselves. Raises
    NotFound, NoSteps, and Invalid for a segment that asks for what leads no longer have.
    """
    start = _start(sequences.get(tx, sequence_id), now)
    if new.segment_id is not None:
        return _enroll_segment(tx, start, segments.get(tx, new.segment_id, sees_all=sees_all))
    return _enroll_named(tx, start, list(dict.fromkeys(new.lead_ids or [])))


def _start(sequence: Sequence, now: datetime) -> Start:
    if not sequence.steps:
        raise NoSteps(field="sequence_id")
    first = Step.model_construct(None, **sequence.steps[0])
    return Start(sequence.id, sequence.version, sequence.active, now, first)


def _held(tx: Transaction, start: Start) -> dict[str, Any]:
    """Whether the sequence is active, which nobody changes from here on: who starts it finds all that wait for that."""
    row = fetch_one(
        tx, "select active from nurture_sequences where id = %(id)s for no key update", {"id": start.sequence_id}
    )
    return {"active": row["active"]}


def _enroll_named(tx: Transaction, start: Start, lead_ids: list[UUID]) -> Enrolled:
    values = start.values() | {"lead_ids": lead_ids, "most": len(lead_ids)}
    _lock_numbers(tx, sql.SQL("leads where id = any (%(lead_ids)s)"), values)
    values |= _held(tx, start)
    statement = sql.SQL(
        """
        with judged as materialized (
            select id, {error} as error from leads where id = any (%(lead_ids)s) and {seen}
        ),
        {enroll}
        select judged.id as lead_id, made.id as enrollment_id, judged.error
        from judged left join made on made.lead_id = judged.id
        """
    ).format(error=JUDGE_NAMED.format(opted_out=OPTED_OUT), seen=leads.SEEN, enroll=ENROLL)
    found = {row["lead_id"]: row for row in tx.execute(statement, values).fetchall()}
    items = [_item(lead_id, found.get(lead_id)) for lead_id in lead_ids]
    errors = Counter(item.error for item in items if item.error)
    return Enrolled(len(items) - errors.total(), Skipped(**errors), items, more=False)


def _item(lead_id: UUID, row: dict[str, Any] | None) -> Item:
    if row is None:
        return Item(lead_id, None, "not_found")
    # Who was free when it was judged and has none all the same was enrolled by somebody else at this moment.
    error = row["error"] or (None if row["enrollment_id"] else "already_enrolled")
    return Item(lead_id, row["enrollment_id"], error)


def _enroll_segment(tx: Transaction, start: Start, segment: Segment) -> Enrolled:
    decided = config.read(tx)
    asked, params = segments.condition(segments.parse(segment.filter, decided), decided, start.now)
    values = {**start.values(), **params, "most": MOST_OF_A_SEGMENT}
    of_segment = sql.SQL("lead_candidates where {} and {}").format(asked, leads.SEEN)
    _lock_numbers(tx, of_segment, values)
    values |= _held(tx, start)
    statement = sql.SQL(
        """
        with judged as materialized (
            select id, {error} as error from {of_segment}
        ),
        {enroll}
        select error, count(*) as count, (select count(*) from chosen) as chosen, (select count(*) from made) as made
        from judged group by error
        """
    ).format(error=JUDGE_MANY, of_segment=of_segment, enroll=ENROLL)
    rows = tx.execute(statement, values).fetchall()
    counts = Counter({row["error"]: row["count"] for row in rows})
    chosen, made = (rows[0]["chosen"], rows[0]["made"]) if rows else (0, 0)
    free = counts.pop(None, 0)
    counts["already_enrolled"] += chosen - made
    return Enrolled(made, Skipped(**counts), [], more=free > chosen)


def _lock_numbers(tx: Transaction, of_leads: sql.Composable, values: dict[str, Any]) -> None:
    """The numbers of these leads, as whoever judges a number does."""
    statement = sql.SQL("select distinct phone_number from {} and phone_number is not null")
    numbers = tx.execute(statement.format(of_leads), values).fetchall()
    dnc.lock_numbers(tx, [row["phone_number"] for row in numbers])
