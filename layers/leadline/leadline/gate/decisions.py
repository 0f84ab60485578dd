"""The gate's answer: judged, its money held, and kept, in one transaction and for any number of requests at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from psycopg import sql
from pydantic_core import to_json

from leadline import budget, config, metrics, phone, settings
from leadline.config import Config
from leadline.db import Transaction
from leadline.errors import Busy, NotFound, Refused
from leadline.gate import facts as reading
from leadline.gate.facts import Contact, Facts
from leadline.gate.shapes import Ask, Authorize, Decision, Reason
from leadline.gate.verdicts import VERSION, Verdict, judge
from leadline.leads import SEEN

HELD_FOR = timedelta(hours=1)  # a call's end is reported long before


class ClockNotYours(Refused):
    """The time is read from the clock here; leave `at` out."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision with what is written of it beside the answer."""

    ask: Ask
    verdict: Verdict
    decision: Decision
    user_id: UUID | None


def authorize(tx: Transaction, asked: Authorize) -> Decision:
    """Whether this lead or number may be contacted now, with a hold on the budget where it may.

    Raises NotFound for a lead that the caller cannot see, BadPhone, and ClockNotYours.
    """
    if asked.at is not None and not settings.takes_request_clock():
        raise ClockNotYours(field="at")
    found = tx.execute(
        sql.SQL("select phone_number from leads where id = %(lead_id)s and {seen}").format(seen=SEEN),
        {"lead_id": asked.lead_id},
    )
    decided = config.read(tx)
    if asked.phone_number is not None:
        number = phone.normalise(asked.phone_number, decided.default_region)
    else:
        row = found.fetchone()
        if row is None:
            raise NotFound
        number = row["phone_number"]
    ask = Ask(
        lead_id=asked.lead_id,
        phone_number=number,
        channel=asked.channel,
        voice=asked.voice if asked.channel == "call" else None,
        max_cost=asked.max_cost or usual_cost(decided, asked.channel),
    )
    (decision,) = decide(tx, [ask], decided, asked.at)
    return decision


def decide(tx: Transaction, asks: Sequence[Ask], decided: Config, at: datetime | None = None) -> list[Decision]:
    """The decisions, in order; each that is allowed counts for those after it. `at` stands in for the clock.

    The numbers are those of the leads as the caller has just read them. Raises Busy where one has changed since.
    """
    if not asks:
        return []
    facts = reading.read(tx, asks, decided, at)
    purse = Purse(facts.balances.available, dict(facts.balances.rooms))
    kept = [_decided(ask, ids, facts, decided, purse) for ask, ids in zip(asks, facts.ids, strict=True)]
    _hold(tx, kept)
    _keep(tx, kept, facts.now)
    _count(kept)
    return [one.decision for one in kept]


def usual_cost(decided: Config, channel: str) -> Decimal | None:
    """What is held for a contact that does not say what it may cost; nothing for an email."""
    usual = {"call": decided.call_max_cost, "sms": decided.sms_max_cost}.get(channel)
    return None if usual is None else Decimal(usual)


@dataclass
class Purse:
    """What is left of the budget, and of each member's cap, while decisions are taken one after the other."""

    available: Decimal | None  # none once it was too little: nothing that comes later overtakes
    rooms: dict[UUID, Decimal]

    def lack(self, cost: Decimal, user_id: UUID | None) -> Reason | None:
        """Why this cannot be paid."""
        if self.available is None or cost > self.available:
            return Reason("insufficient_budget", "budget.available", VERSION, "The available budget is too small.")
        if user_id is not None and cost > self.rooms.get(user_id, cost):
            return Reason("insufficient_budget", "budget.cap", VERSION, "The member's cap for this month is reached.")
        return None

    def take(self, cost: Decimal, user_id: UUID | None) -> Reason | None:
        """Takes the cost out, or says why not: as `budget.hold_all` does, which is asked for the same in this order."""
        lack = self.lack(cost, user_id)
        if self.available is None or cost > self.available:
            self.available = None
        elif lack is None:
            self.available -= cost
            if user_id is not None and user_id in self.rooms:
                self.rooms[user_id] -= cost
        return lack


def _decided(ask: Ask, ids: tuple[UUID, UUID], facts: Facts, decided: Config, purse: Purse) -> Kept:
    decision_id, hold_id = ids
    verdict = judge(ask, facts, decided)
    lead = verdict.lead
    if lead and not lead.seen:
        raise NotFound
    if lead and lead.phone_number != ask.phone_number:
        raise Busy("The lead's number has just changed. Try again.")
    user_id = (lead and lead.user_id) or facts.person
    verdict.inputs["available"] = str(facts.balances.available)
    reasons = [*verdict.reasons]
    if ask.max_cost and (lack := (purse.lack if reasons else purse.take)(ask.max_cost, user_id)):
        reasons.append(lack)
    allowed = not reasons
    if allowed and ask.phone_number:
        until = verdict.valid_until if ask.channel == "call" else None
        facts.numbers[ask.phone_number].contacts.append(Contact(ask.channel, facts.now, until))
    held = allowed and ask.max_cost is not None
    decision = Decision(
        allowed=allowed,
        decision_id=decision_id,
        reasons=reasons,
        # Where money is lacking too, no time helps.
        next_allowed_at=verdict.next_allowed_at if reasons == verdict.reasons else None,
        valid_until=verdict.valid_until if allowed else None,
        hold_id=hold_id if held else None,
        hold_expires_at=facts.real_now + HELD_FOR if held else None,
    )
    return Kept(ask, verdict, decision, user_id)


def _hold(tx: Transaction, kept: list[Kept]) -> None:
    holds = [
        budget.NewHold(
            amount=one.ask.max_cost,
            expires_at=one.decision.hold_expires_at,
            id=one.decision.hold_id,
            reference_type=one.ask.channel,
            reference_id=str(one.decision.decision_id),
            user_id=one.user_id,
            lead_id=one.verdict.lead and one.verdict.lead.id,
            phone_number=one.ask.phone_number,
            decision_id=one.decision.decision_id,
        )
        for one in kept
        if one.ask.max_cost and one.decision.hold_id and one.decision.hold_expires_at
    ]
    if holds:
        budget.hold_all(tx, holds)  # not read: a decision whose hold was not placed is refused by its foreign key


def _count(kept: list[Kept]) -> None:
    for one in kept:
        metrics.count("GateDecisions", Channel=one.ask.channel, Outcome="allowed" if one.decision.allowed else "denied")
        for code in sorted({reason.code for reason in one.decision.reasons}):
            metrics.count("GateDenials", Reason=code)


def _keep(tx: Transaction, kept: list[Kept], now: datetime) -> None:
    """Writes the decisions, unfetched: what is wrong with them is raised at the latest when the transaction ends."""
    rows = [
        {
            "id": one.decision.decision_id,
            "lead_id": one.verdict.lead and one.verdict.lead.id,
            "phone_number": one.ask.phone_number,
            "channel": one.ask.channel,
            "voice": one.ask.voice,
            "allowed": one.decision.allowed,
            "reasons": one.decision.reasons,
            "inputs": one.verdict.inputs,
            "max_cost": one.ask.max_cost,
            "valid_until": one.decision.valid_until,
            "next_allowed_at": one.decision.next_allowed_at,
            "hold_id": one.decision.hold_id,
            "hold_expires_at": one.decision.hold_expires_at,
        }
        for one in kept
    ]
    tx.execute(
        """
        insert into gate_decisions (
            id, lead_id, phone_number, channel, voice, allowed, reasons, inputs, max_cost, decided_at, valid_until,
            next_allowed_at, hold_id, hold_expires_at
        )
        select
            id, lead_id, phone_number, channel, voice, allowed, reasons, inputs, max_cost, %(now)s, valid_until,
            next_allowed_at, hold_id, hold_expires_at
        from jsonb_to_recordset(%(decisions)s::jsonb) as decision (
            id uuid, lead_id uuid, phone_number text, channel text, voice text, allowed boolean, reasons jsonb,
            inputs jsonb, max_cost numeric, valid_until timestamptz, next_allowed_at timestamptz, hold_id uuid,
            hold_expires_at timestamptz
        )
        """,
        {"decisions": to_json(rows).decode(), "now": now},
    )
