"""Telnyx: signed with Ed25519 over the timestamp, a bar and the body as it was sent; texts come and go by it."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic_core import from_json

from leadline import settings
from leadline.errors import BodyTooLarge
from leadline.webhooks.arrivals import (
    LARGEST,
    Arrival,
    BadSignature,
    MalformedWebhook,
    TooOld,
    first,
    instant,
    items,
    part,
    word,
)

HEADERS = frozenset({"telnyx-signature-ed25519", "telnyx-timestamp"})
TOLERANCE = timedelta(minutes=5)
SENT = frozenset({"message.sent", "message.finalized"})


def verified(body: bytes, headers: Mapping[str, str], now: datetime) -> Any:
    """The event in a body that Telnyx signed within five minutes. Raises BadSignature, TooOld and MalformedWebhook."""
    if len(body) > LARGEST:
        raise BodyTooLarge
    timestamp = headers.get("telnyx-timestamp", "")
    if not re.fullmatch("[0-9]{1,12}", timestamp):
        raise BadSignature
    signature = _decoded(headers.get("telnyx-signature-ed25519", ""))
    signed = timestamp.encode() + b"|" + body
    if not any(_is_signed(_decoded(key), signature, signed) for key in settings.telnyx_public_keys()):
        raise BadSignature
    if abs(now - datetime.fromtimestamp(int(timestamp), UTC)) > TOLERANCE:
        raise TooOld
    try:
        return from_json(body)
    except ValueError:
        raise MalformedWebhook from None


def arrival_of(told: Any, now: datetime) -> Arrival:
    """An event of Telnyx's, translated. Raises MalformedWebhook where it has no id."""
    happened = part(told, "data")
    message = part(happened, "payload")
    event_id, name = word(part(happened, "id")), word(part(happened, "event_type"))
    if not event_id:
        raise MalformedWebhook
    recipients = items(part(message, "to"))
    numbers = [number for one in recipients if (number := word(part(one, "phone_number")))]
    message_id, sender = word(part(message, "id")), word(part(part(message, "from"), "phone_number"))
    common = {"id": message_id, "channel": "sms", "provider": "telnyx"}
    at = instant(part(happened, "occurred_at"), now)
    if name == "message.received" and message_id and sender:
        text = part(message, "text")
        body = {"direction": "inbound", "from": sender, "to": next(iter(numbers), None), "text": _text(text)}
        return Arrival("telnyx", event_id, name, "message.received", at, numbers, common | _said(body))
    status = word(part(first(recipients), "status"))
    if name in SENT and message_id and status:
        # Its tags are ours, and one of them may be the step run's id, which is known from before the send.
        keys = [tag for one in items(part(message, "tags")) if (tag := word(one))]
        body = {"direction": "outbound", "from": sender or None, "to": next(iter(numbers), None), "status": status}
        return Arrival("telnyx", event_id, name, "message.status", at, [*keys, message_id], common | _said(body))
    return Arrival("telnyx", event_id, name, None, at, [], {})


def _text(value: object) -> str:
    """Verbatim, but for what no JSON of ours can hold."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_signed(key: bytes, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
