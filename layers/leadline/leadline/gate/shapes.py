"""What the gate is asked and what it answers."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from leadline.consent import Channel, Voice
from leadline.inputs import Input, Instant, Word
from leadline.money import Money

Code = Literal[
    "on_dnc_list",
    "no_consent",
    "consent_revoked",
    "outside_hours",
    "unknown_zone",
    "no_rule_for_region",
    "cap_reached",
    "insufficient_budget",
    "calling_blocked",
    "lead_deleted",
    "bad_number",
]


class Authorize(Input):
    """Whether this lead, or this number, may be contacted now.

    `voice` is of a call: an artificial one unless stated, which is what asks for most. `max_cost` is held on the
    budget, or without it what the organization has set for the channel. `at` is the time, on the local suite only.
    """

    lead_id: UUID | None = None
    phone_number: Word | None = None
    channel: Channel
    voice: Voice = "artificial"
    max_cost: Money | None = None
    at: Instant | None = None

    @model_validator(mode="after")
    def _of_one(self) -> "Authorize":
        if (self.lead_id is None) == (self.phone_number is None):
            raise PydanticCustomError("one_of", "Give either lead_id or phone_number")
        return self


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as the gate judges it: a lead or a number in E.164, and what to hold where it is allowed."""

    lead_id: UUID | None
    phone_number: str | None
    channel: Channel
    voice: Voice | None  # of a call only
    max_cost: Decimal | None  # none is held for what costs nothing


@dataclass(frozen=True, slots=True)
class Reason:
    """Why not: a stable code, the rule that says so, its version, and a sentence for people."""

    code: Code
    rule: str
    rule_version: int
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer. All reasons are told, not only the first; without any it is allowed until `valid_until`.

    `next_allowed_at` is null when no time helps. The hold outlives `valid_until`: it is the call's money.
    """

    allowed: bool
    decision_id: UUID
    reasons: list[Reason]
    next_allowed_at: datetime | None
    valid_until: datetime | None
    hold_id: UUID | None
    hold_expires_at: datetime | None
