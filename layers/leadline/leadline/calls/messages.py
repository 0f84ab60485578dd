"""What the call system sends: one model for each type of message, and the published schema is made from them.

Unlike the inputs of the API these pass over fields that they do not know: the call system is deployed on its own, may
say more one day than we read, and a message that we refuse is a call that is not booked and an opt-out not heard.
"""

from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from leadline.events import PermanentFault
from leadline.inputs import Instant, Word

LONGEST_TEXT = 10_000
LONGEST_ADDRESS = 2000
AHEAD = timedelta(minutes=5)  # that clocks may differ
CENT_OF_A_CENT = Decimal("0.000001")  # the ledger's last place

# A plain decimal in a JSON string: a JSON number has been a float in somebody's hands.
Cost = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,11}(\.[0-9]{1,40})?$")]
Percent: TypeAlias = Annotated[int, Field(ge=0, le=100)] | Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


def _cut(text: str) -> str:
    """What can be kept of a text: a message is not refused for a word too many."""
    return text.replace("\0", "").strip()[:LONGEST_TEXT]


def _whole(address: str) -> str | None:
    """An address that can be kept, and nothing of any other: half of one leads elsewhere."""
    kept = address.strip()
    return kept if 0 < len(kept) <= LONGEST_ADDRESS and "\0" not in kept else None


Cut = Annotated[str, AfterValidator(_cut)]
Address = Annotated[str, AfterValidator(_whole)]
Direction = Literal["outbound", "inbound"]


# As the models judge it: who is called, or of an inbound call who calls.
A_PERSON: dict[str, Any] = {
    "anyOf": [
        {"required": ["lead_id"], "properties": {"lead_id": {"type": "string"}}},
        {"required": ["to"], "properties": {"to": {"type": "string"}, "direction": {"enum": ["outbound", None]}}},
        {
            "required": ["from", "direction"],
            "properties": {"from": {"type": "string"}, "direction": {"const": "inbound"}},
        },
    ]
}
A_WRITER: dict[str, Any] = {
    "anyOf": [
        {"required": ["lead_id"], "properties": {"lead_id": {"type": "string"}}},
        {"required": ["from"], "properties": {"from": {"type": "string"}}},
    ]
}


class _Sent(BaseModel):
    """A part of a message; what it does not know it passes over."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class Script(_Sent):
    """The script that the caller followed, and which version of it."""

    id: Word
    version: Word | Annotated[int, Field(ge=0)]


class Call(_Sent):
    """A call. `to` and `from` are numbers in any usual spelling; `cost_usd` is a decimal in a string.

    A `direction` that no message of the call names is outbound.
    """

    id: Word
    lead_id: UUID | None = None
    to: Word | None = None
    from_: Word | None = Field(default=None, alias="from")
    direction: Direction | None = None
    voice: Literal["human", "artificial"] | None = None
    script: Script | None = None
    decision_id: UUID | None = None
    hold_id: UUID | None = None
    duration_seconds: Annotated[int, Field(ge=0, le=2_000_000)] | None = None
    cost_usd: Cost | None = None
    outcome: Word | None = None
    recording_url: Address | None = None

    @property
    def names_a_person(self) -> bool:
        """Whether it says who was called, or who called."""
        number = self.from_ if self.direction == "inbound" else self.to
        return self.lead_id is not None or number is not None


class Qualification(_Sent):
    """BANTI answers, 0 to 100 each."""

    business_interest: Percent | None = None
    employment: Percent | None = None
    income: Percent | None = None
    experience: Percent | None = None
    decision: Percent | None = None


class Intent(_Sent):
    """What the person showed in the conversation."""

    interest: bool | None = None
    questions: bool | None = None
    callback: bool | None = None
    objection_handled: bool | None = None
    hard_objection: bool | None = None


class OptOut(_Sent):
    """The person asked not to be contacted: the words, verbatim, and how sure the call system is (0 to 1)."""

    phrase: Cut | None = None
    confidence: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None


class _Text(_Sent):
    id: Word
    lead_id: UUID | None = None
    to: Word | None = None
    from_: Word | None = Field(default=None, alias="from")
    channel: Literal["sms", "email"] | None = None
    direction: Direction | None = None
    text: Cut | None = None
    provider: Word | None = None


class ReceivedText(_Text):
    """An SMS or an email that a person wrote; who it was may stand here or in `call`.

    `automatic` says whether a program answered in the person's place (out of office): that is no reply. Where it is not
    said, the text tells.
    """

    automatic: bool | None = None
    status: Word | None = None


class ReportedText(_Text):
    """An SMS or an email of which a new status is known."""

    status: Word


class Parties(_Sent):
    """Who it was between, of a message about a text; with an id, the call that the text belongs to."""

    id: Word | None = None
    lead_id: UUID | None = None
    to: Word | None = None
    from_: Word | None = Field(default=None, alias="from")


class _Message(_Sent):
    """What every message says. `id` is its own: a second message of the same id is the same one."""

    id: Word
    occurred_at: Instant
    tenant_id: UUID
    organization_id: UUID


class _AboutCall(_Message):
    call: Call
    qualification: Qualification | None = None
    intent: Intent | None = None
    opt_out: OptOut | None = None


class _WithPerson(_AboutCall):
    model_config = ConfigDict(json_schema_extra={"allOf": [{"properties": {"call": A_PERSON}}]})

    @model_validator(mode="after")
    def _names_a_person(self) -> "_WithPerson":
        if not self.call.names_a_person:
            raise PydanticCustomError("nobody_named", "Name the person in call: lead_id, or to (inbound: from)")
        return self


class CallStarted(_WithPerson):
    """The call was placed, or came in. Needs call: id, and lead_id or to (inbound: from)."""

    type: Literal["call.started"]


class CallCompleted(_WithPerson):
    """The call was answered and is over. Needs call: id, and lead_id or to (inbound: from).

    Without `cost_usd` nothing is booked yet, and the hold goes on until it expires.
    """

    type: Literal["call.completed"]


class CallFailed(_WithPerson):
    """The call came to nothing: its hold is released, or what was booked for it is given back.

    Needs call: id, and lead_id or to (inbound: from).
    """

    type: Literal["call.failed"]


class CallAnalyzed(_AboutCall):
    """What was learned from the call afterwards. Needs call: id; who it was others may have said."""

    type: Literal["call.analyzed"]


class MessageReceived(_Message):
    """A person wrote. Needs message: id; and lead_id or from, in message or in call."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"message": A_WRITER}},
                {"required": ["call"], "properties": {"call": {"type": "object", **A_WRITER}}},
            ]
        }
    )
    type: Literal["message.received"]
    message: ReceivedText
    call: Parties | None = None
    opt_out: OptOut | None = None

    @model_validator(mode="after")
    def _names_a_person(self) -> "MessageReceived":
        parts = [self.message, self.call] if self.call else [self.message]
        if not any(part.lead_id or part.from_ for part in parts):
            raise PydanticCustomError("nobody_named", "Name the person in message or call: lead_id or from")
        return self


class MessageStatus(_Message):
    """What has become of a text. Needs message: id and status."""

    type: Literal["message.status"]
    message: ReportedText
    call: Parties | None = None


AboutCall: TypeAlias = CallStarted | CallCompleted | CallFailed | CallAnalyzed
AboutText: TypeAlias = MessageReceived | MessageStatus
Message: TypeAlias = AboutCall | AboutText


@cache
def adapter() -> TypeAdapter[Message]:
    """Reads and describes messages of every type."""
    return TypeAdapter(Annotated[Message, Field(discriminator="type")])


def read(body: str, now: datetime) -> Message:
    """The message in the body of an SQS message.

    Raises PermanentFault: malformed_json, unknown_type, bad_money, too_far_ahead, or malformed for all else; with the
    places at fault.
    """
    try:
        message = adapter().validate_json(body)
    except ValidationError as refused:
        raise _fault(refused.errors(include_input=False, include_url=False, include_context=False)) from None
    if message.occurred_at > now + AHEAD:
        raise PermanentFault("too_far_ahead", "/occurred_at")
    return message


def organization(message: Message) -> tuple[UUID, UUID]:
    """Tenant and organization that a message is for."""
    return message.tenant_id, message.organization_id


def payload(message: Message) -> dict[str, Any]:
    """What is kept of a message: the fields that we know and that were given, as JSON has them."""
    known: dict[str, Any] = from_json(message.model_dump_json(by_alias=True, exclude_none=True))
    return known


def cost(text: str) -> Decimal:
    """A cost as the ledger has it: rounded half up at six decimals."""
    return Decimal(text).quantize(CENT_OF_A_CENT, rounding=ROUND_HALF_UP)


def _fault(errors: list[Any]) -> PermanentFault:
    places = {"/".join(["", *map(str, error["loc"][1:])]): error["type"] for error in errors}
    detail = ", ".join(f"{place or '/'} {kind}" for place, kind in sorted(places.items()))
    kinds = set(places.values())
    if "json_invalid" in kinds:
        return PermanentFault("malformed_json", "/ json_invalid")
    if "union_tag_invalid" in kinds:
        return PermanentFault("unknown_type", "/type")
    if any(place.endswith("/cost_usd") for place in places):
        return PermanentFault("bad_money", detail)
    return PermanentFault("malformed", detail)
