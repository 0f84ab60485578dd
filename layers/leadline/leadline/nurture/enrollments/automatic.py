"""Enrolling leads by what happens to them: triggers have noted it, and here it is judged against active sequences."""

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from leadline import dnc, domain_events, segments
from leadline.config import Config
from leadline.db import Transaction
from leadline.errors import Invalid
from leadline.nurture.enrollments.beginning import OPTED_OUT
from leadline.nurture.sequences import Step, delay

MOST_TRIGGERS = 1000

# Of a row of leads: who has ever asked not to be contacted, by number or by email, unless a review has rejected it.
EVER_OPTED_OUT = sql.SQL(
    """
    exists (
        select from opt_out_events as event
        where event.address in (leads.phone_number, lower(leads.email collate "C")) and not exists (
            select from opt_out_reviews as review where review.event_id = event.id and review.decision = 'reject'
        )
    )
    """
)


def enroll_triggered(tx: Transaction, decided: Config, now: datetime) -> int:
    """Takes away up to 1,000 of what has happened, and enrolls the leads that a sequence's filter now matches.

    Once per lead and sequence, or again as long after the last time as the sequence says; never after an opt-out that
    no review has rejected, nor anybody deleted or recruited. Answers how many it has taken away: with 1,000 there may
    be more.
    """
    happened = tx.execute(
        """
        with oldest as materialized (
            select id from enrollment_triggers order by created_at, id limit %(most)s
        )
        delete from enrollment_triggers where id in (select id from oldest)
        returning lead_id, event
        """,
        {"most": MOST_TRIGGERS},
    )
    waiting = tx.execute(
        """
        select id, version, steps, trigger_conditions from nurture_sequences
        where active and trigger_conditions <> '{}' and steps <> '[]'
        order by id
        """
    )
    taken = [(row["lead_id"], row["event"]) for row in happened.fetchall()]
    sequences = waiting.fetchall()
    if not taken or not sequences:
        return len(taken)
    lead_ids = sorted({lead_id for lead_id, _ in taken})
    numbers = tx.execute(
        "select phone_number from leads where id = any (%(lead_ids)s) and phone_number is not null order by 1",
        {"lead_ids": lead_ids},
    )
    dnc.lock_numbers(tx, [row["phone_number"] for row in numbers.fetchall()])
    for sequence in sequences:
        _enroll(tx, sequence, taken, decided, now)
    return len(taken)


def _enroll(
    tx: Transaction, sequence: dict[str, Any], taken: list[tuple[UUID, str]], decided: Config, now: datetime
) -> None:
    """Enrolls those to whom something has happened that the sequence asks for, in one statement."""
    conditions = sequence["trigger_conditions"]
    events = {lead_id: what for lead_id, what in sorted(taken, reverse=True) if what in conditions["on"]}
    condition = _condition(tx, sequence, decided, now) if events else None
    if condition is None:
        return
    asked, params = condition
    statement = sql.SQL(
        """
        insert into lead_sequence_enrollments (
            lead_id, sequence_id, sequence_version, enrolled_on, enrolled_at, next_step_scheduled_at, updated_at
        )
        select
            leads.id, %(sequence_id)s, %(version)s, happened.event, %(now)s,
            %(now)s::timestamptz + %(delay)s::interval, %(now)s
        from leads
        join unnest(%(lead_ids)s::uuid[], %(events)s::text[]) as happened (lead_id, event)
            on happened.lead_id = leads.id
        where leads.id in (select id from leads where id = any (%(lead_ids)s) and {asked})
            and leads.deleted_at is null and leads.status <> 'recruited' and not {opted_out} and not {ever_opted_out}
            and not exists (
                select from lead_sequence_enrollments as other
                where other.lead_id = leads.id and other.sequence_id = %(sequence_id)s and (
                    other.status in ('active', 'paused') or %(again_after)s::integer is null
                    or other.completed_at > %(now)s::timestamptz - make_interval(days => %(again_after)s)
                )
            )
        order by leads.id
        on conflict (organization_id, lead_id, sequence_id) where status in ('active', 'paused') do nothing
        """
    ).format(asked=asked, opted_out=OPTED_OUT, ever_opted_out=EVER_OPTED_OUT)
    values = {
        **params,
        "sequence_id": sequence["id"],
        "version": sequence["version"],
        "lead_ids": list(events),
        "events": list(events.values()),
        "delay": delay(Step.model_construct(None, **sequence["steps"][0])),
        "again_after": conditions.get("re_enroll_after_days"),
        "now": now,
    }
    tx.execute(statement, values)


def _condition(
    tx: Transaction, sequence: dict[str, Any], decided: Config, now: datetime
) -> tuple[sql.Composable, dict[str, Any]] | None:
    """The filter as SQL; none, and an event that tells of it, where it names what there is no longer."""
    try:
        return segments.condition(
            segments.parse(sequence["trigger_conditions"].get("filter", {}), decided), decided, now
        )
    except Invalid as refused:
        occurrence = f"{sequence['id']} {now.date()}"
        data = {"errors": [{"pointer": error.pointer, "code": error.code} for error in refused.errors]}
        domain_events.note(tx, "trigger_filter_invalid", str(sequence["id"]), occurrence, data)
        return None
