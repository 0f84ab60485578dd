"""HTTP: the budget, and the money that comes in, is spent, comes back or is corrected."""

from leadline import budget
from leadline.api import ADMINS, IDEMPOTENCY_KEY, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.budget import Budget, NewAdjustment, NewCredit, NewDebit, NewRefund, Transaction
from leadline.db import tenant_transaction

handler = Api()


@handler.route("GET /budget", roles=PEOPLE, answers=Budget)
def balance(call: Call[Nothing, Nothing]) -> Answer:
    """What is available, held and owed."""
    with tenant_transaction(call.caller) as tx:
        return Answer(budget.balance(tx))


@handler.route("POST /budget/credits", roles=ADMINS, body=NewCredit, answers=Transaction, headers=IDEMPOTENCY_KEY)
def credit(call: Call[NewCredit, Nothing]) -> Answer:
    """Money that comes in; what is owed is paid from it first, by a transaction of its own."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.credit(tx, call.body), 201))


@handler.route("POST /budget/debits", roles=MANAGERS, body=NewDebit, answers=Transaction, headers=IDEMPOTENCY_KEY)
def debit(call: Call[NewDebit, Nothing]) -> Answer:
    """Money that is spent, as far as the balance and the member's cap allow."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.debit(tx, call.body), 201))


@handler.route("POST /budget/refunds", roles=MANAGERS, body=NewRefund, answers=Transaction, headers=IDEMPOTENCY_KEY)
def refund(call: Call[NewRefund, Nothing]) -> Answer:
    """What a debit or settlement has spent, given back in part or in full, and never more than it."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.refund(tx, call.body), 201))


@handler.route(
    "POST /budget/adjustments", roles=ADMINS, body=NewAdjustment, answers=Transaction, headers=IDEMPOTENCY_KEY
)
def adjust(call: Call[NewAdjustment, Nothing]) -> Answer:
    """A correction, up or down, never below zero."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(budget.adjust(tx, call.body), 201))
