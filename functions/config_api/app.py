"""HTTP: what an organization has decided for itself."""

from leadline import config
from leadline.api import ADMINS, MANAGERS, Answer, Api, Call, Nothing
from leadline.config import Entry, NewValue
from leadline.db import tenant_transaction

handler = Api()


@handler.route("GET /config/{key}", roles=MANAGERS, answers=Entry)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One key, with its default where nobody has decided."""
    with tenant_transaction(call.caller) as tx:
        return Answer(config.get(tx, call.event["pathParameters"]["key"]))


@handler.route("PUT /config/{key}", roles=ADMINS, body=NewValue, answers=Entry)
def put(call: Call[NewValue, Nothing]) -> Answer:
    """Decides a key; each has its own type."""
    with tenant_transaction(call.caller) as tx:
        return Answer(config.put(tx, call.event["pathParameters"]["key"], call.body))
