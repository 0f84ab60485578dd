"""History of leads: the database writes all of it, in the order in which it happened, and the application none."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from leadline.db import Caller, Transaction
from local import postgres
from tests.conftest import Customer

NUMBER = "+14155550142"
DERIVED = {"full_name", "version", "updated_at"}  # change with the others and by themselves


@contextmanager
def acting(conn: Transaction, caller: Caller) -> Iterator[Transaction]:
    """A transaction in the caller's context."""
    with conn.transaction():
        conn.execute(
            """
            select enter_context(
                %(tenant_id)s, %(organization_id)s, %(subject)s, %(role)s, %(ip_address)s, %(user_agent)s,
                %(change_reason)s, %(trigger_type)s, %(trigger_id)s
            )
            """,
            vars(caller),
        )
        yield conn


@pytest.fixture
def acme(customer: Callable[..., Customer]) -> Customer:
    return customer()


@pytest.fixture
def app(connect: Callable[..., Transaction]) -> Transaction:
    return connect("app")


def add_lead(tx: Transaction, number: str = NUMBER) -> Any:
    (lead,) = tx.execute("insert into leads (phone_number) values (%s) returning *", [number]).fetchall()
    return lead


def audit(tx: Transaction) -> list[dict[str, Any]]:
    return tx.execute("select * from lead_audit_log order by changed_at, id").fetchall()


def statuses(tx: Transaction) -> list[dict[str, Any]]:
    return tx.execute("select * from lead_status_history order by changed_at, id").fetchall()


# What is written ------------------------------------------------------------------------------------------------------


def test_a_lead_begins_its_history_from_nothing(app, acme) -> None:
    with acting(app, acme.caller("agent", change_reason="walked in", trigger_type="manual", trigger_id="17")) as tx:
        lead = add_lead(tx)
        (first,) = statuses(tx)
        assert audit(tx) == []
    assert (first["from_status"], first["to_status"], first["changed_at"]) == (None, "new", lead["created_at"])
    assert (first["lead_id"], first["tenant_id"]) == (lead["id"], acme.tenant_id)
    assert (first["user_id"], first["reason"]) == (acme.members["agent"].id, "walked in")
    assert (first["trigger_type"], first["trigger_id"]) == ("manual", "17")


def test_what_nobody_asked_for_was_automation_by_nobody(app, acme) -> None:
    with acting(app, acme.caller(None)) as tx:
        add_lead(tx)
        tx.execute("update leads set status = 'hot', city = 'Austin'")
        found, changed = statuses(tx), audit(tx)
    assert [(row["user_id"], row["trigger_type"], row["trigger_id"], row["reason"]) for row in found] == [
        (None, "automation", None, None)
    ] * 2
    assert [(row["user_id"], row["change_reason"], row["ip_address"], row["user_agent"]) for row in changed] == [
        (None, None, None, None)
    ] * 2


def test_every_field_of_a_lead_is_audited_but_those_that_follow_from_others(app, acme) -> None:
    """Every column there is gets another value, those of later migrations too."""
    agent = acme.members["agent"].id
    other = {
        "uuid": agent,
        "integer": 7,
        "text": "hot",
        "e164": "+14155550143",
        "boolean": True,
        "jsonb": '{"a": [1]}',
        "text[]": ["a", "b c"],
        "timestamp with time zone": datetime(2001, 2, 3, tzinfo=UTC),
    }
    with acting(app, acme.caller()) as tx:
        lead = add_lead(tx)
        columns = tx.execute(
            """
            select attname as name, format_type(atttypid, null) as type from pg_attribute
            where attrelid = 'leads'::regclass and attnum > 0 and not attisdropped
                and attname not in ('tenant_id', 'organization_id', 'id')
            """
        ).fetchall()
        for column in columns:
            if column["name"] in DERIVED:
                continue
            value = {"country": "CA"}.get(column["name"], other[column["type"]])
            changed = tx.execute(
                psycopg.sql.SQL("update leads set {} = %s").format(psycopg.sql.Identifier(column["name"])), [value]
            )
            assert changed.rowcount == 1
        found = audit(tx)
        (after,) = tx.execute("select to_jsonb(leads) as lead from leads").fetchall()
    assert {row["field_name"] for row in found} == {column["name"] for column in columns} - DERIVED
    values = {row["field_name"]: (row["old_value"], row["new_value"]) for row in found}
    assert len(values) == len(found)
    assert values["status"] == ("new", "hot")
    assert values["tags"] == ("[]", '["a", "b c"]')
    assert values["source_metadata"] == ("{}", '{"a": [1]}')
    assert values["user_id"] == (None, str(agent))
    assert values["calling_blocked"] == ("false", "true")
    assert values["deleted_at"] == (None, after["lead"]["deleted_at"])
    assert after["lead"]["version"] == lead["version"] + len(found)


def test_a_change_to_the_same_value_is_none(app, acme) -> None:
    with acting(app, acme.caller()) as tx:
        add_lead(tx)
        tx.execute("update leads set status = status, tags = tags, city = null")
        assert audit(tx) == []
        assert len(statuses(tx)) == 1


def test_changes_of_one_transaction_keep_their_order(app, acme) -> None:
    steps = ["contacted", "qualified", "hot", "cold", "nurturing", "recruited"] * 5
    with acting(app, acme.caller()) as tx:
        add_lead(tx)
        for status in steps:
            tx.execute("update leads set status = %s", [status])
        assert [row["to_status"] for row in statuses(tx)] == ["new", *steps]
        assert [row["from_status"] for row in statuses(tx)] == [None, "new", *steps[:-1]]
        assert [row["new_value"] for row in audit(tx)] == steps


def test_every_update_raises_the_version_and_its_time(app, acme) -> None:
    with acting(app, acme.caller()) as tx:
        lead = add_lead(tx)
    with acting(app, acme.caller()) as tx:
        (after,) = tx.execute(
            "update leads set city = 'Austin', version = 99, updated_at = '2001-01-01' returning *"
        ).fetchall()
    assert lead["version"] == 1
    assert after["version"] == 2
    assert after["updated_at"] > lead["updated_at"] == lead["created_at"]


def test_a_change_that_is_rolled_back_leaves_no_history(app, acme) -> None:
    with acting(app, acme.caller()) as tx:
        add_lead(tx)
    with pytest.raises(psycopg.errors.CheckViolation), acting(app, acme.caller()) as tx:
        tx.execute("update leads set status = 'hot'")
        tx.execute("update leads set status = 'unheard of'")
    with acting(app, acme.caller()) as tx:
        assert audit(tx) == []


# Many at once ---------------------------------------------------------------------------------------------------------

MANY = 10_000


def test_a_change_of_ten_thousand_leads_is_one_statement_with_all_its_history(app, acme, connect) -> None:
    numbers = "select '+1415' || 2000000 + n as phone_number from generate_series(1, %s) as n"
    with acting(app, acme.caller("manager")) as tx:
        made = tx.execute(b"insert into leads (phone_number) " + numbers.encode(), [MANY])
        assert made.rowcount == MANY
        (first,) = tx.execute(
            """
            select count(*) as rows, count(distinct lead_id) as leads, count(from_status) as not_first
            from lead_status_history where to_status = 'new'
            """
        ).fetchall()
        assert first == {"rows": MANY, "leads": MANY, "not_first": 0}
    history = {
        "ip_address": "203.0.113.7",
        "user_agent": "Mozilla",
        "change_reason": "new campaign",
        "trigger_type": "nurture",
        "trigger_id": "run-5",
    }
    # What autovacuum last saw may be other tests' organizations of one lead each: by that, any index that begins with
    # the organization looks as good as the key's for checking it, and each of these rows would read all others.
    connect("owner").execute("analyze leads")
    started = time.perf_counter()
    with acting(app, acme.caller("agent", **history)) as tx:
        changed = tx.execute(
            "update leads set status = 'nurturing', last_name = right(phone_number, 4), tags = array['spring']"
        )
        assert changed.rowcount == MANY
    took = time.perf_counter() - started
    connect("owner").execute("analyze leads, lead_audit_log")  # what autovacuum last saw may be other tests' few rows
    with acting(app, acme.caller()) as tx:
        by_field = tx.execute(
            """
            select
                field_name, count(*) as rows, count(distinct lead_id) as leads, min(old_value) as old_value,
                count(*) filter (where new_value = case field_name
                    when 'status' then 'nurturing' when 'tags' then '["spring"]' else right(phone_number, 4)
                end) as right_value
            from lead_audit_log join leads on leads.id = lead_id
            group by field_name order by field_name
            """
        ).fetchall()
        assert [tuple(row.values()) for row in by_field] == [
            ("last_name", MANY, MANY, None, MANY),
            ("status", MANY, MANY, "new", MANY),
            ("tags", MANY, MANY, "[]", MANY),
        ]
        said = tx.execute(
            "select distinct user_id, change_reason, ip_address, user_agent, changed_at, tenant_id from lead_audit_log"
        ).fetchall()
        assert len(said) == 1
        assert said[0] | {"changed_at": None} == {
            "user_id": acme.members["agent"].id,
            "change_reason": "new campaign",
            "ip_address": "203.0.113.7",
            "user_agent": "Mozilla",
            "changed_at": None,
            "tenant_id": acme.tenant_id,
        }
        assert tx.execute(
            """
            select
                from_status, to_status, user_id, trigger_type, trigger_id, reason, count(*) as rows,
                count(distinct lead_id) as leads
            from lead_status_history where from_status is not null
            group by 1, 2, 3, 4, 5, 6
            """
        ).fetchall() == [
            {
                "from_status": "new",
                "to_status": "nurturing",
                "user_id": acme.members["agent"].id,
                "trigger_type": "nurture",
                "trigger_id": "run-5",
                "reason": "new campaign",
                "rows": MANY,
                "leads": MANY,
            }
        ]
    assert took < 10


def test_leads_that_come_by_copy_have_their_first_statuses(app, acme, connect) -> None:
    with acting(app, acme.caller()) as tx:
        tx.execute("create temporary table arrived (phone_number text, status text) on commit drop")
        with tx.cursor().copy("copy arrived from stdin") as copy:
            for n in range(200):
                copy.write_row([f"+1415{2_000_000 + n}", "cold" if n % 2 else "new"])
        tx.execute("insert into leads (phone_number, status) select * from arrived")
        found = [(row["from_status"], row["to_status"]) for row in statuses(tx)]
    assert sorted(found, key=str) == [(None, "cold")] * 100 + [(None, "new")] * 100
    # Straight into the table only an administrator may copy; the trigger works for him as well.
    superuser = connect("superuser")
    copying = "copy leads (phone_number) from stdin"
    with acting(superuser, acme.caller(None)) as tx, tx.cursor().copy(copying) as copy:
        copy.write_row(["+14153000000"])
    with acting(app, acme.caller()) as tx:
        assert len(statuses(tx)) == 201


# Nobody else writes it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["lead_audit_log", "lead_status_history"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into {} (tenant_id, organization_id, lead_id) select current_tenant_id(), current_org_id(), uuid_v7()",
        "update {} set user_id = null",
        "delete from {}",
        "truncate {}",
    ],
)
def test_the_application_writes_no_history(app, acme, table, statement) -> None:
    with acting(app, acme.caller()) as tx:
        add_lead(tx)
        tx.execute("update leads set status = 'hot'")
    with pytest.raises(InsufficientPrivilege), acting(app, acme.caller()) as tx:
        tx.execute(statement.format(table).encode())


@pytest.mark.parametrize("table", ["budget_transactions", "lead_score_history", "lead_assignments"])
@pytest.mark.parametrize("statement", ["update {} set id = id", "delete from {}", "truncate {}"])
def test_the_application_adds_to_history_and_takes_nothing_from_it(app, acme, table, statement) -> None:
    with pytest.raises(InsufficientPrivilege), acting(app, acme.caller()) as tx:
        tx.execute(statement.format(table).encode())


def test_the_application_calls_no_trigger_of_its_own(app, acme) -> None:
    """A definer function on a table of the caller's would write any history."""
    for function in ("record_lead_creation", "record_lead_change"):
        with pytest.raises(InsufficientPrivilege), acting(app, acme.caller()) as tx:
            tx.execute("create temporary table mine (like leads)")
            tx.execute(
                b"create trigger t after insert on mine referencing new table as created "
                b"for each statement execute function " + function.encode() + b"()"
            )


def test_tables_of_the_callers_own_do_not_stand_in_for_history(app, acme) -> None:
    """The trigger's search path ends with pg_temp."""
    with acting(app, acme.caller()) as tx:
        for table in ("leads", "lead_audit_log", "lead_status_history"):
            tx.execute(f"create temporary table {table} (like public.{table}) on commit drop".encode())
        tx.execute("insert into public.leads (phone_number) values (%s)", [NUMBER])
        tx.execute("update public.leads set status = 'hot'")
        assert tx.execute("select from public.lead_audit_log").rowcount == 1
        assert tx.execute("select from public.lead_status_history").rowcount == 2


# Partitions of the audit log ------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(server: postgres.Server, scratch_database: str) -> postgres.Server:
    """A migrated database of the test's own, since a partition is everybody's."""
    scratch = dataclasses.replace(server, database=scratch_database)
    postgres.prepare(scratch)
    return scratch


def partitions(conn: Transaction) -> list[str]:
    rows = conn.execute(
        """
        select inhrelid::regclass::text as name from pg_inherits
        where inhparent = 'lead_audit_log'::regclass order by name
        """
    )
    return [row["name"] for row in rows.fetchall()]


def months_ahead(count: int) -> list[str]:
    now = datetime.now(UTC)
    months = [now.year * 12 + now.month - 1 + ahead for ahead in range(count + 1)]
    return [f"lead_audit_log_{month // 12}_{month % 12 + 1:02}" for month in months]


def test_partitions_of_this_month_and_three_ahead_are_there_from_the_start(connect) -> None:
    assert {*months_ahead(3), "lead_audit_log_default"} <= set(partitions(connect("owner")))


def test_the_clock_makes_months_ahead_once_and_isolates_them(connect, scratch) -> None:
    dispatch, owner = connect("dispatch", scratch), connect("owner", scratch)
    make = "select make_audit_partitions(5) as made"
    assert dispatch.execute(make).fetchall() == [{"made": months_ahead(5)[4:]}]
    assert dispatch.execute(make).fetchall() == [{"made": []}]
    assert dispatch.execute("select make_audit_partitions() as made").fetchall() == [{"made": []}]
    assert partitions(owner) == sorted([*months_ahead(5), "lead_audit_log_default"])
    for name in months_ahead(5)[4:]:
        (row,) = owner.execute(
            """
            select
                relrowsecurity and relforcerowsecurity as closed, relowner::regrole::text as owner,
                has_table_privilege('leadline_app', oid, 'select, insert, update, delete') as granted,
                (select array_agg(policyname::text) from pg_policies where tablename = relname) as policies
            from pg_class where relname = %s
            """,
            [name],
        ).fetchall()
        assert row == {
            "closed": True,
            "owner": "leadline_owner",
            "granted": False,
            "policies": ["tenant_isolation_policy"],
        }


def test_months_begin_at_midnight_utc_whatever_the_sessions_zone(connect, scratch) -> None:
    dispatch, owner = connect("dispatch", scratch), connect("owner", scratch)
    dispatch.execute("set timezone = 'Pacific/Kiritimati'")
    dispatch.execute("select make_audit_partitions(6)")
    owner.execute("set timezone = 'UTC'")
    bounds = owner.execute(
        """
        select pg_get_expr(relpartbound, oid) as bound from pg_class
        where relispartition and relkind = 'r' and relname ~ '\\d$' order by relname
        """
    ).fetchall()
    for name, row in zip(months_ahead(6), bounds, strict=True):
        year, month = map(int, name.removeprefix("lead_audit_log_").split("_"))
        start, end = datetime(year, month, 1), datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001
        assert row["bound"] == f"FOR VALUES FROM ('{start}+00') TO ('{end}+00')"


def test_only_the_clock_makes_partitions(app, acme) -> None:
    with pytest.raises(InsufficientPrivilege), acting(app, acme.caller()) as tx:
        tx.execute("select make_audit_partitions()")


def audit_row(conn: Transaction, acme: Customer, changed_at: object) -> str:
    """Writes an audit row as the owner, and tells the partition it is in."""
    with acting(conn, acme.caller(None)) as tx:
        lead = add_lead(tx, NUMBER)
        (row,) = tx.execute(
            """
            insert into lead_audit_log (tenant_id, organization_id, lead_id, field_name, changed_at)
            values (current_tenant_id(), current_org_id(), %s, 'city', %s)
            returning tableoid::regclass::text as partition
            """,
            [lead["id"], changed_at],
        ).fetchall()
    return row["partition"]


@pytest.mark.parametrize("changed_at", ["1999-12-31", "2999-01-01"])
def test_a_row_of_a_month_without_a_partition_is_kept_by_default(connect, app, acme, changed_at) -> None:
    assert audit_row(connect("owner"), acme, changed_at) == "lead_audit_log_default"
    with acting(app, acme.caller()) as tx:
        assert [row["field_name"] for row in audit(tx)] == ["city"]


def test_a_row_of_today_is_in_its_month(connect, acme) -> None:
    assert audit_row(connect("owner"), acme, datetime.now(UTC)) == months_ahead(0)[0]


def test_a_row_that_waits_in_the_default_does_not_stop_the_other_months(connect, scratch) -> None:
    """The month it belongs to cannot be made over it; that is a finding for a person, and no reason to make none."""
    owner = connect("owner", scratch)
    with owner.transaction():
        owner.execute(
            """
            select set_config('app.current_tenant_id', uuid_v7()::text, true),
                set_config('app.current_org_id', uuid_v7()::text, true)
            """
        )
        owner.execute("insert into tenants (id, name) values (current_tenant_id(), 'a')")
        owner.execute("insert into organizations (id, name) values (current_org_id(), 'a')")
        lead = add_lead(owner)
        owner.execute(
            """
            insert into lead_audit_log (tenant_id, organization_id, lead_id, field_name, changed_at)
            values (current_tenant_id(), current_org_id(), %s, 'city', now() + interval '4 months')
            """,
            [lead["id"]],
        )
    made = connect("dispatch", scratch).execute("select make_audit_partitions(6) as made").fetchall()
    assert made == [{"made": months_ahead(6)[5:]}]


def test_two_clocks_at_once_make_each_partition_once(connect, scratch) -> None:
    made: list[list[str]] = []
    errors: list[psycopg.Error] = []
    barrier = threading.Barrier(2)

    def call(conn: Transaction) -> None:
        try:
            with conn.transaction():
                barrier.wait()
                (row,) = conn.execute("select make_audit_partitions(8) as made").fetchall()
                made.append(row["made"])
                time.sleep(0.2)
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=[connect("dispatch", scratch)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(made) == [[], months_ahead(8)[4:]]
