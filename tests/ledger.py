"""The ledger as the tests use it: one transaction an action, in this process or on a connection of a thread's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from leadline import budget
from leadline.budget import CallCost, Mismatch, NewCredit, NewDebit, NewHold, Placed, Transaction
from leadline.db import Caller, tenant_transaction
from leadline.db import Transaction as Tx

Answer = TypeVar("Answer")


class Ledger:
    """One organization's ledger, as one caller moves it."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def do(self, action: Callable[..., Answer], *arguments: Any, **options: Any) -> Answer:
        with tenant_transaction(self.caller) as tx:
            return action(tx, *arguments, **options)

    def credit(self, amount: str, **given: Any) -> Transaction:
        return self.do(budget.credit, NewCredit.model_validate({"amount": amount, **given}))

    def debit(self, amount: str, **given: Any) -> Transaction:
        return self.do(budget.debit, NewDebit.model_validate({"amount": amount, **given}))

    def hold(self, amount: str, **given: Any) -> UUID:
        (placed,) = self.hold_all([amount], **given)
        assert placed.refused is None, placed
        return placed.id

    def hold_all(self, amounts: list[str], **given: Any) -> list[Placed]:
        given = {"expires_at": datetime.now(UTC) + timedelta(hours=1), **given}
        holds = [NewHold(amount=Decimal(amount), **given) for amount in amounts]
        return self.do(lambda tx: budget.outcome(budget.hold_all(tx, holds)))

    def state(self, hold_id: UUID) -> str:
        return self.do(budget.get, hold_id).state

    def book(self, *costs: tuple[str, str] | tuple[str, str, UUID | None], **given: Any) -> list[budget.BookedCall]:
        """Books (call, cost) or (call, cost, hold)."""
        asked = [
            CallCost(call, Decimal(cost), cost, hold_id=hold[0] if hold else None, **given)
            for call, cost, *hold in costs
        ]
        return self.do(budget.book_calls, asked)

    def balances(self) -> tuple[str, str, str]:
        """Available, held and owed."""
        found = self.do(budget.balance)
        return found.available, found.held, found.overage

    def transactions(self) -> list[tuple[str, str, str, str]]:
        """Type, from, to and amount of each, in their order."""
        rows = self.do(budget.page, budget.TransactionQuery(limit=200)).items
        ordered = sorted(rows, key=lambda row: row.sequence)
        return [(row.transaction_type, row.from_account, row.to_account, row.amount) for row in ordered]

    def mismatches(self) -> list[Mismatch]:
        return self.do(budget.mismatches)


@contextmanager
def on_a_connection(conn: Tx, caller: Caller) -> Iterator[Tx]:
    """A transaction of a caller on a connection of the test's own."""
    with conn.transaction():
        conn.execute(
            "select enter_context(%s, %s, %s, %s)",
            [caller.tenant_id, caller.organization_id, caller.subject, caller.role],
        )
        yield conn
