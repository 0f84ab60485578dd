"""What has happened to a lead, newest first."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow, class_row
from pydantic import BaseModel, ConfigDict

from leadline.db import Transaction
from leadline.errors import NotFound
from leadline.leads.shapes import select
from leadline.pages import Page, PageQuery, cut, instant, position

FIRST_ID, LAST_ID = UUID(int=0), UUID(int=2**128 - 1)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One field of a lead changed once."""

    id: UUID
    user_id: UUID | None
    field_name: str
    old_value: str | None
    new_value: str | None
    change_reason: str | None
    ip_address: str | None
    user_agent: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A lead came into a status, from another or, at its beginning, from none."""

    id: UUID
    from_status: str | None
    to_status: str
    user_id: UUID | None
    trigger_type: str
    trigger_id: str | None
    reason: str | None
    changed_at: datetime


class TimelineItem(BaseModel):
    """Something that happened to a lead; what else is said of it depends on its kind."""

    model_config = ConfigDict(extra="allow")

    at: datetime
    kind: str
    id: UUID


@dataclass(frozen=True)
class Source:
    """A table whose rows stand in the timeline: a kind, the column with their time, and what is told of them."""

    kind: str
    table: LiteralString
    at: LiteralString
    told: tuple[LiteralString, ...]


SOURCES = [
    Source(
        "assignment", "lead_assignments", "assigned_at", ("from_user", "to_user", "assigned_by", "strategy", "reason")
    ),
    Source(
        "audit", "lead_audit_log", "changed_at", ("field_name", "old_value", "new_value", "user_id", "change_reason")
    ),
    Source(
        "call",
        "calls",
        "occurred_at",
        ("call_id", "direction", "voice", "status", "outcome", "duration_seconds", "cost_usd", "recording_url"),
    ),
    Source(
        "enrollment",
        "lead_sequence_enrollments",
        "enrolled_at",
        ("sequence_id", "status", "enrolled_by", "completed_at", "pause_reason", "exit_reason"),
    ),
    Source("message", "messages", "occurred_at", ("message_id", "channel", "direction", "text", "status", "status_at")),
    Source("score", "lead_score_history", "calculated_at", ("score", "factors")),
    Source(
        "status",
        "lead_status_history",
        "changed_at",
        ("from_status", "to_status", "user_id", "trigger_type", "trigger_id", "reason"),
    ),
]


def audit(tx: Transaction, lead_id: UUID, query: PageQuery) -> Page[AuditEntry]:
    """Every change of every field of a lead. Raises NotFound and BadCursor."""
    order = f"audit {lead_id}"
    changed_at, entry_id = position(query.cursor, order, (instant, UUID))
    found = select(tx, lead_id)
    rows = tx.cursor(row_factory=class_row(AuditEntry)).execute(
        """
        select id, user_id, field_name, old_value, new_value, change_reason, ip_address, user_agent, changed_at
        from lead_audit_log
        where lead_id = %(lead_id)s
            and (%(entry_id)s::uuid is null or (changed_at, id) < (%(changed_at)s, %(entry_id)s))
        order by changed_at desc, id desc
        limit %(limit)s + 1
        """,
        {"lead_id": lead_id, "changed_at": changed_at, "entry_id": entry_id, "limit": query.limit},
    )
    if found.fetchone() is None:
        raise NotFound
    return cut(rows.fetchall(), query.limit, order, lambda entry: (entry.changed_at, entry.id))


def status_history(tx: Transaction, lead_id: UUID, query: PageQuery) -> Page[StatusChange]:
    """Every status a lead has had, with what brought it there. Raises NotFound and BadCursor."""
    order = f"statuses {lead_id}"
    changed_at, change_id = position(query.cursor, order, (instant, UUID))
    found = select(tx, lead_id)
    rows = tx.cursor(row_factory=class_row(StatusChange)).execute(
        """
        select id, from_status, to_status, user_id, trigger_type, trigger_id, reason, changed_at
        from lead_status_history
        where lead_id = %(lead_id)s
            and (%(change_id)s::uuid is null or (changed_at, id) < (%(changed_at)s, %(change_id)s))
        order by changed_at desc, id desc
        limit %(limit)s + 1
        """,
        {"lead_id": lead_id, "changed_at": changed_at, "change_id": change_id, "limit": query.limit},
    )
    if found.fetchone() is None:
        raise NotFound
    return cut(rows.fetchall(), query.limit, order, lambda change: (change.changed_at, change.id))


def timeline(tx: Transaction, lead_id: UUID, query: PageQuery) -> Page[TimelineItem]:
    """All that happened to a lead, from every source, by time, then kind, then id. Raises NotFound and BadCursor."""
    order = f"timeline {lead_id}"
    after = position(query.cursor, order, (instant, str, UUID))
    found = select(tx, lead_id)
    rows = [_of_source(tx, source, lead_id, query.limit, after) for source in SOURCES]
    if found.fetchone() is None:
        raise NotFound
    items = [TimelineItem.model_construct(**row) for cursor in rows for row in cursor.fetchall()]
    items.sort(key=lambda item: (item.at, item.kind, item.id), reverse=True)
    return cut(items[: query.limit + 1], query.limit, order, lambda item: (item.at, item.kind, item.id))


def _of_source(tx: Transaction, source: Source, lead_id: UUID, limit: int, after: list[Any]) -> Cursor[DictRow]:
    """The next rows of one source, not fetched yet: the statements of all sources travel together."""
    at, kind, item_id = after
    if kind is not None and kind != source.kind:
        # Of the instant at which the last page ended, kinds before this one are done, and those behind still to come.
        item_id = LAST_ID if source.kind < kind else FIRST_ID
    statement = sql.SQL(
        """
        select {at} as at, %(kind)s as kind, id, {told} from {table}
        where lead_id = %(lead_id)s
            and (%(after_id)s::uuid is null or ({at}, id) < (%(after)s, %(after_id)s))
        order by {at} desc, id desc
        limit %(limit)s + 1
        """
    ).format(
        at=sql.Identifier(source.at),
        told=sql.SQL(", ").join(map(sql.Identifier, source.told)),
        table=sql.Identifier(source.table),
    )
    values = {"kind": source.kind, "lead_id": lead_id, "after": at, "after_id": item_id, "limit": limit}
    return tx.execute(statement, values)
