"""From the queue: does the steps that are due, as the tenant they belong to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aws_lambda_powertools import Logger

from leadline import config, events
from leadline.db import Caller, tenant_transaction
from leadline.nurture import channels, engine, enrollments, results
from leadline.nurture.channels import Outcome, Outgoing
from leadline.nurture.dispatch import Due, DueSteps, DueTriggers, LostRuns

MOST_ROUNDS = 20  # of a message, a thousand leads each; the next minute goes on

logger = Logger(service="leadline")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A message that fails comes again by itself, and finds what was not begun; the others of its batch are done."""
    del context
    return events.each(event, Due, run)


def run(message: Due) -> None:
    """The steps of one organization; or whom it enrolls by itself; or what it was sending when a worker died."""
    match message.root:
        case DueSteps() as due:
            for part in engine.parts(due):
                do(due, part)
        case LostRuns() as lost:
            with tenant_transaction(Caller(lost.tenant_id, lost.organization_id)) as tx:
                results.close_lost(tx, lost.until, datetime.now(UTC))
        case DueTriggers() as due:
            for _ in range(MOST_ROUNDS):
                with tenant_transaction(Caller(due.tenant_id, due.organization_id)) as tx:
                    if enrollments.enroll_triggered(tx, config.read(tx), datetime.now(UTC)) < enrollments.MOST_TRIGGERS:
                        break


def do(due: DueSteps, part: Sequence[UUID]) -> None:
    """Marked in one transaction, sent, and recorded in another: whatever breaks in between, nothing is sent twice."""
    caller = Caller(due.tenant_id, due.organization_id)
    with tenant_transaction(caller) as tx:
        prepared = engine.prepare(tx, due, part, datetime.now(UTC))
    outcomes = channels.send(prepared.outgoing)
    told = events.insist(lambda: keep(caller, prepared.outgoing, outcomes))
    logger.info("steps", extra={"tenant_id": str(due.tenant_id), "sent": told, "others": prepared.counts})


def keep(caller: Caller, outgoing: Sequence[Outgoing], outcomes: Sequence[Outcome]) -> dict[str, int]:
    """What came of it."""
    with tenant_transaction(caller) as tx:
        told = results.record(tx, outgoing, outcomes, datetime.now(UTC))
    return {f"{channel} {status}": count for (channel, status), count in sorted(told.items())}
