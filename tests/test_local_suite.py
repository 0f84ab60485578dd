"""The suite on one machine, with a toy template and toy functions."""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import boto3
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from local import __main__, queues, schedules, suite, template, tokens
from local.runtime import FunctionError
from local.suite import Suite

TEMPLATE = """
Parameters:
  Greeting: {Type: String, Default: hello}
Globals:
  Function:
    Handler: app.handler
    Timeout: 10
    Environment: {Variables: {SHARED: !Ref Greeting}}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Echo:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/echo
      Timeout: 2
      Environment:
        Variables:
          DATABASE_URL: !Sub "postgresql://leadline_app@${Proxy.Endpoint}:5432/leadline"
          JOBS: !Ref Jobs
          DEAD: !Sub "dead letters: ${Dead.Arn}"
          TABLE: !GetAtt Table.Arn
      Events:
        Open: {Type: HttpApi, Properties: {Method: GET, Path: /open, Auth: {Authorizer: NONE}}}
        Echo: {Type: HttpApi, Properties: {Method: POST, Path: /echo, Auth: {Authorizer: NONE}}}
        Thing: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{thing_id}", Auth: {Authorizer: NONE}}}
        Special: {Type: HttpApi, Properties: {Method: GET, Path: /things/special, Auth: {Authorizer: NONE}}}
        Rest: {Type: HttpApi, Properties: {Method: GET, Path: "/things/{rest+}", Auth: {Authorizer: NONE}}}
        Closed: {Type: HttpApi, Properties: {Method: GET, Path: /closed}}
        Clock: {Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 day)}}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/worker
      Events:
        Jobs:
          Type: SQS
          Properties: {Queue: !GetAtt Jobs.Arn, BatchSize: 5, FunctionResponseTypes: [ReportBatchItemFailures]}
  Broken:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: functions/broken
      Events:
        Broken: {Type: HttpApi, Properties: {Method: GET, Path: /broken, Auth: {Authorizer: NONE}}}
  Proxy: {Type: AWS::RDS::DBProxy}
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 1
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
  Dead: {Type: AWS::SQS::Queue}
  Ordered: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true, DelaySeconds: 3}}
"""
FUNCTIONS = {
    "echo": """
import json, os, sys, time
def answer(value):
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(value)}
def handler(event, context):
    action = (event.get("queryStringParameters") or {}).get("do")
    if action == "sleep":
        time.sleep(0.5)
    elif action == "hang":
        print("about to hang", flush=True)
        time.sleep(60)
    elif action == "raise":
        raise ValueError("no such thing")
    elif action == "exit":
        os._exit(7)
    elif action == "answer":
        return json.loads(event["body"])
    elif action == "long":
        return answer("x" * 6 * 1024 * 1024)
    elif action == "environment":
        return answer(dict(os.environ))
    print("said", action)
    request = {"request_id": context.aws_request_id, "arn": context.invoked_function_arn}
    return answer({"event": event, "pid": os.getpid(), **request})
""",
    "worker": """
import json, os, pathlib
def handler(event, context):
    with open("received", "a") as file:
        file.write(json.dumps(event) + "\\n")
    bodies = {record["messageId"]: record["body"] for record in event["Records"]}
    return {"batchItemFailures": [{"itemIdentifier": each} for each, body in bodies.items() if body == "poison"]}
""",
    "broken": "import does_not_exist\n",
}
CLAIMS = {"sub": "ada", "custom:role": "admin", "groups": ["a"]}


def make_project(root: Path, document: str = TEMPLATE) -> Path:
    for name, code in FUNCTIONS.items():
        folder = root / "functions" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(code)
    path = root / "template.yaml"
    path.write_text(document)
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy")
    make_project(root)
    return root


@pytest.fixture(scope="module")
def toy(project: Path) -> Iterator[Suite]:
    databases = {"leadline_app": "postgresql://leadline_app@local"}
    paths = {"path": project / "template.yaml", "root": project, "layer": project}
    with suite.running(project / "data", databases, **paths) as running:
        yield running


Ask = Callable[..., tuple[int, dict[str, str], Any]]


@pytest.fixture
def ask(toy: Suite) -> Iterator[Ask]:
    connection = HTTPConnection(toy.url.removeprefix("http://"), timeout=10)

    def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], Any]:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        is_json = answer.headers.get("content-type", "").endswith("json")
        fields = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, fields, json.loads(content) if is_json and content else content

    yield ask
    connection.close()


def raw(toy: Suite, request: bytes) -> bytes:
    """The answer to bytes that no HTTP library would send."""
    with socket.create_connection(("127.0.0.1", int(toy.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# --- routes and events


def test_a_request_reaches_the_function_in_payload_format_2_0(ask: Ask) -> None:
    before = time.time() * 1000
    _, _, answer = ask(
        "POST",
        "/echo?a=1&b=two%20words&a=2&empty=",
        '{"x": 1}',
        Content_Type="application/json",
        Cookie="c=1; d=2",
        X_A="b",
    )
    event = answer["event"]
    context = event.pop("requestContext")
    host = event["headers"].pop("host")
    assert event == {
        "version": "2.0",
        "routeKey": "POST /echo",
        "rawPath": "/echo",
        "rawQueryString": "a=1&b=two%20words&a=2&empty=",
        "cookies": ["c=1", "d=2"],
        "queryStringParameters": {"a": "1,2", "b": "two words", "empty": ""},
        "headers": {
            "accept-encoding": "identity",
            "content-length": "8",
            "content-type": "application/json",
            "x-a": "b",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-proto": "http",
        },
        "body": '{"x": 1}',
        "isBase64Encoded": False,
    }
    assert before - 1000 < context.pop("timeEpoch") < before + 5000
    assert datetime.strptime(context.pop("time"), "%d/%b/%Y:%H:%M:%S %z")
    assert len(context.pop("requestId")) == 36
    assert context == {
        "accountId": "123456789012",
        "apiId": "local",
        "domainName": host,
        "domainPrefix": "127",
        "http": {"method": "POST", "path": "/echo", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": ""},
        "routeKey": "POST /echo",
        "stage": "$default",
    }
    assert answer["arn"].endswith(":function:echo")


def test_what_a_request_lacks_is_absent_from_the_event(ask: Ask) -> None:
    event = ask("GET", "/open")[2]["event"]
    assert not event.keys() & {"body", "cookies", "queryStringParameters", "pathParameters", "stageVariables"}
    assert "authorizer" not in event["requestContext"]


def test_the_most_specific_route_answers(ask: Ask) -> None:
    assert ask("GET", "/things/special")[2]["event"]["routeKey"] == "GET /things/special"
    assert ask("GET", "/things/7")[2]["event"]["pathParameters"] == {"thing_id": "7"}
    assert ask("GET", "/things/7/parts/8")[2]["event"]["pathParameters"] == {"rest": "7/parts/8"}


def test_path_variables_are_decoded(ask: Ask) -> None:
    event = ask("GET", "/things/a%20%C3%A9%FF?x=%C3%A9")[2]["event"]
    assert event["pathParameters"] == {"thing_id": "a é\ufffd"}
    assert event["rawPath"] == "/things/a é\ufffd"
    assert event["queryStringParameters"] == {"x": "é"}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("POST", "/open"), ("GET", "/open/"), ("HEAD", "/open"), ("OPTIONS", "/open")],
)
def test_an_unknown_route_is_not_found(ask: Ask, method: str, path: str) -> None:
    status, _, answer = ask(method, path)
    assert (status, answer) == (404, b"" if method == "HEAD" else {"message": "Not Found"})


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/x-www-form-urlencoded", "text/plain"])
def test_a_body_that_is_not_text_arrives_in_base64(ask: Ask, kind: str) -> None:
    event = ask("POST", "/echo", b"a=\xff", Content_Type=kind)[2]["event"]
    assert event["isBase64Encoded"]
    assert base64.b64decode(event["body"]) == b"a=\xff"


def test_a_body_may_be_chunked_and_up_to_10_megabytes(ask: Ask) -> None:
    event = ask("POST", "/echo", iter([b"first ", b"second"]), Content_Type="text/plain")
    assert event[2]["event"]["body"] == "first second"
    large = json.dumps({"statusCode": 200, "body": "y" * 6_000_000})
    assert len(ask("POST", "/echo?do=answer", large, Content_Type="text/json")[2]) == 6_000_000
    status, _, answer = ask("POST", "/echo", b"x" * (10 * 1024 * 1024 + 1))
    assert (status, answer) == (413, {"message": "Request Entity Too Large"})


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /things/\xff\xfe HTTP/1.1\r\nX: \xff\r\n\r\n", b"200"),
        (b"GET /open HTTP/1.0\r\n\r\n", b"200"),
        (b"GET http://elsewhere/open HTTP/1.1\r\nHost: elsewhere\r\n\r\n", b"200"),
        (b"POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", b"100"),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"200"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort", b"400"),
        (b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"<!DOCTYPE"),
    ],
)
def test_hostile_input_breaks_nothing(toy: Suite, ask: Ask, request_: bytes, status: bytes) -> None:
    assert status in raw(toy, request_).splitlines()[0].split()
    assert ask("GET", "/open")[0] == 200


# --- tokens


def bearer(data: Path, **claims: Any) -> str:
    return f"Bearer {tokens.sign(data, CLAIMS | claims)}"


def test_the_verified_claims_reach_the_function_as_text(ask: Ask, project: Path) -> None:
    status, _, answer = ask(
        "GET", "/closed", Authorization=bearer(project / "data", number=7, exp=int(time.time()) + 60)
    )
    jwt_context = answer["event"]["requestContext"]["authorizer"]["jwt"]
    assert (status, jwt_context["scopes"]) == (200, None)
    assert jwt_context["claims"]["custom:role"] == "admin"
    assert jwt_context["claims"]["number"] == "7"
    assert set(map(type, jwt_context["claims"].values())) == {str}


def forged(data: Path) -> str:
    claims = jwt.decode(tokens.sign(data, CLAIMS), options={"verify_signature": False})
    return jwt.encode(
        claims, generate_private_key(public_exponent=65537, key_size=2048), "RS256", headers={"kid": "local"}
    )


def unsigned(data: Path) -> str:
    return jwt.encode(jwt.decode(tokens.sign(data, CLAIMS), options={"verify_signature": False}), None, "none")


def keyed_with_the_public_key(data: Path) -> str:
    """HS256 with the public key as the secret: PyJWT refuses to make such a token, an attacker does not."""
    public = tokens.key(data).public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, payload, _ = tokens.sign(data, CLAIMS).split(".")
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{payload}".encode(), secret)
    return f"{header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


HOUR = timedelta(hours=1)
BAD: dict[str, Callable[[Path], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "Bearer ",
    "nonsense": lambda _: "Bearer nonsense",
    "forged": forged,
    "unsigned": unsigned,
    "keyed with the public key": keyed_with_the_public_key,
    "expired": lambda data: tokens.sign(data, CLAIMS, lifetime=-HOUR),
    "without an end": lambda data: jwt.encode(
        {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE}, tokens.key(data), "RS256"
    ),
    "not yet valid": lambda data: bearer(data, nbf=datetime.now(UTC) + HOUR),
    "issued in the future": lambda data: bearer(data, iat=datetime.now(UTC) + HOUR),
    "other audience": lambda data: bearer(data, aud="leadline"),
    "other issuer": lambda data: bearer(data, iss="https://elsewhere"),
    "another stack's": lambda data: bearer(data.parent / "elsewhere"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_refused(ask: Ask, project: Path, kind: str) -> None:
    token = BAD[kind](project / "data")
    if token and not token.startswith("Bearer"):
        token = f"Bearer {token}"
    status, headers, problem = ask("GET", "/closed", **({} if token is None else {"Authorization": token}))
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert (problem["status"], problem["code"], problem["message"]) == (401, "unauthorized", "Unauthorized")
    assert headers["www-authenticate"].startswith("Bearer")


def test_the_key_is_for_its_owner_only_and_the_same_for_all(tmp_path: Path) -> None:
    code = "import sys, pathlib; from local import tokens; tokens.key(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "data")]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: subprocess.run(command, cwd=suite.ROOT, check=True), range(2)))
    assert [(path.name, path.stat().st_mode & 0o777) for path in (tmp_path / "data").iterdir()] == [
        ("token-key.pem", 0o600)
    ]


# --- answers


@pytest.mark.parametrize(
    ("returned", "status", "kind", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, "text/plain; charset=utf-8", b"made"),
        ({"statusCode": 418, "headers": {"Content-Type": "text/x"}}, 418, "text/x", b""),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, "text/plain; charset=utf-8", b"\x00\xff"),
        ({"statusCode": 204, "headers": {"X-A": "b"}, "body": None}, 204, "text/plain; charset=utf-8", b""),
    ],
)
def test_a_return_value_becomes_a_response(ask: Ask, returned: Any, status: int, kind: str, body: Any) -> None:
    answered = ask("POST", "/echo?do=answer", json.dumps(returned), Content_Type="application/json")
    assert (answered[0], answered[1]["content-type"], answered[2]) == (status, kind, body)


def test_cookies_become_headers(toy: Suite) -> None:
    body = b'{"statusCode": 200, "cookies": ["a=1; Secure", "b=2"]}'
    head = b"POST /echo?do=answer HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert raw(toy, head + body).lower().count(b"set-cookie: ") == 2


# --- processes


def test_a_function_gets_its_environment_and_nothing_of_ours(
    ask: Ask, toy: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "ours")
    environment = ask("GET", "/open?do=environment")[2]
    assert environment["DATABASE_URL"] == "postgresql://leadline_app@local"
    assert environment["SHARED"] == "hello"
    assert environment["JOBS"] == f"{toy.aws}/123456789012/Jobs"
    assert environment["DEAD"] == "dead letters: arn:aws:sqs:us-east-1:123456789012:Dead"
    assert environment["LEADLINE_REQUEST_CLOCK"] == "1"
    assert not environment.keys() & {"TABLE", "AWS_PROFILE", "HOME"}


def test_a_warm_process_answers_again_and_busy_ones_get_company(ask: Ask, toy: Suite) -> None:
    assert ask("GET", "/open")[2]["pid"] == ask("GET", "/open")[2]["pid"]
    echo = toy.functions["echo"]
    event = {"queryStringParameters": {"do": "sleep"}}
    with ThreadPoolExecutor() as pool:
        list(pool.map(echo.invoke, [event] * 2))  # both started
        started = time.monotonic()
        answers = [json.loads(answer["body"]) for answer in pool.map(echo.invoke, [event] * 2)]
    assert len({answer["pid"] for answer in answers}) == 2
    assert len({answer["request_id"] for answer in answers}) == 2
    assert time.monotonic() - started < 0.95


def test_more_than_four_at_once_wait_their_turn(toy: Suite) -> None:
    with ThreadPoolExecutor(9) as pool:
        returned = pool.map(toy.functions["echo"].invoke, [{"queryStringParameters": {"do": "sleep"}}] * 9)
        answers = [json.loads(answer["body"]) for answer in returned]
    assert len({answer["pid"] for answer in answers}) <= 4
    assert len({answer["request_id"] for answer in answers}) == 9


@pytest.mark.parametrize(
    ("action", "logged"),
    [
        ("raise", "ValueError: no such thing"),
        ("long", "Function.ResponseSizeTooLarge"),
        ("exit", "Runtime.ExitError: the process ended with 7"),
        ("hang", "Sandbox.Timedout: no answer in time (Timeout: 2 s)"),
    ],
)
def test_a_function_that_fails_is_a_500_and_works_again(ask: Ask, toy: Suite, action: str, logged: str) -> None:
    assert ask("GET", f"/open?do={action}")[0::2] == (500, {"message": "Internal Server Error"})
    assert ask("GET", "/open")[0] == 200
    wait_for(lambda: logged in (toy.logs / "echo.log").read_text())


def test_a_process_whose_handler_raised_lives_on(ask: Ask) -> None:
    before = ask("GET", "/open")[2]["pid"]
    ask("GET", "/open?do=raise")
    assert ask("GET", "/open")[2]["pid"] == before


def test_a_process_that_is_killed_between_two_events_is_replaced(ask: Ask) -> None:
    for _ in range(4):
        os.kill(ask("GET", "/open")[2]["pid"], signal.SIGKILL)
        time.sleep(0.05)
    assert ask("GET", "/open")[0] == 200


def test_an_init_error_is_told_with_its_text(ask: Ask, toy: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask("GET", "/broken")[0] == 500
    with pytest.raises(
        FunctionError, match=r"Runtime.ImportModuleError: Unable to import module 'app'.*does_not_exist"
    ):
        toy.functions["broken"].invoke({})
    assert "broken | [ERROR] Runtime.ImportModuleError" in capsys.readouterr().out


def test_what_a_function_prints_is_in_its_log(ask: Ask, toy: Suite) -> None:
    ask("GET", "/open?do=nothing")
    wait_for(lambda: "said nothing\n" in (toy.logs / "echo.log").read_text())


def test_no_child_outlives_a_killed_parent(project: Path, tmp_path: Path) -> None:
    code = f"""
import json, pathlib, threading
from local.runtime import Lambda
root, logs = pathlib.Path({str(project)!r}), pathlib.Path({str(tmp_path)!r})
properties = {{"Handler": "app.handler", "Timeout": 10, "Environment": {{}}}}
function = Lambda(properties, root / "functions/echo", root, logs, {{}})
print(str(json.loads(function.invoke({{}})["body"])["pid"]) + "\\n", end="", flush=True)  # in one piece
threading.Thread(target=function.invoke, args=[{{"queryStringParameters": {{"do": "hang"}}}}]).start()
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=suite.ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        lines = iter(parent.stdout.readline, "")
        pid = next(int(line) for line in lines if line.strip().isdigit())
        assert any("about to hang" in line for line in lines)  # in the middle of its work
        parent.kill()
    wait_for(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition: Callable[[], object], seconds: float = 8) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


# --- queues


@pytest.fixture
def sqs(toy: Suite) -> Iterator[Any]:
    client = boto3.client(
        "sqs", "us-east-1", endpoint_url=toy.aws, aws_access_key_id="test", aws_secret_access_key="test"
    )
    yield client
    client.close()


def test_only_what_failed_of_a_batch_comes_again_and_ends_as_a_dead_letter(sqs: Any, project: Path) -> None:
    url = sqs.get_queue_url(QueueName="Jobs")["QueueUrl"]
    attributes = {"kind": {"DataType": "String", "StringValue": "test"}}
    sqs.send_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": body, "MessageBody": body, "MessageAttributes": attributes} for body in ("good", "poison", "fine")
        ],
    )
    dead = sqs.get_queue_url(QueueName="Dead")["QueueUrl"]
    letters = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=8)["Messages"]
    assert [letter["Body"] for letter in letters] == ["poison"]
    events = [json.loads(line) for line in (project / "functions/worker/received").read_text().splitlines()]
    records = [record for event in events for record in event["Records"]]
    assert sorted(record["body"] for record in records) == ["fine", "good", "poison", "poison"]
    again = [record for record in records if record["body"] == "poison"][-1]
    assert again["attributes"]["ApproximateReceiveCount"] == "2"
    assert {"SentTimestamp", "ApproximateFirstReceiveTimestamp", "SenderId"} <= again["attributes"].keys()
    assert again["messageAttributes"]["kind"]["stringValue"] == "test"
    assert again["eventSource"] == "aws:sqs"
    assert again["eventSourceARN"] == "arn:aws:sqs:us-east-1:123456789012:Jobs"


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (None, set()),
        ({}, set()),
        ({"batchItemFailures": []}, set()),
        ({"batchItemFailures": None}, set()),
        ({"batchItemFailures": [{"itemIdentifier": "a"}]}, {"a"}),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, {"a", "b"}),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, {"a", "b"}),
        ({"batchItemFailures": [{"id": "a"}]}, {"a", "b"}),
        ({"batchItemFailures": "a"}, {"a", "b"}),
        ("nonsense", {"a", "b"}),
    ],
)
def test_an_answer_that_makes_no_sense_fails_the_whole_batch(answer: Any, failed: set[str]) -> None:
    assert queues.failures(answer, {"a", "b"}) == failed


def test_queues_are_made_as_the_template_says(sqs: Any) -> None:
    url = sqs.get_queue_url(QueueName="Ordered.fifo")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (attributes["FifoQueue"], attributes["DelaySeconds"]) == ("true", "3")


# --- schedules


LAST_MINUTE = datetime(2030, 1, 1, 12, 5, tzinfo=UTC)


def test_a_schedule_ticks_at_its_minutes_until_it_is_stopped() -> None:
    minutes = iter(range(6))
    every_other = {"ScheduleExpression": "rate(2 minutes)"}
    at_three = {"ScheduleExpression": "cron(3 * * * ? *)", "Input": '{"a": 1}'}
    ticks: list[Any] = []
    stop = Signal()
    rules = [("EveryOther", every_other, ticks.append), ("AtThree", at_three, ticks.append)]
    clock = partial(next, (datetime(2030, 1, 1, 12, minute, tzinfo=UTC) for minute in minutes), LAST_MINUTE)
    thread = Thread(target=schedules.run, args=[rules, stop, clock, 0.01], daemon=True)
    thread.start()
    try:
        wait_for(lambda: len(ticks) == 3)
    finally:
        stop.set()
        thread.join()
    # Each call has a thread of its own: their order is nobody's promise.
    assert {"a": 1} in ticks
    events = sorted((tick for tick in ticks if "time" in tick), key=lambda tick: tick["time"])
    assert [event["time"] for event in events] == ["2030-01-01T12:02:00Z", "2030-01-01T12:04:00Z"]
    assert events[0]["source"] == "aws.scheduler"
    assert events[0]["detail-type"] == "Scheduled Event"
    assert events[0]["resources"] == ["arn:aws:scheduler:us-east-1:123456789012:schedule/default/EveryOther"]


@pytest.mark.parametrize(
    ("expression", "moment", "comes"),
    [
        ("cron(0 12 * * ? *)", "2030-01-01T12:00", True),
        ("cron(0 12 * * ? *)", "2030-01-01T12:01", False),
        ("cron(0/15 * * * ? *)", "2030-01-01T12:45", True),
        ("cron(5-30/10 * * * ? *)", "2030-01-01T12:25", True),
        ("cron(5-30/10 * * * ? *)", "2030-01-01T12:35", False),
        ("cron(*/20,7 * * * ? *)", "2030-01-01T12:07", True),
        ("cron(0 0 29 2 ? *)", "2028-02-29T00:00", True),
        ("cron(0 0 31 * ? *)", "2030-01-31T00:00", True),
        ("cron(0 0 ? * SUN *)", "2030-01-06T00:00", True),  # a Sunday
        ("cron(0 0 ? * 1 *)", "2030-01-06T00:00", True),
        ("cron(0 0 ? * 7 *)", "2030-01-05T00:00", True),
        ("cron(0 0 ? * MON-FRI *)", "2030-01-06T00:00", False),
        ("cron(0 0 ? * MON-FRI *)", "2030-01-04T00:00", True),
        ("cron(0 0 1 JAN,JUL ? 2030-2031)", "2031-07-01T00:00", True),
        ("cron(0 0 1 JAN,JUL ? 2030-2031)", "2032-07-01T00:00", False),
        ("rate(1 minute)", "2030-01-01T00:00", False),  # the minute the suite started
        ("rate(1 minute)", "2030-01-01T00:01", True),
        ("rate(2 hours)", "2030-01-01T04:00", True),
        ("rate(2 hours)", "2030-01-01T03:00", False),
        ("rate(1 day)", "2030-01-02T00:00", True),
    ],
)
def test_a_schedule_comes_when_its_expression_says(expression: str, moment: str, comes: bool) -> None:
    started = datetime(2030, 1, 1, tzinfo=UTC)
    assert schedules.is_due(expression, datetime.fromisoformat(moment).replace(tzinfo=UTC), started) == comes


@pytest.mark.parametrize(
    "expression",
    [
        *("rate(0 minutes)", "rate(10 seconds)", "at(2030-01-01T00:00:00)", "* * * * * *", ""),
        *("cron(0 12 * * ?)", "cron(0 0 L * ? *)", "cron(0 0 15W * ? *)", "cron(0 0 ? * 6#3 *)", "cron(*/0 * * * ? *)"),
    ],
)
def test_an_expression_that_is_not_understood_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  some of the messages are Python's
        schedules.is_due(expression, schedules.minute(), schedules.minute())


# --- the template


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("!Ref Jobs", "!Join ['', [a]]", "Fn::Join"),
        ("Type: ScheduleV2", "Type: S3", "echo, Clock: the local suite knows no events of type S3"),
        ("rate(1 day)", "rate(1 fortnight)", "fortnight"),
    ],
)
def test_what_the_suite_does_not_understand_stops_it(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = make_project(tmp_path, TEMPLATE.replace(old, new))
    databases = {"leadline_app": ""}
    with (
        pytest.raises(ValueError, match=told),
        suite.running(tmp_path / "data", databases, path=path, root=tmp_path, layer=tmp_path),
    ):
        raise AssertionError


def test_the_real_template_is_understood() -> None:
    functions = template.read(suite.ROOT / "template.yaml").functions
    urls = {name: properties["Environment"]["Variables"]["DATABASE_URL"] for name, properties in functions.items()}
    assert urlsplit(urls["leads_api"]).username == "leadline_app"
    assert urlsplit(urls["upkeep_daily"]).username == "leadline_dispatch"
    assert functions["public_api"]["Events"]["Health"]["Properties"]["Auth"] == {"Authorizer": "NONE"}
    assert "Auth" not in functions["leads_api"]["Events"]["Create"]["Properties"]
    assert functions["leads_api"]["LoggingConfig"]["LogFormat"] == "JSON"


# --- the commands


def test_a_second_stack_on_the_port_is_told_so_and_harms_nothing(toy: Suite, ask: Ask, tmp_path: Path) -> None:
    environment = os.environ | {"PORT": toy.url.rpartition(":")[2], "DATA": str(tmp_path)}
    command = [sys.executable, "-m", "local", "run"]
    second = subprocess.run(command, cwd=suite.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (second.returncode, second.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert "Address already in use" in second.stderr
    assert ask("GET", "/open")[0] == 200


@pytest.mark.parametrize("name", ["tenant", "org", "member"])
def test_an_id_that_is_none_is_named(name: str) -> None:
    with pytest.raises(SystemExit, match=f"^{name.upper()} is no UUID: nope$"):
        __main__.token("admin", **{name: "nope"})
