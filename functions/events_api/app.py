"""HTTP: what has happened that somebody should hear of."""

from leadline import domain_events
from leadline.api import MANAGERS, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.domain_events import DomainEvent, EventQuery
from leadline.pages import Page

handler = Api()


@handler.route("GET /events", roles=MANAGERS, query=EventQuery, answers=Page[DomainEvent])
def page(call: Call[Nothing, EventQuery]) -> Answer:
    """Alerts, crossings and findings, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(domain_events.page(tx, call.query))
