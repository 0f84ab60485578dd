"""The embedded PostgreSQL: where it lives, as whom it runs, who may stop it, and how it comes back after a kill."""

import os
import pwd
import re
import shutil
import signal
import site
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import postgres

pytestmark = pytest.mark.storm  # servers are started, killed and copied, which takes seconds each

ROOT = Path(__file__).parent.parent
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root must become another user")
EMBEDDED = pytest.mark.skipif(
    bool(os.environ.get("DATABASE_URL") or os.environ.get("POSTGRES_URL")), reason="DATABASE_URL names another server"
)
# A process that starts the server, says so, and ends with its standard input.
USER = """
import sys
from pathlib import Path
from local import postgres
print(postgres.start(Path(sys.argv[1]), durable=False).url, flush=True)
sys.stdin.read()
postgres.stop(Path(sys.argv[1]))
"""


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own, open to everybody; its server is stopped and its home removed at the end."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    folder = Path(tempfile.mkdtemp(prefix="leadline-test-"))
    folder.chmod(0o755)
    yield folder / "data"
    postgres.stop(folder / "data")
    for home in (folder / "data").glob("postgres-*"):
        shutil.rmtree(home.resolve())
    shutil.rmtree(folder)


def answers(server: postgres.Server) -> str:
    """The version that the server tells its superuser."""
    with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        return str(conn.execute("show server_version_num").fetchone())


def is_down(server: postgres.Server) -> bool:
    try:
        answers(server)
    except psycopg.OperationalError:
        return True
    return False


def postmaster(data: Path) -> int:
    return int(next(data.glob("postgres-*/cluster/postmaster.pid")).read_text().split()[0])


def environment() -> dict[str, str]:
    """What a child needs to import from here, whichever interpreter runs it."""
    path = [str(ROOT), str(ROOT / "layers" / "leadline"), *site.getsitepackages()]
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}


def user(data: Path, python: str = sys.executable, **identity: Any) -> subprocess.Popen[str]:
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([python, "-c", USER, str(data)], env=environment(), text=True, **pipes, **identity)


def python_for(identity: dict[str, Any]) -> str:
    """An interpreter of our version that another user can run: root's virtual environment may lead into /root."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        with suppress(OSError):
            command = [python, "-c", "import local.postgres"]
            if subprocess.run(command, env=environment(), capture_output=True, check=False, **identity).returncode == 0:
                return python
    pytest.skip(f"an ordinary user finds no {name} here that can import from {ROOT}")


def test_a_second_start_finds_the_running_server_and_the_data_outlive_a_stop(data: Path) -> None:
    server = postgres.start(data, durable=False)
    assert postgres.start(data, durable=False) == server
    with psycopg.connect(server.dsn("superuser", "postgres")) as conn:
        conn.execute("create table kept ()")
    postgres.stop(data)
    assert is_down(server)
    with psycopg.connect(postgres.start(data).dsn("superuser", "postgres")) as conn:
        assert conn.execute("select count(*) from kept").fetchone() == (0,)
        assert conn.execute("select current_setting('fsync')").fetchone() == ("on",)


def test_a_server_that_may_lose_data_is_not_given_to_one_who_wants_them_kept(data: Path) -> None:
    postgres.start(data, durable=False)
    with pytest.raises(postgres.ServerError, match="to lose data in a crash; stop it first"):
        postgres.start(data)


@EMBEDDED
def test_it_listens_on_127_0_0_1_only_and_wants_passwords(server: postgres.Server) -> None:
    with psycopg.connect(server.dsn("superuser", "postgres")) as conn:
        where = "select setting from pg_settings where name in ('listen_addresses', 'unix_socket_directories')"
        assert sorted(conn.execute(where)) == [("",), ("127.0.0.1",)]
        assert conn.execute("select address, auth_method from pg_hba_file_rules").fetchall() == [
            ("127.0.0.1", "scram-sha-256")
        ]
        (cluster,) = conn.execute("show data_directory").fetchone() or ("",)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn("superuser", "postgres"), password="guessed")
    password = Path(cluster).parent / "superuser-password"
    assert stat.S_IMODE(password.stat().st_mode) == 0o600
    assert password.read_text() not in repr(server)


@EMBEDDED
def test_the_extensions_the_schema_needs_are_there_and_letters_of_any_script_are_letters(
    server: postgres.Server, scratch_database: str
) -> None:
    with psycopg.connect(server.dsn("owner", scratch_database)) as conn:
        for extension in ("pg_trgm", "pgcrypto", "btree_gin"):
            conn.execute(f"create extension {extension}".encode())
        assert conn.execute("select lower('ÉŁÖ'), similarity('Żółć', 'żółć')").fetchone() == ("éłö", 1.0)
        assert conn.execute("select count(*) > 0 from pg_stat_statements").fetchone() == (True,)


def test_stop_leaves_a_server_that_another_process_uses(data: Path) -> None:
    with user(data) as other:
        assert other.stdout
        other.stdout.readline()
        server = postgres.start(data, durable=False)
        postgres.stop(data)
        answers(server)
        other.communicate("")
    assert other.returncode == 0
    assert is_down(server)


def test_processes_that_start_at_once_share_one_server(data: Path) -> None:
    several = [user(data) for _ in range(4)]
    urls = {process.stdout.readline() for process in several if process.stdout}
    assert len(urls) == 1
    assert [(process.communicate("")[1], process.wait()) for process in several] == [("", 0)] * 4
    assert is_down(postgres.Server(urls.pop().strip()))


def test_a_killed_process_leaves_a_server_that_the_next_one_uses_and_stops(data: Path) -> None:
    with user(data) as killed:
        assert killed.stdout
        url = killed.stdout.readline().strip()
        killed.kill()
    server = postgres.start(data, durable=False)
    assert server.url == url
    postgres.stop(data)
    assert is_down(server)


def test_a_killed_server_is_started_again_whatever_its_pid_file_says(data: Path) -> None:
    server = postgres.start(data)
    with psycopg.connect(server.dsn("superuser", "postgres")) as conn:
        conn.execute("create table kept ()")
    os.kill(postmaster(data), signal.SIGKILL)
    (pid_file,) = data.glob("postgres-*/cluster/postmaster.pid")
    pid_file.write_text(pid_file.read_text().replace(str(postmaster(data)), str(os.getpid()), 1))
    with psycopg.connect(postgres.start(data).dsn("superuser", "postgres")) as conn:
        assert conn.execute("select count(*) from kept").fetchone() == (0,)


def test_a_first_start_that_was_killed_half_way_is_begun_again(data: Path) -> None:
    _, version = postgres.installation()
    home = data / f"postgres-{version.partition('.')[0]}"
    (home / "cluster.new" / "base").mkdir(parents=True)
    (home / "superuser-password").write_text("hal")
    answers(postgres.start(data, durable=False))
    assert not (home / "cluster.new").exists()


def test_a_chmod_over_the_data_is_put_right(data: Path) -> None:
    postgres.start(data, durable=False)
    postgres.stop(data)
    for path in data.rglob("*"):
        path.chmod(0o755)
    answers(postgres.start(data, durable=False))
    (home,) = data.glob("postgres-*")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_server_that_cannot_start_says_why(data: Path) -> None:
    postgres.start(data, durable=False)
    postgres.stop(data)
    (control,) = data.glob("postgres-*/cluster/global/pg_control")
    control.rename(control.with_name("gone"))
    with pytest.raises(postgres.ServerError, match=r"(?s)pg_ctl failed:.*could not find the database system"):
        postgres.start(data, durable=False)


def test_a_data_folder_with_a_long_path_is_no_hindrance(data: Path) -> None:
    long = data / ("a" * 100) / ("b" * 100)
    try:
        answers(postgres.start(long, durable=False))
    finally:
        postgres.stop(long)


# As root


@AS_ROOT
@EMBEDDED
def test_as_root_the_server_runs_as_nobody_and_in_no_group_of_roots(server: postgres.Server) -> None:
    nobody = pwd.getpwnam("nobody")
    with psycopg.connect(server.dsn("superuser", "postgres")) as conn:
        process = Path(f"/proc/{conn.info.backend_pid}")
        assert (process.stat().st_uid, process.stat().st_gid) == (nobody.pw_uid, nobody.pw_gid)
        (groups,) = re.findall(r"^Groups:(.*)$", (process / "status").read_text(), re.MULTILINE)
        assert groups.split() in ([], [str(nobody.pw_gid)])


@AS_ROOT
def test_as_root_data_under_a_closed_folder_live_apart_and_are_found_again(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data.parent.chmod(0o700)
    server = postgres.start(data, durable=False)
    (home,) = data.glob("postgres-*")
    assert home.resolve().parent == postgres.APART
    assert f"it lives in {home.resolve()}" in capsys.readouterr().err
    assert stat.S_IMODE(home.resolve().stat().st_mode) == 0o700
    postgres.stop(data)
    assert is_down(server)
    answers(postgres.start(data, durable=False))
    assert list(data.glob("postgres-*")) == [home]
    assert stat.S_IMODE(data.parent.stat().st_mode) == 0o700


@AS_ROOT
def test_as_root_binaries_that_nobody_can_reach_are_copied_beside_the_data(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree, version) = postgres.installation()
    closed = data.parent / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(tree, closed / "tree", symlinks=True)
    monkeypatch.setattr(postgres, "installations", lambda: iter([closed / "tree"]))
    server = postgres.start(data, durable=False)
    (copy,) = data.glob(f"postgres-*/postgresql-{version}")
    assert Path(f"/proc/{postmaster(data)}/exe").resolve() == (copy / "bin" / "postgres").resolve()
    assert postgres.start(data, durable=False) == server


@AS_ROOT
def test_an_ordinary_user_starts_and_stops_a_server_of_his_own_and_root_may_join(data: Path) -> None:
    nobody: dict[str, Any] = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": [], "cwd": "/"}
    python = python_for(nobody)
    data.mkdir()
    os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    with user(data, python=python, **nobody) as process:
        assert process.stdout
        server = postgres.Server(process.stdout.readline().strip())
        answers(server)
        assert postgres.start(data, durable=False) == server
        postgres.stop(data)
        answers(server)
        assert process.communicate("")[1] == ""
    assert process.returncode == 0
    assert is_down(server)
    answers(postgres.start(data, durable=False))


# Another's server


def test_database_url_names_the_server_and_is_never_stopped(
    server: postgres.Server, scratch_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.dsn("superuser", scratch_database))
    given = postgres.start(tmp_path)
    assert given.dsn("superuser") == server.dsn("superuser", scratch_database)
    postgres.stop(tmp_path)
    answers(given)
    assert list(tmp_path.iterdir()) == []


def test_the_maintenance_database_of_a_given_server_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for url in ("postgres://admin:pw@db.example", "postgresql://admin:pw@db.example/postgres?sslmode=require"):
        monkeypatch.setenv("POSTGRES_URL", url)
        assert postgres.start(tmp_path).dsn("owner").startswith("postgresql://leadline_owner:")
        assert postgres.start(tmp_path).dsn("owner").partition("db.example")[2] in (
            "/leadline",
            "/leadline?sslmode=require",
        )


def test_two_stacks_agree_on_the_passwords_of_a_server(server: postgres.Server) -> None:
    """One may be given the administrator's URL, the other the owner's."""
    owners = postgres.Server(server.dsn("owner"))
    for role in ("owner", "app", "dispatch"):
        assert owners.dsn(role) == server.dsn(role)
    assert len({server.password(role) for role in postgres.ROLES}) == 4
    assert server.has_administrator
    assert not owners.has_administrator


def test_a_password_with_reserved_letters_is_not_mangled() -> None:
    given = postgres.Server("postgresql://admin:p%40ss%2Fw%3Ard@db.example:5433/mine", "mine")
    assert given.password("superuser") == "p@ss/w:rd"
    assert given.dsn("superuser", "it's") == "postgresql://admin:p%40ss%2Fw%3Ard@db.example:5433/it%27s"
    assert given.dsn("app").startswith("postgresql://leadline_app:")


def test_prepare_makes_a_database_where_each_role_can_log_in_and_may_run_again(
    server: postgres.Server, scratch_database: str
) -> None:
    for _ in range(2):
        postgres.prepare(server, scratch_database)
    for role in ("owner", "app", "dispatch"):
        with psycopg.connect(server.dsn(role, scratch_database)) as conn:
            assert conn.execute("select current_user::text").fetchone() == (postgres.ROLES[role],)


def test_a_machine_without_postgresql_is_told_what_to_do(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "installations", lambda: iter([data / "nothing"]))
    with pytest.raises(
        postgres.ServerError, match="no PostgreSQL 15 or newer on this machine: install one, or set DATABASE_URL"
    ):
        postgres.start(data)


def test_the_machines_own_postgresql_will_do_where_the_wheel_does_not(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = [tree for tree in postgres.installations() if not tree.is_relative_to(sys.prefix)]
    monkeypatch.setattr(postgres, "installations", lambda: iter(own))
    try:
        server = postgres.start(data, durable=False)
    except postgres.ServerError as error:
        pytest.skip(f"{error}")
    assert answers(server) >= "('15"
