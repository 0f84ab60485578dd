"""From the queue: lifts Do-Not-Call entries that have expired, as the tenant they belong to."""

from typing import Any

from leadline import dnc, events
from leadline.db import Caller, tenant_transaction
from leadline.dnc import Expired


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A message that fails comes again by itself; the others of its batch are done."""
    del context
    return events.each(event, Expired, lift)


def lift(message: Expired) -> None:
    """One transaction for the entries of one organization."""
    reason = "the Do-Not-Call entry has expired"
    with tenant_transaction(Caller(message.tenant_id, message.organization_id, change_reason=reason)) as tx:
        dnc.lift(tx, message.entry_ids)
