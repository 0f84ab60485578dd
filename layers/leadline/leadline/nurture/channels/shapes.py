"""What goes out, what can become of it, and what a channel is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from leadline.consent import Channel as ChannelName
from leadline.consent import Voice


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A step as it goes out, and what must be known of it when it has.

    `run_id` is the key by which whoever sends it knows a message that it has had before. `good_until` is `valid_until`
    on this process's monotonic clock: later it is not sent. `next_delay` is the following step's; null after the last.
    """

    run_id: UUID
    attempts: int
    enrollment_id: UUID
    tenant_id: UUID
    organization_id: UUID
    lead_id: UUID
    channel: ChannelName
    to: str
    sender: str | None
    subject: str | None
    text: str
    html: str | None
    unsubscribe_url: str | None
    voice: Voice | None
    script_id: str | None
    script_version: str | None
    decision_id: UUID
    hold_id: UUID | None
    valid_until: datetime
    good_until: float
    occurred_at: datetime
    next_delay: timedelta | None


@dataclass(frozen=True, slots=True)
class Sent:
    """It has gone out; `message_id` is what the provider calls it."""

    message_id: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """It is known not to have gone out; `code` says why, and `again` whether it may go out later."""

    code: str
    again: bool


@dataclass(frozen=True, slots=True)
class GoneWrong:
    """Nobody knows whether it has gone out."""

    code: str


Outcome = Sent | Refused | GoneWrong


class Channel(Protocol):
    """One way out. `settles` says that what was held for a message has been spent once it is sent."""

    @property
    def name(self) -> str: ...

    @property
    def settles(self) -> bool: ...

    def send(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """Sends all, and answers in order what became of each; it raises for none of them."""
        ...
