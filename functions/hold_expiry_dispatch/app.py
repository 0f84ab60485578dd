"""Every minute: finds the holds that have expired, over all tenants, and hands them to the worker."""

from typing import Any

from aws_lambda_powertools import Logger

from leadline import budget, events, settings
from leadline.db import system_transaction

logger = Logger(service="leadline")


def handler(event: dict[str, Any], context: object) -> None:
    """Sends ids only; the worker judges again, so what is handed over twice expires once."""
    del event, context
    with system_transaction() as tx:
        found = budget.expired(tx)
    events.hand_over(settings.hold_expiry_queue_url(), found)
    logger.info("expired holds", extra={"holds": sum(len(one.hold_ids) for one in found)})
