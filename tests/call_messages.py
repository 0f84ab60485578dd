"""Messages of the call system as tests make them again and again, and their delivery to the worker."""

import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from functions.call_events_worker.app import handler

START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
NUMBERS = itertools.count(1)


def at(minutes: float) -> str:
    """Minutes after yesterday, this time of day."""
    return (START + timedelta(minutes=minutes)).isoformat()


def envelope(organization: Any, type_: str, minutes: float, **parts: Any) -> dict[str, Any]:
    return {
        "id": f"evt-{next(NUMBERS):09d}",
        "type": type_,
        "occurred_at": at(minutes),
        "tenant_id": str(organization.tenant_id),
        "organization_id": str(organization.organization_id),
        **parts,
    }


def call(organization: Any, type_: str, minutes: float = 0, *, opt_out: Any = None, **told: Any) -> dict[str, Any]:
    """A message about a call; `told` is said of the call, but for qualification and intent."""
    parts = {name: told.pop(name) for name in ("qualification", "intent") if name in told}
    if opt_out:
        parts["opt_out"] = opt_out
    return envelope(organization, f"call.{type_}", minutes, call={"id": "call-1", **told}, **parts)


def text(organization: Any, type_: str, minutes: float = 0, *, opt_out: Any = None, **told: Any) -> dict[str, Any]:
    """A message about an SMS."""
    parts = {"opt_out": opt_out} if opt_out else {}
    message = {"id": "sms-1", "channel": "sms", **told}
    return envelope(organization, f"message.{type_}", minutes, message=message, **parts)


def batch(messages: Iterable[Any]) -> dict[str, Any]:
    """What Lambda hands to the worker; a message that is text is sent as it is."""
    return {
        "Records": [
            {"messageId": str(uuid4()), "body": message if isinstance(message, str) else json.dumps(message)}
            for message in messages
        ]
    }


def deliver(*messages: Any) -> int:
    """Gives messages to the worker in one batch, and answers how many are to come again."""
    return len(handler(batch(messages), None)["batchItemFailures"])
