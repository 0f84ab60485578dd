"""What is done to one lead: made, changed, tagged, deleted and restored, and read."""

from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from leadline import config, dnc, metrics, phone
from leadline.db import Transaction
from leadline.errors import Conflict, Forbidden, LeadlineError, NotFound, PreconditionFailed, Refused
from leadline.leads.custom_fields import require_declared, require_fitting
from leadline.leads.shapes import LEAD_COLUMNS, MOST_TAGS, SEEN, Lead, LeadChange, NewLead, as_tag, cursor, select


class DuplicateLead(Conflict):
    """A lead with this phone number exists; `lead_id` names it."""


class VersionMismatch(PreconditionFailed):
    """The lead has changed since you read it; read it again."""


class UnknownMember(Refused):
    """There is no active member with this id in the organization."""


class MayNotAssign(Forbidden):
    """A manager or an admin assigns leads; an agent may take one that has no owner."""


class BadTag(Refused):
    """A tag has letters, digits, space and _ . : -, at most 50 of them."""


class TooManyTags(Refused):
    """A lead has at most 50 tags."""


def get(tx: Transaction, lead_id: UUID) -> Lead:
    """The lead with this id. Raises NotFound, also for a deleted one."""
    lead = select(tx, lead_id).fetchone()
    if lead is None:
        raise NotFound
    return lead


def create(
    tx: Transaction, new: NewLead, *, update_duplicate: bool = False, may_assign: bool = True
) -> tuple[Lead, bool]:
    """A new lead and True; or, where `update_duplicate` asks for it, the lead with that number changed and False.

    Where agents see their own leads only, what an agent creates is his, and a duplicate that he does not see is not his
    to change. Raises BadPhone, OnDncList, DuplicateLead (with `lead_id`), UnknownMember, MayNotAssign and Invalid.
    """
    decided = config.read(tx)
    number = phone.normalise(new.phone_number, decided.default_region)
    require_declared(new.custom_fields, decided.custom_fields)
    dnc.lock_number(tx, number)
    refusal, seen = VersionMismatch(), False
    for _ in range(2):  # the duplicate may be deleted before it can be named
        inserted = _insert(tx, new, number)
        facts = _facts(tx, number, new.user_id)  # travels along, so that a refusal knows why without asking again
        lead = inserted.fetchone()
        if lead is not None:
            _record_assignment(tx, lead, from_user=None, reason="created with this owner")
            metrics.count("LeadsCreated")
            return lead, True
        refusal, seen = _why_refused(facts)
        if not isinstance(refusal, VersionMismatch):
            break
    if update_duplicate and isinstance(refusal, DuplicateLead) and seen:
        given = LeadChange.model_validate(new.model_dump(include=new.model_fields_set - {"phone_number"}))
        return change(tx, UUID(refusal.members["lead_id"]), given, may_assign=may_assign), False
    raise refusal


def change(
    tx: Transaction, lead_id: UUID, change: LeadChange, version: int | None = None, *, may_assign: bool = True
) -> Lead:
    """The lead with the given fields changed, where it still has the version that the caller read.

    Setting the status to dnc lists the number; a number that is listed keeps its lead there. Who may not assign may
    take a lead without an owner. Raises NotFound, VersionMismatch, MayNotAssign, BadPhone, OnDncList, DuplicateLead,
    UnknownMember and Invalid.
    """
    fields = change.fields()
    found = select(tx, lead_id)
    own_id = tx.execute("select current_user_id() as id") if "user_id" in fields and not may_assign else None
    if fields.keys() & {"phone_number", "custom_fields"}:
        decided = config.read(tx)
        require_declared(fields.get("custom_fields", {}), decided.custom_fields)
        if "phone_number" in fields:
            fields["phone_number"] = phone.normalise(fields["phone_number"], decided.default_region)
    before = found.fetchone()
    if before is None:
        raise NotFound
    if version not in (None, before.version):
        raise VersionMismatch
    if not fields:
        return before
    if own_id and fields["user_id"] not in ([before.user_id] if before.user_id else [None, own_id.fetchall()[0]["id"]]):
        raise MayNotAssign(field="user_id")
    require_fitting(before.custom_fields, fields.get("custom_fields", {}))
    after = _update(tx, before, fields, version)
    if after.user_id != before.user_id:
        _record_assignment(tx, after, from_user=before.user_id, reason=change.change_reason)
    return after


def delete(tx: Transaction, lead_id: UUID, version: int) -> None:
    """Deletes the lead where it still has the version that the caller read; the row and its history stay.

    Raises NotFound and VersionMismatch.
    """
    statement = sql.SQL(
        """
        update leads set deleted_at = now()
        where id = %(lead_id)s and deleted_at is null and version = %(version)s and {seen}
        returning id
        """
    ).format(seen=SEEN)
    deleted = tx.execute(statement, {"lead_id": lead_id, "version": version})
    left = select(tx, lead_id)
    if deleted.fetchone() is None:
        raise VersionMismatch if left.fetchone() else NotFound


def restore(tx: Transaction, lead_id: UUID) -> Lead:
    """The lead, live again; one that is not deleted stays as it is.

    Raises NotFound (also for a person who was erased), OnDncList, and DuplicateLead (with `lead_id`).
    """
    values = {"lead_id": lead_id}
    found = tx.execute(
        sql.SQL("select phone_number from leads where id = %(lead_id)s and phone_number is not null and {seen}").format(
            seen=SEEN
        ),
        values,
    ).fetchone()
    if found is None:
        raise NotFound
    number: str = found["phone_number"]  # of a deleted lead it does not change
    dnc.lock_number(tx, number)
    statement = sql.SQL(
        """
        update leads set deleted_at = null
        where id = %(lead_id)s and deleted_at is not null and phone_number is not null and {seen}
            and not is_on_dnc_list(phone_number, current_org_id())
            and not exists (
                select from leads as other where other.phone_number = leads.phone_number and other.deleted_at is null
            )
        """
    ).format(seen=SEEN)
    refusal: LeadlineError = NotFound()
    for _ in range(2):  # the lead that was in the way may be deleted before it can be named
        tx.execute(statement, values)
        # What it was deleted with may have ended since.
        dnc.release(tx, [number])
        lead = select(tx, lead_id).fetchone()
        if lead is not None:
            return lead
        refusal, _ = _why_refused(_facts(tx, number, None))
        if not isinstance(refusal, VersionMismatch):
            break
    raise refusal


def add_tag(tx: Transaction, lead_id: UUID, text: str) -> Lead:
    """The lead with the tag; one that has it stays as it is. Raises NotFound, BadTag and TooManyTags."""
    tag = _require_tag(text)
    statement = sql.SQL(
        """
        update leads set tags = array_append(tags, %(tag)s)
        where id = %(lead_id)s and deleted_at is null and {seen}
            and %(tag)s <> all (tags) and cardinality(tags) < %(most)s
        """
    ).format(seen=SEEN)
    tx.execute(statement, {"lead_id": lead_id, "tag": tag, "most": MOST_TAGS})
    lead = get(tx, lead_id)
    if tag not in lead.tags:
        raise TooManyTags(field="tag")
    return lead


def remove_tag(tx: Transaction, lead_id: UUID, text: str) -> Lead:
    """The lead without the tag. Raises NotFound and BadTag."""
    tag = _require_tag(text)
    statement = sql.SQL(
        """
        update leads set tags = array_remove(tags, %(tag)s)
        where id = %(lead_id)s and deleted_at is null and {seen} and %(tag)s = any (tags)
        """
    ).format(seen=SEEN)
    tx.execute(statement, {"lead_id": lead_id, "tag": tag})
    return get(tx, lead_id)


def _require_tag(text: str) -> str:
    tag = as_tag(text)
    if tag is None:
        raise BadTag(field="tag")
    return tag


def _insert(tx: Transaction, new: NewLead, number: str) -> Cursor[Lead]:
    """The new lead, not fetched yet; none where a condition of it does not hold. The number must be locked."""
    statement = sql.SQL(
        """
        insert into leads (
            phone_number, first_name, last_name, email, address, city, state, zip, country, time_zone,
            source, sub_source, source_metadata, tags, notes, user_id, custom_fields
        )
        select
            %(phone_number)s::text, %(first_name)s, %(last_name)s, %(email)s, %(address)s, %(city)s, %(state)s, %(zip)s,
            %(country)s, %(time_zone)s, %(source)s, %(sub_source)s, %(source_metadata)s, %(tags)s, %(notes)s,
            coalesce(sees_only_leads_of(), %(user_id)s), %(custom_fields)s
        where not is_on_dnc_list(%(phone_number)s, current_org_id())
            and (%(user_id)s::uuid is null or exists (select from members where id = %(user_id)s and active))
        on conflict (organization_id, phone_number) where deleted_at is null do nothing
        returning {columns}
        """
    ).format(columns=LEAD_COLUMNS)
    values = new.model_dump() | {
        "phone_number": number,
        "source_metadata": Jsonb(new.source_metadata),
        "custom_fields": Jsonb({name: value for name, value in new.custom_fields.items() if value is not None}),
    }
    return cursor(tx).execute(statement, values)


def _update(tx: Transaction, before: Lead, fields: dict[str, Any], version: int | None) -> Lead:
    """Changes columns of one lead under the locks of its old and new number, or raises why not."""
    number = fields.get("phone_number", before.phone_number)
    leaves_dnc = before.status == "dnc" and fields.get("status", "dnc") != "dnc"
    if "status" in fields and (leaves_dnc or fields["status"] == "dnc"):
        fields["calling_blocked"] = fields["status"] == "dnc"
    must_be_callable = leaves_dnc or number != before.phone_number
    # Another number is no way out of dnc: the person opted out, and not the number.
    left_behind = before.phone_number if leaves_dnc else None
    for locked in sorted(filter(None, {before.phone_number, number})):
        dnc.lock_number(tx, locked)
    statement = sql.SQL(
        """
        update leads set {assignments}
        where id = %(id)s and deleted_at is null and {seen}
            and (%(version)s::integer is null or version = %(version)s)
            and (not %(must_be_callable)s or not is_on_dnc_list(%(number)s, current_org_id()))
            and (%(left_behind)s::text is null or not is_on_dnc_list(%(left_behind)s, current_org_id()))
            and not exists (
                select from leads as other
                where other.phone_number = %(number)s and other.deleted_at is null and other.id <> %(id)s
            )
            and (%(new_owner)s::uuid is null or exists (select from members where id = %(new_owner)s and active))
        returning {columns}
        """
    ).format(assignments=_assignments(fields), seen=SEEN, columns=LEAD_COLUMNS)
    conditions = {
        "id": before.id,
        "version": version,
        "number": number,
        "must_be_callable": must_be_callable,
        "left_behind": left_behind,
        "new_owner": fields.get("user_id"),
    }
    updated = cursor(tx).execute(statement, conditions | _new_values(fields))
    moved = _move(tx, before, number) if before.status == "dnc" and "status" not in fields else None
    after = updated.fetchone()
    if after is None:
        required = number if must_be_callable else None
        raise _why_not_updated(tx, before, required, left_behind, fields.get("user_id"))
    if fields.get("status") == "dnc":
        dnc.add(tx, number, reason="lead_requested", source="lead_status")
    return moved.fetchall()[0] if moved else after


def _why_not_updated(
    tx: Transaction, before: Lead, number: str | None, left_behind: str | None, new_owner: UUID | None
) -> LeadlineError:
    left = select(tx, before.id)
    facts = _facts(tx, number, new_owner, before.id, left_behind)
    lead = left.fetchone()
    if lead is None:
        return NotFound()
    return VersionMismatch() if lead.version != before.version else _why_refused(facts)[0]


def _move(tx: Transaction, before: Lead, number: str) -> Cursor[Lead] | None:
    """What a lead in dnc takes along to its new number: the old one's entry, or where that holds no more, its release.

    Travels with the statement that changes the number, and does nothing where that was refused. Answers the lead, to be
    read after it.
    """
    if before.phone_number in (None, number):
        return None
    dnc.carry(tx, before.id, before.phone_number, number)
    dnc.release(tx, [number])
    return select(tx, before.id)


def _assignments(fields: dict[str, Any]) -> sql.Composed:
    return sql.SQL(", ").join(
        # Merged where it lies, so that two changes of different fields need not know of each other.
        sql.SQL("custom_fields = (custom_fields || %(new_custom_fields)s) - %(emptied)s::text []")
        if name == "custom_fields"
        else sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(f"new_{name}"))
        for name in fields
    )


def _new_values(fields: dict[str, Any]) -> dict[str, Any]:
    custom = fields.get("custom_fields", {})
    values = {f"new_{name}": Jsonb(value) if isinstance(value, dict) else value for name, value in fields.items()}
    return values | {"emptied": [name for name, value in custom.items() if value is None]}


def _facts(
    tx: Transaction,
    number: str | None,
    user_id: UUID | None,
    except_lead: UUID | None = None,
    left_behind: str | None = None,
) -> Cursor[DictRow]:
    """What could keep a number from being a lead's, read under its lock, not fetched yet.

    `number` is the one that would have become callable, `left_behind` the one that a lead in dnc had.
    """
    statement = sql.SQL(
        """
        select
            exists (
                select from unnest(array[%(number)s, %(left_behind)s]::text[]) as judged (number)
                where case when judged.number is not null then is_on_dnc_list(judged.number, current_org_id()) end
            ) as listed,
            other.id as duplicate, other.seen,
            %(user_id)s::uuid is null or exists (select from members where id = %(user_id)s and active) as owner_known
        from (select) as here
        left join (select id, {seen} as seen, phone_number, deleted_at from leads) as other
            on other.phone_number = %(number)s and other.deleted_at is null
            and other.id is distinct from %(except_lead)s
        """
    ).format(seen=SEEN)
    values = {"number": number, "user_id": user_id, "except_lead": except_lead, "left_behind": left_behind}
    return tx.execute(statement, values)


def _why_refused(facts: Cursor[DictRow]) -> tuple[LeadlineError, bool]:
    """Which condition of a write did not hold, and whether the caller sees the lead that has the number."""
    (found,) = facts.fetchall()
    if found["listed"]:
        return dnc.OnDncList(field="phone_number"), False
    if found["duplicate"]:
        return DuplicateLead(field="phone_number", lead_id=str(found["duplicate"])), found["seen"]
    if not found["owner_known"]:
        return UnknownMember(field="user_id"), False
    return VersionMismatch(), False


def _record_assignment(tx: Transaction, lead: Lead, *, from_user: UUID | None, reason: str | None) -> None:
    if lead.user_id == from_user:
        return
    tx.execute(
        """
        insert into lead_assignments (lead_id, from_user, to_user, strategy, reason)
        values (%(lead_id)s, %(from_user)s, %(to_user)s, 'manual', %(reason)s)
        """,
        {"lead_id": lead.id, "from_user": from_user, "to_user": lead.user_id, "reason": reason},
    )
