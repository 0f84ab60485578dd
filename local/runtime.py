"""Runs a function as Lambda does: in processes of its own, under the real runtime client, one event at a time in each.

The runtime client asks for its next event, and posts what came of it, over HTTP (the Lambda Runtime API). Each process
has a server of its own for that, which the thread that invokes drives: in between the client's question just waits.
"""

import json
import os
import subprocess
import sys
import time
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from queue import LifoQueue
from socketserver import TCPServer
from threading import Thread
from typing import Any

from local.template import ACCOUNT, REGION

PROCESSES = 4  # at most, of one function
LARGEST_ANSWER = 6 * 1024 * 1024  # bytes
INIT_SECONDS = 30.0  # Lambda gives 10; a laptop that starts everything at once may need more
# The runtime client, in a process that ends when its standard input does: however we die, it does not outlive us.
CLIENT = """
import os, runpy, sys, threading
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(1)), daemon=True).start()
runpy.run_module("awslambdaric", run_name="__main__")
"""


class FunctionError(Exception):
    """A function raised, crashed, timed out or could not start; the message begins with Lambda's errorType."""


class RuntimeApi(BaseHTTPRequestHandler):
    """One request of the runtime client."""

    server: "Process"

    def do_GET(self) -> None:
        """`/invocation/next`: from here on the function's own time runs."""
        function, event = self.server.function, self.server.event
        self.server.deadline = time.monotonic() + function.timeout
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(event)))
        self.send_header("Lambda-Runtime-Aws-Request-Id", str(uuid.uuid4()))
        self.send_header("Lambda-Runtime-Deadline-Ms", str(int((time.time() + function.timeout) * 1000)))
        self.send_header("Lambda-Runtime-Invoked-Function-Arn", function.arn)
        self.end_headers()
        self.wfile.write(event)

    def do_POST(self) -> None:
        """`/invocation/ID/response`, `/invocation/ID/error` or `/init/error`."""
        size = int(self.headers["Content-Length"])
        told = json.loads(self.rfile.read(size))
        if self.path.endswith("/response") and size > LARGEST_ANSWER:
            # As Lambda does: the function has done its work, and the caller is told that it failed.
            too_large = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": f"{size} bytes are over 6 MB"}
            self.server.function.log(f"[ERROR] {too_large['errorType']}: {too_large['errorMessage']}\n")
            self.server.outcome = self.path.removesuffix("/response") + "/error", too_large
        else:
            self.server.outcome = self.path, told
        self.send_response(202)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


class Process(TCPServer):
    """One execution environment of a function: its process, and the Runtime API of that."""

    timeout = 0.05  # seconds that handle_request waits, and so until a crash is noticed

    def __init__(self, function: "Lambda") -> None:
        super().__init__(("127.0.0.1", 0), RuntimeApi)
        self.function, self.event = function, b""
        self.outcome: tuple[str, Any] | None = None  # the path that the runtime client posted to, and what
        self.child = subprocess.Popen(
            [function.python, "-c", CLIENT, function.handler],
            cwd=function.folder,
            env=function.environment | {"AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.server_address[1]}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for us alone
        )
        Thread(target=self._copy_output, daemon=True).start()

    def run(self, event: bytes) -> Any:
        """What the handler returns. Raises FunctionError."""
        self.event, self.outcome, self.deadline = event, None, time.monotonic() + INIT_SECONDS
        while self.outcome is None:
            self.handle_request()
            if self.outcome is None and self.child.poll() is not None:
                raise self._ended(f"Runtime.ExitError: the process ended with {self.child.returncode}")
            if self.outcome is None and time.monotonic() > self.deadline:
                raise self._ended(f"Sandbox.Timedout: no answer in time (Timeout: {self.function.timeout:g} s)")
        path, body = self.outcome
        if path.endswith("/response"):
            return body
        error = f"{body['errorType']}: {body['errorMessage']}"
        raise self._ended(error) if path.endswith("/init/error") else FunctionError(error)

    def _ended(self, error: str) -> FunctionError:
        self.close()
        self.function.log(f"[ERROR] {error}\n")
        return FunctionError(error)

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        self.child.stdin.close()
        self.server_close()

    def _copy_output(self) -> None:
        with self.child.stdout as lines:
            for line in lines:
                self.function.log(line)


class Lambda:
    """One function: its processes, how it is invoked, where its output goes.

    `properties` are the template's, `folder` what its CodeUri names, `layer` what it finds in /opt/python, and `python`
    an interpreter that has the runtime client.
    """

    def __init__(
        self,
        properties: dict[str, Any],
        folder: Path,
        layer: Path,
        logs: Path,
        environment: dict[str, str],
        *,
        python: str = sys.executable,
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.name, self.folder, self.log_file = folder.name, folder, logs / f"{folder.name}.log"
        self.handler, self.timeout = properties["Handler"], float(properties.get("Timeout", 3))
        self.python = python
        self.arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"
        variables = properties["Environment"].get("Variables", {})
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ},
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(properties.get("MemorySize", 128)),
            "AWS_LAMBDA_LOG_FORMAT": properties.get("LoggingConfig", {}).get("LogFormat", "Text"),
            "PYTHONPATH": str(layer),
            "TZ": ":UTC",
            **{name: str(value) for name, value in variables.items() if value is not None},
            **environment,
        }
        self.processes: list[Process] = []
        self.idle: LifoQueue[Process | None] = LifoQueue()  # None: one that is yet to be started
        for _ in range(PROCESSES):
            self.idle.put(None)
        self.closing = False

    def invoke(self, event: Any) -> Any:
        """What the handler returns; waits while all processes are busy; raises FunctionError, as the log then tells."""
        process = self.idle.get()
        try:
            if process is None or process.child.poll() is not None:
                process = self._replace(process)
            return process.run(json.dumps(event).encode())
        finally:
            self.idle.put(process)

    def _replace(self, ended: Process | None) -> Process:
        if ended:
            ended.close()
        if self.closing:
            raise FunctionError("Lambda.Closing: the suite is stopping")
        process = Process(self)
        self.processes.append(process)
        return process

    def log(self, line: str) -> None:
        """Add a line to the function's log file and, with its name, to the console."""
        with self.log_file.open("a", encoding="utf-8") as file:
            file.write(line)
        sys.stdout.write(f"{self.name} | {line}")

    def close(self) -> None:
        """End all processes; what they were doing fails with a FunctionError."""
        self.closing = True
        for process in self.processes:
            process.child.kill()
        for process in [self.idle.get() for _ in range(PROCESSES)]:  # each comes back when its invocation has ended
            if process:
                process.close()
            self.idle.put(process)
