"""Entries as they are stored, listed and exported."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import kwargs_row
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError, to_json

from leadline import sheets
from leadline.db import Transaction
from leadline.inputs import Input, Word
from leadline.pages import Export, Page, PageQuery, cut, instant, position

Reason = Literal["lead_requested", "legal_requirement", "complaint", "admin_added", "cooling_off", "ai_detected"]
REASONS = frozenset({"lead_requested", "legal_requirement", "complaint", "admin_added", "cooling_off", "ai_detected"})
BY_A_PERSON = frozenset({"lead_requested", "complaint", "ai_detected"})  # a person's own words: these never expire

EXPORTED_AT_ONCE = 20_000
CSV_COLUMNS = (
    *("phone_number", "reason", "source", "detected_phrase", "notes", "added_at", "expires_at"),
    *("id", "removed_at", "removal_reason"),
)


def _reasons(listed: str) -> str:
    if not set(listed.split(",")) <= REASONS:
        raise PydanticCustomError("literal_error", "Give reasons of an entry, separated by commas")
    return listed


@dataclass(frozen=True, slots=True)
class Entry:
    """A number on the list, or one that was; one with `removed_at` counts no more."""

    id: UUID
    phone_number: str
    reason: Reason
    source: str | None
    detected_phrase: str | None
    notes: str | None
    added_at: datetime
    expires_at: datetime | None
    removed_at: datetime | None
    removal_reason: str | None


class _Filters(Input):
    """Which entries: by reason and source (several separated by commas), those in force or those that have ended."""

    reason: Annotated[Word, AfterValidator(_reasons)] | None = None
    source: Word | None = None
    active: bool = True


class EntryQuery(_Filters, PageQuery):
    """The query string of the list."""


class ExportQuery(_Filters):
    """The query string of the export."""

    cursor: str | None = None


ENTRY_COLUMNS = sql.SQL(
    "id, phone_number, reason, source, detected_phrase, notes, added_at, expires_at, removed_at, removal_reason"
)


def entries(tx: Transaction) -> Cursor[Entry]:
    """A cursor whose rows are entries."""
    return tx.cursor(row_factory=kwargs_row(Entry))


def page(tx: Transaction, query: EntryQuery) -> Page[Entry]:
    """Entries, newest first. Raises BadCursor."""
    return cut(_newest(tx, query, query.cursor, query.limit), query.limit, _order(query), _key)


def export(tx: Transaction, query: ExportQuery, *, as_csv: bool) -> Export:
    """Up to 20,000 entries, newest first, or fewer where they are long, for an answer has a largest size.

    Raises BadCursor.
    """
    rows = _newest(tx, query, query.cursor, EXPORTED_AT_ONCE)
    found = cut(rows, EXPORTED_AT_ONCE, _order(query), _key)
    following = {**query.model_dump(mode="json", exclude_none=True, exclude_defaults=True), "cursor": found.next_cursor}
    next_page = f"/dnc/export?{urlencode(following)}" if found.next_cursor else None
    if not as_csv:
        return Export(text=to_json(found).decode(), content_type="application/json", next_page=next_page)
    table = ([getattr(entry, column) for column in CSV_COLUMNS] for entry in found.items)
    text = sheets.write(CSV_COLUMNS, table, as_they_are=frozenset({"phone_number"}))
    return Export(text=text, content_type="text/csv; charset=utf-8", next_page=next_page)


def _newest(tx: Transaction, filters: _Filters, cursor: str | None, limit: int) -> list[Entry]:
    """One row more than the limit, where there are more."""
    added_at, entry_id = position(cursor, _order(filters), (instant, UUID))
    statement = sql.SQL(
        """
        select {columns} from dnc_list
        where (removed_at is null and (expires_at is null or expires_at > now())) = %(active)s
            and (%(reasons)s::text[] is null or reason = any (%(reasons)s))
            and (%(sources)s::text[] is null or source = any (%(sources)s))
            and (%(entry_id)s::uuid is null or (added_at, id) < (%(added_at)s, %(entry_id)s))
        order by added_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=ENTRY_COLUMNS)
    values: dict[str, Any] = {
        "active": filters.active,
        "reasons": filters.reason and filters.reason.split(","),
        "sources": filters.source and filters.source.split(","),
        "added_at": added_at,
        "entry_id": entry_id,
        "limit": limit,
    }
    return entries(tx).execute(statement, values).fetchall()


def _order(filters: _Filters) -> str:
    chosen = repr((filters.active, filters.reason, filters.source))
    return f"dnc {hashlib.sha256(chosen.encode()).hexdigest()[:16]}"


def _key(entry: Entry) -> tuple[datetime, UUID]:
    return entry.added_at, entry.id
