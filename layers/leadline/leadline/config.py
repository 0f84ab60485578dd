"""What an organization has decided for itself; a key that is absent has the default written here."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from phonenumbers import SUPPORTED_REGIONS
from psycopg.types.json import Jsonb
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from leadline.db import Transaction, fetch_one
from leadline.errors import FieldError, Invalid, NotFound
from leadline.inputs import Input, Prose, TimeZone, Word, code_of
from leadline.money import MoneyText

# ISO 3166-1 alpha-2: the regions that have a numbering plan, without the three that are no country of the standard, and
# with the seven where nobody lives.
COUNTRIES = SUPPORTED_REGIONS - {"AC", "TA", "XK"} | {"AQ", "BV", "GS", "HM", "PN", "TF", "UM"}


def _country(code: str) -> str:
    if code.upper() not in COUNTRIES or not code.isascii():
        raise PydanticCustomError("bad_country", "Give the country as two letters, as in ISO 3166-1")
    return code.upper()


Country = Annotated[Word, AfterValidator(_country)]


def _with_choices_where_it_chooses(field: "CustomField") -> "CustomField":
    if (field.type == "choice") != bool(field.choices):
        raise PydanticCustomError("bad_choices", "A field of type choice has choices, and no other field has")
    return field


def _each_once(fields: list["CustomField"]) -> list["CustomField"]:
    if len({field.name for field in fields}) < len(fields):
        raise PydanticCustomError("repeated_name", "Two custom fields have the same name")
    return fields


class CustomField(Input):
    """A field that the organization has added to its leads."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,49}$")]
    type: Literal["text", "number", "boolean", "date", "choice"]
    choices: list[Word] = Field(default_factory=list, max_length=100)


# As SES takes it, and as nobody could put a second header in: no display name, no quotes, no space.
EmailAddress = Annotated[
    Word, StringConstraints(pattern=r"^[A-Za-z0-9._%+-]{1,64}@([A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}\z")
]
PhoneNumber = Annotated[Word, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}\z")]

Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _of_some_length(hours: "ContactHours") -> "ContactHours":
    if hours.start == hours.end:
        raise PydanticCustomError("no_length", "Hours that start when they end are none")
    return hours


class ContactHours(Input):
    """From `start` to before `end` on the called person's clock; when `end` is earlier, into the next day."""

    start: Clock
    end: Clock
    weekdays: list[Weekday] = Field(
        default_factory=lambda: ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], min_length=1, max_length=7
    )


class CallingHours(Input):
    """When the organization lets people be contacted, within what the law allows; absent, the law alone counts.

    `cap` is the most contacts with a number in 24 rolling hours, calls and texts together.
    """

    call: Annotated[ContactHours, AfterValidator(_of_some_length)] | None = None
    sms: Annotated[ContactHours, AfterValidator(_of_some_length)] | None = None
    cap: int | None = Field(default=None, ge=1, le=100)


class FailureLimit(Input):
    """How many of a sequence's steps may fail: a share of those of the last days, where there are so many at least."""

    rate: float = Field(default=0.3, gt=0, le=1)
    minimum: int = Field(default=50, ge=1, le=1000)
    days: int = Field(default=7, ge=1, le=90)


# What an outcome of a call says of the lead; null says nothing. None leads into dnc: that takes an opt-out.
OutcomeStatus = Literal["new", "contacted", "qualified", "nurturing", "hot", "cold", "recruited"]
CALL_OUTCOMES: dict[str, OutcomeStatus | None] = {
    "recruited": "recruited",
    "interested": "qualified",
    "qualified": "qualified",
    "callback_requested": "contacted",
    "answered": "contacted",
    "contacted": "contacted",
    "not_interested": "cold",
    "wrong_number": "cold",
    "opted_out": None,
    "hung_up": None,
    "voicemail": None,
    "no_answer": None,
    "busy": None,
    "failed": None,
    "invalid_number": None,
    "network_error": None,
    "canceled": None,
    "cancelled": None,
    "never_rang": None,
    "rejected_by_carrier": None,
}


class Config(Input):
    """Every key there is, with its type and its default."""

    default_region: Country = "US"
    time_zone: TimeZone = "America/New_York"
    custom_fields: Annotated[
        list[Annotated[CustomField, AfterValidator(_with_choices_where_it_chooses)]],
        Field(max_length=100),
        AfterValidator(_each_once),
    ] = Field(default_factory=list[CustomField])
    agents_see_own_leads_only: bool = False
    cooling_off_days: int = Field(default=30, ge=1, le=365)
    call_outcomes: Annotated[dict[Word, OutcomeStatus | None], Field(max_length=200)] = Field(
        default_factory=CALL_OUTCOMES.copy
    )
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    # The ledger tells when the available balance falls below one of these; it has the same default beside the data.
    budget_alerts: list[MoneyText] = Field(default_factory=lambda: ["100", "20"], max_length=20)
    calling_hours: CallingHours = Field(default_factory=CallingHours)
    # What the gate holds on the budget where a request does not say what a contact may cost.
    call_max_cost: MoneyText = "1.00"
    sms_max_cost: MoneyText = "0.05"
    postal_address: Prose | None = None  # stands in every email (CAN-SPAM); without one none is sent
    phone_opt_out_stops_email: bool = True
    # What a person is told once who opted out by text; null where nothing is. The law wants no marketing in it.
    opt_out_confirmation: Annotated[Prose, StringConstraints(min_length=1, max_length=320)] | None = (
        "You are unsubscribed and will get no more calls or texts from {{organization.name}}."
    )
    nurture_failure_limit: FailureLimit = Field(default_factory=FailureLimit)
    # Who nurture writes as. Without an address no email goes out; without a number the call system chooses one.
    email_from: EmailAddress | None = None
    sms_from: PhoneNumber | None = None


class NewValue(Input):
    """What a key is to be."""

    value: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A key with its value; one that nobody has decided has its default, and no time."""

    key: str
    value: Any
    updated_by: UUID | None = None
    updated_at: datetime | None = None


def read(tx: Transaction) -> Config:
    """All that the organization has decided, and the defaults for the rest."""
    rows = tx.execute("select config_key, config_value from system_config").fetchall()
    values = {row["config_key"]: row["config_value"] for row in rows if row["config_key"] in Config.model_fields}
    if "custom_fields" in values:
        values["custom_fields"] = [CustomField.model_construct(**field) for field in values["custom_fields"]]
    if "calling_hours" in values:
        values["calling_hours"] = CallingHours.model_validate(values["calling_hours"])
    if "nurture_failure_limit" in values:
        values["nurture_failure_limit"] = FailureLimit.model_validate(values["nurture_failure_limit"])
    return Config.model_construct(**values)


def get(tx: Transaction, key: str) -> Entry:
    """One key. Raises NotFound for one that there is not."""
    if key not in Config.model_fields:
        raise NotFound
    row = tx.execute(
        "select config_value as value, updated_by, updated_at from system_config where config_key = %(key)s",
        {"key": key},
    ).fetchone()
    return Entry(key=key, **row) if row else Entry(key=key, value=Config().model_dump()[key])


def put(tx: Transaction, key: str, new: NewValue) -> Entry:
    """The key with its new value, judged by the key's own type. Raises NotFound and Invalid.

    A custom field that is no longer declared, or declared otherwise, stays as it is with the leads that have it; it can
    no longer be written.
    """
    if key not in Config.model_fields:
        raise NotFound
    try:
        # From JSON, and strictly: "30" is no number, and 1 is not true.
        config = Config.model_validate_json(json.dumps({key: new.value}), strict=True)
    except ValidationError as refused:
        raise Invalid(
            [
                FieldError(
                    "/".join(["/value", *map(str, error["loc"][1:])]),
                    code_of(error["type"]),
                    error["msg"],
                )
                for error in refused.errors(include_input=False, include_url=False, include_context=False)
            ]
        ) from None
    row = fetch_one(
        tx,
        """
        insert into system_config (config_key, config_value) values (%(key)s, %(value)s)
        on conflict (organization_id, config_key) do update
            set config_value = excluded.config_value, updated_by = current_user_id(), updated_at = now()
        returning config_value as value, updated_by, updated_at
        """,
        {"key": key, "value": Jsonb(config.model_dump()[key])},
    )
    return Entry(key=key, **row)
