"""Consent: who may be contacted, how, in whose voice, and by which words it was given or taken back.

Which ground a contact needs is written here once, as data (GROUNDS), and judged by the gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import sql
from psycopg.rows import kwargs_row
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from leadline import budget, config, dnc, phone, settings
from leadline.db import Transaction, fetch_one
from leadline.errors import Refused
from leadline.inputs import Input, Instant, Moment, Name, Prose, Word
from leadline.pages import Page, PageQuery, cut, instant, position

Kind = Literal["express", "prior_express_written", "established_relationship"]
Channel = Literal["call", "sms", "email"]
Voice = Literal["human", "artificial"]
Method = Literal["web_form", "paper", "key_press", "recording", "text"]
Channels = Annotated[list[Channel], Field(min_length=1, max_length=3)]

# By channel and voice, the kinds that allow a contact. An AI voice is an artificial one (FCC 24-17); what it sells
# needs a signed writing (47 CFR 64.1200(a)(2), (f)(9)), and so does a text. Email needs none (CAN-SPAM).
GROUNDS: dict[tuple[str, str | None], tuple[Kind, ...]] = {
    ("call", "artificial"): ("prior_express_written",),
    ("call", "human"): ("express", "prior_express_written", "established_relationship"),
    ("sms", None): ("prior_express_written",),
}
REVIVES: Kind = "prior_express_written"  # the only kind that counts after a revocation

MONTHS_OF_A_RELATIONSHIP = {"purchase": 18, "inquiry": 3}  # 47 CFR 64.1200(f)(5)


class NotYetGiven(Refused):
    """Consent cannot have been given, or taken back, in the future."""


class NewConsent(Input):
    """What a person has agreed to, in which words, how and when, and what proves it.

    `evidence` is kept encrypted. An established relationship says on what it rests (`basis`; an inquiry unless stated)
    and ends by law, or at `expires_at` where that is earlier.
    """

    phone_number: Word
    kind: Kind
    channels: Channels
    voice_modes: Annotated[list[Voice], Field(max_length=2)] = Field(default_factory=list[Voice])
    basis: Literal["purchase", "inquiry"] | None = None
    person: Name | None = None
    topic: Word | None = None
    disclosure_text: Annotated[Prose, Field(min_length=1)] | None = None
    disclosure_version: Word | None = None
    method: Method
    signature_form: Word | None = None
    captured_at: Moment
    ip_address: Word | None = None
    user_agent: Word | None = None
    page_url: Annotated[Prose, Field(max_length=2000)] | None = None
    vendor: Word | None = None
    certificate_id: Word | None = None
    evidence: Prose | None = None
    evidence_reference: Word | None = None
    expires_at: Instant | None = None

    @model_validator(mode="after")
    def _complete(self) -> "NewConsent":
        if "call" in self.channels and not self.voice_modes:
            raise PydanticCustomError("voice_modes_required", "A consent to calls says in whose voice (voice_modes)")
        related = self.kind == "established_relationship"
        if not related and not (self.disclosure_text and self.disclosure_version):
            raise PydanticCustomError("disclosure_required", "Give disclosure_text and disclosure_version")
        if self.basis and not related:
            raise PydanticCustomError("bad_basis", "Only an established relationship has a basis")
        if self.expires_at and self.expires_at <= self.captured_at:
            raise PydanticCustomError("bad_expiry", "A consent cannot end before it was given")
        return self


class NumberSought(Input):
    """The number whose consents are asked for, in any usual spelling."""

    phone_number: Word


class NewRevocation(Input):
    """A person has taken consent back: for all phone channels unless some are named; now unless `revoked_at` says."""

    phone_number: Word
    channels: Channels = Field(default_factory=lambda: ["call", "sms"])
    words: Prose | None = None
    source: Word | None = None
    revoked_at: Moment | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """A consent as it is kept, its evidence in the clear."""

    id: UUID
    phone_number: str
    kind: Kind
    basis: str | None
    channels: list[Channel]
    voice_modes: list[Voice]
    person: str | None
    topic: str | None
    disclosure_text: str | None
    disclosure_version: str | None
    disclosure_hash: str | None
    method: Method
    signature_form: str | None
    captured_at: datetime
    ip_address: str | None
    user_agent: str | None
    page_url: str | None
    vendor: str | None
    certificate_id: str | None
    evidence: str | None
    evidence_hash: str | None
    evidence_reference: str | None
    expires_at: datetime | None
    recorded_by: UUID | None
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revocation as it is kept; it holds from `revoked_at`, long before the law's `due_on`."""

    id: UUID
    phone_number: str
    channels: list[Channel]
    words: str | None
    source: str | None
    revoked_at: datetime
    due_on: date
    recorded_by: UUID | None
    recorded_at: datetime


@dataclass(frozen=True)
class Found(Page[Consent]):
    """The consents of a number, newest first, and all its revocations."""

    revocations: list[Revocation]


COLUMNS = sql.SQL(
    "id, phone_number, kind, basis, channels, voice_modes, person, topic, disclosure_text, disclosure_version, "
    "disclosure_hash, method, signature_form, captured_at, ip_address, user_agent, page_url, vendor, certificate_id, "
    "case when evidence is not null then pgp_sym_decrypt(evidence, %(evidence_key)s) end as evidence, evidence_hash, "
    "evidence_reference, expires_at, recorded_by, recorded_at"
)
REVOCATION_COLUMNS = sql.SQL("id, phone_number, channels, words, source, revoked_at, due_on, recorded_by, recorded_at")


# Rules --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """What the rules need to know of a consent."""

    id: UUID
    kind: Kind
    channels: Sequence[str]
    voice_modes: Sequence[str]
    captured_at: datetime
    expires_at: datetime | None


def ground(
    given: Sequence[Given], revoked_at: datetime | None, channel: str, voice: str | None, now: datetime
) -> Given | Literal["no_consent", "consent_revoked"]:
    """The consent on which a contact may rest at `now`, the newest one; or the code of why there is none.

    A revocation voids all that was given before it, and after it only a later, prior express written one counts.
    """
    kinds = GROUNDS[channel, voice if channel == "call" else None]
    fitting = [
        one
        for one in given
        if one.kind in kinds
        and channel in one.channels
        and (channel != "call" or voice in one.voice_modes)
        and one.captured_at <= now
    ]
    standing = [
        one
        for one in fitting
        if (one.expires_at is None or one.expires_at > now)
        and (revoked_at is None or (one.kind == REVIVES and one.captured_at > revoked_at))
    ]
    if standing:
        return max(standing, key=lambda one: one.captured_at)
    return "no_consent" if revoked_at is None else "consent_revoked"


# Queries and commands -----------------------------------------------------------------------------------------------


def give(tx: Transaction, new: NewConsent) -> Consent:
    """The consent, kept. Raises BadPhone and NotYetGiven."""
    if new.captured_at > datetime.now(UTC):
        raise NotYetGiven(field="captured_at")
    number = phone.normalise(new.phone_number, config.read(tx).default_region)
    basis = (new.basis or "inquiry") if new.kind == "established_relationship" else None
    dnc.lock_number(tx, number)
    statement = sql.SQL(
        """
        insert into consents (
            phone_number, kind, basis, channels, voice_modes, person, topic, disclosure_text, disclosure_version,
            method, signature_form, captured_at, captured_at_offset, ip_address, user_agent, page_url, vendor,
            certificate_id, evidence, evidence_hash, evidence_reference, expires_at
        )
        select
            %(phone_number)s, %(kind)s, %(basis)s, %(channels)s, %(voice_modes)s, %(person)s, %(topic)s,
            %(disclosure_text)s, %(disclosure_version)s, %(method)s, %(signature_form)s, %(captured_at)s,
            %(captured_at_offset)s, %(ip_address)s, %(user_agent)s, %(page_url)s, %(vendor)s, %(certificate_id)s,
            case when %(evidence)s::text is not null then pgp_sym_encrypt(%(evidence)s, %(evidence_key)s) end,
            encode(digest(%(evidence)s::text, 'sha256'), 'hex'), %(evidence_reference)s,
            least(%(expires_at)s::timestamptz, %(captured_at)s::timestamptz + make_interval(months => %(months)s))
        returning {columns}
        """
    ).format(columns=COLUMNS)
    values = new.model_dump() | {
        "phone_number": number,
        "basis": basis,
        "months": MONTHS_OF_A_RELATIONSHIP.get(basis or ""),
        "captured_at_offset": int((new.captured_at.utcoffset() or timedelta(0)).total_seconds()) // 60,
        "evidence_key": settings.evidence_key(),
    }
    return tx.cursor(row_factory=kwargs_row(Consent)).execute(statement, values).fetchall()[0]


def search(tx: Transaction, sought: NumberSought, query: PageQuery) -> Found:
    """What a number has agreed to, newest first, and what it has taken back. Raises BadPhone and BadCursor."""
    number = phone.normalise(sought.phone_number, config.read(tx).default_region)
    captured_at, consent_id = position(query.cursor, "consents", (instant, UUID))
    values = {
        "phone_number": number,
        "evidence_key": settings.evidence_key(),
        "captured_at": captured_at,
        "id": consent_id,
        "limit": query.limit,
    }
    statement = sql.SQL(
        """
        select {columns} from consents
        where phone_number = %(phone_number)s
            and (%(id)s::uuid is null or (captured_at, id) < (%(captured_at)s, %(id)s))
        order by captured_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=COLUMNS)
    consents = tx.cursor(row_factory=kwargs_row(Consent)).execute(statement, values)
    statement = sql.SQL(
        "select {columns} from consent_revocations where phone_number = %(phone_number)s order by revoked_at desc, id"
    ).format(columns=REVOCATION_COLUMNS)
    revocations = tx.cursor(row_factory=kwargs_row(Revocation)).execute(statement, values)
    page = cut(consents.fetchall(), query.limit, "consents", lambda one: (one.captured_at, one.id))
    return Found(page.items, page.next_cursor, revocations.fetchall())


def revoke(tx: Transaction, new: NewRevocation) -> Revocation:
    """The revocation, kept; it holds at once, and money held for the number comes back.

    Raises BadPhone and NotYetGiven.
    """
    now = datetime.now(UTC)
    revoked_at = new.revoked_at or now
    if revoked_at > now:
        raise NotYetGiven(field="revoked_at")
    decided = config.read(tx)
    number = phone.normalise(new.phone_number, decided.default_region)
    due_on = dnc.due_on(revoked_at, ZoneInfo(decided.time_zone))
    dnc.lock_number(tx, number)
    row = fetch_one(
        tx,
        """
        insert into consent_revocations (phone_number, channels, words, source, revoked_at, due_on)
        values (%(phone_number)s, %(channels)s, %(words)s, %(source)s, %(revoked_at)s, %(due_on)s)
        returning id, phone_number, channels, words, source, revoked_at, due_on, recorded_by, recorded_at
        """,
        new.model_dump() | {"phone_number": number, "revoked_at": revoked_at, "due_on": due_on},
    )
    if {"call", "sms"} & set(new.channels):
        budget.release_numbers(tx, [number])
    return Revocation(**row)
