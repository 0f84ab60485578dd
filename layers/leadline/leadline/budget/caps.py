"""What a member may spend in a month."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql

from leadline.db import Transaction as Tx
from leadline.errors import NotFound
from leadline.inputs import Input
from leadline.money import Money, rows_of
from leadline.pages import Page, PageQuery, cut, position


class NewCap(Input):
    """What a member may spend in a month of the organization's time zone."""

    monthly_amount: Money


@dataclass(frozen=True, slots=True)
class Cap:
    """What a member may spend in a month, and has spent in this one (what is held counts). Money as text."""

    member_id: UUID
    monthly_amount: str
    month: str
    spent: str
    remaining: str


CAP_COLUMNS = sql.SQL(
    """
    member_id, monthly_amount, to_char(this.month, 'YYYY-MM') as month,
    case cap.month when this.month then spent else 0 end as spent,
    greatest(0, monthly_amount - case cap.month when this.month then spent else 0 end) as remaining
    """
)
PAGE = sql.SQL(
    """
    select {columns} from budget_caps as cap
    cross join budget_month(now()) as this (month)
    where %(after)s::uuid is null or member_id > %(after)s
    order by member_id
    limit %(limit)s + 1
    """
)
PUT = sql.SQL(
    """
    select {columns} from cap_member(%(member_id)s, %(monthly_amount)s) as cap
    cross join budget_month(now()) as this (month)
    """
)
LIFT = sql.SQL(
    "select {columns} from uncap_member(%(member_id)s) as cap cross join budget_month(now()) as this (month)"
)


def caps(tx: Tx, query: PageQuery) -> Page[Cap]:
    """All caps. Raises BadCursor."""
    (after,) = position(query.cursor, "caps", (UUID,))
    rows = _caps(tx).execute(PAGE.format(columns=CAP_COLUMNS), {"after": after, "limit": query.limit}).fetchall()
    return cut(rows, query.limit, "caps", lambda cap: (cap.member_id,))


def cap(tx: Tx, member_id: UUID, new: NewCap) -> Cap:
    """Decides a member's cap; what the member has spent this month counts. Raises NotFound."""
    values: dict[str, Any] = {"member_id": member_id, "monthly_amount": new.monthly_amount}
    if not tx.execute("select from members where id = %(member_id)s", values).fetchall():
        raise NotFound
    (decided,) = _caps(tx).execute(PUT.format(columns=CAP_COLUMNS), values).fetchall()
    return decided


def uncap(tx: Tx, member_id: UUID) -> Cap:
    """Takes a member's cap away, and answers what it was. Raises NotFound."""
    lifted = _caps(tx).execute(LIFT.format(columns=CAP_COLUMNS), {"member_id": member_id}).fetchone()
    if lifted is None:
        raise NotFound
    return lifted


def _caps(tx: Tx) -> Cursor[Cap]:
    return tx.cursor(row_factory=rows_of(Cap))
