"""Leads: the people to recruit or sell to."""

import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from phonenumbers import SUPPORTED_REGIONS
from psycopg import Cursor, sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from leadline import config, dnc, phone
from leadline.db import Transaction, fetch_one
from leadline.errors import Conflict, LeadlineError, NotFound, PreconditionFailed, Refused
from leadline.inputs import Input, JsonObject, Prose, TimeZone, Word
from leadline.pages import Page, PageQuery, cut, position

Status = Literal["new", "contacted", "qualified", "nurturing", "hot", "cold", "recruited", "dnc"]


class DuplicateLead(Conflict):
    """A lead with this phone number exists; `lead_id` names it."""


class VersionMismatch(PreconditionFailed):
    """The lead has changed since you read it; read it again."""


class UnknownMember(Refused):
    """There is no active member with this id in the organization."""


# What a field may be ------------------------------------------------------------------------------------------------


# ISO 3166-1 alpha-2: the regions that have a numbering plan, without the three that are no country of the standard, and
# with the seven where nobody lives.
COUNTRIES = SUPPORTED_REGIONS - {"AC", "TA", "XK"} | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}


def _country(code: str) -> str:
    if code.upper() not in COUNTRIES or not code.isascii():
        raise PydanticCustomError("bad_country", "Give the country as two letters, as in ISO 3166-1")
    return code.upper()


def _email(address: str) -> str:
    if (
        len(address) > 254
        or not address.isprintable()
        or not re.fullmatch(r"[^@\s<>\"(),:;]+@[^@\s.<>\"(),:;]+(\.[^@\s.<>\"(),:;]+)+", address)
    ):
        raise PydanticCustomError("bad_email", "This is not an email address")
    return address.lower()


def _tag(tag: str) -> str:
    tag = unicodedata.normalize("NFC", tag).lower()
    # Letters of any script come with their marks (L, M): a vowel sign of Hindi is no letter by itself.
    if len(tag) > 50 or not all(c in " _.:-" or unicodedata.category(c)[0] in "LM" or c.isdecimal() for c in tag):
        raise PydanticCustomError("bad_tag", "A tag has letters, digits, space and _ . : -, at most 50 of them")
    return tag


def _without_repeats(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


Country = Annotated[Word, AfterValidator(_country)]
Email = Annotated[Word, AfterValidator(_email)]
Tags = Annotated[list[Annotated[Word, AfterValidator(_tag)]], AfterValidator(_without_repeats), Field(max_length=50)]


class _Described(Input):
    """What a person may say of a lead; every field may be left out."""

    first_name: Word | None = None
    last_name: Word | None = None
    email: Email | None = None
    address: Word | None = None
    city: Word | None = None
    state: Word | None = None
    zip: Word | None = None
    time_zone: TimeZone | None = None
    source: Word | None = None
    sub_source: Word | None = None
    source_metadata: JsonObject = Field(default_factory=dict)
    tags: Tags = Field(default_factory=list)
    notes: Prose | None = None
    user_id: UUID | None = None
    country: Country = "US"


class NewLead(_Described):
    """A lead to create: a phone number in any usual spelling is enough."""

    phone_number: Word
    change_reason: Word | None = None


class LeadChange(_Described):
    """What to change of a lead: only the fields that are given; null empties a field."""

    phone_number: Word = Field(default_factory=str)
    status: Status = Field(default_factory=lambda: "new")
    change_reason: Word | None = None

    def fields(self) -> dict[str, Any]:
        """The columns that were given, with their values as the database takes them."""
        given = self.model_dump(include=self.model_fields_set - {"change_reason"})
        return {name: Jsonb(value) if name == "source_metadata" else value for name, value in given.items()}


class Lead(BaseModel):
    """A lead as it is stored and answered."""

    id: UUID
    user_id: UUID | None
    first_name: str | None
    last_name: str | None
    phone_number: str | None
    email: str | None
    address: str | None
    city: str | None
    state: str | None
    zip: str | None
    country: str
    time_zone: str | None
    status: Status
    lead_score: int
    lead_score_factors: dict[str, Any]
    source: str | None
    sub_source: str | None
    source_metadata: dict[str, Any]
    tags: list[str]
    notes: str | None
    last_contact_date: datetime | None
    interaction_count: int
    calling_blocked: bool
    custom_fields: dict[str, Any]
    version: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class LeadQuery(PageQuery):
    """The query string of the list of leads."""


class AuditEntry(BaseModel):
    """One field of a lead changed once."""

    id: UUID
    user_id: UUID | None
    field_name: str
    old_value: str | None
    new_value: str | None
    change_reason: str | None
    ip_address: str | None
    user_agent: str | None
    changed_at: datetime


LEAD_COLUMNS = sql.SQL(
    "id, user_id, first_name, last_name, phone_number, email, address, city, state, zip, country, time_zone, status, "
    "lead_score, lead_score_factors, source, sub_source, source_metadata, tags, notes, last_contact_date, "
    "interaction_count, calling_blocked, custom_fields, version, created_at, updated_at, deleted_at"
)


# Queries and commands -----------------------------------------------------------------------------------------------


def get(tx: Transaction, lead_id: UUID) -> Lead:
    """The lead with this id. Raises NotFound, also for a deleted one."""
    lead = _select(tx, lead_id).fetchone()
    if lead is None:
        raise NotFound
    return lead


def page(tx: Transaction, query: LeadQuery) -> Page[Lead]:
    """Leads, newest first. Raises BadCursor."""
    order = "leads -created_at"
    created_at, lead_id = position(query.cursor, order, (datetime.fromisoformat, UUID))
    statement = sql.SQL(
        """
        select {columns} from leads
        where deleted_at is null
            and (%(lead_id)s::uuid is null or (created_at, id) < (%(created_at)s, %(lead_id)s))
        order by created_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=LEAD_COLUMNS)
    after = {"created_at": created_at, "lead_id": lead_id, "limit": query.limit}
    rows = _leads(tx).execute(statement, after).fetchall()
    return cut(rows, query.limit, order, lambda lead: (lead.created_at, lead.id))


def create(tx: Transaction, new: NewLead, *, update_duplicate: bool = False) -> tuple[Lead, bool]:
    """A new lead and True; or, where `update_duplicate` asks for it, the lead with that number changed and False.

    Raises BadPhone, OnDncList, DuplicateLead (with `lead_id`) and UnknownMember.
    """
    number = phone.normalise(new.phone_number, config.default_region(tx))
    dnc.lock_number(tx, number)
    statement = sql.SQL(
        """
        insert into leads (
            phone_number, first_name, last_name, email, address, city, state, zip, country, time_zone,
            source, sub_source, source_metadata, tags, notes, user_id
        )
        select
            %(phone_number)s::text, %(first_name)s, %(last_name)s, %(email)s, %(address)s, %(city)s, %(state)s, %(zip)s,
            %(country)s, %(time_zone)s, %(source)s, %(sub_source)s, %(source_metadata)s, %(tags)s, %(notes)s,
            %(user_id)s
        where not is_on_dnc_list(%(phone_number)s, current_org_id())
            and (%(user_id)s::uuid is null or exists (select from members where id = %(user_id)s and active))
        on conflict (organization_id, phone_number) where deleted_at is null do nothing
        returning {columns}
        """
    ).format(columns=LEAD_COLUMNS)
    values = {**new.model_dump(), "phone_number": number, "source_metadata": Jsonb(new.source_metadata)}
    lead = _leads(tx).execute(statement, values).fetchone()
    if lead is not None:
        _record_assignment(tx, lead, from_user=None, reason="created with this owner")
        return lead, True
    refusal = _why_refused(tx, number, new.user_id)
    if update_duplicate and isinstance(refusal, DuplicateLead):
        given = LeadChange.model_validate(new.model_dump(include=new.model_fields_set - {"phone_number"}))
        return change(tx, UUID(refusal.members["lead_id"]), given), False
    raise refusal


def change(tx: Transaction, lead_id: UUID, change: LeadChange, version: int | None = None) -> Lead:
    """The lead with the given fields changed, where it still has the version that the caller read.

    Setting the status to dnc lists the number; a number that is listed keeps its lead there.
    Raises NotFound, VersionMismatch, BadPhone, OnDncList, DuplicateLead and UnknownMember.
    """
    fields = change.fields()
    found = _select(tx, lead_id)
    if "phone_number" in fields:
        fields["phone_number"] = phone.normalise(fields["phone_number"], config.default_region(tx))
    before = found.fetchone()
    if before is None:
        raise NotFound
    if version not in (None, before.version):
        raise VersionMismatch
    if not fields:
        return before
    after = _update(tx, before, fields, version)
    if after.user_id != before.user_id:
        _record_assignment(tx, after, from_user=before.user_id, reason=change.change_reason)
    return after


def audit(tx: Transaction, lead_id: UUID, query: PageQuery) -> Page[AuditEntry]:
    """Every change of every field of a lead, newest first. Raises NotFound and BadCursor."""
    order = f"audit {lead_id}"
    changed_at, entry_id = position(query.cursor, order, (datetime.fromisoformat, UUID))
    found = _select(tx, lead_id)
    rows = (
        tx.cursor(row_factory=kwargs_row(AuditEntry.model_construct))
        .execute(
            """
            select id, user_id, field_name, old_value, new_value, change_reason, ip_address, user_agent, changed_at
            from lead_audit_log
            where lead_id = %(lead_id)s
                and (%(entry_id)s::uuid is null or (changed_at, id) < (%(changed_at)s, %(entry_id)s))
            order by changed_at desc, id desc
            limit %(limit)s + 1
            """,
            {"lead_id": lead_id, "changed_at": changed_at, "entry_id": entry_id, "limit": query.limit},
        )
        .fetchall()
    )
    if found.fetchone() is None:
        raise NotFound
    return cut(rows, query.limit, order, lambda entry: (entry.changed_at, entry.id))


def _leads(tx: Transaction) -> Cursor[Lead]:
    return tx.cursor(row_factory=kwargs_row(Lead.model_construct))


def _select(tx: Transaction, lead_id: UUID) -> Cursor[Lead]:
    """The lead, not fetched yet, so that it travels with the statements after it."""
    statement = sql.SQL("select {columns} from leads where id = %(lead_id)s and deleted_at is null")
    return _leads(tx).execute(statement.format(columns=LEAD_COLUMNS), {"lead_id": lead_id})


def _update(tx: Transaction, before: Lead, fields: dict[str, Any], version: int | None) -> Lead:
    """Changes columns of one lead under the locks of its old and new number, or raises why not."""
    number = fields.get("phone_number", before.phone_number)
    leaves_dnc = before.status == "dnc" and fields.get("status", "dnc") != "dnc"
    if "status" in fields and (leaves_dnc or fields["status"] == "dnc"):
        fields["calling_blocked"] = fields["status"] == "dnc"
    must_be_callable = leaves_dnc or number != before.phone_number
    for locked in sorted(filter(None, {before.phone_number, number})):
        dnc.lock_number(tx, locked)
    statement = sql.SQL(
        """
        update leads set {assignments}
        where id = %(id)s and deleted_at is null and (%(version)s::integer is null or version = %(version)s)
            and (not %(must_be_callable)s or not is_on_dnc_list(%(number)s, current_org_id()))
            and not exists (
                select from leads as other
                where other.phone_number = %(number)s and other.deleted_at is null and other.id <> %(id)s
            )
            and (%(new_owner)s::uuid is null or exists (select from members where id = %(new_owner)s and active))
        returning {columns}
        """
    ).format(
        assignments=sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(f"new_{name}")) for name in fields
        ),
        columns=LEAD_COLUMNS,
    )
    conditions = {
        "id": before.id,
        "version": version,
        "number": number,
        "must_be_callable": must_be_callable,
        "new_owner": fields.get("user_id"),
    }
    values = {f"new_{name}": value for name, value in fields.items()}
    after = _leads(tx).execute(statement, conditions | values).fetchone()
    if after is None:
        if get(tx, before.id).version != before.version:
            raise VersionMismatch
        raise _why_refused(tx, number if must_be_callable else None, fields.get("user_id"), except_lead=before.id)
    # A lead in dnc has its number listed, whichever of the two was changed: the person opted out, not the number.
    if after.status == "dnc" and ("status" in fields or number != before.phone_number):
        dnc.add(tx, number, reason="lead_requested", source="lead_status")
    return after


def _why_refused(
    tx: Transaction, number: str | None, user_id: UUID | None, except_lead: UUID | None = None
) -> LeadlineError:
    """Which condition of a write did not hold, read under the same lock; `number` is the one to become callable."""
    facts = fetch_one(
        tx,
        """
        select
            case when %(number)s::text is not null then is_on_dnc_list(%(number)s, current_org_id()) end as listed,
            (
                select id from leads
                where phone_number = %(number)s and deleted_at is null and id is distinct from %(except_lead)s
            ) as duplicate,
            %(user_id)s::uuid is null or exists (select from members where id = %(user_id)s and active) as owner_known
        """,
        {"number": number, "user_id": user_id, "except_lead": except_lead},
    )
    if facts["listed"]:
        return dnc.OnDncList(field="phone_number")
    if facts["duplicate"]:
        return DuplicateLead(field="phone_number", lead_id=str(facts["duplicate"]))
    if not facts["owner_known"]:
        return UnknownMember(field="user_id")
    return VersionMismatch()


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
