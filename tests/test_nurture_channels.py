"""The channels of nurture: what the call system and SES are told, and what their answers prove."""

import json
import time
from datetime import timedelta
from uuid import UUID, uuid4

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws
from moto.backends import get_backend

from leadline.nurture import channels
from leadline.nurture.channels import GoneWrong, Outgoing, Refused, Sent, aws
from leadline.nurture.channels.email import letter
from leadline.nurture.channels.requests import request
from leadline.nurture.runs import uuid_v7
from local import request_schema
from tests.nurturing import NOON

FIELDS = {
    "attempts": 1,
    "channel": "sms",
    "to": "+12125550001",
    "sender": None,
    "subject": None,
    "text": "Hello Ada",
    "html": None,
    "unsubscribe_url": None,
    "voice": None,
    "script_id": None,
    "script_version": None,
    "hold_id": None,
    "valid_until": NOON + timedelta(seconds=60),
    "good_until": float("inf"),
    "occurred_at": NOON,
    "next_delay": None,
}
IDS = ("run_id", "enrollment_id", "tenant_id", "organization_id", "lead_id", "decision_id")
EMAIL = {
    "channel": "email",
    "to": "ada@example.com",
    "sender": "Harbor <hello@harbor.example>",
    "subject": "Größe",
    "unsubscribe_url": "https://api.example.com/unsubscribe/k1.x",
}


def outgoing(**fields) -> Outgoing:
    return Outgoing(**{**{name: uuid4() for name in IDS}, **FIELDS, **fields})


class Service:
    """Stands in for a client of AWS: answers, or raises, as it was told."""

    def __init__(self, answer) -> None:
        self.answer, self.calls = answer, []

    def _call(self, **asked):
        self.calls.append(asked)
        answer = self.answer(asked) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    send_message_batch = send_email = _call


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setenv("REQUEST_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/CallRequestsQueue")

    def service(answer) -> Service:
        service = Service(answer)
        monkeypatch.setattr(aws, "client", lambda _: service)
        return service

    return service


def taken(asked):
    return {"Successful": [{"Id": one["Id"], "MessageId": f"sqs {one['Id']}"} for one in asked["Entries"]]}


def refused(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Send")


# Requests -------------------------------------------------------------------------------------------------------------


def test_messages_go_out_by_tens_and_are_answered_in_order(service):
    sqs = service(taken)
    messages = [outgoing(text=str(place)) for place in range(25)]
    assert channels.send(messages) == [Sent(f"sqs {message.run_id}") for message in messages]
    assert sorted(len(call["Entries"]) for call in sqs.calls) == [5, 10, 10]


def test_channels_are_sent_each_by_its_own_and_answered_in_order(service):
    service(lambda asked: taken(asked) if "Entries" in asked else {"MessageId": "ses"})
    messages = [outgoing(**EMAIL), outgoing(), outgoing(**EMAIL)]
    assert channels.send(messages) == [Sent("ses"), Sent(f"sqs {messages[1].run_id}"), Sent("ses")]


def test_what_sqs_did_not_take_is_told_message_by_message(service):
    messages = [outgoing() for _ in range(4)]
    ids = [str(message.run_id) for message in messages]
    service(
        {
            "Successful": [{"Id": ids[0], "MessageId": "1"}],
            "Failed": [
                {"Id": ids[1], "Code": "InvalidMessageContents", "SenderFault": True},
                {"Id": ids[2], "Code": "InternalError", "SenderFault": False},
            ],
        }
    )
    assert channels.send(messages) == [
        Sent("1"),
        Refused("InvalidMessageContents", again=False),
        Refused("InternalError", again=True),
        GoneWrong("not_answered"),
    ]


URL = {"endpoint_url": "https://sqs"}
ERRORS = {
    "nobody there": (EndpointConnectionError(**URL), Refused("EndpointConnectionError", again=True)),
    "no connection in time": (ConnectTimeoutError(**URL), Refused("ConnectTimeoutError", again=True)),
    "no answer in time": (ReadTimeoutError(**URL), GoneWrong("ReadTimeoutError")),
    "throttled": (refused("ThrottlingException", 400), Refused("ThrottlingException", again=True)),
    "over the quota": (refused("LimitExceededException", 400), Refused("LimitExceededException", again=True)),
    "too many": (refused("TooManyRequestsException", 429), Refused("TooManyRequestsException", again=True)),
    "not allowed": (refused("AccessDenied", 403), Refused("AccessDenied", again=True)),
    "not served": (refused("ServiceUnavailable", 503), Refused("ServiceUnavailable", again=True)),
    "broken within": (refused("InternalFailure", 500), GoneWrong("InternalFailure")),
    "rejected": (refused("MessageRejected", 400), Refused("MessageRejected", again=False)),
    "bad address": (refused("BadRequestException", 400), Refused("BadRequestException", again=False)),
}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("channel", ["sms", "email"])
def test_an_error_is_what_it_proves(service, error, channel):
    raised, outcome = ERRORS[error]
    service(raised)
    message = outgoing(**EMAIL) if channel == "email" else outgoing()
    assert channels.send([message]) == [outcome]


def test_an_error_of_one_call_is_that_of_its_messages_alone(service):
    def answer(asked):
        first = any(json.loads(one["MessageBody"])["sms"]["text"] == "0" for one in asked["Entries"])
        return ReadTimeoutError(**URL) if first else taken(asked)

    service(answer)
    messages = [outgoing(text=str(place)) for place in range(12)]
    outcomes = channels.send(messages)
    assert outcomes[:10] == [GoneWrong("ReadTimeoutError")] * 10
    assert all(isinstance(outcome, Sent) for outcome in outcomes[10:])


def test_what_has_not_begun_while_its_decision_was_good_is_known_not_to_have_gone_out(service):
    sqs = service(taken)
    late = [outgoing(good_until=time.monotonic()), outgoing(**EMAIL, good_until=time.monotonic())]
    messages = [late[0], outgoing(), late[1]]
    assert channels.send(messages) == [
        Refused("too_late", again=True),
        Sent(f"sqs {messages[1].run_id}"),
        Refused("too_late", again=True),
    ]
    assert [len(call["Entries"]) for call in sqs.calls] == [1]


def test_a_client_tries_once(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    aws.client.cache_clear()
    config = aws.client("sqs").meta.config
    assert config.retries["total_max_attempts"] == 1
    assert config.read_timeout < 30
    assert aws.client("sqs") is aws.client("sqs")
    aws.client.cache_clear()


def test_a_text_is_requested_with_its_decision_and_until_when_it_is_good():
    message = outgoing(hold_id=uuid4(), sender="+12125559999")
    told = json.loads(request(message).model_dump_json(by_alias=True))
    assert told == {
        "id": str(message.run_id),
        "type": "sms.request",
        "tenant_id": str(message.tenant_id),
        "organization_id": str(message.organization_id),
        "occurred_at": "2026-07-15T17:00:00Z",
        "lead_id": str(message.lead_id),
        "to": "+12125550001",
        "decision_id": str(message.decision_id),
        "hold_id": str(message.hold_id),
        "valid_until": "2026-07-15T17:01:00Z",
        "sms": {"text": "Hello Ada", "from": "+12125559999"},
    }


def test_a_call_is_requested_with_its_voice_script_and_opening():
    message = outgoing(channel="call", voice="artificial", script_id="intro", script_version="3", text="Hi Ada")
    told = json.loads(request(message).model_dump_json(by_alias=True))
    assert (told["type"], told["call"]) == (
        "call.request",
        {"voice": "artificial", "script": {"id": "intro", "version": "3"}, "opening": "Hi Ada"},
    )


def test_the_published_schema_is_that_of_the_models_and_its_examples_fit_it():
    assert json.loads(request_schema.SCHEMA.read_text()) == request_schema.schema(), (
        "python -m local.request_schema rewrites it"
    )
    examples = sorted((request_schema.ROOT / "docs" / "call_requests").glob("*.json"))
    assert {json.loads(path.read_text())["type"] for path in examples} == {"sms.request", "call.request"}
    for path in examples:
        request_schema.adapter().validate_json(path.read_text())


# Email ----------------------------------------------------------------------------------------------------------------


def test_an_email_can_be_unsubscribed_from_with_one_click():
    message = outgoing(**EMAIL, html="<p>Hi</p>")
    told = letter(message)
    headers = {one["Name"]: one["Value"] for one in told["Content"]["Simple"]["Headers"]}
    assert headers == {
        "List-Unsubscribe": "<https://api.example.com/unsubscribe/k1.x>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Leadline-Run": str(message.run_id),
    }
    assert told["EmailTags"] == [{"Name": "run_id", "Value": str(message.run_id)}]
    assert told["Destination"] == {"ToAddresses": ["ada@example.com"]}
    assert "ConfigurationSetName" not in told


def test_a_configuration_set_tells_what_becomes_of_an_email(monkeypatch):
    monkeypatch.setenv("SES_CONFIGURATION_SET", "leadline-prod")
    assert letter(outgoing(**EMAIL))["ConfigurationSetName"] == "leadline-prod"


def test_ses_takes_what_it_is_told(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        aws.client.cache_clear()
        boto3.client("sesv2").create_email_identity(EmailIdentity="harbor.example")
        (outcome,) = channels.send([outgoing(**EMAIL)])
        (sent,) = get_backend("ses")["123456789012"]["us-east-1"].sent_messages
        aws.client.cache_clear()
    assert outcome == Sent(sent.id)
    assert (sent.subject, sent.destinations["ToAddresses"]) == ("Größe", ["ada@example.com"])


def test_ids_sort_by_time_as_the_databases_do():
    made = [uuid_v7() for _ in range(1000)]
    assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
    assert len(set(made)) == 1000
    # Method 3 of RFC 9562: twelve bits of the fraction of a millisecond.
    assert [UUID(int=one.int >> 64).int for one in made] == sorted(one.int >> 64 for one in made)
