"""What a filter may ask: the fields of a lead, the type of each, and the operators and values of each type."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from leadline.config import Country, CustomField
from leadline.inputs import Input, Name, Text, Word
from leadline.leads.shapes import Status, Tag
from leadline.periods import Instant

MOST_VALUES = 1_000
LONGEST_PERIOD = timedelta(days=36_500)
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
CUSTOM = "custom_fields."


# Values -------------------------------------------------------------------------------------------------------------


def _number(value: object) -> Decimal:
    """As JSON wrote it: a float's digits and not its bits. The bound keeps absurd ones from the database."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 10**30:
        raise PydanticCustomError("number_type", "Give a number between -1e30 and 1e30")
    return Decimal(str(value))


def _day(value: object) -> str:
    """In the form in which custom fields keep it, which sorts as text."""
    try:
        if isinstance(value, str) and date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass  # is no date, as the line below says
    raise PydanticCustomError("date_type", "Give a date, as in 2024-01-31")


def _period(value: object) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,7})([mhdw])", value) if isinstance(value, str) else None
    if found is None or (period := int(found[1]) * UNITS[found[2]]) > LONGEST_PERIOD:
        raise PydanticCustomError(
            "bad_period", "Give a number with m, h, d or w for its unit, as in 7d; at most 100 years"
        )
    return period


def _period_of_days(value: object) -> timedelta:
    if isinstance(value, str) and value[-1:] not in ("d", "w"):
        raise PydanticCustomError("bad_period", "Of a date, give a number of days or weeks, as in 7d")
    return _period(value)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _lower(text: str) -> str:
    return text.lower()


Flag = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)]
Number = Annotated[Decimal, BeforeValidator(_number)]
Day = Annotated[str, BeforeValidator(_day)]
Period = Annotated[timedelta, BeforeValidator(_period)]
PeriodOfDays = Annotated[timedelta, BeforeValidator(_period_of_days)]
Prefix = Annotated[Text, Field(min_length=1), AfterValidator(_composed)]
Address = Annotated[Word, AfterValidator(_lower)]
AddressPrefix = Annotated[Text, Field(min_length=1), AfterValidator(_lower)]
V = TypeVar("V")
P = TypeVar("P")
Several = Annotated[list[V], Field(min_length=1, max_length=MOST_VALUES)]
Pair = Annotated[list[V], Field(min_length=2, max_length=2)]


# Operators by type: a test of a field has one of these shapes --------------------------------------------------------


class Test(Input):
    """What every field can be asked: whether there is a value."""

    exists: Flag | None = None


class BooleanTest(Test):
    """Of true and false."""

    eq: Flag | None = None
    ne: Flag | None = None


class EqualTest(Test, Generic[V]):
    """Of values that are the same or are not."""

    eq: V | None = None
    ne: V | None = None
    one_of: Several[V] | None = Field(default=None, alias="in")


class TextTest(EqualTest[V], Generic[V, P]):
    """Of text."""

    starts_with: P | None = None


class OrderTest(EqualTest[V]):
    """Of values that have an order."""

    gt: V | None = None
    gte: V | None = None
    lt: V | None = None
    lte: V | None = None
    between: Pair[V] | None = None


class TimeTest(OrderTest[V], Generic[V, P]):
    """Of instants and days."""

    within_last: P | None = None
    older_than: P | None = None


class TagsTest(Test):
    """Of a lead's tags."""

    contains_any: Several[Tag] | None = None
    contains_all: Several[Tag] | None = None
    contains_none: Several[Tag] | None = None


Kind = Literal[
    "status", "integer", "number", "boolean", "instant", "date", "tags", "id", "country",
    "text", "name", "full_name", "email", "phone", "custom_text", "choice",
]  # fmt: skip
SHAPES: Mapping[Kind, type[Test]] = {
    "status": EqualTest[Status],
    "integer": OrderTest[Integer],
    "number": OrderTest[Number],
    "boolean": BooleanTest,
    "instant": TimeTest[Instant, Period],
    "date": TimeTest[Day, PeriodOfDays],
    "tags": TagsTest,
    "id": EqualTest[UUID],
    "country": EqualTest[Country],
    "text": TextTest[Word, Prefix],
    "name": TextTest[Name, Prefix],
    "full_name": TextTest[Name, Prefix],
    "email": TextTest[Address, AddressPrefix],
    "phone": TextTest[Word, Prefix],
    "custom_text": TextTest[Text, Annotated[Text, Field(min_length=1)]],
    "choice": EqualTest[Text],
}


# Fields -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskedField:
    """A column of a lead, or a custom field by its name, and how it is asked."""

    name: str
    kind: Kind
    is_custom: bool = False
    choices: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "status": "status",
    "lead_score": "integer",
    "source": "text",
    "sub_source": "text",
    "tags": "tags",
    "first_name": "name",
    "last_name": "name",
    "full_name": "full_name",
    "city": "text",
    "state": "text",
    "zip": "text",
    "country": "country",
    "time_zone": "text",
    "email": "email",
    "phone_number": "phone",
    "user_id": "id",
    "created_at": "instant",
    "updated_at": "instant",
    "last_contact": "instant",
    "last_contact_date": "instant",
    "interaction_count": "integer",
    "calling_blocked": "boolean",
}
COLUMNS = {"last_contact": "last_contact_date"}  # where a field is not named as its column
CUSTOM_KINDS: Mapping[str, Kind] = {
    "text": "custom_text",
    "number": "number",
    "boolean": "boolean",
    "date": "date",
    "choice": "choice",
}


def find(name: str, declared: Mapping[str, CustomField]) -> AskedField | None:
    """The field of that name, or None where leads of this organization have no such field."""
    if name.startswith(CUSTOM):
        custom = declared.get(name.removeprefix(CUSTOM))
        return AskedField(custom.name, CUSTOM_KINDS[custom.type], True, tuple(custom.choices)) if custom else None
    return AskedField(COLUMNS.get(name, name), KINDS[name]) if name in KINDS else None


def operators(shape: type[Test]) -> dict[str, str]:
    """The operators of a type as a filter writes them, and the field of its shape."""
    return {field.alias or name: name for name, field in shape.model_fields.items()}


def all_operators() -> frozenset[str]:
    """Every operator of any type."""
    return frozenset(operator for shape in SHAPES.values() for operator in operators(shape))


def bare(kind: Kind, raw: Any) -> str:
    """The operator that a value without one stands for."""
    if kind == "tags":
        return "contains_any"
    return "in" if isinstance(raw, list) else "eq"
