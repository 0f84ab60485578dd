"""The compliance report of a period."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

from pydantic import BaseModel, Field

from leadline.db import Transaction
from leadline.dnc.entries import Reason
from leadline.errors import Refused
from leadline.inputs import Input

NAMED = 1_000  # of removals, and of reasons with their sources: an answer has a largest size


class BadPeriod(Refused):
    """A period ends on the day it begins or later."""


class ReportQuery(Input):
    """The days of the report, first and last, both included (UTC)."""

    first: date = Field(alias="from")
    last: date = Field(alias="to")


@dataclass(frozen=True, slots=True)
class Additions:
    """How often numbers were added for one reason from one source."""

    reason: Reason
    source: str | None
    count: int


@dataclass(frozen=True, slots=True)
class NamedRemoval:
    """An entry that ended other than by expiry, and why; without its number, which its entry has."""

    id: UUID
    reason: Reason
    removed_at: datetime
    removed_by: UUID | None
    removal_reason: str
    with_consent: bool


@dataclass(frozen=True, slots=True)
class OptOuts:
    """Opt-outs of persons, and how long they took from the person's words to their effect here."""

    channel: str
    count: int
    uncertain: int
    late: int
    median_seconds: float
    longest_seconds: float


@dataclass(frozen=True, slots=True)
class Reviews:
    """Decisions in the period, and uncertain opt-outs of the period that nobody has decided yet."""

    confirmed: int
    rejected: int
    waiting: int


class Report(BaseModel):
    """What happened to the Do-Not-Call list from the first to the last day.

    `added` counts all additions, `additions` names the 1,000 most frequent; `removals` names the newest 1,000.
    """

    first: date = Field(serialization_alias="from")
    last: date = Field(serialization_alias="to")
    added: int
    additions: list[Additions]
    expired: int
    removed: int
    removals: list[NamedRemoval]
    opt_outs: list[OptOuts]
    reviews: Reviews


ADDITIONS: LiteralString = """
    select reason, source, count(*) as count, sum(count(*)) over () ::bigint as added from dnc_additions
    where added_at >= %(first)s and added_at < %(end)s
    group by reason, source
    order by count desc, reason, source
    limit %(named)s
"""
ENDED: LiteralString = """
    select
        count(*) filter (where removal_reason = 'expired' and removed_by is null) as expired,
        count(*) filter (where not (removal_reason = 'expired' and removed_by is null)) as removed
    from dnc_list
    where removed_at >= %(first)s and removed_at < %(end)s
"""
REMOVALS: LiteralString = """
    select id, reason, removed_at, removed_by, removal_reason, removal_consent is not null as with_consent
    from dnc_list
    where removed_at >= %(first)s and removed_at < %(end)s and not (removal_reason = 'expired' and removed_by is null)
    order by removed_at desc, id desc
    limit %(named)s
"""
OPT_OUTS: LiteralString = """
    select
        channel, count(*) as count, count(*) filter (where verdict = 'uncertain') as uncertain,
        count(*) filter (where (honoured_at at time zone 'UTC')::date > due_on) as late,
        percentile_cont(0.5) within group (order by seconds) as median_seconds, max(seconds) as longest_seconds
    from opt_out_events
    cross join lateral (select extract(epoch from honoured_at - occurred_at)::float8 as seconds) as taken
    where honoured_at >= %(first)s and honoured_at < %(end)s
    group by channel
    order by channel
"""
REVIEWS: LiteralString = """
    select
        (
            select count(*) from opt_out_reviews
            where decision = 'confirm' and decided_at >= %(first)s and decided_at < %(end)s
        ) as confirmed,
        (
            select count(*) from opt_out_reviews
            where decision = 'reject' and decided_at >= %(first)s and decided_at < %(end)s
        ) as rejected,
        (
            select count(*) from opt_out_events as event
            where verdict = 'uncertain' and honoured_at >= %(first)s and honoured_at < %(end)s
                and not exists (select from opt_out_reviews as review where review.event_id = event.id)
        ) as waiting
"""


def report(tx: Transaction, query: ReportQuery) -> Report:
    """Additions by reason and source, how entries ended, opt-outs by channel, and reviews. Raises BadPeriod."""
    if not date(1900, 1, 1) <= query.first <= query.last < date(2200, 1, 1):
        raise BadPeriod(field="to")
    # As text with the zone named, so that days begin at midnight UTC whatever the session's zone is.
    period: dict[str, Any] = {
        "first": f"{query.first} 00:00+00",
        "end": f"{query.last + timedelta(days=1)} 00:00+00",
        "named": NAMED,
    }
    asked = [tx.execute(statement, period) for statement in (ADDITIONS, ENDED, REMOVALS, OPT_OUTS, REVIEWS)]
    additions, (ended,), removals, opt_outs, (reviews,) = [cursor.fetchall() for cursor in asked]
    return Report.model_construct(
        first=query.first,
        last=query.last,
        added=additions[0]["added"] if additions else 0,
        additions=[Additions(row["reason"], row["source"], row["count"]) for row in additions],
        **ended,
        removals=[NamedRemoval(**row) for row in removals],
        opt_outs=[OptOuts(**row) for row in opt_outs],
        reviews=Reviews(**reviews),
    )
