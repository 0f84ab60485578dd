"""Queues: messages handed to SQS, and a batch from SQS worked through one by one."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any, TypeVar, cast

import psycopg
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import batch
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from leadline.inputs import Input

AT_ONCE = 10  # messages in one call of SQS, which takes 1 MB of them together

logger = Logger(service="leadline")

MessageT = TypeVar("MessageT", bound=Input)


class _Processor(batch.BatchProcessor):
    """Tells what failed without any message of an error: those repeat names and numbers."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        _, error, trace = exception
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
        sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
        told = {"message_id": record.message_id, "exception": type(error).__qualname__, "sqlstate": sqlstate}
        logger.error("message failed", extra={**told, "where": where})
        return cast("Any", super()).failure_handler(record, exception)


def each(event: Mapping[str, Any], message: type[MessageT], run: Callable[[MessageT], None]) -> dict[str, Any]:
    """Runs every message of a batch; those that failed are named, and come again from the queue."""

    def handle(record: SQSRecord) -> None:
        run(message.model_validate_json(record.body))

    processor = _Processor(batch.EventType.SQS, raise_on_entire_batch_failure=False)
    return cast("Any", batch).process_partial_response(event, handle, processor)


def hand_over(queue_url: str, messages: Sequence[Input]) -> None:
    """Sends messages to a queue. Raises RuntimeError where SQS did not take one."""
    if not messages:
        return
    # Imported here: a client costs 300 ms, and there is seldom anything to send.
    import boto3  # noqa: PLC0415

    with closing(cast("Any", boto3).client("sqs")) as sqs:
        for start in range(0, len(messages), AT_ONCE):
            entries = [
                {"Id": str(place), "MessageBody": one.model_dump_json()}
                for place, one in enumerate(messages[start : start + AT_ONCE])
            ]
            if failed := sqs.send_message_batch(QueueUrl=queue_url, Entries=entries).get("Failed"):
                raise RuntimeError(f"SQS refused {len(failed)} messages")
