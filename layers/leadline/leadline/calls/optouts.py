"""People who opted out, as calls and texts tell it: which numbers are listed, and which addresses get no email."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg import sql

from leadline.calls import effects
from leadline.calls.confirmations import Revocation
from leadline.calls.effects import People
from leadline.calls.folding import CallState, OptOut, TextState
from leadline.calls.inbox import Before
from leadline.db import Transaction
from leadline.dnc.additions import Addition, Channel, detected, keep, write
from leadline.domain_events import NewEvent
from leadline.inputs import folded


@dataclass(frozen=True, slots=True)
class Asked:
    """A person who opted out: by which message, of which call or text, and the addresses that it concerns.

    `own_number` is the one of ours that the person wrote to, and `writer` the person's own.
    """

    message_id: str
    trigger_id: str
    channel: Channel
    additions: list[Addition]
    own_number: str | None = None
    writer: str | None = None

    @property
    def numbers(self) -> list[str]:
        """Those that are to be listed: an opt-out from email lists none."""
        return [] if self.channel == "email" else [one.phone_number for one in self.additions]


@dataclass(frozen=True, slots=True)
class Known:
    """What opt-outs are judged by: what was known of their calls or texts before, their leads, and what is new."""

    before: Mapping[str, Before]
    people: People
    of_lead: Mapping[str, UUID]
    new: set[str]
    now: datetime

    def is_renamed(self, key: str, number: str | None) -> bool:
        """Whether the person's number is another than the one that was known before."""
        before = self.before.get(key)
        return before is not None and before.phone_number != number


def of_calls(calls: Sequence[CallState], known: Known) -> list[Asked]:
    """The opt-outs of calls that are new, and the earlier ones of a call of which the person's number is new."""
    asked: list[Asked] = []
    for call in calls:
        leads_number = _numbers_of(known.people, call.lead_named, known.of_lead.get(call.call_id))
        renamed = known.is_renamed(call.call_id, call.phone_number)
        for one in call.opt_outs:
            if one.message_id in known.new:
                numbers = {call.phone_number, one.number, *leads_number}
            elif renamed:
                numbers = {call.phone_number}
            else:
                continue
            asked.append(_asked(one, call.call_id, "call", numbers, known.now))
    return asked


def of_texts(texts: Sequence[TextState], known: Known) -> list[Asked]:
    """The same of texts. Who opts out by email gets no more email, at the address that wrote and at the lead's."""
    asked: list[Asked] = []
    for text in texts:
        lead_ids = [text.lead_named, known.of_lead.get(text.message_id)]
        renamed = known.is_renamed(text.message_id, text.phone_number)
        for one in text.opt_outs:
            if text.is_email and one.message_id in known.new:
                addresses = {_email(text.address), *_emails_of(known.people, *lead_ids)}
                asked.append(_asked(one, text.message_id, "email", addresses, known.now))
            elif not text.is_email and one.message_id in known.new:
                numbers = {text.phone_number, one.number, *_numbers_of(known.people, *lead_ids)}
                heard = _asked(one, text.message_id, "sms", numbers, known.now)
                asked.append(replace(heard, own_number=text.own_number, writer=text.phone_number))
            elif not text.is_email and renamed:
                asked.append(_asked(one, text.message_id, "sms", {text.phone_number}, known.now))
    return asked


def unheeded(asked: Iterable[Asked]) -> list[NewEvent]:
    """What a person should see to: somebody opted out of whom we know no number and no address."""
    return [
        NewEvent("opt_out_without_number", one.trigger_id, one.message_id, {"channel": one.channel})
        for one in asked
        if not one.additions
    ]


def honour(tx: Transaction, people: People, asked: Sequence[Asked]) -> list[Revocation]:
    """Puts who opted out on the Do-Not-Call list, with all that this stops; an opt-out from email stops email alone.

    Answers who revoked by a text that leaves no doubt and was not listed before.
    """
    emails = [addition for one in asked if one.channel == "email" for addition in one.additions]
    if emails:
        keep(tx, emails)
    listed = [addition for one in asked if one.numbers for addition in one.additions]
    if listed:
        of_number = [(one, people.with_numbers(set(one.numbers))) for one in reversed(asked)]
        effects.name_triggers(tx, {lead_id: one.trigger_id for one, leads in of_number for lead_id in leads})
        texts = [one for one in asked if one.channel == "sms"]
        entered = write(tx, listed, sql.SQL("phone_number, is_new"))
        # Fetched only where somebody wrote: a round trip of its own.
        fresh = {row["phone_number"] for row in entered.fetchall() if row["is_new"]} if texts else set[str]()
        return [
            Revocation(phone_number=wrote, message_id=one.message_id, at=wanted.occurred_at, own_number=one.own_number)
            for one in texts
            for wanted in one.additions
            # Who wrote, and nobody else whose number that stops.
            if wanted.verdict == "certain" and (wrote := wanted.phone_number) in fresh and wrote == one.writer
        ]
    return []


def _asked(one: OptOut, trigger_id: str, channel: Channel, addresses: Iterable[str | None], now: datetime) -> Asked:
    additions = [
        detected(
            address,
            source=channel,
            channel=channel,
            words=one.words,
            confidence=one.confidence,
            at=min(one.at, now),
            reason=one.reason,
        )
        for address in sorted(address for address in addresses if address)
    ]
    return Asked(one.message_id, trigger_id, channel, additions)


def _numbers_of(people: People, *lead_ids: UUID | None) -> set[str | None]:
    return {lead.phone_number for lead_id in lead_ids if lead_id and (lead := people.by_id.get(lead_id))}


def _emails_of(people: People, *lead_ids: UUID | None) -> set[str | None]:
    return {lead.email for lead_id in lead_ids if lead_id and (lead := people.by_id.get(lead_id))}


def _email(address: str | None) -> str | None:
    return folded(address) if address and "@" in address else None
