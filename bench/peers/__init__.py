"""Job queues that others use, measured in the same run on the same server: each job is one small transaction.

They are installed beside the bench's data when it runs, and are no part of the product. What a machine cannot run (no
node, no redis-server) is named and left out.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from local import postgres

HERE = Path(__file__).parent
NODE_PACKAGES = ("graphile-worker@0.17.3", "bullmq@6.7.0", "ioredis@5.8.2", "pg@8.16.3")
PYTHON_PACKAGES = ("procrastinate==3.10.0",)
YARDSTICK = "graphile-worker, tuned"
JOBS = {YARDSTICK: 20_000, "BullMQ": 20_000, "procrastinate": 2_000}


def rates(server: postgres.Server, data: Path) -> Iterator[tuple[str, float | str]]:
    """By peer: jobs a second, or why it was not measured."""
    dsn = _database(server)
    node, npm, redis = shutil.which("node"), shutil.which("npm"), shutil.which("redis-server")
    installed = _node_packages(data, npm) if node and npm else None
    if node and installed:
        yield (
            "graphile-worker, tuned",
            _rate(node, HERE / "graphile.mjs", dsn, installed, peer="graphile-worker, tuned"),
        )
    else:
        yield "graphile-worker, tuned", "not measured: no node here"
    if node and installed and redis:
        with _redis(redis) as port:
            yield "BullMQ", _rate(node, HERE / "bullmq.mjs", dsn, installed, peer="BullMQ", last=str(port))
    else:
        yield "BullMQ", f"not measured: no {'redis-server' if installed else 'node'} here"
    yield "procrastinate", _rate(_python(data), HERE / "procrastinate_jobs.py", dsn, peer="procrastinate")


def _rate(program: str, script: Path, dsn: str, installed: Path | None = None, *, peer: str, last: str = "") -> float:
    command = [program, str(script), dsn, *filter(None, [installed and str(installed)]), str(JOBS[peer]), last]
    done = subprocess.run([part for part in command if part], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stdout + done.stderr)
    return float(done.stdout.split()[-1])


def _database(server: postgres.Server) -> str:
    """A database of the peers' own; they are measured as superuser, which no row-level security slows down."""
    with psycopg.connect(server.dsn("superuser"), autocommit=True) as conn:
        conn.execute("drop database if exists bench_peers with (force)")
        conn.execute("create database bench_peers")
    return server.dsn("superuser", "bench_peers")


def _node_packages(data: Path, npm: str) -> Path:
    folder = data / "peers"
    if not (folder / "node_modules").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([npm, "install", "--silent", "--prefix", str(folder), *NODE_PACKAGES], check=True)
    return folder


def _python(data: Path) -> str:
    """An interpreter of the peer's own: what it depends on is no concern of ours."""
    folder = data / "peers" / "python"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PYTHON_PACKAGES, "psycopg[binary]"], check=True)
    return str(python)


@contextmanager
def _redis(program: str) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with TemporaryDirectory() as folder:
        options = (
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--appendonly",
            "yes",
            "--daemonize",
            "no",
        )
        with subprocess.Popen(
            [program, *options], stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]}
        ) as process:
            try:
                _wait_for(port)
                yield port
            finally:
                process.terminate()


def _wait_for(port: int) -> None:
    for _ in range(1000):
        with socket.socket() as probe:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    raise RuntimeError("redis-server does not start")
