"""Every day: keeps what runs by the calendar ahead of it."""

from typing import Any

from aws_lambda_powertools import Logger

from leadline import upkeep
from leadline.db import system_transaction

logger = Logger(service="leadline")


def handler(event: dict[str, Any], context: object) -> None:
    """Makes the audit log's coming months, and reports rows that found no month."""
    del event, context
    with system_transaction() as tx:
        partitions = upkeep.make_audit_partitions(tx)
    logger.info("audit partitions", extra={"made": partitions.made})
    if partitions.rows_without_month:
        logger.error("audit rows without a month", extra={"next": "move them out of lead_audit_log_default"})
