"""What the gate must know before it judges: one statement a subject, for any number of requests at once.

All of them travel in one round trip, behind the locks of the numbers, so that they see what was committed before.
Whether a person has opted out or consented is read by the real clock; hours and caps by the clock of the request.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow

from leadline import budget, dnc, hours
from leadline.config import Config
from leadline.consent import Given
from leadline.db import Transaction
from leadline.gate.shapes import Ask, Reason
from leadline.leads import SEEN

SKEW = "5 minutes"  # how far ahead of ours the call system's clock may be


@dataclass(frozen=True, slots=True)
class Lead:
    """Of a lead, what bears on whether it may be contacted."""

    id: UUID
    user_id: UUID | None
    phone_number: str | None
    email: str | None
    status: str
    calling_blocked: bool
    deleted: bool
    time_zone: str | None
    state: str | None
    country: str
    seen: bool  # by who asks, where agents see their own leads only


@dataclass(frozen=True, slots=True)
class Contact:
    """Something that takes a place under a cap: a call that rang, or what was allowed and may still happen.

    `until` is when a call that was allowed and has not begun gives its place back; null for what has happened.
    """

    channel: str
    at: datetime
    until: datetime | None = None


@dataclass
class Number:
    """What is known of one number, or of one email address."""

    listed: dict[str, Any] | None = None
    block_is_over: bool = False  # what had blocked it has expired, and waits to be lifted
    revocations: list[tuple[str, datetime]] = field(default_factory=list[tuple[str, datetime]])  # channel, time
    consents: list[Given] = field(default_factory=list[Given])
    contacts: list[Contact] = field(default_factory=list[Contact])
    refused_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """What the hours say of a place now: the rules in force, what they forbid, and else until when it is open."""

    rules: list[hours.Rule]
    reasons: list[Reason]
    closes: datetime | None
    inputs: dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """Everything, by lead id, by number and by email address."""

    now: datetime
    real_now: datetime
    leads: dict[UUID, Lead]
    lead_of_number: dict[str, Lead]
    numbers: defaultdict[str, Number]
    areas: dict[str, hours.AreaCode]
    book: hours.Rulebook
    balances: budget.Balances
    person: UUID | None  # who asks, unless it is a machine
    ids: list[tuple[UUID, UUID]]  # for each request: of its decision, and of its hold
    times: dict[tuple[hours.Place, hours.Channel], Times] = field(
        default_factory=dict[tuple[hours.Place, hours.Channel], Times]
    )


def read(tx: Transaction, asks: Sequence[Ask], decided: Config, at: datetime | None) -> Facts:
    """The facts of all that is asked; the numbers are locked first, and the budget last."""
    values: dict[str, Any] = {
        "lead_ids": [ask.lead_id for ask in asks if ask.lead_id],
        "numbers": sorted({ask.phone_number for ask in asks if ask.phone_number}),
        "at": at,
        "skew": SKEW,
    }
    dnc.lock_numbers(tx, values["numbers"])
    clock = tx.execute(
        """
        select coalesce(%(at)s::timestamptz, clock_timestamp()) as now, clock_timestamp() as real_now,
            acting_person() as person, array(select uuid_v7() from generate_series(1, 2 * %(asked)s)) as ids
        """,
        values | {"asked": len(asks)},
    )
    leads = _leads(tx, values)
    listed, revoked, given = _listed(tx, values), _revoked(tx, values), _given(tx, values)
    contacts, refusals = _contacts(tx, values), _refusals(tx, values)
    areas, rules = hours.ask_areas(tx, values["numbers"]), hours.ask_rules(tx)
    locked = budget.lock_available(tx)

    (times,) = clock.fetchall()
    found = [Lead(**row) for row in leads.fetchall()]
    numbers = _numbers(listed, revoked, given, contacts, refusals)
    ids = iter(times.pop("ids"))
    return Facts(
        **times,
        ids=list(zip(ids, ids, strict=True)),
        times={},
        leads={lead.id: lead for lead in found},
        lead_of_number={lead.phone_number: lead for lead in found if lead.phone_number and not lead.deleted},
        numbers=numbers,
        areas=areas(),
        book=rules().tightened(decided.calling_hours),
        balances=budget.balances(locked),
    )


def _numbers(
    listed: Cursor[DictRow],
    revoked: Cursor[DictRow],
    given: Cursor[DictRow],
    contacts: Cursor[DictRow],
    refusals: Cursor[DictRow],
) -> defaultdict[str, Number]:
    numbers: defaultdict[str, Number] = defaultdict(Number)
    for row in listed.fetchall():
        if row["in_force"]:
            numbers[row["phone_number"]].listed = row
        else:
            numbers[row["phone_number"]].block_is_over = True
    for row in revoked.fetchall():
        numbers[row["address"]].revocations.append((row["channel"], row["revoked_at"]))
    for row in given.fetchall():
        numbers[row.pop("phone_number")].consents.append(Given(**row))
    for row in contacts.fetchall():
        numbers[row.pop("phone_number")].contacts.append(Contact(**row))
    for row in refusals.fetchall():
        numbers[row["phone_number"]].refused_at = row["refused_at"]
    return numbers


def _leads(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    statement = sql.SQL(
        """
        select
            id, user_id, phone_number, lower(email collate "C") as email, status, calling_blocked,
            deleted_at is not null as deleted, time_zone, state, country, {seen} as seen
        from leads
        where id = any (%(lead_ids)s) or (phone_number = any (%(numbers)s) and deleted_at is null)
        """
    )
    return tx.execute(statement.format(seen=SEEN), values)


def _listed(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    return tx.execute(
        """
        select id, phone_number, reason, expires_at, expires_at is null or expires_at > clock_timestamp() as in_force
        from dnc_list where phone_number = any (%(numbers)s) and removed_at is null
        """,
        values,
    )


def _revoked(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    """The last time consent was taken back, by address and channel: in so many words, or by opting out.

    A phone opt-out is one for every phone channel; one that a review has rejected is none. One that a lead has taken
    along to a new number is that number's too, by the entry that rests on it.
    """
    return tx.execute(
        """
        select phone_number as address, channel, max(revoked_at) as revoked_at
        from consent_revocations
        cross join unnest(channels) as channel
        where phone_number = any (%(numbers)s)
        group by phone_number, channel
        union all
        select address, case when channel = 'email' then 'email' else 'phone' end as channel, max(occurred_at)
        from opt_out_events as event
        where address = any (
                %(numbers)s || array(
                    select lower(email collate "C") from leads
                    where email is not null and (
                        id = any (%(lead_ids)s) or (phone_number = any (%(numbers)s) and deleted_at is null)
                    )
                )
            )
            and not exists (
                select from opt_out_reviews as review where review.event_id = event.id and review.decision = 'reject'
            )
        group by 1, 2
        union all
        select entry.phone_number, case when event.channel = 'email' then 'email' else 'phone' end, max(occurred_at)
        from dnc_list as entry
        join dnc_additions as addition on addition.entry_id = entry.id
        join opt_out_events as event on event.id = addition.event_id
        where entry.phone_number = any (%(numbers)s) and event.address <> entry.phone_number
            and not exists (
                select from opt_out_reviews as review where review.event_id = event.id and review.decision = 'reject'
            )
        group by 1, 2
        """,
        values,
    )


def _given(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    return tx.execute(
        """
        select phone_number, id, kind, channels, voice_modes, captured_at, expires_at
        from consents where phone_number = any (%(numbers)s)
        """,
        values,
    )


def _contacts(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    """What takes a place under a cap, as far back as any cap looks.

    A call that rang, whoever allowed it; a call that was allowed and may still be placed; a text that was allowed.
    """
    return tx.execute(
        """
        with clock as materialized (
            select
                coalesce(%(at)s::timestamptz, clock_timestamp())
                - make_interval(hours => (select max(cap_hours) from calling_rules)) as since,
                coalesce(%(at)s::timestamptz, clock_timestamp()) as now
        )
        select phone_number, 'call' as channel, placed_at as at, null::timestamptz as until
        from calls
        where phone_number = any (%(numbers)s) and direction = 'outbound' and rang
            and placed_at > (select since from clock) and placed_at <= (select now from clock) + %(skew)s::interval
        union all
        select phone_number, channel, decided_at, case when channel = 'call' and call is null then valid_until end
        from gate_decisions as decision
        left join lateral (
            -- One that rang and is not counted above, by its own number.
            select id from calls
            where decision_id = decision.id and direction = 'outbound' and rang
                and phone_number is distinct from decision.phone_number
            limit 1
        ) as call on true
        where phone_number = any (%(numbers)s) and allowed
            and decided_at > (select since from clock) and decided_at <= (select now from clock)
            and (
                channel = 'sms' or call.id is not null
                or channel = 'call' and valid_until > (select now from clock)
                    and not exists (select from calls where calls.decision_id = decision.id)
            )
        """,
        values,
    )


def _refusals(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    return tx.execute(
        """
        select phone_number, max(refused_at) as refused_at
        from calls where phone_number = any (%(numbers)s) and refused_at is not null
        group by phone_number
        """,
        values,
    )
