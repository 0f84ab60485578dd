"""Keyset pages: a list goes on where the last page ended, so rows that come and go neither repeat nor hide others."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import Field
from pydantic_core import to_json

from leadline.errors import Refused
from leadline.inputs import Input

LONGEST_CURSOR = 3000  # a name or a filter of 200 characters can take 1,200 bytes as JSON
LARGEST_PAGE = 5_000_000  # bytes; a function may answer six million
ROWS_THAT_FIT = 50  # of any list: each would have to be over 100 kB, which none is
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


@dataclass(frozen=True, slots=True)
class Export:
    """One page of an export as it goes out, and the address of the next."""

    text: str
    content_type: str
    next_page: str | None


def cut(rows: list[Item], limit: int, order: str, key: Callable[[Item], tuple[Any, ...]]) -> Page[Item]:
    """A page of `limit` from rows of which one more was read, to know whether there is a next page.

    It is shorter where the rows are so long that an answer could not hold them.
    """
    count = fitting(rows, limit)
    if count == len(rows):
        return Page(rows, None)
    written = json.dumps([order, *map(str, key(rows[count - 1]))], ensure_ascii=False).encode()
    return Page(rows[:count], base64.urlsafe_b64encode(written).decode().rstrip("="))


def fitting(rows: list[Any], limit: int) -> int:
    """How many of the first `limit` rows fit into one answer; one always does."""
    shown = rows[:limit]
    if len(shown) <= ROWS_THAT_FIT:
        return len(shown)
    # The answer is JSON as a text within JSON: there a quote and a backslash take two bytes, and nothing takes more.
    if 2 * len(to_json(shown)) <= LARGEST_PAGE:
        return len(shown)
    size = 0
    for place, row in enumerate(shown):
        size += len(to_json(to_json(row).decode()))
        if place and size > LARGEST_PAGE:
            return place
    return len(shown)


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
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise BadCursor(field="cursor") from None
