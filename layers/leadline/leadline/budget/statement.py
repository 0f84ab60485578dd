"""The ledger as it is read: pages of transactions, as JSON or as CSV."""

import hashlib
from typing import Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import sql
from pydantic_core import to_json

from leadline import config, sheets
from leadline.budget.shapes import TRANSACTION_COLUMNS, Account, Transaction, TransactionType, transactions
from leadline.db import Transaction as Tx
from leadline.inputs import Word
from leadline.pages import Export, Page, PageQuery, cut, fitting, instant, position
from leadline.periods import Instant, as_instants, has_days

EXPORTED_AT_ONCE = 20_000
CSV_COLUMNS = (
    *("created_at", "sequence", "transaction_type", "amount", "from_account", "to_account", "balance_before"),
    *("balance_after", "description", "reference_type", "reference_id", "user_id", "hold_id", "refund_of"),
    *("created_by", "id"),
)


class TransactionQuery(PageQuery):
    """Which transactions; `account` is on either side, a bare date is that whole day. CSV comes 20,000 at a time."""

    transaction_type: TransactionType | None = None
    account: Account | None = None
    reference_type: Word | None = None
    reference_id: Word | None = None
    user_id: UUID | None = None
    created_from: Instant | None = None
    created_to: Instant | None = None


NEWEST = sql.SQL(
    """
    select {columns} from budget_transactions
    where (%(transaction_type)s::text is null or transaction_type = %(transaction_type)s)
        and (%(account)s::text is null or from_account = %(account)s or to_account = %(account)s)
        and (%(reference_type)s::text is null or reference_type = %(reference_type)s)
        and (%(reference_id)s::text is null or reference_id = %(reference_id)s)
        and (%(user_id)s::uuid is null or user_id = %(user_id)s)
        and (%(created_from)s::timestamptz is null or created_at >= %(created_from)s)
        and (%(created_to)s::timestamptz is null or created_at <= %(created_to)s)
        and (%(after_id)s::uuid is null or (created_at, id) < (%(after_time)s, %(after_id)s))
    order by created_at desc, id desc
    limit %(limit)s + 1
    """
)


def page(tx: Tx, query: TransactionQuery) -> Page[Transaction]:
    """Transactions, newest first. Raises BadCursor."""
    return cut(_newest(tx, query, query.limit), query.limit, _order(query), _key)


def export(tx: Tx, query: TransactionQuery) -> Export:
    """Up to 20,000 transactions as CSV, newest first, or fewer where they are long. Raises BadCursor."""
    rows = _newest(tx, query, EXPORTED_AT_ONCE)
    found = cut(rows, fitting(rows, EXPORTED_AT_ONCE), _order(query), _key)
    following = {**query.model_dump(mode="json", exclude_none=True), "cursor": found.next_cursor}
    next_page = f"/budget/transactions?{urlencode(following)}" if found.next_cursor else None
    table = ([getattr(row, column) for column in CSV_COLUMNS] for row in found.items)
    text = sheets.write(CSV_COLUMNS, table, as_they_are=frozenset({"amount", "balance_before", "balance_after"}))
    return Export(text=text, content_type="text/csv; charset=utf-8", next_page=next_page)


def as_answered(tx: Tx, query: TransactionQuery, accepted: str) -> Export:
    """What the caller accepts: CSV where it asks for it, JSON otherwise. Raises BadCursor."""
    if "text/csv" in accepted.lower():
        return export(tx, query)
    return Export(text=to_json(page(tx, query)).decode(), content_type="application/json", next_page=None)


def _newest(tx: Tx, query: TransactionQuery, limit: int) -> list[Transaction]:
    """One row more than the limit, where there are more."""
    after_time, after_id = position(query.cursor, _order(query), (instant, UUID))
    given: dict[str, Any] = query.model_dump(exclude={"limit", "cursor"})
    zone = ZoneInfo(config.read(tx).time_zone) if has_days(given) else None
    values = {**as_instants(given, zone), "after_time": after_time, "after_id": after_id, "limit": limit}
    return transactions(tx).execute(NEWEST.format(columns=TRANSACTION_COLUMNS), values).fetchall()


def _order(query: TransactionQuery) -> str:
    filters = repr(sorted(query.model_dump(exclude={"limit", "cursor"}, exclude_none=True).items()))
    return f"budget {hashlib.sha256(filters.encode()).hexdigest()[:16]}"


def _key(transaction: Transaction) -> tuple[Any, UUID]:
    return transaction.created_at, transaction.id
