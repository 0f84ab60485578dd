"""What every test stands on: one PostgreSQL for the whole run, empty databases on it, and one with fresh customers."""

import contextlib
import dataclasses
import json
import logging
import multiprocessing
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from bench import round_trips
from leadline import api, db, migrations, tenancy
from leadline.db import Caller, Transaction
from local import postgres
from tests import privacy

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A running PostgreSQL that forgets in a crash, and is fast for that."""
    # Of each of the processes that share the tests out among them, one.
    data = ROOT / os.environ.get("DATA", ".data") / f"test{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    yield postgres.start(data, durable=False)
    postgres.stop(data)


@pytest.fixture
def scratch_database(server: postgres.Server) -> Iterator[str]:
    """The name of a new, empty database that belongs to leadline_owner; `server.dsn(role, name)` leads into it."""
    name = f"scratch_{secrets.token_hex(6)}"
    migrations.bootstrap(server.dsn("superuser"), name, server.password("owner"))
    yield name
    with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("drop database {} with (force)").format(psycopg.sql.Identifier(name)))


class Member(NamedTuple):
    id: UUID
    subject: str


@dataclasses.dataclass(frozen=True)
class Customer:
    """An organization with one active member of each role."""

    tenant: str
    tenant_id: UUID
    organization_id: UUID
    members: dict[str, Member]

    def caller(self, role: str | None = "agent", **history: str) -> Caller:
        """A member in that role, or with None the system itself; `history` is what history will say of it."""
        subject = self.members[role].subject if role else None
        return Caller(self.tenant_id, self.organization_id, subject, role, **history)


@pytest.fixture(scope="session")
def database(server: postgres.Server) -> Iterator[postgres.Server]:
    """A database of this run's own, migrated by the real runner; `database.dsn(role)` leads into it."""
    database = dataclasses.replace(server, database=f"test_{secrets.token_hex(6)}")
    postgres.prepare(database)
    yield database
    with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("drop database {} with (force)").format(psycopg.sql.Identifier(database.database)))


@pytest.fixture(scope="session", autouse=True)
def _handlers_use_the_database(database: postgres.Server) -> Iterator[None]:
    """A handler called in this process is the application."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.dsn("app"))
        patch.setenv("LEADLINE_EVIDENCE_KEY", "a key of this run")
        keys = {"current": "k1", "keys": {"k1": "a key of this run, long enough to be one"}}
        patch.setenv("LEADLINE_LINK_KEYS", json.dumps(keys))
        patch.setenv("LEADLINE_PUBLIC_URL", "https://api.example.com")
        patch.setenv("REQUEST_QUEUE_URL", "requests")
        yield
        if db._connection is not None:
            db._connection.close()
            db._connection = None


@pytest.fixture
def connect(database: postgres.Server) -> Iterator[Callable[..., Transaction]]:
    """Opens a connection as a role (a key of postgres.ROLES), like the layer's own: autocommit, rows as dicts."""
    with contextlib.ExitStack() as opened:

        def connect(role: str = "app", database: postgres.Server = database, **options: Any) -> Transaction:
            options = {"autocommit": True, "row_factory": dict_row, **options}
            return opened.enter_context(contextlib.closing(psycopg.connect(database.dsn(role), **options)))

        yield connect


@pytest.fixture(scope="session")
def customer(database: postgres.Server) -> Iterator[Callable[..., Customer]]:
    """Makes a customer that really commits; `beside=other` makes another organization of the other's tenant."""
    with psycopg.connect(database.dsn("owner"), autocommit=True, row_factory=dict_row) as owner:

        def customer(beside: Customer | None = None) -> Customer:
            name = secrets.token_hex(6)
            tenant = beside.tenant if beside else f"tenant {name}"
            new = tenancy.NewCustomer(tenant=tenant, organization=f"organization {name}", admin_subject=f"admin-{name}")
            with owner.transaction():
                made = tenancy.provide(owner, new)
                owner.execute(
                    """
                    insert into members (subject, role)
                    select role || '-' || %s, role from unnest(array['agent', 'manager', 'service']) as role
                    """,
                    [name],
                )
                rows = owner.execute("select role, id, subject from members").fetchall()
            members = {row["role"]: Member(row["id"], row["subject"]) for row in rows}
            return Customer(tenant, made.tenant_id, made.organization_id, members)

        yield customer


@pytest.fixture(scope="session")
def in_processes(_handlers_use_the_database: None) -> Iterator[Callable[..., list[Any]]]:
    """Calls a function of a test module in several processes at the same moment, as that many Lambdas would run it."""
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:

        def in_processes(function: Callable[..., Any], *arguments_of_each: tuple[Any, ...]) -> list[Any]:
            moment = time.time() + 0.02
            running = [pool.submit(_at, moment, function, *arguments) for arguments in arguments_of_each]
            return [one.result(timeout=60) for one in running]

        # The first call of each process imports everything; the moment is only shared after that.
        in_processes(len, *[([],)] * 8)
        yield in_processes


def _at(moment: float, function: Callable[..., Any], *arguments: Any) -> Any:
    time.sleep(max(0, moment - time.time()))
    return function(*arguments)


@pytest.fixture(scope="session", autouse=True)
def everything_logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file with every line that the layer and its libraries log in this process."""
    path = tmp_path_factory.mktemp("logs") / "everything"
    with path.open("w") as stream:
        handler = logging.StreamHandler(stream)
        handler.setFormatter(api.logger.registered_formatter)
        logging.getLogger().addHandler(handler)
        yield path
        logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def _no_person_is_in_the_log(database: postgres.Server, everything_logged: Path) -> Iterator[None]:
    """Fails the run when anything that it has logged tells of a person in its database."""
    yield
    with psycopg.connect(database.dsn("superuser"), row_factory=dict_row) as conn:
        rows = conn.execute("select first_name, last_name, phone_number, email, notes from leads").fetchall()
    found = privacy.persons_in(everything_logged.read_text(), rows)
    assert not found, f"the log tells of persons: {sorted(found)[:5]}"


@pytest.fixture
def logged(everything_logged: Path) -> Callable[[], str]:
    """Tells what has been logged since the test began."""
    before = everything_logged.stat().st_size

    def logged() -> str:
        return everything_logged.read_bytes()[before:].decode()

    return logged


@pytest.fixture
def delayed(database: postgres.Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Leads the layer through a proxy that counts round trips: `with delayed() as trips`, then trips()."""

    @contextlib.contextmanager
    def delayed() -> Iterator[Callable[[], int]]:
        with round_trips.counted(database.dsn("app")) as (dsn, trips), monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", dsn)
            patch.setattr("leadline.db._connection", None)
            yield trips
            if db._connection is not None:
                db._connection.close()

    return delayed
