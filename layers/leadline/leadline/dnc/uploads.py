"""Whole lists at once, as JSON or CSV."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from psycopg import sql
from pydantic import ValidationError
from pydantic_core import from_json

from leadline import config, sheets
from leadline.db import Transaction
from leadline.dnc.additions import Addition, NewEntry, addition, lock_numbers, write
from leadline.dnc.entries import CSV_COLUMNS
from leadline.errors import MalformedJson, Refused
from leadline.inputs import code_of

MOST_ROWS = 50_000
OF_THE_EXPORT = frozenset({"id", "added_at"})
COUNTS = sql.SQL("count(*) filter (where is_new) as added")
MOST_REFUSALS = 20_000  # told one by one; all of them could make an answer larger than a function may give


class TooManyRows(Refused):
    """An import has at most 50,000 rows a call; send the rest in another one."""


class NotAList(Refused):
    """Send a JSON list of entries, or text/csv with a header."""


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not taken; the first row after a CSV's header is 1, and so is the first of a list."""

    row: int
    field: str | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the rows; `refused` names the first 20,000 that were not taken, `refused_count` counts all."""

    rows: int
    added: int
    listed_already: int
    refused_count: int
    refused: list[RefusedRow]


@dataclass(frozen=True)
class _Read:
    additions: list[Addition]
    refused: list[RefusedRow]


def take(tx: Transaction, raw: bytes, *, is_csv: bool) -> Taken:
    """Lists all numbers of a file but those of bad rows, which are told; one that is listed has the stricter of both.

    Raises MalformedJson, MalformedCsv, NotAList, TooManyRows and UnknownField.
    """
    rows = _table(raw) if is_csv else _list(raw)
    if len(rows) > MOST_ROWS:
        raise TooManyRows
    found = _judge(rows, config.read(tx), datetime.now(UTC))
    lock_numbers(tx, [one.phone_number for one in found.additions])
    (counts,) = write(tx, found.additions, COUNTS).fetchall()
    return Taken(
        rows=len(rows),
        added=counts["added"],
        listed_already=len(found.additions) - counts["added"],
        refused_count=len(found.refused),
        refused=found.refused[:MOST_REFUSALS],
    )


def _table(raw: bytes) -> list[dict[str, str]]:
    """The rows of a CSV, which may be an export of ours: what it tells beside an entry is passed over.

    But not that the entry has ended: such a row has a field too many, and is refused.
    """
    rows = sheets.read(raw, frozenset([*NewEntry.model_fields, *CSV_COLUMNS]))
    return [{name: cell for name, cell in row.items() if name not in OF_THE_EXPORT} for row in rows]


def _list(raw: bytes) -> list[Any]:
    try:
        rows = from_json(raw, allow_inf_nan=False)
    except ValueError:
        raise MalformedJson from None
    if not isinstance(rows, list):
        raise NotAList
    return cast("list[Any]", rows)


def _judge(rows: list[Any], decided: config.Config, now: datetime) -> _Read:
    found = _Read([], [])
    for number, row in enumerate(rows, start=1):
        try:
            found.additions.append(addition(NewEntry.model_validate(row), decided, now))
        except ValidationError as wrong:
            first = wrong.errors(include_input=False, include_url=False, include_context=False)[0]
            field = str(first["loc"][0]) if first["loc"] else None
            found.refused.append(RefusedRow(row=number, field=field, code=code_of(first["type"]), detail=first["msg"]))
        except Refused as wrong:
            field = wrong.errors[0].pointer.removeprefix("/") if wrong.errors else None
            found.refused.append(RefusedRow(row=number, field=field, code=wrong.code, detail=wrong.detail))
    return found
