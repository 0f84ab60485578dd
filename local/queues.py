"""The queues of the template, in moto's SQS, and the pollers that hand their messages to functions."""

import json
import logging
import time
from collections.abc import Callable
from threading import Event as Signal
from typing import Any

import boto3
from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local.runtime import FunctionError
from local.template import REGION

WAIT_SECONDS = 1  # for messages, and so about the longest that a stop takes
AT_ONCE = 10  # messages in one call of SQS
PAUSE = 0.1  # seconds between two looks for the rest of a batch


def aws() -> Any:
    """AWS's services as a WSGI application, empty at first; what they hold ends with the process."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # else a line per request
    get_backend("sqs").reset()
    return DomainDispatcherApplication(create_backend_app)


def make(url: str, queues: dict[str, dict[str, Any]]) -> Any:
    """An SQS client, with the template's queues made; their properties are named as SQS names attributes."""
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    sqs = boto3.client("sqs", endpoint_url=url, region_name=REGION, **keys)
    for name, properties in sorted(queues.items(), key=lambda queue: "RedrivePolicy" in queue[1]):  # dead letters first
        attributes = {key: value if isinstance(value, str) else json.dumps(value) for key, value in properties.items()}
        sqs.create_queue(QueueName=name, Attributes=attributes)
    return sqs


def poll(sqs: Any, details: dict[str, Any], invoke: Callable[[Any], Any], stop: Signal) -> None:
    """Hand a queue's messages to a function until `stop` is set; `details` are those of the template's SQS event."""
    url = sqs.get_queue_url(QueueName=details["Queue"].rpartition(":")[2])["QueueUrl"]
    while not stop.is_set():
        if not (messages := _batch(sqs, url, details, stop)):
            continue
        ids = {message["MessageId"] for message in messages}
        try:
            answer = invoke({"Records": [_record(message, details["Queue"]) for message in messages]})
            failed = failures(answer, ids) if "FunctionResponseTypes" in details else set()
        except FunctionError:
            failed = ids
        # What failed comes again when SQS shows it again.
        done = [message for message in messages if message["MessageId"] not in failed]
        for start in range(0, len(done), AT_ONCE):
            entries = [
                {"Id": each["MessageId"], "ReceiptHandle": each["ReceiptHandle"]}
                for each in done[start : start + AT_ONCE]
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)


def _batch(sqs: Any, url: str, details: dict[str, Any], stop: Signal) -> list[Any]:
    """Messages up to the event's BatchSize, gathered as Lambda does while its MaximumBatchingWindow lasts."""
    messages: list[Any] = []
    size = details.get("BatchSize", AT_ONCE)
    ends = None
    while len(messages) < size and not stop.is_set() and (ends is None or time.monotonic() < ends):
        received = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=min(size - len(messages), AT_ONCE),
            WaitTimeSeconds=0 if messages else WAIT_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        messages += received
        if not messages:
            break
        ends = ends or time.monotonic() + details.get("MaximumBatchingWindowInSeconds", 0)
        if not received:
            stop.wait(PAUSE)
    return messages


def failures(answer: Any, ids: set[str]) -> set[str]:
    """The messages of a batch that its answer names as failed; all of them when Lambda could not make sense of it."""
    try:
        named = {item["itemIdentifier"] for item in (answer or {}).get("batchItemFailures") or []}
    except (AttributeError, KeyError, TypeError):
        return ids
    return named if named <= ids else ids


def _record(message: dict[str, Any], arn: str) -> dict[str, Any]:
    """A message as Lambda hands it over."""
    attributes = message.get("MessageAttributes", {})
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {
            name: {"stringValue": value.get("StringValue"), "dataType": value["DataType"]}
            for name, value in attributes.items()
        },
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": REGION,
    }
