"""From the queue: gives back what expired holds hold, as the tenant they belong to."""

from typing import Any

from leadline import budget, events
from leadline.budget import DueHolds
from leadline.db import Caller, tenant_transaction


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A message that fails comes again by itself; the others of its batch are done."""
    del context
    return events.each(event, DueHolds, expire)


def expire(message: DueHolds) -> None:
    """One transaction for the holds of one organization."""
    with tenant_transaction(Caller(message.tenant_id, message.organization_id)) as tx:
        budget.expire(tx, message.hold_ids)
