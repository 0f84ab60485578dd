"""Saved segments: who sees and who changes one, and what is kept of it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from pydantic import Field, StringConstraints

from leadline import config
from leadline.db import Transaction
from leadline.errors import Forbidden, NotFound
from leadline.inputs import Input, Text, Word
from leadline.pages import Page, PageQuery, cut, instant, position
from leadline.segments.language import Filter, require_fitting

Description = Annotated[Text, StringConstraints(strip_whitespace=True)]


class MayNotChangeSegment(Forbidden):
    """The member who made a segment changes it, or an admin."""


class NewSegment(Input):
    """A filter to keep under a name; one that `is_public` is there for the whole organization."""

    name: Word
    filter: Filter
    description: Description | None = None
    is_public: bool = False


def _none_given() -> Filter:
    return Filter({})


class SegmentChange(Input):
    """What to change of a segment: only the fields that are given."""

    name: Word = Field(default_factory=str)
    filter: Filter = Field(default_factory=_none_given)
    description: Description | None = None
    is_public: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it is stored and answered; its count is as old as `last_calculated_at` says.

    Who sees his own leads only is told no count of all.
    """

    id: UUID
    owner_id: UUID | None
    name: str
    description: str | None
    filter: dict[str, Any]
    is_public: bool
    lead_count: int | None
    last_calculated_at: datetime | None
    created_at: datetime
    updated_at: datetime


COLUMNS = sql.SQL(
    "id, owner_id, name, description, filter, is_public, "
    "case when sees_only_leads_of() is null then lead_count end as lead_count, "
    "case when sees_only_leads_of() is null then last_calculated_at end as last_calculated_at, created_at, updated_at"
)
VISIBLE = sql.SQL("(is_public or owner_id = current_user_id() or %(sees_all)s)")


def rows(tx: Transaction) -> Cursor[Segment]:
    """A cursor whose rows are segments; its statement answers COLUMNS."""
    return tx.cursor(row_factory=class_row(Segment))


def get(tx: Transaction, segment_id: UUID, *, sees_all: bool = False) -> Segment:
    """A segment that is public or the caller's, or any where he `sees_all`. Raises NotFound."""
    statement = sql.SQL("select {columns} from segments where id = %(segment_id)s and {visible}")
    values = {"segment_id": segment_id, "sees_all": sees_all}
    segment = rows(tx).execute(statement.format(columns=COLUMNS, visible=VISIBLE), values).fetchone()
    if segment is None:
        raise NotFound
    return segment


def page(tx: Transaction, query: PageQuery, *, sees_all: bool = False) -> Page[Segment]:
    """The segments that the caller sees, newest first. Raises BadCursor."""
    created_at, segment_id = position(query.cursor, "segments", (instant, UUID))
    statement = sql.SQL(
        """
        select {columns} from segments
        where {visible}
            and (%(created_at)s::timestamptz is null or (created_at, id) < (%(created_at)s, %(segment_id)s::uuid))
        order by created_at desc, id desc limit %(limit)s + 1
        """
    ).format(columns=COLUMNS, visible=VISIBLE)
    values = {"created_at": created_at, "segment_id": segment_id, "limit": query.limit, "sees_all": sees_all}
    found = rows(tx).execute(statement, values).fetchall()
    return cut(found, query.limit, "segments", lambda segment: (segment.created_at, segment.id))


def create(tx: Transaction, new: NewSegment) -> Segment:
    """A new segment of the caller's. Raises Invalid where the filter does not fit the organization's fields."""
    require_fitting(new.filter, config.read(tx), "/filter")
    statement = sql.SQL(
        """
        insert into segments (name, description, filter, is_public)
        values (%(name)s, %(description)s, %(filter)s, %(is_public)s)
        returning {columns}
        """
    ).format(columns=COLUMNS)
    values = {**new.model_dump(exclude={"filter"}), "filter": Jsonb(new.filter.root)}
    return rows(tx).execute(statement, values).fetchall()[0]


def change(tx: Transaction, segment_id: UUID, change: SegmentChange, *, is_admin: bool = False) -> Segment:
    """The segment with the given fields changed; another filter has no count yet.

    Raises NotFound, MayNotChangeSegment and Invalid.
    """
    before = _require_own(tx, segment_id, is_admin=is_admin)
    given = change.model_dump(include=change.model_fields_set - {"filter"})
    if "filter" in change.model_fields_set:
        require_fitting(change.filter, config.read(tx), "/filter")
        given |= {"filter": Jsonb(change.filter.root)}
        if change.filter.root != before.filter:
            given |= {"lead_count": None, "last_calculated_at": None, "last_tried_at": None}
    if not given:
        return before
    statement = sql.SQL(
        "update segments set {assignments}, updated_at = now() where id = %(segment_id)s returning {columns}"
    ).format(
        assignments=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in given
        ),
        columns=COLUMNS,
    )
    after = rows(tx).execute(statement, {**given, "segment_id": segment_id}).fetchone()
    if after is None:
        raise NotFound  # deleted meanwhile
    return after


def delete(tx: Transaction, segment_id: UUID, *, is_admin: bool = False) -> None:
    """Deletes a segment; the leads stay. Raises NotFound and MayNotChangeSegment."""
    _require_own(tx, segment_id, is_admin=is_admin)
    tx.execute("delete from segments where id = %(segment_id)s", {"segment_id": segment_id})


def _require_own(tx: Transaction, segment_id: UUID, *, is_admin: bool) -> Segment:
    mine = tx.execute("select current_user_id() as id")
    segment = get(tx, segment_id, sees_all=is_admin)
    if not is_admin and segment.owner_id not in [row["id"] for row in mine.fetchall()]:
        raise MayNotChangeSegment
    return segment
