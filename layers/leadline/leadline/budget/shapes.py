"""What goes into the ledger and what comes out of it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from psycopg import Cursor, sql
from pydantic import Field

from leadline.db import Transaction as Tx
from leadline.errors import Conflict, Refused
from leadline.inputs import Input, JsonObject, Prose, Word
from leadline.money import Money, rows_of

TransactionType = Literal["debit", "credit", "refund", "adjustment", "hold", "settle", "release"]
Account = Literal["available", "held", "overage", "funding", "call_spend", "sms_spend", "email_spend", "adjustment"]
Contact = Literal["call", "sms", "email"]
ReferenceType = Literal["call", "sms", "email", "top_up", "admin_adjustment"]


class InsufficientBudget(Refused):
    """The available balance does not allow this; nothing was moved."""


class RefundTooLarge(Refused):
    """All refunds of a transaction together cannot be more than it."""


class NotRefundable(Refused):
    """Only what was spent can be refunded: a debit, or the settlement of a hold."""


class HoldEnded(Conflict):
    """The hold has been settled already."""


class UnknownMember(Refused):
    """There is no such member in this organization."""


class _Movement(Input):
    """An amount, and what is to be remembered of it; `user_id` is the member whose sub-budget it touches."""

    amount: Money
    description: Prose | None = None
    reference_id: Word | None = None
    user_id: UUID | None = None
    metadata: JsonObject = Field(default_factory=dict)


class NewCredit(_Movement):
    """Money that comes in; what is owed (overage) is paid from it first."""

    reference_type: ReferenceType = "top_up"


class NewDebit(_Movement):
    """Money that is spent; without a user_id by the member who asks."""

    reference_type: Contact = "call"


class NewAdjustment(_Movement):
    """A correction by an admin, up (credit) or down (debit)."""

    direction: Literal["credit", "debit"] = "credit"
    reference_type: ReferenceType = "admin_adjustment"


class NewRefund(Input):
    """What a transaction has spent, given back; without an amount all that is left of it."""

    transaction_id: UUID
    amount: Money | None = None
    description: Prose | None = None
    metadata: JsonObject = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Budget:
    """Money as text. `overage` is what is owed: booked beyond the balance, and paid by the next credit."""

    available: str
    held: str
    overage: str
    currency: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """A movement of money from one account to another; the balances are those of `available`. Money as text.

    `sequence` is the order of posting in the organization, without gaps.
    """

    id: UUID
    sequence: int
    transaction_type: TransactionType
    amount: str
    from_account: Account
    to_account: Account
    balance_before: str
    balance_after: str
    description: str | None
    reference_type: ReferenceType | None
    reference_id: str | None
    user_id: UUID | None
    hold_id: UUID | None
    refund_of: UUID | None
    metadata: dict[str, Any]
    created_by: UUID | None
    created_at: datetime


TRANSACTION_COLUMNS = sql.SQL(
    "id, sequence, transaction_type, amount, from_account, to_account, balance_before, balance_after, description,"
    " reference_type, reference_id, user_id, hold_id, refund_of, metadata, created_by, created_at"
)


def transactions(tx: Tx) -> Cursor[Transaction]:
    """A cursor whose rows are transactions."""
    return tx.cursor(row_factory=rows_of(Transaction))


@dataclass(frozen=True, slots=True)
class Balances:
    """What is there while the accounts are locked, and by member with a cap what is left of it this month."""

    available: Decimal
    held: Decimal
    overage: Decimal
    rooms: dict[UUID, Decimal]
