"""Uncertain opt-outs: they suppress at once, and a person decides whether they were meant."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, LiteralString
from uuid import UUID

from psycopg.rows import kwargs_row

from leadline.db import Transaction
from leadline.dnc.additions import Channel, lock_numbers
from leadline.dnc.removals import release
from leadline.errors import Conflict, NotFound
from leadline.inputs import Input, Word
from leadline.pages import Page, PageQuery, cut, instant, position


class AlreadyReviewed(Conflict):
    """This opt-out has been decided already; a decision stands."""


class Decision(Input):
    """Whether the person meant it, and why the reviewer thinks so."""

    decision: Literal["confirm", "reject"]
    reason: Word


@dataclass(frozen=True, slots=True)
class WaitingOptOut:
    """An uncertain opt-out that waits for a decision, in force meanwhile."""

    id: UUID
    phone_number: str
    channel: Channel
    source: str | None
    detected_phrase: str | None
    confidence: float
    occurred_at: datetime
    honoured_at: datetime
    due_on: date


@dataclass(frozen=True, slots=True)
class Review:
    """A decision, and whether the number is listed after it."""

    id: UUID
    phone_number: str
    decision: Literal["confirm", "reject"]
    reason: str
    decided_at: datetime
    listed: bool


def waiting(tx: Transaction, query: PageQuery) -> Page[WaitingOptOut]:
    """Uncertain opt-outs without a decision, longest waiting first. Raises BadCursor."""
    honoured_at, event_id = position(query.cursor, "reviews", (instant, UUID))
    rows = (
        tx.cursor(row_factory=kwargs_row(WaitingOptOut))
        .execute(
            """
            select
                id, address as phone_number, channel, source, words as detected_phrase, confidence::float, occurred_at,
                honoured_at, due_on
            from opt_out_events as event
            where verdict = 'uncertain'
                and not exists (select from opt_out_reviews as review where review.event_id = event.id)
                and (%(event_id)s::uuid is null or (honoured_at, id) > (%(honoured_at)s, %(event_id)s))
            order by honoured_at, id
            limit %(limit)s + 1
            """,
            {"honoured_at": honoured_at, "event_id": event_id, "limit": query.limit},
        )
        .fetchall()
    )
    return cut(rows, query.limit, "reviews", lambda opt_out: (opt_out.honoured_at, opt_out.id))


def review(tx: Transaction, event_id: UUID, decision: Decision) -> Review:
    """The decision, kept; a rejected opt-out is lifted where nothing else holds the number.

    Raises NotFound and AlreadyReviewed.
    """
    rejected = decision.decision == "reject"
    # A rejection may lift several numbers, which are known only when nobody can add another one.
    tx.execute(
        "select lock_all_numbers()"
        if rejected
        else "select lock_number(address) from opt_out_events where id = %(id)s and verdict = 'uncertain'",
        {"id": event_id},
    )
    opt_out = tx.execute(
        """
        select
            address,
            array(
                select entry.phone_number::text from dnc_additions as addition
                join dnc_list as entry on entry.id = addition.entry_id
                where addition.event_id = event.id and entry.removed_at is null
            ) as resting_on_it
        from opt_out_events as event
        where id = %(id)s and verdict = 'uncertain'
        """,
        {"id": event_id},
    ).fetchone()
    if opt_out is None:
        raise NotFound
    number: str = opt_out["address"]
    kept = tx.execute(
        """
        insert into opt_out_reviews (event_id, decision, reason) values (%(event_id)s, %(decision)s, %(reason)s)
        on conflict (organization_id, event_id) do nothing
        returning event_id as id, decision, reason, decided_at
        """,
        {"event_id": event_id, **decision.model_dump()},
    )
    if rejected:
        _take_back(tx, [number, *opt_out["resting_on_it"]])
    listed = tx.execute(LISTED, {"number": number})
    row = kept.fetchone()
    if row is None:
        raise AlreadyReviewed
    return Review(phone_number=number, **row, **listed.fetchall()[0])


def _take_back(tx: Transaction, numbers: list[str]) -> None:
    """Takes entries back to what they rest on without their rejected opt-outs, and ends those where that is nothing.

    An entry that was written past this layer tells nothing of what it rests on, and stays as it is.
    """
    # Whoever commits lets go of the organization's lock before the numbers', and the guard on leads never waits.
    lock_numbers(tx, numbers)
    tx.execute(STANDING, {"numbers": numbers})
    tx.execute(FALLEN, {"numbers": numbers})
    release(tx, numbers)


# The address of an opt-out by email has no entry, and is no question for the list.
LISTED: LiteralString = """
    select
        case when strpos(%(number)s, '@') = 0 then is_on_dnc_list(%(number)s, current_org_id()) else false end as listed
"""
STANDING: LiteralString = """
    update dnc_list as entry
    set (reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented) = (
        standing.reason, standing.source, standing.detected_phrase, standing.notes, standing.expires_at,
        standing.documented
    )
    from (
        select distinct on (addition.entry_id)
            addition.entry_id, addition.reason, addition.source, addition.detected_phrase, addition.notes,
            case
                when bool_and(addition.expires_at is not null) over same then max(addition.expires_at) over same
            end as expires_at,
            bool_or(addition.event_id is not null and addition.detected_phrase is not null) over same as documented
        from dnc_additions as addition
        where addition.entry_id in (
                select id from dnc_list where phone_number = any (%(numbers)s) and removed_at is null
            )
            and not exists (
                select from opt_out_reviews as review
                where review.event_id = addition.event_id and review.decision = 'reject'
            )
        window same as (partition by addition.entry_id)
        order by addition.entry_id, dnc_strictness(addition.reason) desc, addition.added_at, addition.id
    ) as standing
    where entry.id = standing.entry_id
        and exists (select from dnc_additions where entry_id = entry.id and added_at = entry.added_at)
"""
FALLEN: LiteralString = """
    update dnc_list as entry
    set removed_at = clock_timestamp(), removed_by = current_user_id(), consent_withdrawal_documented = false,
        removal_reason = 'all that it rested on was rejected or has expired'
    where phone_number = any (%(numbers)s) and removed_at is null
        and exists (select from dnc_additions where entry_id = entry.id and added_at = entry.added_at)
        and (
            expires_at <= now()
            or not exists (
                select from dnc_additions as addition
                where addition.entry_id = entry.id
                    and not exists (
                        select from opt_out_reviews as review
                        where review.event_id = addition.event_id and review.decision = 'reject'
                    )
            )
        )
"""
