"""SES: what became of an email, as it tells a topic of SNS."""

from datetime import datetime
from typing import Any

from pydantic_core import from_json

from leadline.webhooks.arrivals import Arrival, MalformedWebhook, first, instant, part, word

RUN_TAG = "run_id"  # of an email: the step run's id, known from before the send
# Of each event: where its own part stands, and our word for it.
EVENTS = {
    "Send": ("send", "sent"),
    "Delivery": ("delivery", "delivered"),
    "DeliveryDelay": ("deliveryDelay", "delayed"),
    "Bounce": ("bounce", "bounced"),
    "Complaint": ("complaint", "complained"),
    "Reject": ("reject", "rejected"),
    "Rendering Failure": ("failure", "rendering_failed"),
    "Open": ("open", "opened"),
    "Click": ("click", "clicked"),
}


def arrival_of(message: dict[str, str], now: datetime) -> Arrival:
    """The event of SES in a message of SNS that was verified. Raises MalformedWebhook."""
    try:
        told: Any = from_json(message["Message"])
    except ValueError:
        # SNS writes a sentence to a topic that it has just been given; it is signed, and says nothing of an email.
        told = {}
    event_id = word(message["MessageId"])
    if not event_id:
        raise MalformedWebhook
    name = word(part(told, "eventType")) or word(part(told, "notificationType"))
    mail = part(told, "mail")
    message_id = word(part(mail, "messageId"))
    if name not in EVENTS or not message_id:
        return Arrival("ses", event_id, name, None, now, [], {})
    place, status = EVENTS[name]
    own = part(told, place)
    if name == "Bounce" and word(part(own, "bounceType")) != "Permanent":
        status = "soft_bounced"
    run_id = word(first(part(part(mail, "tags"), RUN_TAG)))
    to = word(_recipient(own, mail))
    body = {"id": run_id or message_id, "channel": "email", "direction": "outbound", "provider": "ses"}
    if to:
        body["to"] = to
    at = instant(part(own, "timestamp") or message.get("Timestamp"), now)
    keys = [key for key in (run_id, message_id) if key]
    return Arrival("ses", event_id, name, "message.status", at, keys, body | {"status": status})


def _recipient(own: Any, mail: Any) -> Any:
    """Who it went to: our emails have one recipient each."""
    for name in ("bouncedRecipients", "complainedRecipients"):
        if address := part(first(part(own, name)), "emailAddress"):
            return address
    return first(part(own, "recipients")) or first(part(mail, "destination"))
