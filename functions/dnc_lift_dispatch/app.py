"""Every hour: finds the Do-Not-Call entries that have expired, over all tenants, and hands them to the worker."""

from typing import Any

from aws_lambda_powertools import Logger

from leadline import dnc, events, settings
from leadline.db import system_transaction

logger = Logger(service="leadline")


def handler(event: dict[str, Any], context: object) -> None:
    """Sends ids only; the worker judges again, so what is handed over twice is lifted once."""
    del event, context
    with system_transaction() as tx:
        found = dnc.expired(tx)
    events.hand_over(settings.lift_queue_url(), found)
    logger.info("expired entries", extra={"entries": sum(len(one.entry_ids) for one in found)})
