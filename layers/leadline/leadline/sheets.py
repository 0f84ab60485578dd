"""CSV, as spreadsheets read and write it."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from leadline.errors import Refused

# What a spreadsheet would run as a formula; an apostrophe before it makes it text.
FORMULA = ("=", "+", "-", "@", "\t")


class MalformedCsv(Refused):
    """The body is not CSV in UTF-8 with a header and cells of at most 128 kB."""


class UnknownField(Refused):
    """The header names a column that there is not, or one of them twice."""


class NulCharacter(Refused):
    """A NUL character cannot be stored."""


def read(raw: bytes, columns: frozenset[str]) -> Iterator[dict[str, str]]:
    """The rows below the header, each without its empty cells; an apostrophe that `write` has put is taken away.

    Empty lines and commas that end a line count for nothing. Cells beyond the header are named by their place, so that
    a row with too many is refused and not shifted.
    Raises MalformedCsv, UnknownField and NulCharacter.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise MalformedCsv from None
    if "\0" in text:
        raise NulCharacter
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next((cells for cells in lines if any(map(str.strip, cells))), list[str]())]
        if not header:
            raise MalformedCsv
        while not header[-1]:
            header.pop()
        if len(set(header)) < len(header) or not set(header) <= columns:
            raise UnknownField
        for cells in lines:
            if any(cells):
                names = header + [f"column {place}" for place in range(len(header) + 1, len(cells) + 1)]
                yield {name: _plain(cell) for name, cell in zip(names, cells, strict=False) if cell}
    except csv.Error:
        raise MalformedCsv from None


def write(columns: Sequence[str], rows: Iterable[Iterable[object]], *, as_they_are: frozenset[str]) -> str:
    """A header and rows; cells that look like a formula become text, but for columns that are written as they are."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(columns)
    for row in rows:
        cells = zip(columns, row, strict=True)
        writer.writerow([_written(cell, as_it_is=column in as_they_are) for column, cell in cells])
    return stream.getvalue()


def _written(cell: object, *, as_it_is: bool) -> str:
    text = "" if cell is None else cell.isoformat() if isinstance(cell, datetime) else str(cell)
    return "'" + text if _is_formula(text) and not as_it_is else text


def _plain(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    """A formula, or one behind apostrophes of its own, which would be taken for ours when it is read again."""
    return text.lstrip("'").startswith(FORMULA)
