"""SMS and calls: requests to the call system, in its queue."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from leadline import settings
from leadline.consent import Voice
from leadline.nurture.channels import aws
from leadline.nurture.channels.shapes import GoneWrong, Outcome, Outgoing, Refused, Sent

AT_ONCE = 10  # messages in one call of SQS


class Request(BaseModel):
    """What every request to the call system says.

    `id` is the step run's: a request that comes twice is one. After `valid_until` the call system asks the gate again
    (POST /calls/authorize) before it acts; until then it names `decision_id`. `hold_id` is the money set aside.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: UUID
    tenant_id: UUID
    organization_id: UUID
    occurred_at: datetime
    lead_id: UUID
    to: str
    decision_id: UUID
    hold_id: UUID | None
    valid_until: datetime


class Sms(BaseModel):
    """A text; `sender` is the organization's own number, null where the call system chooses."""

    text: str
    sender: str | None = Field(serialization_alias="from", validation_alias="from")


class Script(BaseModel):
    """The script that the agent follows, and its version."""

    id: str | None
    version: str | None


class Call(BaseModel):
    """A call; `opening` is what the agent says first."""

    voice: Voice
    script: Script
    opening: str


class SmsRequest(Request):
    """Send this text."""

    type: Literal["sms.request"] = "sms.request"
    sms: Sms


class CallRequest(Request):
    """Place this call."""

    type: Literal["call.request"] = "call.request"
    call: Call


AnyRequest = Annotated[SmsRequest | CallRequest, Field(discriminator="type")]


@dataclass(frozen=True)
class Requests:
    """The queue of the call system, as one of its two channels."""

    name: str
    settles: bool  # an SMS is paid when it has gone out; a call's own messages say what it came to

    def send(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """Ten in a call of SQS; what it did not take of them is told message by message."""
        return aws.send_all(messages, AT_ONCE, _send)


def _send(part: Sequence[Outgoing]) -> list[Outcome]:
    entries = [
        {"Id": str(message.run_id), "MessageBody": request(message).model_dump_json(by_alias=True)} for message in part
    ]
    answer = aws.client("sqs").send_message_batch(QueueUrl=settings.request_queue_url(), Entries=entries)
    outcomes: dict[str, Outcome] = {one["Id"]: Sent(one["MessageId"]) for one in answer.get("Successful", [])}
    for one in answer.get("Failed", []):
        outcomes[one["Id"]] = Refused(one["Code"], again=not one["SenderFault"])
    return [outcomes.get(entry["Id"], GoneWrong("not_answered")) for entry in entries]


def request(message: Outgoing) -> SmsRequest | CallRequest:
    """What the call system is told of a message."""
    names = ("tenant_id", "organization_id", "occurred_at", "lead_id", "to", "decision_id", "hold_id", "valid_until")
    of_both: dict[str, Any] = {name: getattr(message, name) for name in names} | {"id": message.run_id}
    if message.channel == "sms":
        return SmsRequest.model_construct(**of_both, sms=Sms.model_construct(text=message.text, sender=message.sender))
    script = Script.model_construct(id=message.script_id, version=message.script_version)
    call = Call.model_construct(voice=message.voice or "artificial", script=script, opening=message.text)
    return CallRequest.model_construct(**of_both, call=call)
