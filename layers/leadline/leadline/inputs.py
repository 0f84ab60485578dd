"""What every input has in common: unknown fields are refused, text is trimmed, and PostgreSQL can keep what gets in."""

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, cast

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

LARGEST_OBJECT = 16_384  # bytes of an object that a caller has made, as JSON


class Input(BaseModel):
    """A body or a query string: strict about names, and silent about values (errors are logged and shown)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def code_of(error_type: str) -> str:
    """Our stable code for one of pydantic's error types, which but for one are stable codes as they are."""
    return "unknown_field" if error_type == "extra_forbidden" else error_type


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "A NUL character cannot be stored")
    return text


def folded(address: str) -> str:
    """An email address as it is compared: trimmed, and A to Z as a to z.

    No other letter is folded: languages and machines disagree on how. In SQL it is lower(email collate "C").
    """
    return "".join(letter.lower() if letter.isascii() else letter for letter in address.strip())


def is_too_large(value: dict[str, Any]) -> bool:
    """Whether an object is over 16 kB as JSON. Raises ValueError for what JSON does not have."""
    return len(json.dumps(value, allow_nan=False)) > LARGEST_OBJECT


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL's jsonb takes: no NUL, no NaN or Infinity; at most 16 kB."""
    try:
        too_large = is_too_large(value)
    except ValueError:
        raise PydanticCustomError("not_a_json_number", "A number must be finite and not of absurd length") from None
    if any("\0" in text for text in _texts(value)):
        raise PydanticCustomError("nul_character", "A NUL character cannot be stored")
    if too_large:
        raise PydanticCustomError("too_large", "The object is over 16 kB")
    return value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, the names included."""
    match value:
        case str():
            yield value
        case dict():
            for name, inner in cast("dict[str, Any]", value).items():
                yield name
                yield from _texts(inner)
        case list():
            for inner in cast("list[Any]", value):
                yield from _texts(inner)
        case _:
            return


@cache
def time_zones() -> frozenset[str]:
    """Every IANA name, as the pinned tzdata lists them: not what a machine has beside (localtime, right/UTC)."""
    return frozenset(files("tzdata").joinpath("zones").read_text().split())


def _time_zone(name: str) -> str:
    if name not in time_zones():
        raise PydanticCustomError("bad_time_zone", "Give the IANA name, as in America/New_York")
    return name


def _of_these_centuries(time: datetime) -> datetime:
    if not 1900 <= time.year < 2200:
        raise PydanticCustomError("bad_time", "Give a time between the years 1900 and 2200")
    return time


def _in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC)


def _as_one_writes_it(name: str) -> str:
    """The same name is the same text: composed characters (NFC), and one space where there are several."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", name))


Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_without_nul)
]
Name = Annotated[Word, AfterValidator(_as_one_writes_it)]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_without_nul)]  # as it is, spaces too
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_without_nul)]
Moment = Annotated[AwareDatetime, AfterValidator(_of_these_centuries)]  # keeps its offset, and so the person's day
Instant = Annotated[Moment, AfterValidator(_in_utc)]
TimeZone = Annotated[Word, AfterValidator(_time_zone)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
