"""What has happened that somebody should hear of: one row an occurrence, written in its own transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from pydantic import Field
from pydantic_core import to_json

from leadline import config
from leadline.db import Transaction
from leadline.inputs import Word
from leadline.pages import Page, PageQuery, cut, instant, position
from leadline.periods import Instant, as_instants, has_days


class EventQuery(PageQuery):
    """Which events: of types (separated by commas) and of a time; a bare date is that whole day."""

    type: Word | None = None
    first: Instant | None = Field(default=None, alias="from")
    last_to: Instant | None = Field(default=None, alias="to")


@dataclass(frozen=True, slots=True)
class DomainEvent:
    """Something that has happened to `subject_id`; `data` varies by type."""

    id: UUID
    type: str
    subject_id: str | None
    data: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to keep: one of the same type and occurrence is the same one."""

    type: str
    subject_id: str | None
    occurrence: str
    data: dict[str, Any]


def note(tx: Transaction, type_: str, subject_id: str | None, occurrence: str, data: Mapping[str, Any]) -> None:
    """Keeps an event; one of the same type and occurrence is kept already, and stays as it is."""
    tx.execute(
        """
        insert into domain_events (type, subject_id, occurrence, data)
        values (%(type)s, %(subject_id)s, %(occurrence)s, %(data)s)
        on conflict (organization_id, type, occurrence) do nothing
        """,
        {"type": type_, "subject_id": subject_id, "occurrence": occurrence, "data": Jsonb(dict(data))},
    )


def note_all(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Keeps several events in one statement."""
    if events:
        tx.execute(
            """
            insert into domain_events (type, subject_id, occurrence, data)
            select * from jsonb_to_recordset(%(events)s::jsonb) as event (
                type text, subject_id text, occurrence text, data jsonb
            )
            order by type, occurrence collate "C"
            on conflict (organization_id, type, occurrence) do nothing
            """,
            {"events": to_json(events).decode()},
        )


def page(tx: Transaction, query: EventQuery) -> Page[DomainEvent]:
    """Events, newest first. Raises BadCursor."""
    order = f"events {query.type} {query.first} {query.last_to}"
    created_at, event_id = position(query.cursor, order, (instant, UUID))
    times = {"first": query.first, "last_to": query.last_to}
    zone = ZoneInfo(config.read(tx).time_zone) if has_days(times) else None
    rows = tx.cursor(row_factory=kwargs_row(DomainEvent)).execute(
        """
        select id, type, subject_id, data, created_at from domain_events
        where (%(types)s::text[] is null or type = any (%(types)s))
            and (%(first)s::timestamptz is null or created_at >= %(first)s)
            and (%(last_to)s::timestamptz is null or created_at <= %(last_to)s)
            and (%(event_id)s::uuid is null or (created_at, id) < (%(created_at)s, %(event_id)s))
        order by created_at desc, id desc
        limit %(limit)s + 1
        """,
        {
            **as_instants(times, zone),
            "types": query.type and query.type.split(","),
            "created_at": created_at,
            "event_id": event_id,
            "limit": query.limit,
        },
    )
    return cut(rows.fetchall(), query.limit, order, lambda one: (one.created_at, one.id))
