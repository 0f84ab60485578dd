"""The whole suite on one machine: every function of a template, with its routes, queues and schedules.

A test starts a stack of its own on a free port like this; `path` and the others default to the source tree:

    dsns = {user: server.dsn(role) for role, user in postgres.ROLES.items()}
    with suite.running(tmp_path, dsns, path=..., root=..., layer=...) as stack:
        urlopen(f"{stack.url}/health")
        stack.functions["provision"].invoke({...})
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event as Signal
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from werkzeug.serving import BaseWSGIServer, make_server

from local import outbox, queues, schedules, template
from local.gateway import Connection, Gateway
from local.runtime import FunctionError, Lambda
from local.template import ROOT

LAYER = ROOT / "layers" / "leadline"
WHERE = "suite.json"  # in the data folder, while the suite runs


@dataclass(frozen=True)
class Suite:
    url: str  # of the gateway
    aws: str  # of SQS and AWS's other services
    logs: Path  # a file for each function
    functions: dict[str, Lambda]


@dataclass(frozen=True)
class Running:
    """Where a suite runs, for the commands beside it."""

    url: str
    aws: str
    logs: str


def find(data: Path) -> Running | None:
    """The suite that runs with this data folder; one that was killed is found too, and does not answer."""
    with suppress(FileNotFoundError):
        return Running(**json.loads((data / WHERE).read_text()))
    return None


@contextmanager
def running(
    data: Path,
    databases: dict[str, str],
    port: int = 0,
    *,
    path: Path = ROOT / "template.yaml",
    root: Path = ROOT,
    layer: Path = LAYER,
    python: str = sys.executable,
) -> Iterator[Suite]:
    """Serve the template at `path` until the block ends, with logs and the key of the tokens in `data`.

    `databases` are DSNs by database user. `root` holds the folders that CodeUri names, `layer` what Lambda finds in
    /opt/python: the source tree, or artefacts unpacked. One suite at a time in a process: moto's state is global.
    """
    gateway, stop, functions, ticking = Gateway(data), Signal(), {}, []
    with ExitStack() as stack:
        front = stack.enter_context(make_server("127.0.0.1", port, gateway, threaded=True, request_handler=Connection))
        aws = stack.enter_context(_serving(make_server("127.0.0.1", 0, queues.aws(), threaded=True)))
        read, url = template.read(path, aws), f"http://127.0.0.1:{front.port}"
        sqs = queues.make(aws, read.queues)
        stack.callback(sqs.close)
        for name, properties in read.functions.items():
            folder, environment = root / properties["CodeUri"], _environment(properties, databases, aws, url, data)
            functions[name] = Lambda(properties, folder, layer, data / "logs", environment, python=python)
            invoke = functions[name].invoke
            for event_name, event in properties["Events"].items():
                details = event["Properties"]
                match event["Type"]:
                    case "HttpApi":
                        gateway.add(details, invoke)
                    case "SQS":
                        stack.callback(_started(queues.poll, sqs, details, invoke, stop).join)
                    case "ScheduleV2":
                        schedules.is_due(details["ScheduleExpression"], *[schedules.minute()] * 2)  # or an error now
                        ticking.append((event_name, details, partial(_fire, invoke)))
                    case kind:
                        raise ValueError(f"{name}, {event_name}: the local suite knows no events of type {kind}")
        if outbox.QUEUE in read.queues:
            stack.callback(_with_outbox(gateway, sqs, stop).join)
        stack.callback(_started(schedules.run, ticking, stop).join)
        for function in functions.values():
            stack.callback(function.close)
        stack.callback(stop.set)
        yield stack.enter_context(_announced(data, stack.enter_context(_serving(front)), aws, functions))


def _with_outbox(gateway: Gateway, sqs: Any, stop: Signal) -> Thread:
    """Shows at /outbox what goes out, until `stop` is set."""
    sent = outbox.Outbox()
    gateway.add({"Method": "GET", "Path": "/outbox", "Auth": {"Authorizer": "NONE"}}, sent.answer)
    return _started(sent.poll, sqs, stop)


@contextmanager
def _announced(data: Path, url: str, aws: str, functions: dict[str, Lambda]) -> Iterator[Suite]:
    """The suite, which commands beside it find until the block ends."""
    suite = Suite(url, aws, data / "logs", functions)
    (data / WHERE).write_text(json.dumps(asdict(Running(url, aws, str(suite.logs)))))
    try:
        yield suite
    finally:
        (data / WHERE).unlink(missing_ok=True)


def _environment(
    properties: dict[str, Any], databases: dict[str, str], aws: str, url: str, data: Path
) -> dict[str, str]:
    """What stands here in place of what a function's environment has in the cloud."""
    secret = _secret(data, "links.key")
    environment = {
        "AWS_ENDPOINT_URL": aws,
        "LEADLINE_REQUEST_CLOCK": "1",
        "LEADLINE_EVIDENCE_KEY": _secret(data, "evidence.key"),
        "LEADLINE_LINK_KEYS": json.dumps({"current": "local", "keys": {"local": secret}}),
        "LEADLINE_PUBLIC_URL": url,
    }
    if dsn := properties["Environment"].get("Variables", {}).get("DATABASE_URL"):
        environment["DATABASE_URL"] = databases[urlsplit(dsn).username]
    return environment


def _secret(data: Path, name: str) -> str:
    """The key of consents' evidence, or of links, made on the first run; beside the database and not in it."""
    path = data / name
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        with open(path, "x", opener=partial(os.open, mode=0o600)) as file:
            file.write(secrets.token_hex(32))
    return path.read_text()


@contextmanager
def _serving(server: BaseWSGIServer) -> Iterator[str]:
    """The server's URL, where it answers until the block ends."""
    _started(server.serve_forever, 0.1)  # seconds until it heeds a shutdown
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()


def _started(work: Callable[..., object], *arguments: object) -> Thread:
    thread = Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


def _fire(invoke: Callable[[Any], Any], event: Any) -> None:
    with suppress(FunctionError):  # the function's log has it, and the next tick comes
        invoke(event)
