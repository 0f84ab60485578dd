"""What calls cost: booked when they are completed, and given back when they came to nothing."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from uuid import UUID

from leadline import budget
from leadline.calls.folding import CallState
from leadline.db import Transaction
from leadline.domain_events import NewEvent


def lock_holds(tx: Transaction, calls: Sequence[CallState], numbers: Collection[str]) -> None:
    """Locks the holds of these calls and of these numbers in one order, before the accounts are.

    Booking, undoing and an opt-out each lock holds and then accounts. One after the other in one transaction they would
    come back to holds with the accounts in hand, and meet whoever settles one of those the other way round.
    """
    hold_ids = [call.hold_id for call in calls if call.hold_id]
    if hold_ids or numbers:
        tx.execute(
            "select lock_holds(%(hold_ids)s::uuid[], %(numbers)s::text[])",
            {"hold_ids": hold_ids, "numbers": list(numbers)},
        )


def book(tx: Transaction, calls: Sequence[CallState]) -> list[NewEvent]:
    """Books each call once, whatever comes again, and answers what a person should see.

    A call of which a failure was reported costs nothing, be it completed before or after: the ledger undoes a call once
    and for all, so that no order of arrival makes a difference.
    """
    failed = [call for call in calls if call.failed]
    costs = [
        budget.CallCost(call.call_id, call.cost_usd or Decimal(0), call.cost_as_sent or "", call.hold_id)
        for call in calls
        if call.reached_at is not None and call.cost_usd is not None and not call.failed
    ]
    if failed:
        budget.cancel_calls(tx, [budget.CallCancelled(call.call_id, call.hold_id) for call in failed])
    booked = budget.book_calls(tx, costs) if costs else []
    holds: dict[str, UUID | None] = {call.call_id: call.hold_id for call in calls}
    return [
        NewEvent("unknown_hold", one.call_id, one.call_id, {"hold_id": str(holds[one.call_id])})
        for one in booked
        if one.outcome == "unknown_hold"
    ]
