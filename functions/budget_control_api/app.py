"""HTTP: the ledger as it is read, and what members may spend."""

from leadline import budget
from leadline.api import ADMINS, MANAGERS, Answer, Api, Call, Nothing
from leadline.budget import Cap, NewCap, Transaction, TransactionQuery
from leadline.db import tenant_transaction
from leadline.pages import Page, PageQuery

handler = Api()


@handler.route("GET /budget/transactions", roles=MANAGERS, query=TransactionQuery, answers=Page[Transaction], csv=True)
def transactions(call: Call[Nothing, TransactionQuery]) -> Answer:
    """Transactions, newest first; 20,000 at a time with `Accept: text/csv`, and Link leads to the next page."""
    with tenant_transaction(call.caller) as tx:
        found = budget.as_answered(tx, call.query, call.event["headers"].get("accept", ""))
    link = {"link": f'<{found.next_page}>; rel="next"'} if found.next_page else {}
    return Answer(found.text, headers={"content-type": found.content_type, **link})


@handler.route("GET /budget/caps", roles=MANAGERS, query=PageQuery, answers=Page[Cap])
def caps(call: Call[Nothing, PageQuery]) -> Answer:
    """What members may spend in a month, and have spent in this one."""
    with tenant_transaction(call.caller) as tx:
        return Answer(budget.caps(tx, call.query))


@handler.route("PUT /budget/caps/{member_id}", roles=ADMINS, body=NewCap, answers=Cap)
def cap(call: Call[NewCap, Nothing]) -> Answer:
    """Decides what a member may spend in a month; what was spent in this one counts."""
    with tenant_transaction(call.caller) as tx:
        return Answer(budget.cap(tx, call.id("member_id"), call.body))


@handler.route("DELETE /budget/caps/{member_id}", roles=ADMINS, answers=Cap)
def uncap(call: Call[Nothing, Nothing]) -> Answer:
    """Takes a member's cap away, and answers what it was."""
    with tenant_transaction(call.caller) as tx:
        return Answer(budget.uncap(tx, call.id("member_id")))
