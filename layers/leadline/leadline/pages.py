"""Keyset pages: a list goes on where the last page ended, so rows that come and go neither repeat nor hide others."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import Field
from pydantic_core import to_json

from leadline.errors import Refused
from leadline.inputs import Input

LONGEST_CURSOR = 1000
LARGEST_EXPORT = 5_000_000  # bytes; a function may answer six million
Item = TypeVar("Item")
KeyPart = Callable[[str], Any]


class BadCursor(Refused):
    """This cursor was not made by this list; start again without one."""


class PageQuery(Input):
    """The query string of every list."""

    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = None


@dataclass(frozen=True)
class Page(Generic[Item]):
    """One page; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


def cut(rows: list[Item], limit: int, order: str, key: Callable[[Item], tuple[Any, ...]]) -> Page[Item]:
    """A page of `limit` from rows of which one more was read, to know whether there is a next page."""
    if len(rows) <= limit:
        return Page(rows, None)
    written = json.dumps([order, *map(str, key(rows[limit - 1]))]).encode()
    return Page(rows[:limit], base64.urlsafe_b64encode(written).decode().rstrip("="))


@dataclass(frozen=True, slots=True)
class Export:
    """One page of an export as it goes out, and the address of the next."""

    text: str
    content_type: str
    next_page: str | None


def fitting(rows: list[Item], limit: int) -> int:
    """How many of at most `limit` rows fit into one answer: at least one."""
    size, count = 0, 0
    for row in rows[:limit]:
        size += len(to_json(to_json(row).decode()))  # the answer is JSON in JSON, which escapes quotes twice
        if count and size > LARGEST_EXPORT:
            break
        count += 1
    return count or 1


def instant(text: str) -> datetime:
    """A key's time in UTC: PostgreSQL takes no offset of more than 16 hours. Raises ValueError."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def position(cursor: str | None, order: str, parts: tuple[KeyPart, ...]) -> list[Any]:
    """The key after which a page begins, as values of `parts`; nulls without a cursor. Raises BadCursor."""
    if cursor is None:
        return [None] * len(parts)
    if len(cursor) > LONGEST_CURSOR:
        raise BadCursor(field="cursor")
    try:
        made_by, *values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if made_by != order or len(values) != len(parts):
            raise BadCursor(field="cursor")
        return [part(value) for part, value in zip(parts, values, strict=True)]
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise BadCursor(field="cursor") from None
