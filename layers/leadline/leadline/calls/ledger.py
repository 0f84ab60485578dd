"""What calls cost: booked when they are completed, and given back when they came to nothing."""

from collections.abc import Sequence
from decimal import Decimal

from leadline import budget
from leadline.calls.folding import CallState
from leadline.db import Transaction
from leadline.domain_events import NewEvent


def book(tx: Transaction, calls: Sequence[CallState]) -> list[NewEvent]:
    """Books each call once, whatever comes again, and answers what a person should see.

    A call of which a failure was reported costs nothing, be it completed before or after: the ledger undoes a call once
    and for all, so that no order of arrival makes a difference.
    """
    # In the order in which they ended: where money runs short it matters which comes first.
    calls = sorted(calls, key=lambda call: (call.reached_at or call.placed_at, call.call_id))
    failed = [call for call in calls if call.failed]
    costs = [
        budget.CallCost(call.call_id, call.cost_usd or Decimal(0), call.cost_as_sent or "", call.hold_id)
        for call in calls
        if call.reached_at is not None and call.cost_usd is not None and not call.failed
    ]
    if failed:
        budget.cancel_calls(tx, [budget.CallCancelled(call.call_id, call.hold_id) for call in failed])
    booked = budget.book_calls(tx, costs) if costs else []
    told = {one.call_id: {"hold_id": one.hold_id and str(one.hold_id), "cost": one.original} for one in costs}
    events = {"unknown_hold": "unknown_hold", "known_otherwise": "call_cost_changed"}
    return [
        NewEvent(events[one.outcome], one.call_id, one.call_id, told[one.call_id])
        for one in booked
        if one.outcome in events
    ]
