"""Asking whether numbers are listed: one, or up to ten thousand at once."""

from dataclasses import dataclass, replace
from datetime import datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import to_json

from leadline import config, phone
from leadline.db import Transaction
from leadline.dnc.entries import Reason
from leadline.errors import Refused
from leadline.inputs import Input
from leadline.phone import BadPhone

MOST_NUMBERS = 10_000
LONGEST_SHOWN = 40  # of an input: an answer that repeats ten thousand long ones would not fit in 6 MB

Spelling = Any  # whatever stands in a list: what is no number is told so by itself


class OneOrMany(Refused):
    """Give either phone_number or phone_numbers."""


class Check(Input):
    """The number or the numbers to look up, in any usual spelling."""

    phone_number: Spelling = None
    phone_numbers: Annotated[list[Spelling], Field(min_length=1, max_length=MOST_NUMBERS)] | None = None


@dataclass(frozen=True, slots=True)
class CheckError:
    """Why an input is no number that could be looked up."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckItem:
    """What is known of one `input`, shown up to 40 characters; one with an `error` must not be contacted.

    An input that is no single value, or no finite one, is shown as text.
    """

    input: str | int | float | bool | None
    phone_number: str | None = None
    listed: bool | None = None
    reason: Reason | None = None
    source: str | None = None
    added_at: datetime | None = None
    expires_at: datetime | None = None
    error: CheckError | None = None


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """One item for each input, in the order of the inputs."""

    items: list[CheckItem]


def check(tx: Transaction, asked: Check) -> CheckAnswer:
    """Whether each number is listed at this instant; a bad one is an item with its error. Raises OneOrMany."""
    if ("phone_number" in asked.model_fields_set) == (asked.phone_numbers is not None):
        raise OneOrMany
    region = config.read(tx).default_region
    spellings = [asked.phone_number] if asked.phone_numbers is None else asked.phone_numbers
    items = [_read(spelling, region) for spelling in spellings]
    rows = tx.execute(
        """
        select entry.phone_number, true as listed, entry.reason, entry.source, entry.added_at, entry.expires_at
        from (select distinct unnest(%(numbers)s::text[])) as asked (phone_number)
        join dnc_list as entry on entry.phone_number = asked.phone_number
        where entry.removed_at is null and (entry.expires_at is null or entry.expires_at > now())
        """,
        {"numbers": [item.phone_number for item in items if item.phone_number]},
    ).fetchall()
    listed = {row["phone_number"]: row for row in rows}
    return CheckAnswer(items=[replace(item, **listed.get(item.phone_number or "", {})) for item in items])


def _read(spelling: Spelling, region: str) -> CheckItem:
    try:
        if not isinstance(spelling, str):
            raise BadPhone("Write the number as text.")
        number = phone.normalise(spelling, region)
    except BadPhone as bad:
        error = CheckError(code=bad.code, detail=bad.detail)
        return CheckItem(input=_shown(spelling), error=error)
    return CheckItem(input=_shown(spelling), phone_number=number, listed=False)


def _shown(spelling: Spelling) -> str | int | float | bool | None:
    text = spelling if isinstance(spelling, str) else to_json(spelling, inf_nan_mode="constants").decode()
    is_one_value = isfinite(spelling) if isinstance(spelling, float) else isinstance(spelling, str | int | None)
    return spelling if is_one_value and len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN]
