"""Templates: what a step says, by channel, with placeholders of the lead and the organization."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import kwargs_row
from pydantic import Field, StringConstraints

from leadline import config, leads
from leadline.config import Config
from leadline.consent import Channel, Voice
from leadline.db import Transaction, fetch_one
from leadline.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed, Refused
from leadline.inputs import Input, Prose, Word
from leadline.nurture.rendering import (
    CUSTOM,
    LONGEST_SMS,
    PLACEHOLDER,
    as_text,
    faults,
    places,
    render,
    sms_parts,
)
from leadline.pages import Page, PageQuery, cut, instant, position

TEMPLATE_ID = r"^[a-z0-9][a-z0-9_-]{0,99}$"
TemplateId = Annotated[str, StringConstraints(pattern=TEMPLATE_ID)]
Body = Annotated[Prose, Field(min_length=1)]
Html = Annotated[Prose, Field(min_length=1, max_length=100_000)]

# What an email says at its end, where its template does not say it at a place of its own (15 USC 7704(a)(5)).
FOOTER = {"postal_address": "{{postal_address}}", "unsubscribe_url": "Unsubscribe: {{unsubscribe_url}}"}
HTML_FOOTER = {
    "postal_address": "<p>{{postal_address}}</p>",
    "unsubscribe_url": '<p><a href="{{unsubscribe_url}}">Unsubscribe</a></p>',
}
SHOWN_LINK = "https://unsubscribe.example/preview"  # a preview must not carry a link that works


class DuplicateTemplate(Conflict):
    """A template with this template_id exists."""


class VersionMismatch(PreconditionFailed):
    """The template has changed since you read it; read it again."""


class MessageTooLong(Refused):
    """An SMS has at most 1,600 characters once its values stand in it."""


class PostalAddressRequired(Refused):
    """An email states the sender's postal address, and the organization has none (config postal_address)."""


class Script(Input):
    """The call system's script of a call, by its id and version."""

    id: Word
    version: Word | None = None


class NewTemplate(Input):
    """A template to create. An email has a subject and may have html; a call has a voice and may have a script.

    `body` is the text of an SMS or email, and of a call what the agent is told to say first.
    """

    template_id: TemplateId
    channel: Channel
    name: Word
    subject: Word | None = None
    body: Body
    html: Html | None = None
    voice: Voice | None = None
    script: Script | None = None


class TemplateChange(Input):
    """What to change of a template: only the fields that are given; null empties one that may be empty."""

    name: Word = Field(default_factory=str)
    subject: Word | None = None
    body: Body = Field(default_factory=str)
    html: Html | None = None
    voice: Voice | None = None
    script: Script | None = None


class TemplateQuery(PageQuery):
    """Which templates: of a channel, or all."""

    channel: Channel | None = None


class PreviewFor(Input):
    """The lead for whom a template is to be shown."""

    lead_id: UUID


@dataclass(frozen=True, slots=True)
class Template:
    """A template as it is stored and answered."""

    id: UUID
    template_id: str
    channel: Channel
    name: str
    subject: str | None
    body: str
    html: str | None
    voice: Voice | None
    script: dict[str, str | None] | None
    version: int
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """The version as HTTP has it."""
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Organization:
    """Of the organization, what its messages say."""

    name: str
    postal_address: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out: all values in place, footers included."""

    subject: str | None
    body: str
    html: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as it would go out now; `sms_parts` is what an SMS is billed by, null on the other channels."""

    template_id: str
    version: int
    channel: Channel
    subject: str | None
    body: str
    html: str | None
    characters: int
    sms_parts: int | None


COLUMNS = sql.SQL(
    "id, template_id, channel, name, subject, body, html, voice, case when script_id is not null "
    "then jsonb_build_object('id', script_id, 'version', script_version) end as script, version, created_by, "
    "created_at, updated_at"
)
# Of a lead, the columns that values_of reads.
LEAD_VALUES = sql.SQL(
    "first_name, last_name, email, phone_number, city, state, zip, country, source, sub_source, status, custom_fields"
)


# Rules --------------------------------------------------------------------------------------------------------------


def values_of(
    lead: Mapping[str, Any], organization: Organization, unsubscribe_url: str | None = None
) -> dict[str, str | None]:
    """What each placeholder stands for, from a row with the columns LEAD_VALUES; null where there is nothing."""
    custom: dict[str, Any] = lead["custom_fields"] or {}
    values: dict[str, Any] = {name: value for name, value in lead.items() if name != "custom_fields"}
    values["full_name"] = " ".join(filter(None, (lead["first_name"], lead["last_name"])))
    values |= {CUSTOM + name: value for name, value in custom.items()}
    texts = {name: as_text(value) or None for name, value in values.items()}
    return texts | {
        "organization.name": organization.name,
        "postal_address": organization.postal_address,
        "unsubscribe_url": unsubscribe_url,
    }


def compose(template: Template, values: Mapping[str, str | None]) -> Message:
    """What goes out, with the footers of an email. Raises MessageTooLong, PostalAddressRequired and ValueMissing."""
    if template.channel != "email":
        body = render(template.body, values)
        if template.channel == "sms" and len(body) > LONGEST_SMS:
            raise MessageTooLong(field="body")
        return Message(None, body, None)
    if not as_text(values.get("postal_address")):
        raise PostalAddressRequired
    html = render(_with_html_footer(template.html), values, html=True) if template.html else None
    subject = render(template.subject or "", values, one_line=True)
    return Message(subject, render(_with_footer(template.body), values), html)


def _with_footer(text: str) -> str:
    footer = [line for name, line in FOOTER.items() if not places(text, name)]
    return "\n".join([text, "", "--", *footer]) if footer else text


def _with_html_footer(text: str) -> str:
    footer = "".join(line for name, line in HTML_FOOTER.items() if not places(text, name, html=True))
    before, end, after = text.rpartition("</body>")
    return before + footer + end + after if end else text + footer


def _require_sound(template: NewTemplate, declared: Collection[str]) -> None:
    """Raises Invalid for what its channel does not have, and for text that could not be rendered for every lead."""
    email = template.channel == "email"
    errors = [
        FieldError(f"/{name}", code, detail)
        for name, wrong, code, detail in (
            ("subject", email and template.subject is None, "subject_required", "An email has a subject"),
            ("subject", not email and template.subject is not None, "not_of_this_channel", "Only an email has it"),
            ("html", not email and template.html is not None, "not_of_this_channel", "Only an email has it"),
            ("voice", template.channel == "call" and template.voice is None, "voice_required", "A call has a voice"),
            ("voice", template.channel != "call" and template.voice is not None, "not_of_this_channel", "Only calls"),
            ("script", template.channel != "call" and template.script is not None, "not_of_this_channel", "Only calls"),
        )
        if wrong
    ]
    for name, text in (("subject", template.subject), ("body", template.body), ("html", template.html)):
        if text is not None:
            errors += faults(f"/{name}", text, email=email, custom_fields=declared, html=name == "html")
    if template.channel == "sms" and len(PLACEHOLDER.sub("", template.body)) > LONGEST_SMS:
        errors.append(FieldError("/body", MessageTooLong.code, MessageTooLong.__doc__ or ""))
    if errors:
        raise Invalid(errors)


def _fields(template: NewTemplate) -> dict[str, Any]:
    fields = template.model_dump(exclude={"script"})
    script = template.script
    return fields | {"script_id": script and script.id, "script_version": script and script.version}


# Queries and commands -----------------------------------------------------------------------------------------------


def create(tx: Transaction, new: NewTemplate) -> Template:
    """A new template. Raises DuplicateTemplate and Invalid."""
    _require_sound(new, [field.name for field in config.read(tx).custom_fields])
    statement = sql.SQL(
        """
        insert into templates (template_id, channel, name, subject, body, html, voice, script_id, script_version)
        values (
            %(template_id)s, %(channel)s, %(name)s, %(subject)s, %(body)s, %(html)s, %(voice)s, %(script_id)s,
            %(script_version)s
        )
        on conflict (organization_id, template_id) do nothing
        returning {columns}
        """
    ).format(columns=COLUMNS)
    template = _cursor(tx).execute(statement, _fields(new)).fetchone()
    if template is None:
        raise DuplicateTemplate(field="template_id")
    return template


def get(tx: Transaction, template_id: str) -> Template:
    """The template of this name. Raises NotFound, also where it is no name."""
    found = read(tx, [template_id]) if re.fullmatch(TEMPLATE_ID, template_id, re.ASCII) else {}
    if not found:
        raise NotFound
    return found[template_id]


def read(tx: Transaction, template_ids: Collection[str]) -> dict[str, Template]:
    """The templates of these names, as far as there are any; for the texts of many steps in one statement."""
    statement = sql.SQL("select {columns} from templates where template_id = any (%(template_ids)s)")
    found = _cursor(tx).execute(statement.format(columns=COLUMNS), {"template_ids": list(template_ids)})
    return {template.template_id: template for template in found.fetchall()}


def of_channels(tx: Transaction, template_ids: Collection[str]) -> dict[str, Channel]:
    """The channel of each template that there is; what is found cannot become another's."""
    rows = tx.execute(
        "select template_id, channel from templates where template_id = any (%(template_ids)s)",
        {"template_ids": list(template_ids)},
    )
    return {row["template_id"]: row["channel"] for row in rows.fetchall()}


def page(tx: Transaction, query: TemplateQuery) -> Page[Template]:
    """Templates, newest first. Raises BadCursor."""
    order = f"templates {query.channel}"
    created_at, template_key = position(query.cursor, order, (instant, UUID))
    statement = sql.SQL(
        """
        select {columns} from templates
        where (%(channel)s::text is null or channel = %(channel)s)
            and (%(id)s::uuid is null or (created_at, id) < (%(created_at)s, %(id)s))
        order by created_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=COLUMNS)
    values = {"channel": query.channel, "created_at": created_at, "id": template_key, "limit": query.limit}
    rows = _cursor(tx).execute(statement, values).fetchall()
    return cut(rows, query.limit, order, lambda one: (one.created_at, one.id))


def change(tx: Transaction, template_id: str, change: TemplateChange, version: int) -> Template:
    """The template with the given fields changed, where it still has the version that the caller read.

    Steps that have been sent keep what they said; steps to come say the new. Raises NotFound, VersionMismatch, Invalid.
    """
    before = get(tx, template_id)
    if before.version != version:
        raise VersionMismatch
    given = {name: getattr(change, name) for name in change.model_fields_set}
    if not given:
        return before
    kept: dict[str, Any] = {name: getattr(before, name) for name in NewTemplate.model_fields}
    # What is kept was judged when it came in; what it says is judged again, with the custom fields there are now.
    after = NewTemplate.model_construct(None, **{**kept, "script": _script(before), **given})
    _require_sound(after, [field.name for field in config.read(tx).custom_fields])
    statement = sql.SQL(
        """
        update templates set
            name = %(name)s, subject = %(subject)s, body = %(body)s, html = %(html)s, voice = %(voice)s,
            script_id = %(script_id)s, script_version = %(script_version)s
        where template_id = %(template_id)s and version = %(version)s
        returning {columns}
        """
    ).format(columns=COLUMNS)
    template = _cursor(tx).execute(statement, _fields(after) | {"version": version}).fetchone()
    if template is None:
        raise VersionMismatch
    return template


def _script(template: Template) -> Script | None:
    return Script.model_construct(None, **template.script) if template.script else None


def preview(tx: Transaction, template_id: str, wanted: PreviewFor) -> Preview:
    """The template for one lead, as it would go out, but for a link that does nothing.

    Raises NotFound, MessageTooLong and PostalAddressRequired.
    """
    template = get(tx, template_id)
    statement = sql.SQL("select {columns} from leads where id = %(lead_id)s and deleted_at is null and {seen}").format(
        columns=LEAD_VALUES, seen=leads.SEEN
    )
    lead = tx.execute(statement, {"lead_id": wanted.lead_id}).fetchone()
    if lead is None:
        raise NotFound
    message = compose(template, values_of(lead, organization_of(tx, config.read(tx)), SHOWN_LINK))
    return Preview(
        template.template_id,
        template.version,
        template.channel,
        message.subject,
        message.body,
        message.html,
        characters=len(message.body),
        sms_parts=sms_parts(message.body) if template.channel == "sms" else None,
    )


def organization_of(tx: Transaction, decided: Config) -> Organization:
    """What messages say of the organization of this transaction."""
    row = fetch_one(tx, "select name from organizations where id = current_org_id()", {})
    return Organization(row["name"], decided.postal_address)


def _cursor(tx: Transaction) -> Cursor[Template]:
    return tx.cursor(row_factory=kwargs_row(Template))
