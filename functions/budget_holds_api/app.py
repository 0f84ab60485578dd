"""HTTP: money set aside for a call or message that has not ended."""

from leadline import budget
from leadline.api import IDEMPOTENCY_KEY, MANAGERS, Answer, Api, Call, Nothing
from leadline.budget import Hold, HoldRequest, Settlement
from leadline.db import tenant_transaction

HOLDERS = MANAGERS | {"service"}

handler = Api()


@handler.route("POST /budget/holds", roles=HOLDERS, body=HoldRequest, answers=Hold, headers=IDEMPOTENCY_KEY)
def hold(call: Call[HoldRequest, Nothing]) -> Answer:
    """Sets money aside for a time, as far as the balance and the member's cap allow."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.hold(tx, call.body), 201))


@handler.route("GET /budget/holds/{hold_id}", roles=MANAGERS, answers=Hold)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One hold, as it is or as it has ended."""
    with tenant_transaction(call.caller) as tx:
        return Answer(budget.get(tx, call.id("hold_id")))


@handler.route(
    "POST /budget/holds/{hold_id}/settle", roles=HOLDERS, body=Settlement, answers=Hold, headers=IDEMPOTENCY_KEY
)
def settle(call: Call[Settlement, Nothing]) -> Answer:
    """Books what it came to, and gives the rest back; a second settlement answers the first."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.settle(tx, call.id("hold_id"), call.body)))


@handler.route("POST /budget/holds/{hold_id}/release", roles=HOLDERS, answers=Hold, headers=IDEMPOTENCY_KEY)
def release(call: Call[Nothing, Nothing]) -> Answer:
    """Gives back what is held."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.release(tx, call.id("hold_id"))))
