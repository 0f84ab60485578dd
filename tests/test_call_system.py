"""The call system's queue in the suite on one machine: the real worker, dead letters, and `make call`."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

from local import __main__, calls, postgres, queues, suite
from local.suite import Running
from local.template import ACCOUNT, REGION
from tests.call_messages import call
from tests.calling import caller
from tests.leads import create, get

NEXT = "2026-11-23T14:00:00Z"


@pytest.fixture(scope="module")
def stack(database, tmp_path_factory) -> Iterator[tuple[Running, Any]]:
    """A whole suite, and the folder of its data."""
    data = tmp_path_factory.mktemp("stack")
    with suite.running(data, {user: database.dsn(role) for role, user in postgres.ROLES.items()}):
        running = suite.find(data)
        assert running
        yield running, data
    assert suite.find(data) is None


@pytest.fixture
def sqs(stack) -> Iterator[Any]:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    with closing(boto3.client("sqs", REGION, endpoint_url=stack[0].aws, **keys)) as sqs:
        yield sqs


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def lead(organization):
    return create(caller(organization)).body


def queue(running: Running, name: str) -> str:
    return f"{running.aws}/{ACCOUNT}/{name}"


def test_a_poisoned_message_is_a_dead_letter_with_its_reason_and_the_others_are_done(stack, sqs, organization, lead):
    running, _ = stack
    poisoned = json.dumps(call(organization, "completed", id="poisoned", to="+14155550142", cost_usd=1))
    for place in range(10):
        good = json.dumps(call(organization, "completed", place, id=f"call-{place}", lead_id=lead["id"]))
        sqs.send_message(QueueUrl=queue(running, "CallEventsQueue"), MessageBody=good)
        if place == 4:
            sqs.send_message(QueueUrl=queue(running, "CallEventsQueue"), MessageBody=poisoned)
    (letter,) = sqs.receive_message(
        QueueUrl=queue(running, "CallEventsDeadLetters"), WaitTimeSeconds=15, MessageAttributeNames=["All"]
    )["Messages"]
    assert letter["Body"] == poisoned
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "bad_money"
    assert letter["MessageAttributes"]["detail"]["StringValue"].startswith("/call/cost_usd ")

    def is_done() -> bool:
        return get(caller(organization), lead).body["interaction_count"] == 10

    ends = time.monotonic() + 10
    while not is_done():
        assert time.monotonic() < ends
        time.sleep(0.05)


# make call ------------------------------------------------------------------------------------------------------------


class Gate(BaseHTTPRequestHandler):
    """Answers for the gate as it is told to, and hands everything else to the suite."""

    server: Any

    def do_POST(self) -> None:
        self.server.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.server.keys.append(self.headers["idempotency-key"])
        status, answer = self.server.answers.pop(0)
        self.reply(status, json.dumps(answer).encode())

    def do_GET(self) -> None:
        headers = {"authorization": self.headers["authorization"]}
        with urlopen(Request(self.server.behind + self.path, headers=headers)) as answer:  # noqa: S310
            self.reply(answer.status, answer.read())

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""


def decision(**told: Any) -> dict[str, Any]:
    answer = {"allowed": True, "decision_id": str(uuid.uuid4()), "hold_id": None, "valid_until": NEXT}
    return {**answer, "reasons": [], "next_allowed_at": None, "hold_expires_at": None, **told}


REFUSED = decision(allowed=False, reasons=[{"code": "on_dnc_list", "detail": "is listed"}])
LATER = decision(allowed=False, next_allowed_at=NEXT, reasons=[{"code": "outside_hours", "detail": "20:30"}])


@pytest.fixture
def gate(stack) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    server.behind, server.asked, server.keys, server.answers = stack[0].url, [], [], []
    with ExitStack() as ending:
        ending.callback(server.server_close)
        ending.callback(server.shutdown)
        Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield server


@pytest.fixture
def play(stack, gate, database):
    def play(lead, outcome="interested", **ids):
        running = Running(f"http://127.0.0.1:{gate.server_port}", stack[0].aws, stack[0].logs)
        calls.play(running, calls.find(stack[1], database.dsn("superuser"), lead["id"], **NOBODYS, **ids), outcome)

    return play


NOBODYS = {"tenant": None, "org": None}


def test_a_whole_call_is_played_through_the_gate_and_the_queue(organization, lead, gate, play, capsys):
    allowed = decision()
    gate.answers = [(200, allowed)]
    play(lead)
    after = get(caller(organization), lead).body
    assert (after["status"], after["interaction_count"]) == ("qualified", 1)
    printed = capsys.readouterr().out
    for told in ("status completed", "outcome interested", "from_status new, to_status qualified", "trigger_type call"):
        assert told in printed
    asked = {"lead_id": lead["id"], "channel": "call", "voice": "artificial", "max_cost": "1.00"}
    assert (gate.asked, len(set(gate.keys))) == ([asked], 1)


def test_outside_the_hours_the_clock_of_the_request_is_set(lead, gate, play, capsys):
    gate.answers = [(200, LATER), (200, decision())]
    play(lead)
    assert "outside_hours: 20:30" in capsys.readouterr().out
    assert (gate.asked[1]["at"], len(set(gate.keys))) == (NEXT, 2)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([(200, REFUSED)], "on_dnc_list: is listed"),
        ([(200, LATER), (200, LATER)], "outside_hours: 20:30"),
        ([(422, {"code": "unknown_field"})], "/calls/authorize answers 422: .*unknown_field"),
    ],
)
def test_a_call_that_the_gate_does_not_allow_is_not_played(gate, play, organization, answers, told):
    lead = create(caller(organization)).body
    gate.answers = answers
    with pytest.raises(calls.CallError, match=told):
        play(lead)
    assert get(caller(organization), lead).body["interaction_count"] == 0


def test_a_lead_that_there_is_not_is_told_so(gate, play):
    del gate
    with pytest.raises(calls.CallError, match="There is no lead"):
        play({"id": str(uuid.uuid4())})


def test_without_a_suite_the_command_says_how_to_start_one(tmp_path, monkeypatch, lead):
    monkeypatch.setattr(__main__, "DATA", tmp_path)
    with pytest.raises(SystemExit, match="make run"):
        __main__.call(lead["id"], "interested", tenant=None, org=None)
    with pytest.raises(SystemExit, match="LEAD is no UUID: ada"):
        __main__.call("ada", "interested")
    with pytest.raises(SystemExit, match="LEAD="):
        __main__.call(None, "interested")


# Batches --------------------------------------------------------------------------------------------------------------


class Ten:
    """SQS with so many messages, of which it answers ten at a time."""

    def __init__(self, waiting: int) -> None:
        self.waiting, self.deleted, self.asked = waiting, 0, 0

    def get_queue_url(self, **_: Any) -> dict[str, str]:
        return {"QueueUrl": ""}

    def receive_message(self, **asked: Any) -> dict[str, Any]:
        assert asked["MaxNumberOfMessages"] <= 10
        count = min(self.waiting, asked["MaxNumberOfMessages"])
        self.waiting -= count
        told = {"ReceiptHandle": "", "Body": "", "Attributes": {}, "MD5OfBody": ""}
        return {"Messages": [{"MessageId": str(uuid.uuid4()), **told} for _ in range(count)]} if count else {}

    def delete_message_batch(self, **asked: Any) -> None:
        assert len(asked["Entries"]) <= 10
        self.deleted += len(asked["Entries"])


@pytest.mark.parametrize(
    ("waiting", "window", "batches"), [(25, 1, [25]), (120, 1, [100, 20]), (3, 0, [3]), (25, 0, [10, 10, 5])]
)
def test_a_batch_is_gathered_as_its_window_and_its_size_allow(waiting, window, batches):
    sqs, stop, seen = Ten(waiting), queues.Signal(), []

    def invoke(event):
        seen.append(len(event["Records"]))
        if sum(seen) == waiting:
            stop.set()
        return {"batchItemFailures": []}

    details = {"Queue": "a:b", "BatchSize": 100, "MaximumBatchingWindowInSeconds": window}
    queues.poll(sqs, {**details, "FunctionResponseTypes": ["ReportBatchItemFailures"]}, invoke, stop)
    assert (seen, sqs.deleted) == (batches, waiting)
