"""Queues: messages handed to SQS, and a batch from SQS worked through, one by one or together."""

import time
import traceback
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

import psycopg
from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities import batch
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from pydantic import BaseModel

from leadline import metrics
from leadline.errors import Busy, NotAMember
from leadline.inputs import Input

AT_ONCE = 10  # messages in one call of SQS, which takes 1 MB of them together
PATIENCE = 3  # messages in a row that the database has no time for, before the rest is left for later
LONGEST_DETAIL = 500  # of a dead letter

logger = Logger(service="leadline")

MessageT = TypeVar("MessageT", bound=BaseModel)
InputT = TypeVar("InputT", bound=Input)
AnyT = TypeVar("AnyT")


class PermanentFault(Exception):
    """A message that can never be done: it goes to the dead-letter queue with the reason, a stable code.

    `detail` says where it is at fault, and nothing of what stands there.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail
        super().__init__(reason)


@dataclass(frozen=True)
class _Read(Generic[AnyT]):
    """A record of the queue, and the message in it."""

    record: Mapping[str, Any]
    message: AnyT


class _Processor(batch.BatchProcessor):
    """Tells what failed without any message of an error: those repeat names and numbers."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        _log_failure(record.message_id, exception[1])
        return cast("Any", super()).failure_handler(record, exception)


def each(event: Mapping[str, Any], message: type[MessageT], run: Callable[[MessageT], None]) -> dict[str, Any]:
    """Runs every message of a batch; those that failed are named, and come again from the queue."""

    def handle(record: SQSRecord) -> None:
        run(message.model_validate_json(record.body))

    processor = _Processor(batch.EventType.SQS, raise_on_entire_batch_failure=False)
    return cast("Any", batch).process_partial_response(event, handle, processor)


def together(
    event: Mapping[str, Any],
    *,
    read: Callable[[str], AnyT],
    group: Callable[[AnyT], Hashable],
    run: Callable[[list[AnyT]], None],
    salvage: Callable[[str], None],
    dead_letters: str,
) -> dict[str, Any]:
    """Runs a batch group by group, all messages of a group together; no message suffers for another.

    A group that fails is run again message by message. What can never be done (PermanentFault, an organization that is
    not the tenant's, data that the database refuses) goes to the dead-letter queue with its reason and is done with;
    anything else that fails is named in the answer, and comes again from the queue. `salvage` does before a burial what
    must be done even of such a message; it is done again with a message whose burial has failed.
    """
    groups: dict[Hashable, list[_Read[AnyT]]] = {}
    failed: list[tuple[Mapping[str, Any], Exception]] = []
    for record in event["Records"]:
        message, failure = _tried(partial(read, record["body"]))
        if message is None or failure:
            failed.append((record, failure or LookupError("nothing was read")))
        else:
            groups.setdefault(group(message), []).append(_Read(record, message))
    for members in groups.values():
        _, failure = _tried(partial(run, [member.message for member in members]))
        if failure is None:
            continue
        failures = [failure] if len(members) == 1 else _one_by_one(run, members)
        failed += [(member.record, last) for member, last in zip(members, failures, strict=True) if last]
    again = [
        record["messageId"] for record, failure in failed if not _is_buried(record, failure, salvage, dead_letters)
    ]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}


def _one_by_one(run: Callable[[list[AnyT]], None], members: list[_Read[AnyT]]) -> list[Exception | None]:
    """What each message came to; when the database has no time for several in a row, it has none for the rest."""
    failures: list[Exception | None] = []
    for member in members:
        last = failures[-PATIENCE:]
        if len(last) == PATIENCE and all(isinstance(failure, Busy) for failure in last):
            failures.append(last[-1])
        else:
            failures.append(_tried(partial(run, [member.message]))[1])
    return failures


def _tried(work: Callable[[], AnyT]) -> tuple[AnyT | None, Exception | None]:
    """The result, or what went wrong: permanent faults as such."""
    try:
        return work(), None
    except NotAMember:
        return None, PermanentFault("not_the_tenants_organization", "/organization_id")
    except (psycopg.DataError, psycopg.IntegrityError) as refused:
        return None, PermanentFault("refused_by_database", refused.sqlstate or "")
    # Everything is caught at this edge, as api.py does at its own: what reached the runtime would be logged with its
    # message, and would send all of the batch back for one.
    except Exception as error:
        return None, error


def _is_buried(
    record: Mapping[str, Any], failure: Exception, salvage: Callable[[str], None], dead_letters: str
) -> bool:
    """Whether a record is done with, in the dead-letter queue with its reason; any other is to come again."""
    if isinstance(failure, PermanentFault):
        told = {"reason": failure.reason, "detail": failure.detail[:LONGEST_DETAIL]}
        attributes = {name: {"DataType": "String", "StringValue": text} for name, text in told.items() if text}
        _, unsaved = _tried(partial(salvage, record["body"]))
        # What cannot be salvaged for good is lost with the message, which a person is to look at.
        if unsaved and not isinstance(unsaved, PermanentFault):
            _log_failure(record["messageId"], unsaved)
            return False
        _, unsent = _tried(partial(_send, dead_letters, record["body"], attributes))
        if unsent is None:
            logger.error("dead letter", extra={"message_id": record["messageId"], **told})
            metrics.count("DeadLetters", Reason=failure.reason)
            return True
        failure = unsent
    _log_failure(record["messageId"], failure)
    return False


def _send(queue_url: str, body: str, attributes: dict[str, dict[str, str]]) -> None:
    import boto3  # noqa: PLC0415

    with closing(cast("Any", boto3).client("sqs")) as sqs:
        sqs.send_message(QueueUrl=queue_url, MessageBody=body, MessageAttributes=attributes)


def _log_failure(message_id: str, error: Exception) -> None:
    """Tells what failed without any message of an error: those repeat names and numbers."""
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    told = {"message_id": message_id, "exception": type(error).__qualname__, "sqlstate": sqlstate}
    logger.error("message failed", extra={**told, "where": where})


def hand_over(queue_url: str, messages: Sequence[Input]) -> None:
    """Sends messages to a queue. Raises RuntimeError where SQS did not take one."""
    if refused := hand_over_some(queue_url, messages):
        raise RuntimeError(f"SQS refused {len(refused)} messages")


def hand_over_some(queue_url: str, messages: Sequence[InputT]) -> list[InputT]:
    """Sends messages to a queue, and answers those that SQS is not known to have taken."""
    if not messages:
        return []
    # Imported here: a client costs 300 ms, and there is seldom anything to send.
    import boto3  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    refused: list[InputT] = []
    with closing(cast("Any", boto3).client("sqs")) as sqs:
        for start in range(0, len(messages), AT_ONCE):
            part = messages[start : start + AT_ONCE]
            entries = [{"Id": str(place), "MessageBody": one.model_dump_json()} for place, one in enumerate(part)]
            try:
                answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
            except (BotoCoreError, ClientError) as error:
                logger.error("messages not handed over", extra={"exception": type(error).__name__})
                refused += messages[start:]
                break
            refused += [part[int(one["Id"])] for one in answer.get("Failed", [])]
    return refused


def insist(work: Callable[[], AnyT], pauses: Sequence[float] = (0.1, 1, 5)) -> AnyT:
    """The result of what must not fail for want of time: tried again after each pause. Raises Busy after the last."""
    for pause in pauses:
        try:
            return work()
        except Busy:
            time.sleep(pause)
    return work()
