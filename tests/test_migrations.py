"""The migration runner, on small migrations of its own, and the function that runs it at deploy."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import boto3
import moto
import psycopg
import pytest

from leadline import migrations
from leadline.migration_files import ALONE, MigrationError
from local import postgres
from local.postgres import Server

ROOT = Path(__file__).parent.parent
PEOPLE = ("create table people (name text primary key, age integer);", "drop table people;")
PETS = (
    "create table pets (name text primary key);\ncreate index pets_by_name on pets (name);",
    "drop index pets_by_name;\ndrop table pets;",
)
PEOPLE_BY_AGE = (
    f"{ALONE}\ncreate index concurrently if not exists people_by_age\n    on people (age);",
    f"{ALONE}\ndrop index concurrently if exists people_by_age;",
)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write pairs of scripts as 001_first, 002_second, ... and tell the folder."""

    def write(*pairs: tuple[str, str]) -> Path:
        names = ["first", "second", "third", "fourth"]
        for number, (name, (up, down)) in enumerate(zip(names, pairs, strict=False), start=1):
            (tmp_path / f"{number:03}_{name}.sql").write_text(up)
            (tmp_path / f"{number:03}_{name}_down.sql").write_text(down)
        return tmp_path

    return write


@pytest.fixture
def dsn(server: Server, scratch_database: str) -> str:
    return server.dsn("owner", scratch_database)


def run(dsn: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    with runner(dsn, *arguments) as process:
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def runner(dsn: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "leadline.migrations", *map(str, arguments)],
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(ROOT / "layers" / "leadline")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask(dsn: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as conn:
        cursor = conn.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def tables(dsn: str) -> list[str]:
    rows = ask(dsn, "select tablename from pg_tables where schemaname = 'public' order by 1")
    return [str(name) for (name,) in rows if name != "schema_migrations"]


def wait_for(dsn: str, condition: str) -> None:
    end = time.monotonic() + 20
    while not ask(dsn, f"select 1 where {condition}"):
        assert time.monotonic() < end, f"never became true: {condition}"
        time.sleep(0.02)


ASLEEP = "exists (select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database())"


# Up, down, status


def test_up_applies_each_file_once_and_down_reverts_the_newest(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PETS)
    assert migrations.up(dsn, folder) == ["applied 001_first", "applied 002_second"]
    assert migrations.up(dsn, folder) == []
    assert tables(dsn) == ["people", "pets"]
    assert migrations.down(dsn, folder) == ["reverted 002_second"]
    assert tables(dsn) == ["people"]
    assert migrations.up(dsn, folder) == ["applied 002_second"]
    assert migrations.down(dsn, folder, to=0) == ["reverted 002_second", "reverted 001_first"]
    assert migrations.down(dsn, folder) == []
    assert tables(dsn) == []


def test_down_to_leaves_that_migration_applied(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PETS, ("create table third ();", "drop table third;"))
    migrations.up(dsn, folder)
    assert migrations.down(dsn, folder, to=1) == ["reverted 003_third", "reverted 002_second"]
    with pytest.raises(MigrationError, match=r"cannot go down to 002: 1 migrations are applied"):
        migrations.down(dsn, folder, to=2)


def test_status_tells_migrations_tables_indexes_and_policies(dsn: str, write: Write) -> None:
    isolated = "create table pets (name text primary key); create policy everyone on pets using (true);"
    folder = write(PEOPLE, (isolated, PETS[1]), ("select 1;", "select 1;"))
    assert migrations.status(dsn, folder) == ["001_first pending", "002_second pending", "003_third pending"]
    (folder / "003_third.sql").rename(folder / "kept")
    (folder / "003_third_down.sql").unlink()
    migrations.up(dsn, folder)
    write(PEOPLE, (isolated + "--", PETS[1]))
    first, second, *rest = migrations.status(dsn, folder)
    assert first.startswith("001_first applied 2")
    assert second.endswith(", edited since")
    assert rest == [
        *("table people", "  index people_pkey"),
        *("table pets", "  index pets_pkey", "  policy everyone"),
        *("table schema_migrations", "  index schema_migrations_pkey"),
    ]


def test_all_is_owned_by_the_owner_whoever_logs_in(server: Server, scratch_database: str, write: Write) -> None:
    migrations.up(server.dsn("superuser", scratch_database), write(PEOPLE))
    owners = ask(
        server.dsn("superuser", scratch_database), "select tableowner from pg_tables where schemaname = 'public'"
    )
    assert set(owners) == {("leadline_owner",)}


def test_on_a_server_that_was_never_set_up_the_command_says_which_role_is_missing(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write: Write
) -> None:
    monkeypatch.setattr(migrations, "OWNER", "leadline_nobody")
    monkeypatch.setattr("sys.argv", ["migrations", "up", "--directory", str(write(PEOPLE))])
    monkeypatch.setenv("DATABASE_URL", server.dsn("superuser", "postgres"))
    with pytest.raises(SystemExit, match="1"):
        migrations.main()
    assert capsys.readouterr().err == 'role "leadline_nobody" does not exist\n'


def test_percent_signs_and_dollar_quotes_reach_postgresql_unchanged(dsn: str, write: Write) -> None:
    block = "do $$ begin raise notice '100%% of %s;', 'it'; end $$;\ncreate table kept as select '50% ; %s' as note;"
    migrations.up(dsn, write((block, "drop table kept;")))
    assert ask(dsn, "select note from kept") == [("50% ; %s",)]


# Refusals


def test_a_file_edited_after_it_was_applied_is_refused_but_may_be_reverted(dsn: str, write: Write) -> None:
    migrations.up(dsn, write(PEOPLE))
    folder = write((PEOPLE[0] + "\n", PEOPLE[1]), PETS)
    with pytest.raises(MigrationError, match=r"001_first\.sql was edited after it was applied"):
        migrations.up(dsn, folder)
    assert tables(dsn) == ["people"]
    assert migrations.down(dsn, folder) == ["reverted 001_first"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["001_a", "001_a_down", "003_c", "003_c_down"], r"003_c\.sql stands where 002_name\.sql belongs"),
        (["001_a", "001_a_down", "001_b", "001_b_down"], r"001_b\.sql stands where 002_name\.sql belongs"),
        (["001_a", "001_a_down", "2_b", "2_b_down"], r"2_b\.sql stands where 002_name\.sql belongs"),
        (["001_a"], r"001_a\.sql has no 001_a_down\.sql"),
        (["001_a", "001_a_down", "002_b_down"], r"002_b_down\.sql reverts nothing"),
        ([], r"no migrations in "),
    ],
)
def test_a_folder_with_a_gap_or_half_a_pair_is_refused(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").write_text("select 1;")
    with pytest.raises(MigrationError, match=message):
        migrations.read(tmp_path)


def test_a_file_that_comes_before_an_applied_one_is_refused(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PETS)
    migrations.up(dsn, folder)
    for suffix in (".sql", "_down.sql"):
        (folder / f"002_second{suffix}").rename(folder / f"003_second{suffix}")
        (folder / f"002_another{suffix}").write_text("select 1;")
    with pytest.raises(MigrationError, match=r"002_second is applied but 002_another\.sql is in its place"):
        migrations.up(dsn, folder)


def test_an_applied_migration_without_its_file_is_refused(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PETS)
    migrations.up(dsn, folder)
    (folder / "002_second.sql").unlink()
    (folder / "002_second_down.sql").unlink()
    with pytest.raises(MigrationError, match=r"002_second is applied but its file is missing"):
        migrations.up(dsn, folder)
    assert migrations.status(dsn, folder)[1].endswith(", file missing")


@pytest.mark.parametrize("ending", ["commit;", "BEGIN ;", "  rollback;", "start  transaction;", "commit work;"])
def test_a_script_that_ends_the_transaction_is_refused_before_it_runs(dsn: str, write: Write, ending: str) -> None:
    with pytest.raises(MigrationError, match=r"001_first\.sql, line 2: the transaction is the runner's"):
        migrations.up(dsn, write((f"create table people ();\n{ending}\nselect 1/0;", PEOPLE[1])))
    assert tables(dsn) == []


def test_a_failing_script_names_file_line_and_sqlstate_and_leaves_nothing(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, ("create table pets ();\n\n  select no_such_column;", PETS[1]))
    with pytest.raises(
        MigrationError, match=r'^002_second\.sql, line 3: 42703: column "no_such_column" does not exist$'
    ):
        migrations.up(dsn, folder)
    assert tables(dsn) == ["people"]
    assert migrations.status(dsn, folder)[1] == "002_second pending"


def test_a_failing_script_does_not_repeat_the_values_of_rows(dsn: str, write: Write) -> None:
    rows = "create table people (phone text primary key); insert into people values ('+14155550142'), ('+14155550142');"
    with pytest.raises(MigrationError, match=r"23505: duplicate key") as refused:
        migrations.up(dsn, write((rows, PEOPLE[1])))
    assert "4155550142" not in str(refused.value)


def test_the_command_refuses_in_one_line_with_exit_code_1(dsn: str, write: Write) -> None:
    folder = write(("select 1/0;", "select 1;"))
    failed = run(dsn, "up", "--directory", folder)
    assert (failed.returncode, failed.stderr) == (1, "001_first.sql: 22012: division by zero\n")
    unreachable = run("postgresql://nobody@127.0.0.1:1/none", "status", "--directory", folder)
    assert unreachable.returncode == 1
    assert unreachable.stderr.startswith("cannot connect: ")
    assert unreachable.stderr.count("\n") == 1
    assert run("", "status").stderr == "DATABASE_URL is not set\n"


def test_the_command_applies_reports_and_reverts(dsn: str, write: Write) -> None:
    folder = write(PEOPLE)
    assert run(dsn, "up", "--directory", folder).stdout == "applied 001_first\n"
    assert run(dsn, "up", "--directory", folder).stdout == "nothing to do\n"
    assert run(dsn, "status", "--directory", folder).stdout.startswith("001_first applied ")
    ask(dsn, "insert into people values ('Ada', 36)")
    refused = run(dsn, "down", "--directory", folder)
    assert refused.stderr == "going down would destroy rows of public.people; --destroy-data allows it\n"
    assert run(dsn, "down", "--directory", folder, "--destroy-data").stdout == "reverted 001_first\n"
    assert tables(dsn) == []


# Several at once, and kills


def test_four_runners_at_once_apply_each_file_once(dsn: str, write: Write) -> None:
    count = ("insert into runs select pg_sleep(0.05)::text;", "select 1;")
    folder = write(("create table runs (note text);", "drop table runs;"), count, count, PEOPLE_BY_AGE)
    (folder / "001_first.sql").write_text("create table runs (note text); create table people (age integer);")
    runners = [runner(dsn, "up", "--directory", folder) for _ in range(4)]
    outcomes = [(process.communicate(timeout=60), process.wait()) for process in runners]
    assert [code for _, code in outcomes] == [0, 0, 0, 0]
    assert sorted(line for (out, _), _ in outcomes for line in out.splitlines() if "nothing" not in line) == [
        *("applied 001_first", "applied 002_second", "applied 003_third", "applied 004_fourth")
    ]
    assert ask(dsn, "select count(*) from runs") == [(2,)]


def test_a_runner_killed_in_a_script_leaves_the_database_as_before_and_the_next_succeeds_soon(
    dsn: str, write: Write
) -> None:
    folder = write(PEOPLE, ("create table pets (name text); select pg_sleep(60);", PETS[1]))
    with runner(dsn, "up", "--directory", folder) as process:
        wait_for(dsn, ASLEEP)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert tables(dsn) == ["people"]
    assert migrations.status(dsn, folder)[1] == "002_second pending"
    write(PEOPLE, PETS)
    started = time.monotonic()
    assert migrations.up(dsn, folder) == ["applied 002_second"]
    assert time.monotonic() - started < 3


# Scripts that cannot run in a transaction


def test_an_index_is_made_and_dropped_concurrently(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PEOPLE_BY_AGE)
    migrations.up(dsn, folder)
    assert ask(dsn, "select indexname from pg_indexes where tablename = 'people' order by 1") == [
        *(("people_by_age",), ("people_pkey",))
    ]
    assert migrations.down(dsn, folder, to=0) == ["reverted 002_second", "reverted 001_first"]


@pytest.mark.parametrize(
    "statement",
    [
        "create index concurrently people_by_age on people (age);",
        "create table pets ();",
        "insert into people values ('Ada', 36);",
    ],
)
def test_only_a_repeatable_index_statement_may_run_outside_of_a_transaction(
    dsn: str, write: Write, statement: str
) -> None:
    folder = write(PEOPLE, (f"{ALONE}\n{statement}", "select 1;"))
    with pytest.raises(
        MigrationError, match=r"002_second\.sql: outside of a transaction goes one CREATE or DROP INDEX"
    ):
        migrations.up(dsn, folder)


def test_a_second_statement_outside_of_a_transaction_is_refused(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, (PEOPLE_BY_AGE[0] + "\ninsert into people values ('Ada', 36);", "select 1;"))
    with pytest.raises(MigrationError, match=r"002_second\.sql: 25001: "):
        migrations.up(dsn, folder)
    assert ask(dsn, "select count(*) from people") == [(0,)]


def test_an_index_build_that_was_killed_is_done_again(dsn: str, write: Write) -> None:
    migrations.up(dsn, write(PEOPLE))
    folder = write(PEOPLE, PEOPLE_BY_AGE)
    building = "select from pg_stat_activity where query like '%concurrently%' and pid <> pg_backend_pid()"
    with psycopg.connect(dsn) as conn:
        conn.execute("insert into people values ('Ada', 36)")  # CREATE INDEX CONCURRENTLY waits for this transaction
        with runner(dsn, "up", "--directory", folder) as process:
            wait_for(dsn, "exists (select from pg_index where indrelid = 'people'::regclass and not indisvalid)")
            process.kill()
        wait_for(dsn, f"not exists ({building} and datname = current_database())")
    invalid = "select indisvalid from pg_index where indexrelid = 'people_by_age'::regclass"
    assert ask(dsn, invalid) == [(False,)]
    assert migrations.up(dsn, folder) == ["applied 002_second"]
    assert ask(dsn, invalid) == [(True,)]


def test_an_index_that_was_built_but_not_booked_is_booked(dsn: str, write: Write) -> None:
    migrations.up(dsn, write(PEOPLE))
    ask(dsn, PEOPLE_BY_AGE[0])
    assert migrations.up(dsn, write(PEOPLE, PEOPLE_BY_AGE)) == ["applied 002_second"]


# Adopting what psql has applied


def test_adopt_books_what_was_applied_by_hand_and_applies_the_rest(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PEOPLE_BY_AGE, PETS)
    ask(dsn, PEOPLE[0])
    ask(dsn, PEOPLE_BY_AGE[0])
    ask(dsn, "insert into people values ('Ada', 36)")
    assert migrations.up(dsn, folder, adopt=2) == ["adopted 001_first", "adopted 002_second", "applied 003_third"]
    assert migrations.up(dsn, folder, adopt=2) == []
    assert ask(dsn, "select count(*) from people") == [(1,)]
    assert tables(dsn) == ["people", "pets"]


@pytest.mark.parametrize(
    ("by_hand", "message"),
    [
        (
            [PEOPLE[0], PETS[0]],
            r'^002_second is not wholly there, .* 002_second_down\.sql: 42704: index "people_by_age"',
        ),
        (
            [PEOPLE[0], PEOPLE_BY_AGE[0], "create table pets ();"],
            r'^003_third .* 003_third_down\.sql: 42704: index "pets_by_name"',
        ),
        ([PETS[0]], r"^002_second is not wholly there"),
    ],
)
def test_adopt_refuses_what_is_not_all_there_and_books_nothing(
    dsn: str, write: Write, by_hand: list[str], message: str
) -> None:
    for script in by_hand:
        ask(dsn, script)
    before = tables(dsn)
    folder = write(PEOPLE, PEOPLE_BY_AGE, PETS)
    with pytest.raises(MigrationError, match=message):
        migrations.up(dsn, folder, adopt=3)
    assert tables(dsn) == before
    assert migrations.status(dsn, folder)[:3] == ["001_first pending", "002_second pending", "003_third pending"]


def test_adopt_refuses_a_number_that_no_file_has(dsn: str, write: Write) -> None:
    with pytest.raises(MigrationError, match="there is no migration 002 to adopt"):
        migrations.up(dsn, write(PEOPLE), adopt=2)


def test_a_file_applied_with_psql_can_be_adopted(dsn: str, write: Write) -> None:
    folder = write(PEOPLE)
    psql = [
        postgres.installation()[0] / "bin" / "psql",
        dsn,
        "-q",
        "-1",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        folder / "001_first.sql",
    ]
    subprocess.run(psql, check=True)
    assert run(dsn, "up", "--adopt", "001", "--directory", folder).stdout == "adopted 001_first\n"


# Going down over data


def test_down_over_rows_is_refused_unless_told_to_destroy_them(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, PETS)
    migrations.up(dsn, folder)
    ask(dsn, "insert into people values ('Ada', 36)")
    with pytest.raises(MigrationError, match=r"would destroy rows of public\.people; --destroy-data"):
        migrations.down(dsn, folder, to=0)
    assert tables(dsn) == ["people", "pets"]
    assert migrations.down(dsn, folder, to=0, destroy_data=True) == ["reverted 002_second", "reverted 001_first"]


def test_down_sees_rows_that_row_level_security_hides_from_the_owner(dsn: str, write: Write) -> None:
    isolated = """
        create table people (tenant_id uuid);
        insert into people values (gen_random_uuid());
        alter table people enable row level security, force row level security;
        create policy p on people to leadline_owner using (tenant_id = current_setting('app.current_tenant_id')::uuid);
    """
    folder = write((isolated, PEOPLE[1]))
    migrations.up(dsn, folder)
    with pytest.raises(psycopg.errors.UndefinedObject):
        ask(dsn, "select * from people")
    with pytest.raises(MigrationError, match=r"would destroy rows of public\.people;"):
        migrations.down(dsn, folder)
    assert ask(dsn, "select relforcerowsecurity from pg_class where relname = 'people'") == [(True,)]


def seeding(up: str = "insert into people values ('Ada', 36);") -> tuple[str, str]:
    return (PEOPLE[0] + up, PEOPLE[1])


def test_down_over_rows_that_the_script_itself_has_written_needs_no_leave(dsn: str, write: Write) -> None:
    folder = write(seeding())
    migrations.up(dsn, folder)
    assert migrations.down(dsn, folder) == ["reverted 001_first"]
    assert migrations.up(dsn, folder) == ["applied 001_first"]
    assert ask(dsn, "select * from people") == [("Ada", 36)]


@pytest.mark.parametrize(
    "change",
    ["insert into people values ('Bob', 40)", "update people set age = 37"],
)
def test_down_over_seeded_rows_that_have_been_changed_is_refused(dsn: str, write: Write, change: str) -> None:
    folder = write(seeding())
    migrations.up(dsn, folder)
    ask(dsn, change)
    with pytest.raises(MigrationError, match=r"would destroy rows of public\.people;"):
        migrations.down(dsn, folder)


def test_down_over_seeded_rows_is_refused_when_the_edited_script_would_not_write_them(dsn: str, write: Write) -> None:
    for edited in (seeding("insert into people values ('Eve', 36);"), seeding("insert into nobody values (1);")):
        migrations.up(dsn, write(seeding()))
        with pytest.raises(MigrationError, match=r"would destroy rows of public\.people;"):
            migrations.down(dsn, write(edited))
        migrations.down(dsn, write(seeding()))


def test_down_over_a_column_of_a_table_with_rows_is_refused(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, ("alter table people add note text;", "alter table people drop note;"))
    migrations.up(dsn, folder)
    ask(dsn, "insert into people values ('Ada', 36)")
    with pytest.raises(MigrationError, match=r"would destroy rows of public\.people;"):
        migrations.down(dsn, folder)
    ask(dsn, "delete from people")
    assert migrations.down(dsn, folder) == ["reverted 002_second"]


def test_down_over_a_table_that_stays_whole_needs_no_leave(dsn: str, write: Write) -> None:
    folder = write(PEOPLE, ("create index people_by_age on people (age);", "drop index people_by_age;"))
    migrations.up(dsn, folder)
    ask(dsn, "insert into people values ('Ada', 36)")
    assert migrations.down(dsn, folder) == ["reverted 002_second"]


def test_down_names_a_partitioned_table_once_and_a_partition_that_goes_alone(dsn: str, write: Write) -> None:
    parted = "create table log (at date) partition by range (at); create table log_default partition of log default;"
    one_more = "create table log_2020 partition of log for values from ('2020-01-01') to ('2021-01-01');"
    folder = write((parted, "drop table log;"), (one_more, "drop table log_2020;"))
    migrations.up(dsn, folder)
    ask(dsn, "insert into log values ('2020-05-05')")
    with pytest.raises(MigrationError, match=r"rows of public\.log_2020;"):
        migrations.down(dsn, folder)
    with pytest.raises(MigrationError, match=r"rows of public\.log;"):
        migrations.down(dsn, folder, to=0)


# At deploy


@pytest.fixture
def migrate() -> ModuleType:
    """functions/migrate/app.py, with the migrations of this tree in its folder."""
    spec = importlib.util.spec_from_file_location("migrate_app", ROOT / "functions" / "migrate" / "app.py")
    assert spec
    assert spec.loader
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    assert sorted(app.DIRECTORY.iterdir()) == sorted(
        app.DIRECTORY / path.name for path in (ROOT / "migrations").iterdir()
    )
    return app


@pytest.fixture
def secrets_of_the_cloud(
    server: Server, scratch_database: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The environment of the deployed function; answers the passwords that Secrets Manager holds, by role."""
    administrator = psycopg.conninfo.conninfo_to_dict(server.dsn("superuser"))
    passwords = {role: server.password(key) for key, role in [("owner", "leadline_owner"), ("app", "leadline_app")]}
    passwords |= {"leadline_dispatch": server.password("dispatch")}
    passwords |= {str(administrator["user"]): str(administrator.get("password", ""))}
    variables = dict(zip(("OWNER", "APP", "DISPATCH", "ADMIN"), passwords, strict=True))
    address = f"{administrator['host']}:{administrator.get('port', 5432)}"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://leadline_owner@{address}/{scratch_database}_cloud")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws():
        client = boto3.client("secretsmanager")
        for variable, role in variables.items():
            text = json.dumps({"username": role, "password": passwords[role]})
            monkeypatch.setenv(f"{variable}_SECRET_ARN", client.create_secret(Name=role, SecretString=text)["ARN"])
        yield passwords
    with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(f"drop database if exists {scratch_database}_cloud with (force)".encode())


def test_at_deploy_the_function_makes_the_database_migrates_and_sets_the_passwords(
    server: Server, scratch_database: str, migrate: ModuleType, secrets_of_the_cloud: dict[str, str]
) -> None:
    assert migrate.handler({"action": "up", "adopt": None}, None)["done"][0] == "applied 001_foundation"
    assert migrate.handler({"action": "up"}, None) == {"done": []}
    assert migrate.handler({"action": "status"}, None)["status"][0].startswith("001_foundation applied ")
    database = f"{scratch_database}_cloud"
    for role, key in [("leadline_owner", "owner"), ("leadline_app", "app"), ("leadline_dispatch", "dispatch")]:
        assert server.password(key) == secrets_of_the_cloud[role]
        assert ask(server.dsn(key, database), "select current_user::text") == [(role,)]


def test_without_secrets_the_function_migrates_the_database_of_database_url(
    dsn: str, migrate: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", dsn)
    with psycopg.connect(dsn) as conn:
        conn.execute((ROOT / "migrations" / "001_foundation.sql").read_bytes())
    assert migrate.handler({"action": "up", "adopt": "001"}, None)["done"][0] == "adopted 001_foundation"
    with pytest.raises(MigrationError, match="no action 'down'"):
        migrate.handler({"action": "down"}, None)


# What only an administrator can do


def test_the_owner_is_neither_superuser_nor_above_row_level_security(server: Server, scratch_database: str) -> None:
    attributes = (
        "select rolsuper, rolbypassrls, rolcreaterole, rolcanlogin from pg_roles where rolname = 'leadline_owner'"
    )
    assert ask(server.dsn("owner", scratch_database), attributes) == [(False, False, True, True)]
    owned = "select datdba::regrole::text from pg_database where datname = current_database()"
    assert ask(server.dsn("owner", scratch_database), owned) == [("leadline_owner",)]


def test_bootstrap_at_once_by_several_makes_one_database(server: Server, scratch_database: str) -> None:
    code = "import sys; from leadline import migrations; migrations.bootstrap(*sys.argv[1:])"
    arguments = [server.dsn("superuser"), f"{scratch_database}_twice", server.password("owner")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "layers" / "leadline")}
    several = [subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment) for _ in range(4)]
    try:
        assert [process.wait(timeout=60) for process in several] == [0, 0, 0, 0]
    finally:
        with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
            conn.execute(f"drop database if exists {scratch_database}_twice with (force)".encode())


def test_an_administrator_who_is_no_superuser_can_bootstrap(server: Server, scratch_database: str) -> None:
    """As RDS's master user: CREATEROLE and CREATEDB, but no superuser."""
    master, database = f"master_{scratch_database}", f"{scratch_database}_rds"
    with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(f"create role {master} login createrole createdb password 'secret'".encode())
        conn.execute(f"grant leadline_owner to {master} with admin option".encode())
        try:
            url = psycopg.conninfo.make_conninfo(server.dsn("superuser", "postgres"), user=master, password="secret")
            migrations.bootstrap(url, database, server.password("owner"))
            assert ask(server.dsn("owner", database), "select current_user::text") == [("leadline_owner",)]
        finally:
            conn.execute(f"drop database if exists {database} with (force)".encode())
            conn.execute(f"drop owned by {master}".encode())
            conn.execute(f"drop role {master}".encode())
