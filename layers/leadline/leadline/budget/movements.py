"""Money that comes in, is spent, comes back or is corrected; and the balances."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from leadline import config, metrics
from leadline.budget.shapes import (
    TRANSACTION_COLUMNS,
    Balances,
    Budget,
    InsufficientBudget,
    NewAdjustment,
    NewCredit,
    NewDebit,
    NewRefund,
    NotRefundable,
    RefundTooLarge,
    Transaction,
    UnknownMember,
    transactions,
)
from leadline.db import Transaction as Tx
from leadline.db import fetch_one
from leadline.errors import NotFound
from leadline.idempotency import IdempotencyConflict
from leadline.money import written

BOOK = sql.SQL(
    """
    select {columns} from book_budget(
        %(kind)s, %(amount)s, %(user_id)s, %(reference_type)s, %(reference_id)s, %(description)s, %(metadata)s, %(key)s
    )
    """
)
REFUND = sql.SQL(
    """
    select {columns} from refund_budget(
        %(transaction_id)s, %(amount)s, %(description)s, %(metadata)s, %(key)s
    )
    """
)


def balance(tx: Tx) -> Budget:
    """What is available, held and owed, in the organization's currency."""
    found = tx.execute("select account, balance from budget_accounts where account in ('available', 'held', 'overage')")
    decided = config.read(tx)
    balances: dict[str, Decimal] = {row["account"]: row["balance"] for row in found.fetchall()}
    nothing = Decimal(0)
    return Budget(
        available=written(balances.get("available", nothing)),
        held=written(balances.get("held", nothing)),
        overage=written(-balances.get("overage", nothing)),
        currency=decided.currency,
    )


def lock_available(tx: Tx) -> Cursor[DictRow]:
    """Makes this transaction the only one to move the organization's money until it ends; unfetched, for `balances`.

    Comes after the locks on numbers, calls, leads and enrollments; the ledger itself waits for nothing after it.
    """
    return tx.execute("select available, held, overage, rooms from lock_budget()")


def balances(locked: Cursor[DictRow]) -> Balances:
    """What `lock_available` has found."""
    (row,) = locked.fetchall()
    rooms = {UUID(member): Decimal(str(room)) for member, room in row["rooms"].items()}
    return Balances(row["available"], row["held"], row["overage"], rooms)


def credit(tx: Tx, new: NewCredit, *, key: str | None = None) -> Transaction:
    """Money that comes in, in full; what is owed is then paid from it. Raises UnknownMember and IdempotencyConflict."""
    return _book(tx, "credit", new, key)


def debit(tx: Tx, new: NewDebit, *, key: str | None = None) -> Transaction:
    """Money that is spent. Raises InsufficientBudget, UnknownMember and IdempotencyConflict."""
    booked = _book(tx, "debit", new, key)
    if key is None:  # under a key it may be the first one's
        count_spend(new.amount, new.reference_type)
    return booked


def adjust(tx: Tx, new: NewAdjustment, *, key: str | None = None) -> Transaction:
    """A correction, up or down. Raises InsufficientBudget, UnknownMember and IdempotencyConflict."""
    return _book(tx, "adjustment up" if new.direction == "credit" else "adjustment down", new, key)


def refund(tx: Tx, new: NewRefund, *, key: str | None = None) -> Transaction:
    """What was spent, given back to available; what is owed is then paid from it.

    Raises NotFound, NotRefundable, RefundTooLarge and IdempotencyConflict.
    """
    values = {**vars(new), "metadata": Jsonb(new.metadata), "key": key}
    found = transactions(tx).execute(REFUND.format(columns=TRANSACTION_COLUMNS), values).fetchone()
    if found is not None:
        same = found.refund_of == new.transaction_id
        return _first(found, same=same and (new.amount is None or Decimal(found.amount) == new.amount))
    original = tx.execute("select to_account from budget_transactions where id = %(transaction_id)s", values).fetchone()
    if original is None:
        raise NotFound
    if not original["to_account"].endswith("_spend"):
        raise NotRefundable(field="transaction_id")
    raise RefundTooLarge(field="amount")


def count_spend(amount: Decimal, reference_type: str) -> None:
    """For the graph of what is spent, in hundredths of the organization's currency; the ledger is the truth."""
    metrics.count("SpendBooked", float(amount * 100), ReferenceType=reference_type)


def require_member(tx: Tx, user_id: UUID | None) -> None:
    """Raises UnknownMember where the id is no member's of this organization."""
    if user_id is not None and not tx.execute("select from members where id = %(id)s", {"id": user_id}).fetchall():
        raise UnknownMember(field="user_id")


def _book(tx: Tx, kind: str, new: NewCredit | NewDebit | NewAdjustment, key: str | None) -> Transaction:
    require_member(tx, new.user_id)
    values: dict[str, Any] = {**vars(new), "kind": kind, "metadata": Jsonb(new.metadata), "key": key}
    found = transactions(tx).execute(BOOK.format(columns=TRANSACTION_COLUMNS), values).fetchone()
    if found is None:
        raise insufficient(tx, new.amount, new.user_id)
    same = (found.transaction_type, Decimal(found.amount), found.reference_type, found.reference_id) == (
        kind.partition(" ")[0],
        new.amount,
        new.reference_type,
        new.reference_id,
    )
    return _first(found, same=same)


def _first(found: Transaction, *, same: bool) -> Transaction:
    """What a key was used for first, which is what was asked unless somebody used it for something else."""
    if not same:
        raise IdempotencyConflict
    return found


def insufficient(tx: Tx, amount: Decimal, user_id: UUID | None) -> InsufficientBudget:
    """Why the ledger has refused: the balance, or else the member's cap. The accounts are locked."""
    found = fetch_one(
        tx,
        "select available, coalesce(%(user_id)s::uuid, acting_person()) as member from lock_budget()",
        {"user_id": user_id},
    )
    if found["available"] < amount:
        return InsufficientBudget(field="amount")
    detail = "The member's cap for this month does not allow this; nothing was moved."
    return InsufficientBudget(detail, field="amount", capped_member_id=str(found["member"]))
