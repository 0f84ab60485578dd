"""What the business counts, as CloudWatch metrics: a line of the log in embedded metric format (EMF).

    metrics.count("StepsSent", 3, Channel="sms")
    metrics.gauge("OldestDueStep", 41.5)

What is counted in a transaction is told when that has committed, with its tenant beside it, and forgotten when it has
not. Keywords are dimensions: CloudWatch keeps, and charges for, one metric for each of their values, so a dimension has
few of them, and none is of a person or a customer.
Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from aws_lambda_powertools import Logger

NAMESPACE = "Leadline"  # each stage has an account of its own

logger = Logger(service="leadline")

# By dimensions, then by name: the value and its unit.
_Counted = dict[tuple[tuple[str, str], ...], dict[str, tuple[float, str]]]

_counted: _Counted | None = None  # of the transaction; none where nothing is held back


def count(name: str, value: float = 1, **dimensions: str) -> None:
    """So many more; what one transaction counts of the same adds up."""
    _take(name, value, "Count", dimensions, add=True)


def gauge(name: str, value: float, unit: str = "Seconds", **dimensions: str) -> None:
    """How much it is now, in one of CloudWatch's units; a transaction tells the last."""
    _take(name, value, unit, dimensions, add=False)


@contextmanager
def told_together(**properties: UUID) -> Generator[None]:
    """Tells at its end what is counted inside, a line for each set of dimensions; nothing of it when it raises."""
    global _counted  # noqa: PLW0603 - as the connection in db.py: one process serves one request at a time
    before, _counted = _counted, {}
    try:
        yield
        counted = _counted
    finally:
        _counted = before
    _tell(counted, {name: str(value) for name, value in properties.items()})


def _take(name: str, value: float, unit: str, dimensions: dict[str, str], *, add: bool) -> None:
    held = {} if _counted is None else _counted
    metrics = held.setdefault(tuple(sorted(dimensions.items())), {})
    metrics[name] = (metrics[name][0] + value if add and name in metrics else value, unit)
    if _counted is None:
        _tell(held, {})


def _tell(counted: _Counted, properties: dict[str, str]) -> None:
    for dimensions, metrics in counted.items():
        told = {
            "Namespace": NAMESPACE,
            "Dimensions": [[name for name, _ in dimensions]],
            "Metrics": [{"Name": name, "Unit": unit} for name, (_, unit) in metrics.items()],
        }
        values = {name: value for name, (value, _) in metrics.items()}
        line = {"_aws": {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [told]}}
        logger.info("counted", extra={**line, **properties, **dict(dimensions), **values})
