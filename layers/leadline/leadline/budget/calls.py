"""What calls have cost, as the call system's messages say: booked or undone a batch at a time, each call once."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from uuid import UUID

from leadline.budget.movements import count_spend
from leadline.budget.shapes import Contact
from leadline.db import Transaction as Tx


@dataclass(frozen=True, slots=True)
class CallCost:
    """What a call has cost, zero too, below 10^12; rounded half up at six decimals, `original` is the message's text.

    `user_id` and `reference_type` are for a call without a hold; a hold has its own. A user who is no member is nobody.
    """

    call_id: str
    cost: Decimal
    original: str
    hold_id: UUID | None = None
    user_id: UUID | None = None
    reference_type: Contact = "call"


@dataclass(frozen=True, slots=True)
class BookedCall:
    """What became of a cost; `unknown_hold` is debited like one without a hold.

    `known` was booked or cancelled before, `known_otherwise` booked at another cost, which stays; a call that was
    debited before its hold was named is `settled` from it now.
    `shortfall` is what neither the hold nor the available balance covered; the event budget_overage tells of it.
    """

    call_id: str
    outcome: Literal["settled", "released", "debited", "known", "known_otherwise", "unknown_hold"]
    shortfall: Decimal


@dataclass(frozen=True, slots=True)
class CallCancelled:
    """A call that came to nothing."""

    call_id: str
    hold_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class CancelledCall:
    """A call that was not cancelled before, and what was given back of its cost."""

    call_id: str
    refunded: Decimal


def book_calls(tx: Tx, costs: Sequence[CallCost]) -> list[BookedCall]:
    """Books each call once, whatever comes again: from its hold, beyond it from available, the rest from overage.

    Answers in order. A call that was booked before anybody named its hold, still held, moves to it. A cost of zero
    releases the hold; a call that was cancelled books nothing.
    """
    columns = {name: [getattr(one, name) for one in costs] for name in CallCost.__dataclass_fields__}
    rows = tx.execute(
        """
        select call_id, outcome, shortfall from book_calls(
            %(call_id)s::text[], %(hold_id)s::uuid[], %(cost)s::numeric[], %(user_id)s::uuid[],
            %(reference_type)s::text[], %(original)s::text[]
        )
        """,
        columns,
    )
    booked = [BookedCall(**row) for row in rows.fetchall()]
    for cost, one in zip(costs, booked, strict=True):
        if one.outcome in ("settled", "debited", "unknown_hold"):
            count_spend(cost.cost, cost.reference_type)
    return booked


def cancel_calls(tx: Tx, cancellations: Sequence[CallCancelled]) -> list[CancelledCall]:
    """Undoes each call once: releases its hold where it is held, and refunds in full what was booked for it.

    That is what was booked under its id, and by hand on its hold.
    """
    columns = {name: [getattr(one, name) for one in cancellations] for name in CallCancelled.__dataclass_fields__}
    rows = tx.execute("select call_id, refunded from cancel_calls(%(call_id)s::text[], %(hold_id)s::uuid[])", columns)
    return [CancelledCall(**row) for row in rows.fetchall()]
