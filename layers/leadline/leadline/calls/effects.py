"""What calls and texts do to their leads: status, last contact, count, score, and the sequences that they stop."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from leadline.calls.folding import CallState, Outcome, TextState
from leadline.calls.inbox import Before
from leadline.db import Transaction
from leadline.nurture.receipts import Reply


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead that is locked."""

    id: UUID
    phone_number: str | None
    email: str | None
    status: str
    last_contact_date: datetime | None
    is_live: bool


@dataclass(frozen=True, slots=True)
class StandingOutcome:
    """The newest outcome of a lead's other calls, and when its status was last changed by anything but a call."""

    lead_id: UUID
    status: str | None
    at: datetime | None
    message_id: str | None
    call_id: str | None
    decided_at: datetime | None

    @property
    def outcome(self) -> Outcome | None:
        """As calls have it."""
        if self.status is None or self.at is None or self.message_id is None or self.call_id is None:
            return None
        return Outcome(self.status, self.at, self.message_id, self.call_id)


@dataclass(slots=True)
class Effect:
    """What is to be done to one lead; `trigger_id` is the call that the status comes from."""

    status: str | None = None
    trigger_id: str | None = None
    contacted_at: datetime | None = None
    interactions: int = 0


@dataclass(slots=True)
class Plan:
    """What a batch does to leads: effects by lead, whose sequences pause, and what they wrote."""

    effects: dict[UUID, Effect] = field(default_factory=dict[UUID, Effect])
    paused: set[UUID] = field(default_factory=set[UUID])
    replies: list[Reply] = field(default_factory=list[Reply])


@dataclass(slots=True)
class Links:
    """Of which leads calls (or texts) are, and which of them their leads have counted."""

    of_lead: dict[str, UUID] = field(default_factory=dict[str, UUID])
    counted: set[str] = field(default_factory=set[str])


class People:
    """Leads by id and by number."""

    def __init__(self, leads: Iterable[Lead]) -> None:
        self.by_id = {lead.id: lead for lead in leads}
        self.by_number = {lead.phone_number: lead for lead in self.by_id.values() if lead.is_live and lead.phone_number}

    def find(self, named: UUID | None, number: str | None, before: Before | None) -> Lead | None:
        """The lead that a call or a text is of: the one that has counted it, else by id, else by number.

        A deleted lead gives way to a live one that has the number now.
        """
        if before and before.counted and before.lead_id:
            return self.by_id.get(before.lead_id)
        by_id = self.by_id.get(named) if named else None
        by_number = self.by_number.get(number) if number else None
        return by_id if by_id and (by_id.is_live or not by_number) else by_number

    def with_numbers(self, numbers: Collection[str]) -> set[UUID]:
        """The live leads that have one of these numbers."""
        return {lead.id for number, lead in self.by_number.items() if number in numbers}


def plan_calls(plan: Plan, people: People, calls: Sequence[CallState], before: Mapping[str, Before]) -> Links:
    """Plans what calls do to their leads, each call once: a lead that it becomes known to later counts it then."""
    links = Links()
    for call in calls:
        known = before.get(call.call_id)
        lead = people.find(call.lead_named, call.phone_number, known)
        counts_now = _counts(plan, links, (call.call_id, call.reached_at), lead, known)
        is_news = counts_now or (call.reached_at is not None and known is not None and known.direction != "inbound")
        if is_news and lead and lead.is_live and call.direction == "inbound":
            plan.paused.add(lead.id)
    return links


def plan_texts(plan: Plan, people: People, texts: Sequence[TextState], before: Mapping[str, Before]) -> Links:
    """Plans what texts do: one that the lead wrote is a contact, and pauses its sequences."""
    links = Links()
    for text in texts:
        known = before.get(text.message_id)
        lead = people.find(text.lead_named, text.phone_number, known)
        if _counts(plan, links, (text.message_id, text.reached_at), lead, known) and lead:
            plan.paused.add(lead.id)
            channel = "email" if text.is_email else "sms"
            plan.replies.append(Reply(lead.id, channel, text.reached_at or text.occurred_at, bool(text.opt_outs)))
    return links


def _counts(
    plan: Plan, links: Links, reached: tuple[str, datetime | None], lead: Lead | None, known: Before | None
) -> bool:
    """Whether the lead counts it now; what was counted before stays counted."""
    key, reached_at = reached
    if known and known.counted:
        links.counted.add(key)
    if lead is None:
        return False
    links.of_lead[key] = lead.id
    if not lead.is_live or reached_at is None:
        return False
    effect = plan.effects.setdefault(lead.id, Effect())
    if effect.contacted_at is None or reached_at > effect.contacted_at:
        effect.contacted_at = reached_at
    if key in links.counted:
        return False
    links.counted.add(key)
    effect.interactions += 1
    return True


def status_after(lead: Lead, newest: Outcome | None, decided_at: datetime | None) -> str | None:
    """The status that an outcome brings a lead to, or None where it stays.

    No outcome leads into dnc or out of it, and none outweighs what was decided otherwise after it.
    """
    if newest is None or not lead.is_live or "dnc" in (lead.status, newest.status) or newest.status == lead.status:
        return None
    return newest.status if decided_at is None or newest.at > decided_at else None


def plan_statuses(
    plan: Plan,
    people: People,
    calls: Sequence[CallState],
    of_lead: Mapping[str, UUID],
    standing: Iterable[StandingOutcome],
) -> None:
    """Plans the status that the newest outcome of each lead asks for, over all of its calls."""
    others = {one.lead_id: one for one in standing}
    asked: dict[UUID, list[Outcome]] = {}
    for call in calls:
        if call.asks_for and call.call_id in of_lead:
            asked.setdefault(of_lead[call.call_id], []).append(call.asks_for)
    for lead_id, outcomes in asked.items():
        other = others.get(lead_id)
        if other and other.outcome:
            outcomes.append(other.outcome)
        newest = max(outcomes, key=lambda outcome: outcome.place)
        if status := status_after(people.by_id[lead_id], newest, other.decided_at if other else None):
            effect = plan.effects.setdefault(lead_id, Effect())
            effect.status, effect.trigger_id = status, newest.call_id


def numbers_of(tx: Transaction, lead_ids: Collection[UUID]) -> dict[UUID, str | None]:
    """The numbers of leads, deleted ones too."""
    if not lead_ids:
        return {}
    rows = tx.execute("select id, phone_number from leads where id = any (%(ids)s)", {"ids": list(lead_ids)})
    return {row["id"]: row["phone_number"] for row in rows}


def lock_leads(tx: Transaction, ids: Collection[UUID], numbers: Collection[str]) -> Cursor[Lead]:
    """The leads with these ids, deleted ones too, and the live ones with these numbers, locked in one order."""
    return tx.cursor(row_factory=class_row(Lead)).execute(
        """
        select
            id, phone_number, lower(email collate "C") as email, status, last_contact_date,
            deleted_at is null as is_live
        from leads
        where id = any (%(ids)s) or (phone_number = any (%(numbers)s) and deleted_at is null)
        order by id for no key update
        """,
        {"ids": list(ids), "numbers": list(numbers)},
    )


def standing(
    tx: Transaction, ids: Collection[UUID], numbers: Collection[str], but_of: Sequence[str]
) -> Cursor[StandingOutcome]:
    """Of leads that are locked, what their calls but these asked for, and when their status was decided otherwise."""
    return tx.cursor(row_factory=class_row(StandingOutcome)).execute(
        """
        select lead.id as lead_id, newest.status, newest.at, newest.message_id, newest.call_id, decided.at as decided_at
        from leads as lead
        left join lateral (
            select outcome_status as status, outcome_at as at, outcome_message_id as message_id, call_id from calls
            where lead_id = lead.id and outcome_status is not null and call_id <> all (%(but_of)s)
            order by outcome_at desc, outcome_message_id collate "C" desc
            limit 1
        ) as newest on true
        left join lateral (
            select changed_at as at from lead_status_history
            where lead_id = lead.id and trigger_type <> 'call' and from_status is not null
            order by changed_at desc
            limit 1
        ) as decided on true
        where lead.id = any (%(ids)s) or (lead.phone_number = any (%(numbers)s) and lead.deleted_at is null)
        """,
        {"ids": list(ids), "numbers": list(numbers), "but_of": list(but_of)},
    )


def name_triggers(tx: Transaction, by_lead: Mapping[UUID, str]) -> None:
    """Says which call changes which lead, for the history that the next statements write."""
    if by_lead:
        named = Jsonb({str(lead_id): call_id for lead_id, call_id in by_lead.items()})
        tx.execute("select set_config('app.trigger_ids', %(named)s::jsonb::text, true)", {"named": named})


def write_leads(tx: Transaction, effects: Mapping[UUID, Effect], people: People) -> None:
    """Changes those leads that have something to change, all in one statement."""
    changed = {lead_id: effect for lead_id, effect in effects.items() if _changes(people.by_id[lead_id], effect)}
    if not changed:
        return
    name_triggers(tx, {lead_id: effect.trigger_id for lead_id, effect in changed.items() if effect.trigger_id})
    tx.execute(
        """
        update leads set
            status = coalesce(effect.status, leads.status),
            last_contact_date = greatest(leads.last_contact_date, effect.contacted_at),
            interaction_count = leads.interaction_count + effect.interactions
        from unnest(%(ids)s::uuid[], %(statuses)s::text[], %(times)s::timestamptz[], %(interactions)s::integer[])
            as effect (lead_id, status, contacted_at, interactions)
        where leads.id = effect.lead_id
        """,
        {
            "ids": list(changed),
            "statuses": [effect.status for effect in changed.values()],
            "times": [effect.contacted_at for effect in changed.values()],
            "interactions": [effect.interactions for effect in changed.values()],
        },
    )


def _changes(lead: Lead, effect: Effect) -> bool:
    later = effect.contacted_at is not None and (
        lead.last_contact_date is None or effect.contacted_at > lead.last_contact_date
    )
    return later or effect.status is not None or effect.interactions > 0


def pause(tx: Transaction, lead_ids: Collection[UUID], now: datetime) -> None:
    """Pauses the sequences of leads who have answered; what was left of the delay is left."""
    if lead_ids:
        tx.execute(
            """
            update lead_sequence_enrollments set status = 'paused', pause_reason = 'replied', updated_at = %(now)s
            where lead_id = any (%(lead_ids)s) and status = 'active'
            """,
            {"lead_ids": sorted(lead_ids), "now": now},
        )


def score(tx: Transaction, lead_ids: Collection[UUID]) -> None:
    """Calculates the score of live leads anew, and keeps those that have changed."""
    if lead_ids:
        tx.execute(
            """
            with calculated as (
                select id as lead_id, calculate_lead_score(id) as score from leads where id = any (%(lead_ids)s)
            ),
            changed as (
                update leads set lead_score = calculated.score from calculated
                where leads.id = calculated.lead_id and leads.lead_score <> calculated.score
                returning leads.id as lead_id, leads.lead_score as score
            )
            insert into lead_score_history (lead_id, score) select lead_id, score from changed
            """,
            {"lead_ids": sorted(lead_ids)},
        )
