"""What every webhook comes to: an event with the keys of whoever it may be for, and then a message for each of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from leadline import provider_keys
from leadline.db import Transaction
from leadline.errors import Forbidden, MalformedJson, Unauthorized
from leadline.inputs import Input
from leadline.provider_keys import Provider

LARGEST = 300_000  # bytes; SNS and Telnyx send less than 256 kB
LONGEST_KEY = 200
JSON: dict[str, Any] = {"application/json": dict[str, Any]}  # what the bodies are, whatever they say of themselves


class BadSignature(Unauthorized):
    """The webhook is not signed by its provider."""


class TooOld(Unauthorized):
    """The webhook was signed more than five minutes ago, or more than five minutes ahead."""


class UnknownTopic(Forbidden):
    """The message is of a topic that is not on the list."""


class MalformedWebhook(MalformedJson):
    """The webhook is not what its provider sends."""


class Envelope(Input):
    """A message of the call events queue, as `leadline.calls` reads it."""

    id: str
    type: Literal["message.received", "message.status"]
    occurred_at: datetime
    tenant_id: UUID
    organization_id: UUID
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event of a provider, translated. `keys` are those of its organization, the best first.

    Without a `type` it is one that we do nothing with. `message` is as the envelope has it.
    """

    provider: Provider
    event_id: str
    name: str
    type: Literal["message.received", "message.status"] | None
    occurred_at: datetime
    keys: list[str]
    message: dict[str, Any]


def matched(tx: Transaction, arrival: Arrival) -> list[Envelope]:
    """A message for each organization that the event is for; one that is nobody's is noted. As the dispatcher."""
    reason = "unknown_key" if arrival.type else "unknown_type"
    found = provider_keys.owners(tx, arrival.provider, arrival.keys) if arrival.type and arrival.keys else []
    if not arrival.type or not found:
        provider_keys.note_unmatched(tx, arrival.provider, arrival.event_id, arrival.name, reason)
        return []
    return [
        Envelope(
            id=arrival.event_id,
            type=arrival.type,
            occurred_at=arrival.occurred_at,
            tenant_id=owner.tenant_id,
            organization_id=owner.organization_id,
            # Of what we sent: the id by which we know it.
            message=arrival.message | ({"id": owner.key} if arrival.type == "message.status" else {}),
        )
        for owner in found
    ]


def word(value: object) -> str:
    """A short text of a provider's, or "" for anything else: what PostgreSQL and our queue can hold."""
    if not isinstance(value, str):
        return ""
    text = value.encode(errors="replace").decode().replace("\0", "").strip()
    return text if len(text) <= LONGEST_KEY else ""


def part(value: object, name: str) -> Any:
    """A member of an object that a provider sent, or None."""
    fields: Any = value
    return fields.get(name) if isinstance(value, dict) else None


def items(value: object) -> list[Any]:
    """The items of a list that a provider sent; none of anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def first(value: object) -> Any:
    """The first of them, or None."""
    return next(iter(items(value)), None)


def instant(value: object, now: datetime) -> datetime:
    """When a provider says that it was: never later than now, and now where it does not say."""
    try:
        said = datetime.fromisoformat(word(value))
    except ValueError:
        return now
    if said.tzinfo is None or said.year < 2000:
        return now
    return min(said, now)
