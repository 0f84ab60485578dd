"""From the queue: what the call system tells of calls and texts."""

from datetime import UTC, datetime
from typing import Any

from leadline import calls, events, settings
from leadline.db import Caller, tenant_transaction


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """One transaction for all messages of an organization; what can never be done is a dead letter with its reason."""
    del context
    return events.together(
        event,
        read=lambda body: calls.read(body, datetime.now(UTC)),
        group=calls.organization,
        run=take,
        salvage=honour_opt_out,
        dead_letters=settings.call_dead_letters_url(),
    )


def take(messages: list[calls.Message]) -> None:
    """The messages are of one organization; who is no tenant's organization does not get in."""
    tenant_id, organization_id = calls.organization(messages[0])
    with tenant_transaction(Caller(tenant_id, organization_id, trigger_type="call")) as tx:
        confirmations = calls.take(tx, messages, datetime.now(UTC))
    # After the commit, and so at most once: what came again would find its opt-out heard.
    if confirmations:
        events.hand_over(settings.request_queue_url(), confirmations)


def honour_opt_out(body: str) -> None:
    """Of a message that cannot be taken in, the opt-out."""
    if message := calls.opt_out_in(body, datetime.now(UTC)):
        take([message])
