"""HTTP: the gate, asked before each contact. Nothing is called, texted or emailed without its word."""

from leadline import gate
from leadline.api import ROLES, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.gate import Authorize, Decision

handler = Api()


@handler.route("POST /calls/authorize", roles=ROLES, body=Authorize, answers=Decision, needs_key=True)
def authorize(call: Call[Authorize, Nothing]) -> Answer:
    """Whether this lead or number may be contacted now, with all reasons; 200 also when it may not.

    With the same Idempotency-Key a retry answers the same decision, hold and place under the caps.
    """
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(gate.authorize(tx, call.body)))
