"""The outbox of the local suite: what would have gone out, in place of the call system and of mailboxes."""

import json
from collections import deque
from html import escape
from threading import Event as Signal
from threading import Lock
from typing import Any

from moto.backends import get_backend

from local.template import ACCOUNT, REGION

QUEUE = "CallRequestsQueue"
KEPT = 1000  # of each kind, newest first
WAIT_SECONDS = 1
PAGE = """<!doctype html><meta charset="utf-8"><title>Outbox</title>
<style>body{{font:15px/1.4 system-ui;margin:2rem}}td,th{{text-align:left;vertical-align:top;padding:.3rem .8rem}}
td:nth-child(3){{white-space:pre-wrap}}</style>
<h1>Outbox</h1><p>What would have gone out, newest first. Nobody was texted, called or written to.</p>
<table><tr><th>channel<th>to<th>text<th>valid until</tr>{rows}</table>"""


class AnyIdentity(dict[str, Any]):
    """Stands in for the addresses that somebody has proven to SES to be his: here, all are."""

    def __contains__(self, key: object) -> bool:
        return True


class Outbox:
    """What has gone out since the suite was started; the requests in the queue are taken out of it."""

    def __init__(self) -> None:
        self._requests: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._lock = Lock()
        self._mail = get_backend("ses")[ACCOUNT][REGION]
        self._mail.sent_messages.clear()
        self._mail.email_identities = AnyIdentity()

    def poll(self, sqs: Any, stop: Signal) -> None:
        """Reads what the call system is asked for, until `stop` is set."""
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        while not stop.is_set():
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT_SECONDS)
            for message in found.get("Messages", []):
                with self._lock:
                    self._requests.appendleft(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def items(self) -> list[dict[str, Any]]:
        """Requests and emails, each newest first."""
        with self._lock:
            items = [
                {
                    "channel": one["type"].partition(".")[0],
                    "to": one["to"],
                    "text": one["sms"]["text"] if "sms" in one else one["call"]["opening"],
                    "valid_until": one["valid_until"],
                    "id": one["id"],
                }
                for one in self._requests
            ]
        emails = [
            {
                "channel": "email",
                "to": ", ".join(one.destinations["ToAddresses"]),
                "text": f"{one.subject}\n\n{one.body}",
                "valid_until": None,
                "id": one.id,
            }
            for one in reversed(self._mail.sent_messages[-KEPT:])
        ]
        return items + emails

    def answer(self, event: dict[str, Any]) -> dict[str, Any]:
        """GET /outbox: a page, or JSON for whoever accepts that."""
        items = self.items()
        if "application/json" in event["headers"].get("accept", ""):
            return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": json.dumps(items)}
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(one[name] or ''))}" for name in ("channel", "to", "text", "valid_until"))
            for one in items
        )
        return {
            "statusCode": 200,
            "headers": {"content-type": "text/html; charset=utf-8"},
            "body": PAGE.format(rows=rows),
        }
