"""What all messages about a call, or about a text, come to together.

A message is kept before anything is made of it, and a call is made anew from all of its messages whenever one comes, in
the order in which they happened: by occurred_at, then by the message's id. So the order of arrival cannot matter.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from leadline.calls.messages import cost
from leadline.dnc.replies import is_automatic
from leadline.dnc.words import verdict
from leadline.nurture.receipts import COMPLAINTS

# Outcomes of a failed call that nobody's telephone heard of.
NEVER_RANG = frozenset({"invalid_number", "network_error", "never_rang", "rejected_by_carrier"})
OPT_OUTS = frozenset({"opted_out", "opt_out", "do_not_call"})  # outcomes
REFUSALS = frozenset({"not_interested", "refused"}) | OPT_OUTS

IN_DOUBT = 0.5  # the confidence of an opt-out that words may mean: low enough to be reviewed

Normalise = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Kept:
    """A message as the inbox has it."""

    message_id: str
    type: str
    call_id: str | None
    text_message_id: str | None
    occurred_at: datetime
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The newest outcome that asks for a status: which, when, by which message of which call."""

    status: str
    at: datetime
    message_id: str
    call_id: str

    @property
    def place(self) -> tuple[datetime, str]:
        """Its place in the order in which things happened."""
        return self.at, self.message_id


@dataclass(frozen=True, slots=True)
class OptOut:
    """What a message says of a person who opted out; `number` is the person's, as that message has it."""

    message_id: str
    at: datetime
    words: str | None
    confidence: float | None
    number: str | None
    reason: str = "ai_detected"


@dataclass(frozen=True, slots=True)
class CallState:
    """A call; the names are those of the columns, but for the last six.

    `lead_named` is the lead by its id, if a message says so; `reached_at` when the call was completed, the last time;
    `failed` whether a message says so, be it the newest or not; `unknown_outcomes` are those that the organization has
    given no meaning to.
    """

    call_id: str
    direction: str
    from_number: str | None
    to_number: str | None
    phone_number: str | None
    voice: str | None
    script_id: str | None
    script_version: str | None
    decision_id: UUID | None
    hold_id: UUID | None
    status: str | None
    rang: bool
    occurred_at: datetime
    placed_at: datetime
    refused_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_seconds: int | None
    cost_usd: Decimal | None
    cost_as_sent: str | None
    outcome: str | None
    recording_url: str | None
    qualification: dict[str, Any]
    intent: dict[str, Any]
    lead_named: UUID | None
    reached_at: datetime | None
    failed: bool
    asks_for: Outcome | None
    unknown_outcomes: frozenset[str]
    opt_outs: list[OptOut]


@dataclass(frozen=True, slots=True)
class TextState:
    """A text; the names are those of the columns, but for the last five.

    Three are as in CallState. `reported` are all that was said of its status, each with its time; `own_number` is the
    one that the person wrote to.
    """

    message_id: str
    call_id: str | None
    channel: str | None
    direction: str
    address: str | None
    phone_number: str | None
    text: str | None
    status: str | None
    status_at: datetime | None
    provider: str | None
    occurred_at: datetime
    lead_named: UUID | None
    reached_at: datetime | None
    opt_outs: list[OptOut]
    reported: list[tuple[str, datetime]]
    own_number: str | None

    @property
    def is_email(self) -> bool:
        """Whether it is an email, be it said or seen by its address."""
        return self.channel == "email" or (self.channel is None and "@" in (self.address or ""))


@dataclass(slots=True)
class _Told:
    """What the newest message says of each thing, and of the costs of completed calls."""

    call: dict[str, Any] = field(default_factory=dict[str, Any])
    qualification: dict[str, Any] = field(default_factory=dict[str, Any])
    intent: dict[str, Any] = field(default_factory=dict[str, Any])


def in_order(kept: Iterable[Kept]) -> list[Kept]:
    """Messages in the order in which they happened."""
    return sorted(kept, key=lambda message: (message.occurred_at, message.message_id))


def person(told: Mapping[str, Any]) -> str | None:
    """The person's address, by what is told of a call or a text: of an inbound one who it came from."""
    return told.get("from") if told.get("direction") == "inbound" else told.get("to")


def told_of_text(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a message says of a text: who it was between may stand in its call, and in the text itself before that."""
    parties = payload.get("call", {})
    return {name: parties[name] for name in ("from", "to", "lead_id") if name in parties} | payload["message"]


def fold_call(kept: Sequence[Kept], outcomes: Mapping[str, str | None], normalise: Normalise) -> CallState:
    """A call from all of its messages; `outcomes` says which status an outcome asks for, if any."""
    messages = in_order(kept)
    told = _Told()
    for message in messages:
        told.call |= message.payload["call"]
        told.qualification |= message.payload.get("qualification", {})
        told.intent |= message.payload.get("intent", {})
    call = told.call
    ends = [message for message in messages if message.type in ("call.completed", "call.failed")]
    completed = [message for message in ends if message.type == "call.completed"]
    started = [message for message in messages if message.type == "call.started"]
    status = ends[-1].type.removeprefix("call.") if ends else "started" if started else None
    named = {message.payload["call"].get("outcome") for message in messages} - {None}
    return CallState(
        **_as_told(call, normalise),
        phone_number=_newest_number(messages, call.get("direction"), normalise),
        status=status,
        rang=_rang(messages),
        occurred_at=messages[0].occurred_at,
        placed_at=(started or ends or messages)[0].occurred_at,
        refused_at=next((message.occurred_at for message in messages if _refuses(message, outcomes)), None),
        started_at=started[0].occurred_at if started else None,
        ended_at=ends[-1].occurred_at if ends else None,
        qualification=told.qualification,
        intent=told.intent,
        reached_at=completed[-1].occurred_at if completed else None,
        failed=len(completed) < len(ends),
        asks_for=_asks_for(messages, outcomes),
        unknown_outcomes=frozenset(named - outcomes.keys()),
        opt_outs=[one for message in messages if (one := heard_opt_out(message, call.get("direction"), normalise))],
    )


def _as_told(call: Mapping[str, Any], normalise: Normalise) -> dict[str, Any]:
    """The fields of a call that are just what its messages say."""
    sent: str | None = call.get("cost_usd")
    script = call.get("script", {})
    return {
        "call_id": call["id"],
        "direction": call.get("direction", "outbound"),
        "from_number": _readable(call.get("from"), normalise),
        "to_number": _readable(call.get("to"), normalise),
        "voice": call.get("voice"),
        "script_id": script.get("id"),
        "script_version": str(script["version"]) if script else None,
        "decision_id": _uuid(call.get("decision_id")),
        "hold_id": _uuid(call.get("hold_id")),
        "duration_seconds": call.get("duration_seconds"),
        "cost_usd": None if sent is None else cost(sent),
        "cost_as_sent": sent,
        "outcome": call.get("outcome"),
        "recording_url": call.get("recording_url"),
        "lead_named": _uuid(call.get("lead_id")),
    }


def fold_text(kept: Sequence[Kept], normalise: Normalise) -> TextState:
    """An SMS or an email from all of its messages."""
    messages = in_order(kept)
    received = [message for message in messages if message.type == "message.received"]
    written = [message for message in received if not _is_automatic(message)]
    told: dict[str, Any] = {"direction": "inbound" if received else "outbound"}
    parties: dict[str, Any] = {}
    status: str | None = None
    status_at: datetime | None = None
    words: list[tuple[str, datetime]] = []
    for message in messages:
        parties |= message.payload.get("call", {})
        told |= told_of_text(message.payload)
        default = "received" if message.type == "message.received" else None
        if reported := message.payload["message"].get("status", default):
            status, status_at = reported, message.occurred_at
            words.append((reported, message.occurred_at))
    if received:
        told["direction"] = "inbound"  # whatever it says: a person wrote it
    address = person(told)
    return TextState(
        message_id=told["id"],
        call_id=parties.get("id"),
        channel=told.get("channel"),
        direction=told["direction"],
        address=address,
        phone_number=_number(address, normalise),
        text=told.get("text"),
        status=status,
        status_at=status_at,
        provider=told.get("provider"),
        occurred_at=messages[0].occurred_at,
        lead_named=_uuid(told.get("lead_id")),
        reached_at=written[-1].occurred_at if written else None,
        opt_outs=[
            *(one for message in received if (one := heard_opt_out(message, "inbound", normalise))),
            *(one for message in messages if (one := _complaint(message))),
        ],
        reported=words,
        own_number=told.get("to") if received else None,
    )


def _complaint(message: Kept) -> OptOut | None:
    """An email that its reader called spam is one too many, as much as if it had been answered with a stop."""
    told = message.payload["message"]
    if message.type != "message.status" or told["status"].lower() not in COMPLAINTS:
        return None
    return OptOut(message.message_id, message.occurred_at, None, None, None, "complaint")


def _asks_for(messages: Sequence[Kept], outcomes: Mapping[str, str | None]) -> Outcome | None:
    """The newest outcome that asks for a status: one that asks for none says nothing against an earlier one."""
    for message in reversed(messages):
        status = outcomes.get(message.payload["call"].get("outcome"))
        if status is not None:
            return Outcome(status, message.occurred_at, message.message_id, message.payload["call"]["id"])
    return None


def _newest_number(messages: Sequence[Kept], direction: str | None, normalise: Normalise) -> str | None:
    """The person's newest number that reads as one."""
    for message in reversed(messages):
        if number := _number(person(message.payload["call"] | {"direction": direction}), normalise):
            return number
    return None


def _rang(messages: Sequence[Kept]) -> bool:
    """Whether it may have rung: unless each end of it was a failure that nobody's telephone heard of."""
    ends = [message for message in messages if message.type in ("call.completed", "call.failed")]
    was_answered = any(message.payload["call"].get("duration_seconds", 0) > 0 for message in messages)
    return (
        not ends
        or was_answered
        or any(message.type == "call.completed" or _outcome(message) not in NEVER_RANG for message in ends)
    )


def _refuses(message: Kept, outcomes: Mapping[str, str | None]) -> bool:
    """Whether it says that the person refused, in the usual words or in those of the organization."""
    outcome = message.payload["call"].get("outcome")
    is_cold = outcomes.get(outcome) == "cold" and _outcome(message) != "wrong_number"
    objects = message.payload.get("intent", {}).get("hard_objection", False)
    return is_cold or objects or _outcome(message) in REFUSALS or "opt_out" in message.payload


def _outcome(message: Kept) -> str:
    return message.payload["call"].get("outcome", "").lower()


def heard_opt_out(message: Kept, direction: str | None, normalise: Normalise) -> OptOut | None:
    """The opt-out in a message: told as such, by the outcome of a call, or by what a text says."""
    told: dict[str, Any] | None = message.payload.get("opt_out")
    if message.call_id is not None:
        of = message.payload["call"]
        if told is None and _outcome(message) in OPT_OUTS:
            told = {}
    else:
        of = told_of_text(message.payload)
        if told is None:
            told = _read_opt_out(of)
    if told is None:
        return None
    number = _number(person(of | {"direction": direction}), normalise)
    return OptOut(message.message_id, message.occurred_at, told.get("phrase"), told.get("confidence"), number)


def _read_opt_out(text: Mapping[str, Any]) -> dict[str, Any] | None:
    """The opt-out that can be read in a text, in its own words: certain, or one that a person has to judge."""
    words: str = text.get("text", "")
    found = verdict(words, automatic=text.get("automatic")).kind
    if found == "nothing":
        return None
    return {"phrase": words} if found == "revoke" else {"phrase": words, "confidence": IN_DOUBT}


def _is_automatic(message: Kept) -> bool:
    """Whether a program wrote a text: as it is told, else as it reads. So it is no reply, whatever else it says."""
    text = message.payload["message"]
    told: bool | None = text.get("automatic")
    return is_automatic(text.get("text", "")) if told is None else told


def _number(address: str | None, normalise: Normalise) -> str | None:
    return None if address is None else normalise(address)


def _readable(address: str | None, normalise: Normalise) -> str | None:
    """In E.164 where it reads as a number, else as it was sent."""
    return None if address is None else normalise(address) or address


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)
