"""Putting numbers on the list, and what that does to their leads."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Annotated, Literal, LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from pydantic import Field

from leadline import budget, config, phone
from leadline.db import Transaction
from leadline.dnc.entries import BY_A_PERSON, ENTRY_COLUMNS, Entry, Reason
from leadline.errors import Refused
from leadline.inputs import Input, Instant, Moment, Prose, Word

Channel = Literal["call", "sms", "email", "web", "mail", "other"]

REVIEWED_BELOW = 0.8  # of confidence: an opt-out detected with less waits for a person to confirm it
BUSINESS_DAYS_TO_HONOUR = 10  # 47 CFR 64.1200(a)(10), (d)(3)
FARTHEST_WEST = -12  # hours: no place on Earth has an earlier date


class OnDncList(Refused):
    """The number is on this organization's Do-Not-Call list."""


class OptOutNeverExpires(Refused):
    """A person's own opt-out never expires; leave expires_at out."""


class AlreadyExpired(Refused):
    """An entry that has expired already would be none; give a time to come."""


class NotYetHappened(Refused):
    """An opt-out cannot have occurred in the future."""


class NewEntry(Input):
    """A number to list, in any usual spelling, and why.

    `occurred_at` is when the person asked, where that was earlier; `confidence` is how sure a machine was (0 to 1).
    """

    phone_number: Word
    reason: Reason
    source: Word | None = None
    detected_phrase: Prose | None = None
    notes: Prose | None = None
    expires_at: Instant | None = None
    channel: Channel = "other"
    occurred_at: Moment | None = None
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


@dataclass(frozen=True)
class Addition:
    """A number with what is to be written of it; the names are those of the statement that writes."""

    phone_number: str
    reason: str
    source: str | None
    detected_phrase: str | None
    notes: str | None
    expires_at: datetime | None
    channel: str
    occurred_at: datetime
    due_on: date
    confidence: float | None
    verdict: str


def due_on(occurred: datetime, zone: tzinfo | None = None) -> date:
    """The last day to honour an opt-out: ten business days after the person's own day.

    That is the day at the offset that was given, or in `zone` (without one: anywhere) where it is still the day before.
    Holidays count as business days here, so that the day is never later than the law's (47 CFR 64.1200(a)(10)).
    """
    elsewhere = occurred.astimezone(zone) if zone else occurred.astimezone(UTC) + timedelta(hours=FARTHEST_WEST)
    day, left = min(occurred.date(), elsewhere.date()), BUSINESS_DAYS_TO_HONOUR
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    return day


def addition(new: NewEntry, decided: config.Config, now: datetime) -> Addition:
    """What a new entry comes to. Raises BadPhone, OptOutNeverExpires, AlreadyExpired and NotYetHappened."""
    expires_at, occurred_at = new.expires_at, new.occurred_at or now
    if expires_at is not None and new.reason in BY_A_PERSON:
        raise OptOutNeverExpires(field="expires_at")
    if expires_at is not None and expires_at <= now:
        raise AlreadyExpired(field="expires_at")
    if occurred_at > now:
        raise NotYetHappened(field="occurred_at")
    if expires_at is None and new.reason == "cooling_off":
        expires_at = now + timedelta(days=decided.cooling_off_days)
    return Addition(
        phone_number=phone.normalise(new.phone_number, decided.default_region),
        reason=new.reason,
        source=new.source,
        detected_phrase=new.detected_phrase,
        notes=new.notes,
        expires_at=expires_at,
        channel=new.channel,
        occurred_at=occurred_at.astimezone(UTC),
        due_on=due_on(occurred_at, ZoneInfo(decided.time_zone)),
        confidence=new.confidence,
        verdict=_verdict(new.reason, new.confidence),
    )


def detected(
    phone_number: str,
    *,
    source: str,
    channel: Channel,
    words: str | None,
    confidence: float | None,
    at: datetime,
    reason: str = "ai_detected",
) -> Addition:
    """An opt-out that a machine has heard or read, of a number in E.164 (from email: of an address in lower case)."""
    return Addition(
        phone_number=phone_number,
        reason=reason,
        source=source,
        detected_phrase=words,
        notes=None,
        expires_at=None,
        channel=channel,
        occurred_at=at,
        due_on=due_on(at),
        confidence=confidence,
        verdict=_verdict(reason, confidence),
    )


def _verdict(reason: str, confidence: float | None) -> str:
    doubted = reason == "ai_detected" and confidence is not None and confidence < REVIEWED_BELOW
    return "uncertain" if doubted else "certain"


def lock_number(tx: Transaction, phone_number: str) -> None:
    """Makes this transaction the only one to judge or change the number until it ends.

    To be called before the statement that judges: what is read after it sees all that was committed before it. Several
    numbers are locked in sorted order.
    """
    tx.execute("select lock_number(%(phone_number)s)", {"phone_number": phone_number})


def lock_numbers(tx: Transaction, phone_numbers: list[str]) -> None:
    """The same for several numbers at once; over 500, for all of the organization."""
    tx.execute("select lock_numbers(%(phone_numbers)s)", {"phone_numbers": phone_numbers})


def add(tx: Transaction, phone_number: str, *, reason: str, source: str) -> None:
    """Lists a number in E.164 and stops all contact with its leads. The number must be locked."""
    now = datetime.now(UTC)
    wanted = Addition(phone_number, reason, source, None, None, None, "other", now, due_on(now), None, "certain")
    write(tx, [wanted], sql.SQL("id"))


def enter(tx: Transaction, new: NewEntry) -> tuple[Entry, bool]:
    """The number's entry, and whether it is new; one that was listed already has the stricter of both.

    Raises BadPhone, OptOutNeverExpires, AlreadyExpired and NotYetHappened.
    """
    wanted = addition(new, config.read(tx), datetime.now(UTC))
    lock_number(tx, wanted.phone_number)
    (row,) = write(tx, [wanted], sql.SQL("{}, is_new").format(ENTRY_COLUMNS)).fetchall()
    is_new: bool = row.pop("is_new")
    return Entry(**row), is_new


def carry(tx: Transaction, lead_id: UUID, from_number: str, to_number: str) -> None:
    """Lists the new number of a lead in dnc as its old one is listed, where it is, and where the lead has come to it.

    The person opted out, and not the number. The new entry rests on the same events, so that a review which rejects one
    lifts both. The numbers must be locked.
    """
    values = {"lead_id": lead_id, "from_number": from_number, "to_number": to_number}
    tx.execute(CARRY, values)


def write(tx: Transaction, additions: Sequence[Addition], answer: sql.Composable) -> Cursor[DictRow]:
    """Lists numbers that are locked, and stops all contact with their leads; answers of each entry what is asked for.

    One statement keeps every addition, every opt-out as an event, and of each number the strictest of all in its entry.
    """
    columns = {name: [getattr(one, name) for one in additions] for name in Addition.__dataclass_fields__}
    numbers = {"phone_numbers": columns["phone_number"]}
    tx.execute(
        """
        update dnc_list set removed_at = clock_timestamp(), removal_reason = 'expired'
        where phone_number = any (%(phone_numbers)s) and removed_at is null and expires_at <= now()
        """,
        numbers,
    )
    entered = tx.execute(WRITE.format(answer=answer), {**columns, "by_a_person": list(BY_A_PERSON)})
    _stop_contact(tx, numbers)
    return entered


def keep(tx: Transaction, additions: Sequence[Addition]) -> None:
    """Keeps opt-outs without listing anything: those from email, by the address in lower case."""
    columns = {name: [getattr(one, name) for one in additions] for name in Addition.__dataclass_fields__}
    tx.execute(
        """
        insert into opt_out_events (address, channel, reason, source, words, confidence, verdict, occurred_at, due_on)
        select * from unnest(
            %(phone_number)s::text[], %(channel)s::text[], %(reason)s::text[], %(source)s::text[],
            %(detected_phrase)s::text[], %(confidence)s::numeric[], %(verdict)s::text[], %(occurred_at)s::timestamptz[],
            %(due_on)s::date[]
        )
        """,
        columns,
    )


def _stop_contact(tx: Transaction, numbers: dict[str, list[str]]) -> None:
    """All that an entry ends beside calls to its leads, which a trigger has stopped: enrollments, and money held.

    Enrollments of deleted leads too, which may be restored after the entry has ended.
    """
    tx.execute(
        """
        update lead_sequence_enrollments
        set status = 'cancelled', exit_reason = 'opted_out', next_step_scheduled_at = null, updated_at = now()
        where status in ('active', 'paused')
            and lead_id in (
                select id from leads where phone_number = any (%(phone_numbers)s) and deleted_at is null
                union all
                select id from leads where phone_number = any (%(phone_numbers)s) and deleted_at is not null
            )
        """,
        numbers,
    )
    budget.release_numbers(tx, numbers["phone_numbers"])


# xmax is 0 in a row that was inserted, and not in one that a conflict has updated.
WRITE = sql.SQL(
    """
    with this as materialized (select clock_timestamp() as moment),
    asked as materialized (
        select asked.*, case when asked.reason = any (%(by_a_person)s) then uuid_v7() end as event_id
        from unnest(
            %(phone_number)s::text[], %(reason)s::text[], %(source)s::text[], %(detected_phrase)s::text[],
            %(notes)s::text[], %(expires_at)s::timestamptz[], %(channel)s::text[], %(occurred_at)s::timestamptz[],
            %(due_on)s::date[], %(confidence)s::numeric[], %(verdict)s::text[]
        ) with ordinality as asked (
            phone_number, reason, source, detected_phrase, notes, expires_at, channel, occurred_at, due_on, confidence,
            verdict, place
        )
    ),
    strictest as (
        select distinct on (phone_number)
            phone_number, reason, source, detected_phrase, notes,
            case when bool_and(expires_at is not null) over same then max(expires_at) over same end as expires_at,
            event_id is not null and detected_phrase is not null as consent_withdrawal_documented
        from asked
        window same as (partition by phone_number)
        order by phone_number, dnc_strictness(reason) desc, place
    ),
    entered as (
        insert into dnc_list as entry (
            phone_number, reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented, added_at
        )
        select strictest.*, this.moment from strictest, this
        on conflict (organization_id, phone_number) where removed_at is null do update set
            (reason, source, detected_phrase, notes) = (
                select excluded.reason, coalesce(excluded.source, entry.source),
                    coalesce(excluded.detected_phrase, entry.detected_phrase), coalesce(excluded.notes, entry.notes)
                where dnc_strictness(excluded.reason) > dnc_strictness(entry.reason)
                union all
                select entry.reason, entry.source, entry.detected_phrase, entry.notes
                limit 1
            ),
            expires_at = case
                when entry.expires_at is not null and excluded.expires_at is not null
                    then greatest(entry.expires_at, excluded.expires_at)
            end,
            consent_withdrawal_documented =
                entry.consent_withdrawal_documented or excluded.consent_withdrawal_documented
        returning *, xmax = 0 as is_new
    ),
    kept_events as (
        insert into opt_out_events (
            id, address, channel, reason, source, words, confidence, verdict, occurred_at, due_on, honoured_at
        )
        select
            event_id, phone_number, channel, reason, source, detected_phrase, confidence, verdict, occurred_at, due_on,
            this.moment
        from asked, this
        where event_id is not null
    ),
    kept_additions as (
        insert into dnc_additions (entry_id, event_id, reason, source, detected_phrase, notes, expires_at, added_at)
        select
            entered.id, asked.event_id, asked.reason, asked.source, asked.detected_phrase, asked.notes,
            asked.expires_at, this.moment
        from this, asked
        join entered using (phone_number)
    )
    select {answer} from entered
    """
)

# An entry was written past this layer when none of its additions has its time; its copy must tell the same.
CARRY: LiteralString = """
    with this as materialized (select clock_timestamp() as moment),
    old as (
        select entry.*, exists (
            select from dnc_additions where entry_id = entry.id and added_at = entry.added_at
        ) as says_what_it_rests_on
        from dnc_list as entry
        where entry.phone_number = %(from_number)s and entry.removed_at is null
            and (entry.expires_at is null or entry.expires_at > now())
            and exists (
                select from leads
                where id = %(lead_id)s and phone_number = %(to_number)s and status = 'dnc' and deleted_at is null
            )
    ),
    entered as (
        insert into dnc_list (
            phone_number, reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented, added_at
        )
        select
            %(to_number)s, reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented,
            this.moment
        from old, this
        returning id
    )
    insert into dnc_additions (entry_id, event_id, reason, source, detected_phrase, notes, expires_at, added_at)
    select
        entered.id, addition.event_id, addition.reason, addition.source, addition.detected_phrase, addition.notes,
        addition.expires_at,
        case when old.says_what_it_rests_on then this.moment else this.moment + interval '1 microsecond' end
    from this, entered, old
    join dnc_additions as addition on addition.entry_id = old.id
"""
