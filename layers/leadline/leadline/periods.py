"""Ranges of time in a query string: instants, and days as the organization's time zone has them."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def _instant(text: object) -> object:
    """A bare date stays one: which instants it means is for the organization's time zone to say."""
    try:
        if not isinstance(text, str) or not re.match(r"(19|2\d)\d\d-", text):
            raise ValueError
        if len(text) == len("2024-01-31"):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
    except ValueError:
        raise PydanticCustomError(
            "bad_instant", "Give a date, or an instant with its offset, as in 2024-01-31T09:00:00Z (+ is written %2B)"
        ) from None
    return moment.astimezone(UTC)


Instant = Annotated[datetime | date, BeforeValidator(_instant)]


def has_days(given: Mapping[str, Any]) -> bool:
    """Whether a time zone is needed to read these."""
    return any(map(_is_day, given.values()))


def as_instants(given: Mapping[str, Any], zone: ZoneInfo | None) -> dict[str, Any]:
    """The same with each bare date as an instant of the zone: its first one, or of a name in `_to` its last."""
    return {name: _edge(name, value, zone) if _is_day(value) else value for name, value in given.items()}


def _edge(name: str, day: date, zone: ZoneInfo | None) -> datetime:
    if not name.endswith("_to"):
        return datetime.combine(day, time.min, zone).astimezone(UTC)
    return datetime.combine(day + timedelta(days=1), time.min, zone).astimezone(UTC) - timedelta(microseconds=1)


def _is_day(value: object) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)
