"""What is told of a step after it was sent: whether it came, whether it was answered, and what goes wrong often.

A run only goes forward: sent, failed, delivered, bounced, replied. So receipts in any order end the same.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import DictRow
from pydantic_core import to_json

from leadline import config
from leadline.db import Transaction

Status = Literal["sent", "failed", "delivered", "bounced"]
FORWARD: tuple[Status, ...] = ("sent", "failed", "delivered", "bounced")

# The words of Telnyx, of SES, of our webhooks and of the call system. Any other word says nothing of a run. What is not
# confirmed went out all the same; what was opened, or complained of, has come; only a permanent bounce is one.
WORDS: dict[str, Status] = {
    "sent": "sent",
    "delivery_unconfirmed": "sent",
    "delayed": "sent",
    "failed": "failed",
    "sending_failed": "failed",
    "delivery_failed": "failed",
    "undelivered": "failed",
    "expired": "failed",
    "reject": "failed",
    "rejected": "failed",
    "rendering_failed": "failed",
    "soft_bounced": "failed",
    "delivered": "delivered",
    "delivery": "delivered",
    "opened": "delivered",
    "clicked": "delivered",
    "complained": "delivered",
    "complaint": "delivered",
    "bounced": "bounced",
    "bounce": "bounced",
    "hard_bounced": "bounced",
}
COMPLAINTS = frozenset({"complained", "complaint"})
APART = timedelta(minutes=5)  # that the clocks of a provider and ours may differ
NEWEST = (
    1000  # runs of a sequence that its failure rate is taken of, at most: what it costs must not grow with the runs
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was told of one message: by its id (the run's, or the provider's) or by the gate's decision of a call."""

    message_id: str
    status: Status
    word: str
    at: datetime
    decision_id: UUID | None = None
    delivered_at: datetime | None = None
    opted_out_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a lead wrote, or that it opted out in a channel."""

    lead_id: UUID
    channel: str
    at: datetime
    opts_out: bool


def receipt(
    message_id: str,
    told: Iterable[tuple[str, datetime]],
    decision_id: UUID | None = None,
    opted_out_at: datetime | None = None,
) -> Receipt | None:
    """What all words about one message come to, whatever their order; None where no word is about its run."""
    known: list[tuple[Status, str, datetime]] = [
        (WORDS[word.lower()], word.lower(), at) for word, at in told if word.lower() in WORDS
    ]
    if not known:
        return None
    furthest = max(FORWARD.index(status) for status, _, _ in known)
    status, word, at = min((one for one in known if FORWARD.index(one[0]) == furthest), key=lambda one: one[2])
    delivered_at = min((at for moved, _, at in known if moved == "delivered"), default=None)
    opted_out_at = min((at for _, word, at in known if word in COMPLAINTS), default=opted_out_at)
    return Receipt(message_id, status, word, at, decision_id, delivered_at, opted_out_at)


def lock(tx: Transaction, receipts: Sequence[Receipt], lead_ids: Collection[UUID]) -> None:
    """Locks the live enrollments that receipts may end and those of these leads, and then their sequences."""
    bounced = [one.message_id for one in receipts if one.status == "bounced"]
    if not bounced and not lead_ids:
        return
    values = {"lead_ids": sorted(lead_ids), "run_ids": run_ids(bounced), "message_ids": bounced}
    tx.execute(
        """
        select id from lead_sequence_enrollments
        where id in (
            select id from lead_sequence_enrollments
            where lead_id = any (%(lead_ids)s) and status in ('active', 'paused')
            union all
            select enrollment_id from step_runs where id = any (%(run_ids)s)
            union all
            select enrollment_id from step_runs where provider_message_id = any (%(message_ids)s)
        )
        order by id for update
        """,
        values,
    )
    # An end is counted by its sequence, which is locked before the ledger is.
    tx.execute(
        """
        select id from nurture_sequences
        where id in (
            select sequence_id from lead_sequence_enrollments
            where lead_id = any (%(lead_ids)s) and status in ('active', 'paused')
            union all
            select sequence_id from step_runs where id = any (%(run_ids)s)
            union all
            select sequence_id from step_runs where provider_message_id = any (%(message_ids)s)
        )
        order by id for no key update
        """,
        values,
    )


def apply(tx: Transaction, receipts: Sequence[Receipt], now: datetime) -> Cursor[DictRow] | None:
    """Moves the runs that receipts are of, and ends the enrollments whose email has bounced for good.

    One of no run of ours, or of one that is further, does nothing. Sequences of which too many steps failed stop.
    Answers, unfetched, the holds of texts that have proved sent though nobody had recorded it: they are to be settled.
    """
    if not receipts:
        return None
    told = [{**_columns(one), "run_id": next(iter(run_ids([one.message_id])), None)} for one in receipts]
    proved = tx.execute(APPLY, {"told": to_json(told).decode(), "now": now})
    if failed := [one for one in receipts if one.status in ("failed", "bounced")]:
        message_ids = [one.message_id for one in failed]
        decisions = [one.decision_id for one in failed if one.decision_id]
        stop_failing(tx, now, of_runs=run_ids(message_ids), message_ids=message_ids, decisions=decisions)
    return proved


def answer(tx: Transaction, replies: Sequence[Reply], now: datetime) -> None:
    """Marks the newest step that each lead had in the channel as replied, and where it opted out when it did."""
    if replies:
        tx.execute(ANSWER, {"replies": to_json(replies).decode(), "apart": APART, "now": now})


def stop_failing(
    tx: Transaction,
    now: datetime,
    *,
    sequence_ids: Collection[UUID] = (),
    of_runs: Collection[UUID] = (),
    message_ids: Collection[str] = (),
    decisions: Collection[UUID] = (),
) -> None:
    """Stops those of these sequences of which too many steps have failed lately, each with an event; one statement.

    The rate is of the newest thousand steps within the organization's window, since the sequence was last started. To
    be called with the sequences of which a step has just failed, or with those steps: by the ids of their runs, the
    provider's ids, or the gate's decisions.
    """
    values = {
        "sequence_ids": list(sequence_ids),
        "run_ids": list(of_runs),
        "message_ids": list(message_ids),
        "decisions": list(decisions),
        "unless_decided": config.FailureLimit().model_dump_json(),
        "now": now,
        "newest": NEWEST,
    }
    tx.execute(STOP_FAILING, values)


def run_ids(message_ids: Iterable[str]) -> list[UUID]:
    """Those that may be a step run's id."""
    return [UUID(one) for one in message_ids if len(one) == len(str(UUID(int=0))) and _is_uuid(one)]


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _columns(one: Receipt) -> dict[str, object]:
    return {name: getattr(one, name) for name in Receipt.__dataclass_fields__}


# Two receipts of one run (by its id, and by the provider's) are one: the furthest.
APPLY = """
    with told as (
        select * from jsonb_to_recordset(%(told)s::jsonb) as told (
            message_id text, run_id uuid, decision_id uuid, status text, word text, at timestamptz,
            delivered_at timestamptz, opted_out_at timestamptz
        )
    ),
    of_run as (
        select run.id, told.* from told join step_runs as run on run.id = told.run_id
        union all
        select run.id, told.* from told join step_runs as run on run.provider_message_id = told.message_id
        union all
        select run.id, told.* from told join step_runs as run on run.decision_id = told.decision_id
    ),
    furthest as (
        select distinct on (id)
            id, status, word, at, min(opted_out_at) over (partition by id) as opted_out_at,
            min(delivered_at) over (partition by id) as delivered_at
        from of_run
        order by id, array_position(array['bounced', 'delivered', 'failed', 'sent'], status), at
    ),
    locked as (
        select run.id, run.status as was from step_runs as run
        where run.id in (select id from furthest) order by run.id for update
    ),
    judged as (
        select
            furthest.*, locked.was,
            case locked.was
                when 'sending' then true
                when 'retrying' then furthest.status <> 'failed'
                when 'unknown' then true
                when 'sent' then furthest.status <> 'sent'
                when 'failed' then furthest.status in ('delivered', 'bounced')
                when 'delivered' then furthest.status = 'bounced'
                else false
            end as moves
        from furthest join locked using (id)
    ),
    moved as (
        update step_runs as run set
            status = case when judged.moves then judged.status else run.status end,
            error = case when judged.moves then case when judged.status in ('failed', 'bounced') then judged.word end
                else run.error end,
            sent_at = case when judged.moves and judged.status <> 'failed' then coalesce(run.sent_at, judged.at)
                else run.sent_at end,
            delivered_at = least(run.delivered_at, judged.delivered_at),
            ended_at = case when judged.moves and judged.status in ('failed', 'bounced') then judged.at
                else run.ended_at end,
            opted_out_at = least(run.opted_out_at, judged.opted_out_at),
            updated_at = %(now)s
        from judged
        where run.id = judged.id and judged.was <> 'skipped'
            and (
                judged.moves or judged.opted_out_at < coalesce(run.opted_out_at, 'infinity')
                or judged.delivered_at < coalesce(run.delivered_at, 'infinity')
            )
        returning run.enrollment_id, run.channel, run.status, run.hold_id, judged.was
    ),
    ended as (
        update lead_sequence_enrollments as enrollment
        set status = 'failed', exit_reason = 'bounced', updated_at = %(now)s
        where id in (select enrollment_id from moved where channel = 'email' and status = 'bounced')
            and status in ('active', 'paused')
    )
    select hold_id from moved
    where channel = 'sms' and hold_id is not null and was in ('sending', 'retrying', 'unknown')
        and status in ('sent', 'delivered', 'bounced', 'replied')
"""

ANSWER = """
    with reply as (
        select * from jsonb_to_recordset(%(replies)s::jsonb) as reply (
            lead_id uuid, channel text, at timestamptz, opts_out boolean
        )
    ),
    answered as (
        select run.id, min(reply.at) as at, min(reply.at) filter (where reply.opts_out) as opted_out_at
        from reply
        join lateral (
            select id from step_runs
            where lead_id = reply.lead_id and channel = reply.channel and status in ('sent', 'delivered', 'replied')
                and coalesce(sent_at, started_at) <= reply.at + %(apart)s
            order by started_at desc, id desc
            limit 1
        ) as run on true
        group by run.id
    ),
    locked as (select id from step_runs where id in (select id from answered) order by id for update)
    update step_runs as run set
        status = 'replied', replied_at = least(run.replied_at, answered.at),
        opted_out_at = least(run.opted_out_at, answered.opted_out_at), updated_at = %(now)s
    from answered join locked using (id)
    where run.id = answered.id and run.status in ('sent', 'delivered', 'replied')
"""

STOP_FAILING = """
    with chosen as (
        select unnest(%(sequence_ids)s::uuid[]) as id
        union
        select sequence_id from step_runs where id = any (%(run_ids)s::uuid[])
        union
        select sequence_id from step_runs where provider_message_id = any (%(message_ids)s::text[])
        union
        select sequence_id from step_runs where decision_id = any (%(decisions)s::uuid[])
    ),
    limits as (
        select (limits ->> 'rate')::numeric as rate, (limits ->> 'minimum')::integer as least,
            %(now)s - make_interval(days => (limits ->> 'days')::integer) as since
        from coalesce(
            (select config_value from system_config where config_key = 'nurture_failure_limit'),
            %(unless_decided)s::jsonb
        ) as limits
    ),
    counted as (
        select sequence.id, count(*) as runs, count(*) filter (where run.status in ('failed', 'bounced')) as failures
        from limits
        cross join chosen
        join nurture_sequences as sequence on sequence.id = chosen.id and sequence.active
        cross join lateral (
            select status from step_runs
            where sequence_id = sequence.id
                and started_at > greatest(limits.since, sequence.active_since) and started_at <= %(now)s
                and status in ('sent', 'delivered', 'failed', 'bounced', 'replied', 'unknown')
            order by started_at desc
            limit %(newest)s
        ) as run
        group by sequence.id
    ),
    stopped as (
        update nurture_sequences as sequence set active = false, paused_reason = 'failure_rate'
        from counted, limits
        where sequence.id = counted.id and sequence.active
            and counted.runs >= limits.least and counted.failures > counted.runs * limits.rate
        returning sequence.id, counted.runs, counted.failures
    )
    insert into domain_events (type, subject_id, occurrence, data)
    select 'sequence_stopped', id::text, id::text || ' ' || %(now)s::timestamptz::text,
        jsonb_build_object('reason', 'failure_rate', 'steps', runs, 'failed', failures)
    from stopped
    on conflict (organization_id, type, occurrence) do nothing
"""
