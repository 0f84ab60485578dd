"""HTTP: what anybody may ask without a token."""

from leadline.api import PUBLIC, Answer, Api, Call, Nothing
from leadline.db import fetch_one, system_transaction

handler = Api()


@handler.route("GET /health", roles=PUBLIC)
def health(call: Call[Nothing, Nothing]) -> Answer:
    """Ready means that the database answers."""
    del call
    with system_transaction() as tx:
        fetch_one(tx, "select 1 as answer", {})
    return Answer({"status": "ok"})
