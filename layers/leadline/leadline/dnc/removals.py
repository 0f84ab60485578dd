"""How an entry ends: by an admin's removal, or by its expiry; and what that gives back to its leads."""

from typing import Annotated, Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import Field

from leadline.db import Transaction
from leadline.dnc.additions import lock_number, lock_numbers
from leadline.dnc.entries import BY_A_PERSON, ENTRY_COLUMNS, Entry, entries
from leadline.errors import NotFound, Refused
from leadline.inputs import Input, Instant, Prose, Word

HANDED_OVER_AT_ONCE = 500  # entries: as many as are locked number by number


class WrittenConsentRequired(Refused):
    """A person's own opt-out is removed only with a written consent given later; name it in `consent`."""


class WrittenConsent(Input):
    """The consent that a person has given in writing after opting out."""

    captured_at: Instant
    disclosure_text: Annotated[Prose, Field(min_length=1)]
    method: Literal["web_form", "paper", "key_press", "recording", "text"]


class Removal(Input):
    """Why an entry is removed, and for a person's own opt-out the later consent."""

    reason: Word
    consent: WrittenConsent | None = None


class Expired(Input):
    """Entries of one organization that have expired: the message from the clock to the worker."""

    tenant_id: UUID
    organization_id: UUID
    entry_ids: list[UUID]


def remove(tx: Transaction, entry_id: UUID, removal: Removal) -> Entry:
    """The entry, ended and kept; its leads may be called again, in the status they had before.

    Raises NotFound, for an entry that has ended too, and WrittenConsentRequired.
    """
    found = tx.execute(
        "select phone_number from dnc_list where id = %(id)s and removed_at is null", {"id": entry_id}
    ).fetchone()
    if found is None:
        raise NotFound
    number: str = found["phone_number"]
    lock_number(tx, number)
    statement = sql.SQL(
        """
        update dnc_list as entry
        set removed_at = clock_timestamp(), removed_by = current_user_id(), removal_reason = %(reason)s,
            removal_consent = %(consent)s
        where id = %(id)s and removed_at is null
            and (
                reason <> all (%(by_a_person)s)
                or (
                    %(consented_at)s <= clock_timestamp() and %(consented_at)s > greatest(
                        entry.added_at, (select max(honoured_at) from opt_out_events where address = %(phone_number)s)
                    )
                )
            )
        returning {columns}
        """
    ).format(columns=ENTRY_COLUMNS)
    values = {
        "id": entry_id,
        "phone_number": number,
        "reason": removal.reason,
        "consent": removal.consent and Jsonb(removal.consent.model_dump(mode="json")),
        "consented_at": removal.consent and removal.consent.captured_at,
        "by_a_person": list(BY_A_PERSON),
    }
    ended = entries(tx).execute(statement, values)
    release(tx, [number])
    still = tx.execute("select from dnc_list where id = %(id)s and removed_at is null", {"id": entry_id})
    entry = ended.fetchone()
    if entry is None:
        raise WrittenConsentRequired(field="consent") if still.fetchone() is not None else NotFound
    return entry


def expired(tx: Transaction) -> list[Expired]:
    """What has expired and is not lifted yet, over all organizations, in parts of at most 500 entries.

    Run as the dispatcher, whose policy shows it these entries and of them nothing but ids and times.
    """
    rows = tx.execute(
        """
        select tenant_id, organization_id, array_agg(id order by id) as entry_ids
        from (
            select
                tenant_id, organization_id, id,
                (row_number() over (partition by tenant_id, organization_id order by id) - 1) / %(at_once)s as part
            from dnc_list
            where removed_at is null and expires_at <= now()
        ) as numbered
        group by tenant_id, organization_id, part
        order by tenant_id, organization_id, part
        """,
        {"at_once": HANDED_OVER_AT_ONCE},
    ).fetchall()
    return [Expired(**row) for row in rows]


def lift(tx: Transaction, entry_ids: list[UUID]) -> None:
    """Ends those of these entries that have expired, judged again under the lock; a second time changes nothing."""
    rows = tx.execute(
        """
        select phone_number from dnc_list where id = any (%(ids)s) and removed_at is null and expires_at <= now()
        """,
        {"ids": entry_ids},
    ).fetchall()
    numbers = [row["phone_number"] for row in rows]
    lock_numbers(tx, numbers)
    tx.execute(
        """
        update dnc_list set removed_at = clock_timestamp(), removal_reason = 'expired'
        where id = any (%(ids)s) and removed_at is null and expires_at <= now()
        """,
        {"ids": entry_ids},
    )
    release(tx, numbers)


def release(tx: Transaction, phone_numbers: list[str]) -> None:
    """Gives the leads of those numbers that are listed no more the status they had before.

    The numbers must be locked. Enrollments stay cancelled.
    """
    tx.execute(
        """
        update leads set calling_blocked = false, status = case leads.status
            when 'dnc' then coalesce(
                (
                    select change.from_status from lead_status_history as change
                    where change.lead_id = leads.id and change.to_status = 'dnc'
                    order by change.changed_at desc, change.id desc
                    limit 1
                ),
                'new'
            )
            else leads.status
        end
        where phone_number = any (%(phone_numbers)s) and deleted_at is null and (status = 'dnc' or calling_blocked)
            and not exists (
                select from dnc_list as entry
                where entry.phone_number = leads.phone_number and entry.removed_at is null
                    and (entry.expires_at is null or entry.expires_at > now())
            )
        """,
        {"phone_numbers": phone_numbers},
    )
