"""A batch of messages for one organization, taken in: one transaction of few statements, however many messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from leadline import budget, config, dnc, domain_events, gate, phone
from leadline.calls import confirmations, effects, inbox, ledger, optouts, runs
from leadline.calls.confirmations import ConfirmationRequest
from leadline.calls.effects import People, Plan
from leadline.calls.folding import CallState, Kept, Normalise, TextState, fold_call, fold_text
from leadline.calls.inbox import Allowance, Before
from leadline.calls.messages import Message
from leadline.calls.optouts import Known
from leadline.db import Transaction
from leadline.domain_events import NewEvent
from leadline.errors import Busy
from leadline.nurture import receipts


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


def take(tx: Transaction, messages: Sequence[Message], now: datetime) -> list[ConfirmationRequest]:
    """Takes in messages of one organization, each once whatever its queue delivers, in whatever order they come.

    Answers what the call system is to be asked for when this is committed.

    Locks in the order that everybody keeps: numbers, inbox, calls, leads, enrollments, and the ledger last. Raises Busy
    where the number of somebody who opted out just changes.
    """
    once = {message.id: message for message in reversed(messages)}
    sent = [inbox.as_kept(message) for message in once.values()]
    sent.sort(key=lambda message: (message.occurred_at, message.message_id))
    heard = inbox.kept(tx, _calls(sent), _texts(sent))
    calls_before, texts_before = inbox.known(tx, _calls(sent), _texts(sent))
    decided = config.read(tx)
    normalise = partial(_normalised, region=decided.default_region)
    told = {message.message_id: message for message in [*sent, *heard]}
    foreseen = _folded(told.values(), {*told}, decided, normalise, (calls_before.fetchall(), texts_before.fetchall()))
    locked = _foreseen_numbers(tx, foreseen)
    if locked:
        dnc.lock_numbers(tx, sorted(locked))
    batch, new = _kept(tx, sent, decided, normalise)
    return _apply(tx, batch, new, locked, now, decided.opt_out_confirmation) if new else []


def _foreseen_numbers(tx: Transaction, batch: Batch) -> set[str]:
    """The numbers that opt-outs will list, by all that is known before anything is locked."""
    calls = [call for call in batch.calls if call.opt_outs]
    texts = [text for text in batch.texts if text.opt_outs]
    if not calls and not texts:
        return set()
    calls = _resolved(calls, batch.calls_before, inbox.allowances(tx, calls))
    before = [batch.calls_before.get(call.call_id) for call in calls]
    before += [batch.texts_before.get(text.message_id) for text in texts]
    lead_ids = [state.lead_named for state in [*calls, *texts]] + [one.lead_id for one in before if one]
    of_leads = effects.numbers_of(tx, {lead_id for lead_id in lead_ids if lead_id})
    said = [one.number for state in [*calls, *texts] for one in state.opt_outs]
    found = [*said, *of_leads.values(), *(state.phone_number for state in [*calls, *texts])]
    return {number for number in found if number}


def _kept(tx: Transaction, sent: list[Kept], decided: config.Config, normalise: Normalise) -> tuple[Batch, set[str]]:
    """Keeps the messages, locks their calls and texts and makes them anew; and which messages are new."""
    received = inbox.receive(tx, sent)
    call_times = _first_heard_of((one.call_id, one.occurred_at) for one in sent)
    text_times = _first_heard_of((one.text_message_id, one.occurred_at) for one in sent)
    calls_before = inbox.lock_calls(tx, call_times)
    texts_before = inbox.lock_texts(tx, text_times)
    kept = inbox.kept(tx, list(call_times), list(text_times)).fetchall()
    new: set[str] = {row["message_id"] for row in received}
    batch = _folded(kept, new, decided, normalise, (calls_before.fetchall(), texts_before.fetchall()))
    calls = _resolved(batch.calls, batch.calls_before, inbox.allowances(tx, batch.calls))
    billing = {one.call_id for one in kept if one.message_id in new and _bills(one)}
    return replace(batch, calls=calls, billed=[call for call in calls if call.call_id in billing]), new


def _folded(
    kept: Iterable[Kept],
    new: set[str],
    decided: config.Config,
    normalise: Normalise,
    before: tuple[Sequence[Before], Sequence[Before]],
) -> Batch:
    """The calls and texts of which a message is new, from all messages about them."""
    by_thing: dict[tuple[str | None, str | None], list[Kept]] = {}
    for one in kept:
        by_thing.setdefault((one.call_id, one.text_message_id), []).append(one)
    touched = {thing: all_ for thing, all_ in by_thing.items() if any(one.message_id in new for one in all_)}
    calls_before, texts_before = before
    return Batch(
        [fold_call(all_, decided.call_outcomes, normalise) for (call_id, _), all_ in touched.items() if call_id],
        [fold_text(all_, normalise) for (_, text_id), all_ in touched.items() if text_id],
        [],
        {one.key: one for one in calls_before},
        {one.key: one for one in texts_before},
    )


def _resolved(
    calls: Sequence[CallState], before: dict[str, Before], allowances: dict[UUID, Allowance]
) -> list[CallState]:
    """Calls with what their messages leave out: the hold by the decision, and the number by what else is known."""
    resolved: list[CallState] = []
    for call in calls:
        decision = allowances.get(call.decision_id) if call.decision_id else None
        hold = allowances.get(call.hold_id) if call.hold_id else None
        known = [before.get(call.call_id), decision, hold]
        number = call.phone_number or next((one.phone_number for one in known if one and one.phone_number), None)
        hold_id = call.hold_id or (decision.hold_id if decision else None)
        resolved.append(replace(call, phone_number=number, hold_id=hold_id))
    return resolved


def _apply(  # noqa: PLR0917
    tx: Transaction, batch: Batch, new: set[str], numbers_locked: set[str], now: datetime, confirmation: str | None
) -> list[ConfirmationRequest]:
    """All that new messages do."""
    locked = effects.lock_leads(tx, batch.lead_ids(), batch.numbers())
    standing = effects.standing(tx, batch.lead_ids(), batch.numbers(), [call.call_id for call in batch.calls])
    people = People(locked)
    plan = Plan()
    calls = effects.plan_calls(plan, people, batch.calls, batch.calls_before)
    texts = effects.plan_texts(plan, people, batch.texts, batch.texts_before)
    effects.plan_statuses(plan, people, batch.calls, calls.of_lead, standing)
    batch = _with_leads_numbers(batch, people, calls.of_lead)
    asked = [
        *optouts.of_calls(batch.calls, Known(batch.calls_before, people, calls.of_lead, new, now)),
        *optouts.of_texts(batch.texts, Known(batch.texts_before, people, texts.of_lead, new, now)),
    ]
    of_number = {number for one in asked for number in one.numbers}
    if not of_number <= numbers_locked:
        raise Busy
    inbox.write_calls(tx, batch.calls, calls.of_lead, calls.counted)
    inbox.write_texts(tx, batch.texts, texts.of_lead, texts.counted)
    effects.write_leads(tx, plan.effects, people)
    leaving = people.with_numbers(of_number)
    told = runs.receipts_of(batch.calls, batch.texts)
    receipts.lock(tx, told, plan.paused | leaving)
    effects.pause(tx, plan.paused - leaving, now)
    proved_sent = runs.move(tx, told, plan.replies, now)
    touched = {*calls.of_lead.values(), *texts.of_lead.values()}
    effects.score(tx, [lead_id for lead_id in touched if people.by_id[lead_id].is_live])
    gate.note_findings(tx, [call.call_id for call in batch.calls if call.direction == "outbound"])
    findings = [*_findings(batch.calls), *ledger.book(tx, batch.billed), *optouts.unheeded(asked)]
    # Fetched only here, where the ledger has answered anyway.
    budget.settle_all(tx, [row["hold_id"] for row in proved_sent.fetchall()] if proved_sent else [])
    # After the ledger: a call that ends with an opt-out settles its own hold before those of the number are released.
    revocations = optouts.honour(tx, people, asked)
    domain_events.note_all(tx, findings)
    return confirmations.confirm(tx, revocations, confirmation, people, now) if confirmation else []


def _with_leads_numbers(batch: Batch, people: People, of_lead: dict[str, UUID]) -> Batch:
    """A call of which nothing else tells the number has its lead's."""

    def with_number(call: CallState) -> CallState:
        lead = people.by_id.get(of_lead[call.call_id]) if call.call_id in of_lead else None
        return replace(call, phone_number=lead.phone_number) if lead and not call.phone_number else call

    return replace(batch, calls=[with_number(call) for call in batch.calls])


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
    """Whether a message may concern the ledger: an end of a call, its cost, its hold or its decision."""
    told = message.payload.get("call", {})
    return message.type in ("call.completed", "call.failed") or not told.keys().isdisjoint(
        {"cost_usd", "hold_id", "decision_id"}
    )


def _calls(sent: Iterable[Kept]) -> list[str]:
    return sorted({one.call_id for one in sent if one.call_id is not None})


def _texts(sent: Iterable[Kept]) -> list[str]:
    return sorted({one.text_message_id for one in sent if one.text_message_id is not None})


def _first_heard_of(things: Iterable[tuple[str | None, datetime]]) -> dict[str, datetime]:
    times: dict[str, datetime] = {}
    for key, at in things:
        if key is not None:
            times[key] = min(at, times.get(key, at))
    return times


def _normalised(spelling: str, region: str) -> str | None:
    try:
        return phone.normalise(spelling, region)
    except phone.BadPhone:
        return None
