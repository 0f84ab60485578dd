"""Every minute: claims the steps that are due, over all tenants, and hands them to the worker."""

from datetime import UTC, datetime
from typing import Any

from aws_lambda_powertools import Logger

from leadline import events, metrics, settings
from leadline.db import system_transaction
from leadline.nurture import dispatch
from leadline.nurture.dispatch import DueSteps

LEFT = 10_000  # milliseconds of this run's time in which nothing more is claimed

logger = Logger(service="leadline")


def handler(event: dict[str, Any], context: Any) -> None:
    """Claims until nothing is due or its time is nearly up; what is left then is the next minute's."""
    del event
    claimed = 0
    with system_transaction() as tx:
        late = dispatch.lateness(tx, datetime.now(UTC))
        others = [*dispatch.triggered(tx), *dispatch.lost(tx, datetime.now(UTC))]
    metrics.gauge("OldestDueStep", late.oldest_due_seconds)
    # What is not taken here is found again in the next minute, and holds nothing up.
    events.hand_over_some(settings.nurture_queue_url(), others)
    while context is None or context.get_remaining_time_in_millis() > LEFT:
        found = claim()
        if not found:
            break
        claimed += sum(len(one.enrollment_ids) for one in found)
    logger.info("due steps", extra={"enrollments": claimed, "oldest_due_seconds": late.oldest_due_seconds})


def claim() -> list[DueSteps]:
    """One claim, committed before it is handed over: what SQS does not take is given back at once."""
    with system_transaction() as tx:
        found = dispatch.claim(tx, datetime.now(UTC), settings.claim_size())
    refused = events.hand_over_some(settings.nurture_queue_url(), found)
    if refused:
        with system_transaction() as tx:
            dispatch.release(tx, refused, datetime.now(UTC))
        raise RuntimeError(f"SQS refused {len(refused)} messages")
    return found
