"""Money: exact decimals inside, text outside. A JSON number is a float to most who read it, so no money is one."""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from psycopg import Cursor
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,4})?$"  # people's money; a call's cost can have six decimals

Shape = TypeVar("Shape")


def _amount(given: object) -> Decimal:
    if not isinstance(given, str) or not re.fullmatch(PATTERN.strip("^$"), given) or not Decimal(given):
        raise PydanticCustomError(
            "bad_amount",
            'Give money as text, as in "12.50": digits above zero, at most 12 before the point and 4 after it',
        )
    return Decimal(given)


def _as_given(given: str) -> str:
    _amount(given)
    return given


Money = Annotated[Decimal, BeforeValidator(_amount), WithJsonSchema({"type": "string", "pattern": PATTERN})]
MoneyText = Annotated[str, AfterValidator(_as_given), WithJsonSchema({"type": "string", "pattern": PATTERN})]


def written(amount: Decimal) -> str:
    """Money as answers have it: two to six decimals, and no exponent."""
    whole, _, decimals = f"{amount:.6f}".partition(".")
    return f"{whole}.{decimals.rstrip('0'):0<2}"


def rows_of(shape: type[Shape]) -> Callable[[Cursor[Any]], Callable[[Sequence[Any]], Shape]]:
    """A row factory of psycopg that makes an answer of each row, its money as text."""

    def rows(cursor: Cursor[Any]) -> Callable[[Sequence[Any]], Shape]:
        names = [column.name for column in cursor.description or ()]

        def row(values: Sequence[Any]) -> Shape:
            told = [written(value) if isinstance(value, Decimal) else value for value in values]
            return shape(**dict(zip(names, told, strict=True)))

        return row

    return rows
