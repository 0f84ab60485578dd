"""The clock of nurture: what is due is claimed once, handed over, and given back where it could not be."""

import json
from datetime import datetime

import boto3
import pytest
from moto import mock_aws

from functions.nurture_dispatch import app as dispatch_app
from functions.nurture_worker import app as worker_app
from leadline import db
from leadline.nurture.channels import aws
from tests.nurture import NOON, Organization


@pytest.fixture(autouse=True)
def _clock_of_the_test(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")


@pytest.fixture
def organization(customer, connect):
    organization = Organization(customer(), connect)
    organization.credit()
    organization.template()
    return organization


class Clock(datetime):
    """The time of the handlers."""

    @classmethod
    def now(cls, tz=None):
        return NOON


def record(message_id: str, body: str) -> dict:
    return {"messageId": message_id, "body": body, "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs"}


@pytest.fixture
def queues(monkeypatch):
    """The due steps and the requests to the call system, in moto; the handlers' clock stands still."""
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        sqs = boto3.client("sqs")
        for name in ("NURTURE", "REQUEST"):
            monkeypatch.setenv(f"{name}_QUEUE_URL", sqs.create_queue(QueueName=name)["QueueUrl"])
        monkeypatch.setattr(dispatch_app, "datetime", Clock)
        monkeypatch.setattr(worker_app, "datetime", Clock)
        aws.client.cache_clear()
        yield sqs
        aws.client.cache_clear()


def messages_in(sqs, name: str) -> list[str]:
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    bodies: list[str] = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [one["Body"] for one in found]
    return bodies


@pytest.fixture
def tick(queues, database, monkeypatch):
    """One minute: the dispatcher as its own role, through SQS to the worker."""

    def tick() -> dict:
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", database.dsn("dispatch"))
            patch.setattr("leadline.db._connection", None)
            dispatch_app.handler({}, None)
            db._connection.close()
        records = [record(str(place), body) for place, body in enumerate(messages_in(queues, "NURTURE"))]
        return worker_app.handler({"Records": records}, None) if records else {"batchItemFailures": []}

    return tick


def test_a_due_step_goes_from_the_clock_through_the_queue_to_the_call_system(organization, tick, queues):
    (lead,) = organization.leads()
    (enrollment,) = organization.enroll(organization.sequence({}, {"delay_hours": 2}), [lead])
    assert tick() == {"batchItemFailures": []}
    (request,) = [json.loads(body) for body in messages_in(queues, "REQUEST")]
    (run,) = organization.runs()
    assert run["status"] == "sent"
    assert request["id"] == str(run["id"])
    assert (request["type"], request["to"], request["sms"]["text"]) == ("sms.request", "+12125550001", "Hello Ada")
    assert request["decision_id"] == str(run["decision_id"])
    after = organization.enrollment(enrollment)
    assert (after["status"], after["current_step"]) == ("active", 2)
    assert after["next_step_scheduled_at"] == NOON.replace(hour=19)
    assert messages_in(queues, "NURTURE") == []
