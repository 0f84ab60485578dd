"""The migration runner: plain SQL pairs applied in order, each file once, and all of a file or nothing of it.

`NNN_name.sql` applies and `NNN_name_down.sql` reverts. A script and its row in `schema_migrations` share one
transaction, so a runner that is killed leaves nothing half done. The one exception is a script whose first line is
`-- leadline: no transaction`: it holds a single CREATE or DROP INDEX CONCURRENTLY, which PostgreSQL refuses inside a
transaction, written with IF [NOT] EXISTS so that it can be repeated after a kill.
"""

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import errors, sql

from leadline.migration_files import Migration, MigrationError, Script, read

OWNER = "leadline_owner"
LOCK = int.from_bytes(b"Leadline")  # the advisory lock's key, the same in every runner

logger = logging.getLogger(__name__)
Connection = psycopg.Connection[tuple[Any, ...]]


def up(dsn: str, directory: Path, adopt: int | None = None) -> list[str]:
    """Apply every pending migration; before that, book those up to `adopt` that somebody applied with psql.

    Answers what was done: "adopted 001_name", "applied 002_name".
    """
    migrations = read(directory)
    if adopt is not None and not 1 <= adopt <= len(migrations):
        raise MigrationError(f"there is no migration {adopt:03} to adopt")
    with _as_only_runner(dsn) as conn:
        applied = len(_applied(conn, migrations))
        adopted = migrations[applied : adopt or 0]
        _adopt(conn, adopted)
        pending = migrations[applied + len(adopted) :]
        for migration in pending:
            _apply(conn, migration)
            logger.info("applied %s", migration.name)
    return [f"adopted {migration.name}" for migration in adopted] + [f"applied {one.name}" for one in pending]


def down(dsn: str, directory: Path, to: int | None = None, *, destroy_data: bool = False) -> list[str]:
    """Revert the newest migration, or all that are newer than `to`; where that would destroy rows, only if told so.

    An edited file may be reverted: that is how one repairs it. Answers what was done: "reverted 002_name".
    """
    migrations = read(directory)
    with _as_only_runner(dsn) as conn:
        applied = _applied(conn, migrations, edited_too=True)
        target = max(len(applied) - 1, 0) if to is None else to
        if not 0 <= target <= len(applied):
            raise MigrationError(f"cannot go down to {target:03}: {len(applied)} migrations are applied")
        steps = applied[target:][::-1]
        if not destroy_data:
            # All steps are looked at before the first is taken, so that a refusal leaves everything as it was.
            with conn.transaction(force_rollback=True):
                _refuse_to_lose_rows(conn, steps)
        for migration in steps:
            _revert(conn, migration, destroy_data=destroy_data)
            logger.info("reverted %s", migration.name)
    return [f"reverted {migration.name}" for migration in steps]


def status(dsn: str, directory: Path) -> list[str]:
    """Lines that tell each migration's state, and each table's indexes and policies; changes nothing."""
    files = {migration.name: migration.up.sha256 for migration in read(directory)}
    with _session(dsn) as conn:
        booked = {name: (sha256, applied_at) for name, sha256, applied_at in _booked(conn)}
        tables = conn.execute(
            """
            select 'table ' || c.relname,
                   '  index ' || (select string_agg(indexname, ', ' order by indexname)
                                    from pg_indexes where schemaname = 'public' and tablename = c.relname),
                   '  policy ' || (select string_agg(policyname, ', ' order by policyname)
                                     from pg_policies where schemaname = 'public' and tablename = c.relname)
              from pg_class c
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
             order by c.relname
            """
        ).fetchall()
    lines: list[str] = []
    for name in sorted(files.keys() | booked.keys()):
        sha256, applied_at = booked.get(name, (None, None))
        found = "" if sha256 in (None, files.get(name)) else ", edited since" if name in files else ", file missing"
        lines.append(f"{name} applied {applied_at:%Y-%m-%d %H:%M:%S %Z}{found}" if applied_at else f"{name} pending")
    return lines + [line for row in tables for line in row if line]


def bootstrap(admin_dsn: str, database: str, owner_password: str) -> None:
    """What only an administrator can do: the owner's role, its database, pg_stat_statements where allowed.

    Safe to run again, and by several at once. The administrator is a superuser, or RDS's master user.
    """
    owner, name = sql.Identifier(OWNER), sql.Identifier(database)
    with _connect(admin_dsn, database="postgres") as conn:
        conn.execute("select pg_advisory_lock(%s)", (LOCK,))
        if not _value(conn, "select count(*) from pg_roles where rolname = %s", OWNER):
            conn.execute(sql.SQL("create role {} login createrole").format(owner))
        if _value(conn, "select rolsuper or rolbypassrls from pg_roles where rolname = %s", OWNER):
            raise MigrationError(f"on this server {OWNER} is a superuser or bypasses row-level security")
        set_password(conn, OWNER, owner_password)
        # An administrator who is no superuser can give a database only to a role that he is a member of.
        if not _value(conn, "select rolsuper from pg_roles where rolname = current_user"):
            conn.execute(sql.SQL("grant {} to current_user").format(owner))
        if not _value(conn, "select count(*) from pg_database where datname = %s", database):
            conn.execute(sql.SQL("create database {}").format(name))
        conn.execute(sql.SQL("alter database {} owner to {}").format(name, owner))
        # Not every server carries it, not every administrator may create it, and nothing of ours depends on it.
        refusals = (errors.InsufficientPrivilege, errors.FeatureNotSupported)
        with _connect(admin_dsn, database) as inside, contextlib.suppress(*refusals):
            inside.execute("create extension if not exists pg_stat_statements")


def set_password(conn: Connection, role: str, password: str) -> None:
    """Give a login role its password, sent as a SCRAM verifier so that no log or statistic of the server shows it."""
    verifier = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    with conn.transaction():
        # Two changes of one role at the same time fail with "tuple concurrently updated".
        conn.execute("select pg_advisory_xact_lock(%s)", (LOCK + 1,))
        conn.execute(sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier)))


def _connect(dsn: str, database: str | None = None) -> Connection:
    """A connection in autocommit: every transaction of this module is written out."""
    try:
        return psycopg.connect(dsn, dbname=database, autocommit=True, client_encoding="utf8")
    except psycopg.OperationalError as error:
        raise MigrationError(f"cannot connect: {_one_line(error)}") from error


@contextlib.contextmanager
def _session(dsn: str) -> Generator[Connection]:
    """A connection that works as the owner, whoever logged in."""
    with _connect(dsn) as conn:
        conn.execute("set statement_timeout = 0")
        # Twice a second the server looks whether we still live, so that a killed runner's lock goes quickly.
        conn.execute("set client_connection_check_interval = '500ms'")
        if _value(conn, "select current_user::text") != OWNER:
            conn.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))
        yield conn


@contextlib.contextmanager
def _as_only_runner(dsn: str) -> Generator[Connection]:
    """A session that holds the runners' lock, with the bookkeeping table in place.

    The lock is polled for, since one waited for in the server deadlocks with CREATE INDEX CONCURRENTLY. The session
    that runs the scripts holds it, so a killed runner's lock goes with its last statement and not before.
    """
    with _session(dsn) as conn:
        while not _value(conn, "select pg_try_advisory_lock(%s)", LOCK):
            time.sleep(0.1)
        if _value(conn, "select to_regclass('public.schema_migrations')") is None:
            conn.execute(
                """
                create table public.schema_migrations (
                    number integer primary key,
                    name text not null,
                    sha256 text not null,
                    applied_at timestamptz not null default now()
                );
                comment on table public.schema_migrations is
                    'The migrations that are applied, each with the SHA-256 of its file; written by the runner alone.'
                """
            )
        yield conn


def _booked(conn: Connection) -> list[tuple[Any, ...]]:
    if _value(conn, "select to_regclass('public.schema_migrations')") is None:
        return []
    return conn.execute("select name, sha256, applied_at from public.schema_migrations order by number").fetchall()


def _applied(conn: Connection, migrations: Sequence[Migration], *, edited_too: bool = False) -> list[Migration]:
    """The applied migrations; they must be the first of the folder's, and their files unchanged unless `edited_too`."""
    booked = _booked(conn)
    for position, (name, sha256, _) in enumerate(booked):
        file = migrations[position] if position < len(migrations) else None
        if file is None or file.name != name:
            found = f"{file.up.file} is in its place" if file else "its file is missing"
            raise MigrationError(f"{name} is applied but {found}: files keep their order, and new ones come last")
        if file.up.sha256 != sha256 and not edited_too:
            raise MigrationError(f"{file.up.file} was edited after it was applied; put the change in a new migration")
    return list(migrations[: len(booked)])


def _apply(conn: Connection, migration: Migration) -> None:
    index = migration.up.index
    # A killed run leaves an invalid index behind, which IF NOT EXISTS would take for a finished one.
    invalid = "select count(*) from pg_index where indexrelid = to_regclass(%s) and not indisvalid"
    if index and _value(conn, invalid, index):
        conn.execute(sql.SQL("drop index concurrently {}").format(_identifier(index)))
    with contextlib.nullcontext() if index else conn.transaction():
        _execute(conn, migration.up)
        _book(conn, migration)


def _book(conn: Connection, migration: Migration) -> None:
    statement = "insert into public.schema_migrations (number, name, sha256) values (%s, %s, %s)"
    conn.execute(statement, (int(migration.name[:3]), migration.name, migration.up.sha256))


def _revert(conn: Connection, migration: Migration, *, destroy_data: bool) -> None:
    with contextlib.nullcontext() if migration.down.index else conn.transaction():
        if not destroy_data and not migration.down.index:
            _refuse_to_lose_rows(conn, [migration])
        _execute(conn, migration.down)
        conn.execute("delete from public.schema_migrations where name = %s", (migration.name,))


def _execute(conn: Connection, script: Script) -> None:
    """Run a whole script: without parameters psycopg sends it as it is, and PostgreSQL takes it apart."""
    try:
        conn.execute(script.text.encode())
    except psycopg.Error as error:
        position = int(error.diag.statement_position or 0)
        line = f", line {script.text.count(chr(10), 0, position) + 1}" if position else ""
        raise MigrationError(f"{script.file}{line}: {error.sqlstate}: {_one_line(error)}") from error


def _try_down(conn: Connection, migration: Migration) -> None:
    """Run a down script inside a transaction that the caller rolls back; it fails where what it drops is absent."""
    script = migration.down
    if script.index:  # CONCURRENTLY goes outside of a transaction only; in here the plain DROP asks the same
        script = Script(script.file, sql.SQL("drop index {}").format(_identifier(script.index)).as_string())
    _execute(conn, script)


def _adopt(conn: Connection, migrations: Sequence[Migration]) -> None:
    """Book migrations that were applied by hand, once it is sure that all their objects are there.

    A down script drops everything that its up script makes, without IF EXISTS: it succeeds exactly when all is there.
    """
    with conn.transaction(force_rollback=True):
        for migration in reversed(migrations):
            try:
                _try_down(conn, migration)
            except MigrationError as error:
                raise MigrationError(f"{migration.name} is not wholly there, nothing adopted: {error}") from error
    with conn.transaction():
        for migration in migrations:
            _book(conn, migration)
            logger.info("adopted %s", migration.name)


def _refuse_to_lose_rows(conn: Connection, steps: Sequence[Migration]) -> None:
    """Refuse if down scripts remove a table that holds rows, or a column of one; call it inside a transaction.

    Rows are not lost that the up scripts would put back as they are. Until the transaction ends the tables stay locked,
    so that no row comes between this look and the drop.
    """
    before = _columns(conn)
    with conn.transaction(force_rollback=True):
        for migration in steps:
            _try_down(conn, migration)
        gone = before.keys() - _columns(conn).keys()
        touched = {table for table, _ in gone}
        # A partition's rows are its parent's: it is named only where it goes alone.
        names = sorted({name for name, parent in map(before.__getitem__, gone) if parent not in touched})
        seeded = _seeded(conn, steps, names)
    for name in names:
        conn.execute(sql.SQL("lock table {} in access exclusive mode").format(_identifier(name)))
    filled: list[str] = []
    with conn.transaction(force_rollback=True):
        for name in names:
            _show_all_rows(conn, name)
            some = conn.execute(sql.SQL("select from {} limit 1").format(_identifier(name))).fetchone()
            if some is not None and (name not in seeded or _digest(conn, name) != seeded[name]):
                filled.append(name)
    if filled:
        raise MigrationError(f"going down would destroy rows of {', '.join(filled)}; --destroy-data allows it")


def _seeded(conn: Connection, steps: Sequence[Migration], names: Sequence[str]) -> dict[str, str]:
    """A digest of what the up scripts by themselves put into tables that are gone; nothing where one does not run."""
    dropped = [name for name in names if not _value(conn, "select to_regclass(%s)", name)]
    with contextlib.suppress(MigrationError), conn.transaction(force_rollback=True):
        for migration in reversed(steps):
            if not migration.up.index:  # CONCURRENTLY goes outside of a transaction only, and writes no row
                _execute(conn, migration.up)
        made = [name for name in dropped if _value(conn, "select to_regclass(%s)", name)]
        for name in made:
            _show_all_rows(conn, name)
        return {name: _digest(conn, name) for name in made}
    return {}


def _show_all_rows(conn: Connection, name: str) -> None:
    """FORCE hides rows from the owner too."""
    conn.execute(sql.SQL("alter table {} no force row level security").format(_identifier(name)))


def _digest(conn: Connection, name: str) -> str:
    query = sql.SQL("select coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') from {} as t")
    return _value(conn, query.format(_identifier(name)))


def _columns(conn: Connection) -> dict[tuple[int, int], tuple[str, int | None]]:
    """Every column, as (its table's oid, its number), with the table's name and the partitioned table above it."""
    rows = conn.execute(
        """
        select c.oid, a.attnum, n.nspname || '.' || c.relname, i.inhparent
          from pg_class c
          join pg_namespace n on n.oid = c.relnamespace
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          left join pg_inherits i on i.inhrelid = c.oid and c.relispartition
         where c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        """
    )
    return {(table, number): (name, parent) for table, number, name, parent in rows}


def _identifier(name: str) -> sql.Identifier:
    return sql.Identifier(*name.split(".", 1))


def _value(conn: Connection, query: LiteralString | sql.Composed, *parameters: object) -> Any:
    row = conn.execute(query, parameters).fetchone()
    return row[0] if row else None


def _one_line(error: Exception) -> str:
    """The message without what PostgreSQL says under it: its DETAIL repeats the values of rows."""
    return str(error).strip().splitlines()[0]


def main() -> None:
    """Apply, revert or list the migrations on the database of DATABASE_URL or POSTGRES_URL."""
    parser = argparse.ArgumentParser(prog="python -m leadline.migrations", description=main.__doc__)
    parser.add_argument("action", choices=["up", "down", "status"])
    parser.add_argument("--directory", type=Path, default=Path("migrations"), help="the SQL files (migrations)")
    parser.add_argument("--adopt", type=int, metavar="NNN", help="up: first book what psql applied, up to this one")
    parser.add_argument("--to", type=int, metavar="NNN", help="down: the newest that stays applied (0: none)")
    parser.add_argument("--destroy-data", action="store_true", help="down: even where tables hold rows")
    asked = parser.parse_args()
    dsn = os.environ.get("DATABASE_URL") or os.environ.get("POSTGRES_URL")
    if not dsn:
        parser.exit(1, "DATABASE_URL is not set\n")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        if asked.action == "up":
            done = up(dsn, asked.directory, asked.adopt)
        elif asked.action == "down":
            done = down(dsn, asked.directory, asked.to, destroy_data=asked.destroy_data)
        else:
            done = status(dsn, asked.directory)
            sys.stdout.writelines(f"{line}\n" for line in done)
    except (MigrationError, psycopg.Error) as error:
        parser.exit(1, f"{_one_line(error)}\n")
    if not done:
        sys.stdout.write("nothing to do\n")


if __name__ == "__main__":
    main()
