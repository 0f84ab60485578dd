"""A batch of messages for one organization, taken in: one transaction of few statements, however many messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeAlias
from uuid import UUID

from psycopg import sql

from leadline import config, dnc, domain_events, gate, phone
from leadline.calls import effects, inbox, ledger
from leadline.calls.effects import People, Plan
from leadline.calls.folding import CallState, Kept, Normalise, TextState, fold_call, fold_text, person, told_of_text
from leadline.calls.inbox import Before
from leadline.calls.messages import AboutCall, AboutText, Message, MessageReceived, MessageStatus, payload
from leadline.db import Transaction
from leadline.dnc.additions import Addition, detected, write
from leadline.domain_events import NewEvent
from leadline.errors import Busy
from leadline.events import PermanentFault

Asking: TypeAlias = AboutCall | MessageReceived  # what may carry an opt-out


@dataclass(frozen=True, slots=True)
class Asked:
    """A person who opted out: by which message, of which call or text, and the numbers that are to be listed."""

    message_id: str
    trigger_id: str
    lead_named: UUID | None
    numbers: list[str]
    additions: list[Addition]


@dataclass(frozen=True, slots=True)
class Batch:
    """The calls and texts of which a batch brought something new, and what was known of them before.

    `billed` are those calls of which the news may concern the ledger: it is locked for nothing else.
    """

    calls: list[CallState]
    texts: list[TextState]
    billed: list[CallState]
    calls_before: dict[str, Before]
    texts_before: dict[str, Before]

    def lead_ids(self) -> set[UUID]:
        """Every lead that one of them may be of, by its id."""
        named = [state.lead_named for state in [*self.calls, *self.texts]]
        known = [before.lead_id for before in [*self.calls_before.values(), *self.texts_before.values()]]
        return {lead_id for lead_id in named + known if lead_id}

    def numbers(self) -> set[str]:
        """Every person's number."""
        return {state.phone_number for state in [*self.calls, *self.texts] if state.phone_number}


def take(tx: Transaction, messages: Sequence[Message], now: datetime) -> None:
    """Takes in messages of one organization, each once whatever its queue delivers, in whatever order they come.

    Locks in the order that everybody keeps: numbers, inbox, calls, leads, enrollments, and the ledger last. Raises
    PermanentFault (bad_phone) where a person who opted out has no number, and Busy where a lead's number just changes.
    """
    once = {message.id: message for message in reversed(messages)}
    sent = sorted(once.values(), key=lambda message: (message.occurred_at, message.id))
    asking = [message for message in sent if not isinstance(message, MessageStatus) and message.opt_out]
    numbers = effects.numbers_of(tx, [lead_id for message in asking if (lead_id := _person(message)[0])])
    decided = config.read(tx)
    normalise = partial(_normalised, region=decided.default_region)
    asked = [_asked(message, numbers, normalise, now) for message in asking]
    if asked:
        dnc.lock_numbers(tx, sorted({number for one in asked for number in one.numbers}))
    batch, new = _kept(tx, sent, decided, normalise)
    asked = [one for one in asked if one.message_id in new]
    if any(not one.numbers for one in asked):
        raise PermanentFault("bad_phone", "/call/to")
    if new:
        _apply(tx, batch, asked)


def _kept(tx: Transaction, sent: list[Message], decided: config.Config, normalise: Normalise) -> tuple[Batch, set[str]]:
    """Keeps the messages, locks their calls and texts and makes them anew; and which messages are new."""
    received = inbox.receive(tx, sent)
    call_times = _first_heard_of((one.call.id, one) for one in sent if isinstance(one, AboutCall))
    text_times = _first_heard_of((one.message.id, one) for one in sent if isinstance(one, AboutText))
    calls_before = inbox.lock_calls(tx, call_times)
    texts_before = inbox.lock_texts(tx, text_times)
    kept = inbox.kept(tx, list(call_times), list(text_times)).fetchall()
    new: set[str] = {row["message_id"] for row in received}
    touched = {(one.call_id, one.text_message_id) for one in kept if one.message_id in new}
    by_thing: dict[tuple[str | None, str | None], list[Kept]] = {thing: [] for thing in touched}
    for one in kept:
        if (thing := (one.call_id, one.text_message_id)) in touched:
            by_thing[thing].append(one)
    calls = [fold_call(all_, decided.call_outcomes, normalise) for (call_id, _), all_ in by_thing.items() if call_id]
    billing = {one.call_id for one in kept if one.message_id in new and _bills(one)}
    batch = Batch(
        calls,
        [fold_text(all_, normalise) for (_, text_id), all_ in by_thing.items() if text_id],
        [call for call in calls if call.call_id in billing],
        {one.key: one for one in calls_before},
        {one.key: one for one in texts_before},
    )
    return batch, new


def _apply(tx: Transaction, batch: Batch, asked: list[Asked]) -> None:
    """All that new messages do."""
    ids = batch.lead_ids() | {one.lead_named for one in asked if one.lead_named}
    numbers = batch.numbers() | {number for one in asked for number in one.numbers}
    locked = effects.lock_leads(tx, ids, numbers)
    standing = effects.standing(tx, ids, numbers, [call.call_id for call in batch.calls])
    people = People(locked)
    _require_numbers_as_read(people, asked)
    plan = Plan()
    calls = effects.plan_calls(plan, people, batch.calls, batch.calls_before)
    texts = effects.plan_texts(plan, people, batch.texts, batch.texts_before)
    effects.plan_statuses(plan, people, batch.calls, calls.of_lead, standing)
    inbox.write_calls(tx, batch.calls, calls.of_lead, calls.counted)
    inbox.write_texts(tx, batch.texts, texts.of_lead, texts.counted)
    effects.write_leads(tx, plan.effects, people)
    of_number = {number for one in asked for number in one.numbers}
    leaving = people.with_numbers(of_number)
    effects.pause(tx, plan.paused - leaving)
    touched = {*calls.of_lead.values(), *texts.of_lead.values()}
    effects.score(tx, [lead_id for lead_id in touched if people.by_id[lead_id].is_live])
    if asked:
        effects.lock_enrollments(tx, leaving)
    gate.note_findings(tx, [call.call_id for call in batch.calls if call.started_at and call.decision_id])
    findings = [*_findings(batch.calls), *ledger.book(tx, batch.billed)]
    # After the ledger: a call that ends with an opt-out settles its own hold before those of the number are released.
    if asked:
        _list(tx, people, asked)
    domain_events.note_all(tx, findings)


def _findings(calls: list[CallState]) -> list[NewEvent]:
    """What a person should see of these calls."""
    unknown = [
        NewEvent("unknown_outcome", call.call_id, f"{call.call_id} {outcome}", {"outcome": outcome})
        for call in calls
        for outcome in sorted(call.unknown_outcomes)
    ]
    contradictory = [
        NewEvent("call_failed_and_completed", call.call_id, call.call_id, {})
        for call in calls
        if call.failed and call.reached_at
    ]
    return unknown + contradictory


def _bills(message: Kept) -> bool:
    """Whether a message may concern the ledger: an end of a call, its cost or its hold."""
    told = message.payload.get("call", {})
    return message.type in ("call.completed", "call.failed") or "cost_usd" in told or "hold_id" in told


def _list(tx: Transaction, people: People, asked: list[Asked]) -> None:
    """Puts who opted out on the Do-Not-Call list, with all that this stops."""
    triggers = {lead_id: one.trigger_id for one in reversed(asked) for lead_id in people.with_numbers(set(one.numbers))}
    effects.name_triggers(tx, triggers)
    write(tx, [addition for one in asked for addition in one.additions], sql.SQL("id"))


def _asked(message: Asking, numbers: dict[UUID, str | None], normalise: Normalise, now: datetime) -> Asked:
    """The numbers to list: the person's as the message has it, and the lead's where it names one."""
    lead_named, address = _person(message)
    found = {address and normalise(address), lead_named and numbers.get(lead_named)}
    listed = sorted(number for number in found if number)
    is_call = isinstance(message, AboutCall)
    channel = "call" if is_call else message.message.channel or "sms"
    opt_out = message.opt_out
    additions = [
        detected(
            number,
            source=channel,
            channel=channel,
            words=opt_out and opt_out.phrase,
            confidence=opt_out and opt_out.confidence,
            at=min(message.occurred_at, now),
        )
        for number in listed
    ]
    return Asked(message.id, message.call.id if is_call else message.message.id, lead_named, listed, additions)


def _person(message: Asking) -> tuple[UUID | None, str | None]:
    """The lead that a message names, and the person's number as it stands there."""
    told = payload(message)
    of = told["call"] if isinstance(message, AboutCall) else {"direction": "inbound"} | told_of_text(told)
    return (UUID(of["lead_id"]) if "lead_id" in of else None), person(of)


def _require_numbers_as_read(people: People, asked: list[Asked]) -> None:
    """The numbers of leads were read before they could be locked; where one has changed since, all begins anew."""
    for one in asked:
        lead = people.by_id.get(one.lead_named) if one.lead_named else None
        if lead and lead.phone_number and lead.phone_number not in one.numbers:
            raise Busy


def _first_heard_of(things: Iterable[tuple[str, Message]]) -> dict[str, datetime]:
    times: dict[str, datetime] = {}
    for key, message in things:
        times[key] = min(message.occurred_at, times.get(key, message.occurred_at))
    return times


def _normalised(spelling: str, region: str) -> str | None:
    try:
        return phone.normalise(spelling, region)
    except phone.BadPhone:
        return None
