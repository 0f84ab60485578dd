"""The leads of a filter: which of some, a page, a preview and counts; each within a time, and none longer."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.errors import QueryCanceled

from leadline import config
from leadline.config import Config
from leadline.db import Caller, Transaction, tenant_transaction
from leadline.errors import Busy, Invalid, NotFound, Refused
from leadline.inputs import Input
from leadline.leads.listing import COUNT_CAP, ORDERS, CountedPage
from leadline.leads.shapes import LEAD_COLUMNS, SEEN, Lead, cursor
from leadline.pages import Page, PageQuery, cut, position
from leadline.segments import saved
from leadline.segments.conditions import condition
from leadline.segments.language import Filter, require_fitting

LONGEST = timedelta(seconds=8)  # of one statement: a preview has two, and an answer 29 s
LONGEST_OF_MANY = timedelta(seconds=3)  # of one count among others
LONGEST_RECOUNT = timedelta(seconds=15)
MOST_RECOUNTED = 500
NEWEST = ORDERS["-created_at"]


class SegmentTooSlow(Refused):
    """This filter takes too long; ask for less, or first for what few leads have: a tag, a status, a name."""


class Sought(Input):
    """A filter to try."""

    filter: Filter


class CountQuery(Input):
    """`cached=true` answers the stored count, as old as it is, where there is one."""

    cached: bool = False


@dataclass(frozen=True, slots=True)
class Count:
    """How many leads a segment had when it was counted, and the age of that."""

    lead_count: int
    last_calculated_at: datetime
    age_seconds: int


@dataclass(frozen=True, slots=True)
class Counted:
    """A segment that was counted anew."""

    segment_id: UUID
    lead_count: int


@dataclass(frozen=True, slots=True)
class NotCounted:
    """A segment that could not be: `segment_too_slow`, or the code of what its filter asks and leads no longer have."""

    segment_id: UUID
    code: str


@dataclass(frozen=True, slots=True)
class Recount:
    """What a recount came to; `waiting` says how many segments its time did not reach: the next one begins there."""

    counted: list[Counted] = field(default_factory=list[Counted])
    not_counted: list[NotCounted] = field(default_factory=list[NotCounted])
    waiting: int = 0


# Statements ---------------------------------------------------------------------------------------------------------


def page_of(asked: sql.Composable, *, goes_on: bool = False) -> sql.Composed:
    """The statement that reads a page and one lead more, cut in the view and read again under row-level security."""
    return sql.SQL(
        """
        select {columns} from leads where id = any (array(
            select id from lead_candidates where {asked} and {after} and {seen} order by {by} limit %(limit)s + 1
        )) order by {by}
        """
    ).format(
        columns=LEAD_COLUMNS,
        asked=asked,
        after=NEWEST.after if goes_on else sql.SQL("true"),
        seen=SEEN,
        by=NEWEST.by,
    )


def count_of(asked: sql.Composable) -> sql.Composed:
    """The statement that counts, up to one more than a cap where one is given."""
    return sql.SQL(
        """
        select count(*)::integer as count, now() as at
        from (select from lead_candidates where {asked} and {seen} limit %(cap)s::integer + 1) as found
        """
    ).format(asked=asked, seen=SEEN)


# Queries ------------------------------------------------------------------------------------------------------------


def matching(tx: Transaction, filter_: Filter, decided: Config, now: datetime, among: Sequence[UUID]) -> set[UUID]:
    """Which of these leads the filter finds, deleted ones never. Raises Invalid."""
    asked, values = condition(filter_, decided, now)
    # By their key and nothing else: taken for one row, they were looked up in the middle of another index.
    statement = sql.SQL(
        """
        with judged as materialized (select * from leads where id = any (%(among)s))
        select id from judged where deleted_at is null and {asked}
        """
    )
    found = tx.execute(statement.format(asked=asked), {**values, "among": list(among)})
    return {row["id"] for row in found.fetchall()}


def leads_of(
    tx: Transaction, segment_id: UUID, query: PageQuery, now: datetime, *, sees_all: bool = False
) -> Page[Lead]:
    """The leads of a segment as it is now, newest first. Raises NotFound, BadCursor, Invalid and SegmentTooSlow."""
    filter_ = _filter(saved.get(tx, segment_id, sees_all=sees_all))
    found, _ = _find(tx, filter_, config.read(tx), query, now, counted=False)
    return found


def preview(tx: Transaction, sought: Sought, query: PageQuery, now: datetime) -> CountedPage:
    """The leads of a filter that is not saved, newest first, and how many there are, up to a cap.

    Raises BadCursor, Invalid and SegmentTooSlow.
    """
    decided = config.read(tx)
    require_fitting(sought.filter, decided, "/filter")
    found, count = _find(tx, sought.filter, decided, query, now, counted=True)
    return CountedPage(found.items, found.next_cursor, min(count, COUNT_CAP), count > COUNT_CAP)


def count(tx: Transaction, segment_id: UUID, now: datetime, *, cached: bool = False, sees_all: bool = False) -> Count:
    """How many leads a segment has, stored with it; what a member counts who sees his own leads only is not stored.

    Raises NotFound, Invalid and SegmentTooSlow.
    """
    segment = saved.get(tx, segment_id, sees_all=sees_all)
    if cached and segment.lead_count is not None and segment.last_calculated_at is not None:
        age = max(0, int((now - segment.last_calculated_at).total_seconds()))
        return Count(segment.lead_count, segment.last_calculated_at, age)
    return _count(tx, segment, now, LONGEST)


def recount(caller: Caller, now: datetime, *, sees_all: bool = False) -> Recount:
    """Counts the segments that the caller sees, those first that have waited longest; ends in time, whatever is left.

    Each is counted in a transaction of its own, so that one that takes too long loses no other's count.
    """
    ends = time.monotonic() + LONGEST_RECOUNT.total_seconds()
    with tenant_transaction(caller) as tx:
        waiting = _waiting(tx, sees_all=sees_all)
    done = Recount()
    for place, segment_id in enumerate(waiting):
        left = timedelta(seconds=ends - time.monotonic())
        if left <= timedelta():
            return Recount(done.counted, done.not_counted, len(waiting) - place)
        try:
            with tenant_transaction(caller) as tx:
                segment = saved.get(tx, segment_id, sees_all=sees_all)
                counted = _count(tx, segment, now, min(left, LONGEST_OF_MANY))
            done.counted.append(Counted(segment_id, counted.lead_count))
        except NotFound:
            continue  # deleted, or no longer shared, since the list was read
        except (Busy, Invalid, SegmentTooSlow) as refused:
            done.not_counted.append(NotCounted(segment_id, refused.code))
            with tenant_transaction(caller) as tx:
                tx.execute("update segments set last_tried_at = now() where id = %(id)s", {"id": segment_id})
    return done


def _waiting(tx: Transaction, *, sees_all: bool) -> list[UUID]:
    statement = sql.SQL(
        "select id from segments where {visible} order by last_tried_at nulls first, id limit %(most)s"
    ).format(visible=saved.VISIBLE)
    found = tx.execute(statement, {"sees_all": sees_all, "most": MOST_RECOUNTED})
    return [row["id"] for row in found.fetchall()]


def _count(tx: Transaction, segment: saved.Segment, now: datetime, longest: timedelta) -> Count:
    asked, values = condition(_filter(segment), config.read(tx), now)
    limit_time(tx, longest)
    row = _in_time(tx.execute(count_of(asked), {**values, "cap": None}))[0]
    # What nobody else has to wait for is not worth a lock that one waits for; and the filter must still be this one.
    tx.execute(
        """
        update segments set lead_count = %(count)s, last_calculated_at = %(at)s, last_tried_at = %(at)s
        where id = %(id)s and updated_at = %(updated_at)s and sees_only_leads_of() is null
        """,
        {**row, "id": segment.id, "updated_at": segment.updated_at},
    )
    return Count(row["count"], row["at"], 0)


def _find(
    tx: Transaction, filter_: Filter, decided: Config, query: PageQuery, now: datetime, *, counted: bool
) -> tuple[Page[Lead], int]:
    """A page, and where it is wanted the count up to one more than the cap."""
    asked, values = condition(filter_, decided, now)
    # A cursor is good for this filter only.
    digest = hashlib.sha256(json.dumps(filter_.root, sort_keys=True).encode()).hexdigest()[:16]
    name = f"segment {digest}"
    after = position(query.cursor, name, NEWEST.parts)
    values |= {"limit": query.limit, "cap": COUNT_CAP} | {f"after_{place}": part for place, part in enumerate(after)}
    limit_time(tx, LONGEST)
    found = cursor(tx).execute(page_of(asked, goes_on=query.cursor is not None), values)
    counts = tx.execute(count_of(asked), values) if counted else None
    page = cut(_in_time(found), query.limit, name, NEWEST.key)
    return page, _in_time(counts)[0]["count"] if counts else 0


def _filter(segment: saved.Segment) -> Filter:
    """As it was saved; what the organization has decided since is judged when it is read."""
    return Filter.model_construct(root=segment.filter)


def limit_time(tx: Transaction, longest: timedelta) -> None:
    """The most that a statement of this transaction may take from here on."""
    milliseconds = max(1, int(longest.total_seconds() * 1000))
    tx.execute("select set_config('statement_timeout', %(limit)s, true)", {"limit": str(milliseconds)})


def _in_time(statement: Cursor[Any]) -> list[Any]:
    """Its rows. Raises SegmentTooSlow."""
    try:
        return statement.fetchall()
    except QueryCanceled:
        raise SegmentTooSlow from None
