"""The two doors to the database."""

import json

import psycopg
import pytest
from botocore.session import get_session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from leadline import db
from leadline.db import fetch_one, system_transaction, tenant_transaction
from leadline.errors import Busy, NotAMember

INSERT = "insert into system_config (config_key, config_value) values (%(key)s, 'true')"
COUNT = "select count(*) from system_config where config_key = %(key)s"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture(params=["on", "off"])
def pipelining(request, monkeypatch):
    monkeypatch.setenv("LEADLINE_PIPELINE", request.param)


def count(organization, key) -> int:
    with tenant_transaction(organization.caller()) as tx:
        return fetch_one(tx, COUNT, {"key": key})["count"]


@pytest.mark.usefixtures("pipelining")
def test_a_transaction_commits_when_its_block_ends(organization):
    with tenant_transaction(organization.caller()) as tx:
        tx.execute(INSERT, {"key": "kept"})
    assert count(organization, "kept") == 1


@pytest.mark.usefixtures("pipelining")
def test_a_transaction_rolls_back_when_its_block_raises(organization):
    with pytest.raises(LookupError), tenant_transaction(organization.caller()) as tx:
        tx.execute(INSERT, {"key": "lost"})
        raise LookupError
    assert count(organization, "lost") == 0


@pytest.mark.usefixtures("pipelining")
def test_a_failed_statement_that_nobody_fetched_still_fails_the_transaction(organization):
    with pytest.raises(psycopg.errors.CheckViolation), tenant_transaction(organization.caller()) as tx:
        tx.execute(INSERT, {"key": "before"})
        tx.execute(INSERT, {"key": "Not A Key"})
    assert count(organization, "before") == 0


@pytest.mark.usefixtures("pipelining")
def test_a_stranger_is_no_member_whatever_the_block_does_first(organization, customer):
    stranger = customer()
    caller = db.Caller(organization.tenant_id, organization.organization_id, stranger.members["agent"].subject, "agent")
    with pytest.raises(NotAMember), tenant_transaction(caller) as tx:
        tx.execute(INSERT, {"key": "sneaked"}).fetchall()
    with pytest.raises(NotAMember), tenant_transaction(caller):
        pass
    assert count(organization, "sneaked") == 0


@pytest.mark.usefixtures("pipelining")
def test_transactions_do_not_nest(organization, customer):
    inner = customer()
    with pytest.raises(RuntimeError, match="nest"), tenant_transaction(organization.caller()) as tx:
        tx.execute(INSERT, {"key": "outer"})
        with tenant_transaction(inner.caller()):
            pass
    assert count(organization, "outer") == 0


def test_the_context_ends_with_its_transaction(organization):
    for ends in (None, LookupError):
        try:
            with tenant_transaction(organization.caller()) as tx:
                fetch_one(tx, "select current_org_id()", {})
                if ends:
                    raise ends
        except LookupError:
            assert ends
        with pytest.raises(psycopg.errors.InvalidTextRepresentation), system_transaction() as tx:
            tx.execute("select * from leads").fetchall()


def test_the_connection_serves_after_every_kind_of_end(organization):
    with pytest.raises(psycopg.errors.DivisionByZero), tenant_transaction(organization.caller()) as tx:
        tx.execute("select 1 / 0").fetchone()
    assert db._connection.info.transaction_status == TransactionStatus.IDLE
    assert count(organization, "anything") == 0


def test_a_connection_that_the_server_has_closed_is_opened_again(organization, connect):
    before = count(organization, "anything")
    backend = db._connection.info.backend_pid
    connect("superuser").execute("select pg_terminate_backend(%s, 5000)", (backend,))
    assert count(organization, "anything") == before
    assert db._connection.info.backend_pid != backend


def test_a_connection_that_is_lost_before_the_commit_is_busy(organization, connect):
    with pytest.raises(Busy), tenant_transaction(organization.caller()) as tx:
        fetch_one(tx, "select 1 as one", {})
        connect("superuser").execute("select pg_terminate_backend(%s, 5000)", (tx.info.backend_pid,))
        tx.execute("select 1").fetchone()
    assert count(organization, "anything") == 0


def test_copy_goes_through_a_transaction_without_a_pipeline(organization):
    with tenant_transaction(organization.caller(), pipelined=False) as tx:
        # Into a temporary table: row-level security refuses COPY into the table itself.
        tx.execute("create temporary table incoming (config_key text) on commit drop")
        with tx.cursor().copy("copy incoming from stdin") as copy:
            copy.write_row(("copied",))
        tx.execute("insert into system_config (config_key, config_value) select config_key, 'true' from incoming")
    assert count(organization, "copied") == 1


def test_a_time_limit_of_the_role_is_busy(organization):
    with pytest.raises(Busy), tenant_transaction(organization.caller()) as tx:
        tx.execute("set local statement_timeout = '50ms'")
        tx.execute("select pg_sleep(5)")


def test_the_iam_token_is_the_one_that_botocore_makes(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session/+token")
    rds = get_session().create_client("rds", region_name="eu-west-1")
    theirs = rds.generate_db_auth_token("proxy.example.com", 5432, "leadline_app")
    ours = db._iam_token("proxy.example.com", "5432", "leadline_app")
    assert _without_time(ours) == _without_time(theirs)
    assert ours.startswith("proxy.example.com:5432/?")


def _without_time(token: str) -> set[str]:
    parts = token.split("?", 1)[1].split("&")
    return {part for part in parts if not part.startswith(("X-Amz-Date=", "X-Amz-Signature="))}


@pytest.mark.parametrize(("pipeline", "most"), [("on", 2), ("off", 4)])
def test_an_opened_transaction_costs_two_round_trips(organization, delayed, monkeypatch, pipeline, most):
    monkeypatch.setenv("LEADLINE_PIPELINE", pipeline)
    with delayed() as trips:
        count(organization, "anything")
        before = trips()
        count(organization, "anything")
        assert trips() - before <= most


def test_a_database_that_does_not_answer_is_busy_and_the_log_says_why(organization, monkeypatch, logged):
    monkeypatch.setenv("DATABASE_URL", "postgresql://leadline_app:x@127.0.0.1:1/leadline")
    monkeypatch.setattr("leadline.db._connection", None)
    with pytest.raises(Busy), tenant_transaction(organization.caller()):
        pass
    assert "Connection refused" in logged()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('aé🔥\\"', max_size=3), inner),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON)
def test_json_is_read_as_python_itself_reads_it(organization, value):
    with tenant_transaction(organization.caller()) as tx:
        row = fetch_one(
            tx,
            "select value, value::text as text from (select %(value)s::jsonb as value) as one",
            {"value": Jsonb(value)},
        )
    assert repr(row["value"]) == repr(json.loads(row["text"]))
