"""The proof that the ledger is right, from its transactions alone."""

from dataclasses import dataclass
from decimal import Decimal

from psycopg.rows import kwargs_row

from leadline.db import Transaction as Tx


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Something in the ledger that does not agree: which kind of check, of what, and the two figures."""

    finding: str
    subject: str
    expected: Decimal | None
    found: Decimal | None


def mismatches(tx: Tx) -> list[Mismatch]:
    """What does not agree: nothing, in a healthy ledger. Reads every transaction of the organization."""
    rows = tx.cursor(row_factory=kwargs_row(Mismatch)).execute("select * from ledger_mismatches()")
    return rows.fetchall()
