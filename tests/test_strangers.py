"""Two strangers, and two organizations of one tenant: whatever the one has, the other cannot tell that it is there.

Told of every table there is (`rows.py` makes the rows from the catalog), by the application and by the owner, who is
under the same policies and lacks no privilege that could hide one of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import ForeignKeyViolation, InsufficientPrivilege, IntegrityError
from psycopg.rows import dict_row

from leadline.db import Transaction
from local import postgres
from tests import rows
from tests.conftest import Customer
from tests.rows import BY_TRIGGER, OF_CUSTOMERS, Row, Table


@dataclass(frozen=True)
class Business:
    """A customer with one row in every table."""

    customer: Customer
    rows: dict[str, Row]

    def ids(self, table: Table) -> Row:
        """What says of a row that it is this one's."""
        ids = rows.ids(self.customer)
        if table.name in OF_CUSTOMERS:
            ids["id"] = ids.pop(OF_CUSTOMERS[table.name])
        return {name: value for name, value in ids.items() if name in table.types}


@pytest.fixture(scope="module")
def owner(database: postgres.Server) -> Iterator[Transaction]:
    with psycopg.connect(database.dsn("owner"), autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.fixture(scope="module")
def tables(owner: Transaction) -> list[Table]:
    return rows.tables(owner)


@pytest.fixture(scope="module")
def mine(owner: Transaction, customer) -> Business:
    me = customer()
    return Business(me, rows.fill(owner, me))


@pytest.fixture(scope="module", params=["a stranger's", "a sister's"])
def theirs(request: pytest.FixtureRequest, owner: Transaction, customer, mine: Business) -> Business:
    them = customer(beside=mine.customer if request.param == "a sister's" else None)
    return Business(them, rows.fill(owner, them))


@pytest.fixture(params=["app", "owner"])
def role(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def conn(connect, role: str) -> Transaction:
    return connect(role)


@contextmanager
def context(conn: Transaction, customer: Customer) -> Iterator[None]:
    """The customer's context, and nothing of what was done in it afterwards."""
    with conn.transaction(force_rollback=True):
        conn.execute("select enter_context(%s, %s)", [customer.tenant_id, customer.organization_id])
        yield


@contextmanager
def forged_context(conn: Transaction, tenant: Customer, organization: Customer) -> Iterator[None]:
    """The context of one customer's tenant and another's organization, past enter_context, which would refuse it."""
    with conn.transaction(force_rollback=True):
        conn.execute(
            """
            select set_config('app.current_tenant_id', %s::text, true), set_config('app.current_org_id', %s::text, true)
            """,
            [tenant.tenant_id, organization.organization_id],
        )
        yield


def may(conn: Transaction, verb: str, table: Table) -> bool:
    asked = "select has_table_privilege(%(table)s, %(verb)s)"
    if verb != "delete":
        asked += " or has_any_column_privilege(%(table)s, %(verb)s)"
    (row,) = conn.execute(asked + " as may", {"table": table.name, "verb": verb}).fetchall()
    return row["may"]


def may_set(conn: Transaction, table: Table, columns: list[str]) -> list[str]:
    """Those of the columns that the role may update: of some tables it may not update all."""
    asked = "select has_column_privilege(%(table)s, %(column)s, 'update') as may"
    given = {
        column: conn.execute(asked, {"table": table.name, "column": column}).fetchall()[0]["may"] for column in columns
    }
    return [column for column in columns if given[column]]


def outcome(conn: Transaction, statement: sql.Composed, values: list[Any]) -> str:
    """How many rows a statement touches, or the name of its error."""
    try:
        with conn.transaction():
            return f"{conn.execute(statement, values).rowcount} rows"
    except psycopg.Error as error:
        policy = " by policy" if "row-level security policy" in str(error) else ""
        return type(error).__name__ + policy


def update(table: Table, changes: Row, where: Row) -> tuple[sql.Composed, list[Any]]:
    statement = sql.SQL("update {} set {} where {}").format(
        sql.Identifier(table.name), _equal(changes, ", "), _equal(where, " and ")
    )
    return statement, [*changes.values(), *where.values()]


def delete(table: Table, where: Row) -> tuple[sql.Composed, list[Any]]:
    statement = sql.SQL("delete from {} where {}").format(sql.Identifier(table.name), _equal(where, " and "))
    return statement, list(where.values())


def _equal(row: Row, between: str) -> sql.Composed:
    return sql.SQL(between).join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in row)


def key(table: Table, row: Row) -> Row:
    return {name: row[name] for name in ("tenant_id", "organization_id", "id") if name in table.types}


def different(tables: list[Table], mine: Business, theirs: Business) -> list[Table]:
    """The tables in which their row is another than mine: sisters share their tenant's."""
    return [table for table in tables if mine.ids(table) != theirs.ids(table)]


def test_every_row_that_is_seen_is_mine(conn, tables, mine, theirs) -> None:
    for table in tables:
        with context(conn, mine.customer):
            found = conn.execute(sql.SQL("select * from {}").format(sql.Identifier(table.name))).fetchall()
        assert key(table, mine.rows[table.name]) in [key(table, row) for row in found], table.name
        for row in found:
            assert row.items() >= mine.ids(table).items(), table.name
            assert row["id"] != theirs.rows[table.name]["id"] or table not in different(tables, mine, theirs)


def test_every_candidate_is_mine(connect, mine, theirs) -> None:
    app = connect()
    for business in (mine, theirs):
        with context(app, business.customer):
            found = app.execute("select id from lead_candidates").fetchall()
        assert [row["id"] for row in found] == [business.rows["leads"]["id"]]


def test_their_rows_are_not_changed(conn, tables, mine, theirs) -> None:
    for table in different(tables, mine, theirs):
        row = theirs.rows[table.name]
        column, *_ = [*may_set(conn, table, ["id", *table.types]), "id"]
        expected = "0 rows" if may(conn, "update", table) else "InsufficientPrivilege"
        with context(conn, mine.customer):
            assert outcome(conn, *update(table, {column: row[column]}, key(table, row))) == expected, table.name


def test_their_rows_are_not_deleted(conn, tables, mine, theirs) -> None:
    for table in different(tables, mine, theirs):
        expected = "0 rows" if may(conn, "delete", table) else "InsufficientPrivilege"
        with context(conn, mine.customer):
            assert outcome(conn, *delete(table, key(table, theirs.rows[table.name]))) == expected, table.name


def test_no_row_is_made_for_them(conn, tables, mine, theirs) -> None:
    for table in different(tables, mine, theirs):
        expected = "InsufficientPrivilege" + (" by policy" if may(conn, "insert", table) else "")
        with context(conn, mine.customer):
            assert outcome(conn, *rows.statement(table, theirs.rows[table.name])) == expected, table.name


def test_no_row_of_mine_is_given_to_them(conn, tables, mine, theirs) -> None:
    for table in different(tables, mine, theirs):
        row = mine.rows[table.name]
        theirs_now = theirs.ids(table)
        may_give = len(may_set(conn, table, list(theirs_now))) == len(theirs_now)
        expected = "InsufficientPrivilege" + (" by policy" if may_give else "")
        with context(conn, mine.customer):
            assert outcome(conn, *update(table, theirs_now, key(table, row))) == expected, table.name


def test_their_rows_are_not_referenced(connect, customer, role, theirs) -> None:
    """Tried by each foreign key of a table before there is a row of mine, so that no unique key is in the way."""
    superuser = connect("superuser")
    for me in (customer(), customer(beside=theirs.customer)):
        with context(superuser, me):
            made: dict[str, Row] = {}
            superuser.execute("set local role leadline_owner")
            for table in rows.one_by_one(superuser, me, made):
                superuser.execute(sql.SQL("set local role {}").format(sql.Identifier(postgres.ROLES[role])))
                expected = ForeignKeyViolation if may(superuser, "insert", table) else InsufficientPrivilege
                second = BY_TRIGGER.get(table.name, {})
                for reference in table.references:
                    if reference.target in OF_CUSTOMERS or reference.target == table.name:
                        continue
                    theirs_there = {
                        ours: theirs.rows[reference.target][column] for ours, column in reference.columns.items()
                    }
                    with pytest.raises(expected):
                        rows.insert(
                            superuser, table, {**rows.references(table, made), **theirs_there, **rows.ids(me), **second}
                        )
                superuser.execute("set local role leadline_owner")


def test_a_copy_of_all_they_have_meets_no_unique_key_of_theirs(connect, customer, tables, theirs) -> None:
    """Ids, phone numbers, names and keys: the same again in another organization, as if nobody had them."""
    superuser = connect("superuser")
    for me in (customer(), customer(beside=theirs.customer)):
        with context(superuser, me):
            for table in tables:
                if table.name in OF_CUSTOMERS:
                    continue
                copy = {**theirs.rows[table.name], **rows.ids(me), **BY_TRIGGER.get(table.name, {})}
                superuser.execute("set local role leadline_app")
                if not may(superuser, "insert", table):
                    superuser.execute("set local role leadline_owner")
                assert outcome(superuser, *rows.statement(table, copy)) == "1 rows", table.name


# A context that enter_context would never have set -------------------------------------------------------------------


@pytest.fixture(params=["my tenant, their organization", "their tenant, my organization"])
def forged(request: pytest.FixtureRequest, owner, mine, customer):
    """Two strangers, the first giving the tenant and the second the organization."""
    them = customer()
    theirs = Business(them, rows.fill(owner, them))
    return (mine, theirs) if request.param.startswith("my") else (theirs, mine)


def test_a_forged_context_shows_nothing_of_an_organization(connect, tables, forged) -> None:
    app = connect()
    tenant, organization = forged
    names = [table.name for table in tables if table.name != "tenants"]
    with forged_context(app, tenant.customer, organization.customer):
        for name in [*names, "lead_candidates"]:
            assert app.execute(sql.SQL("select from {}").format(sql.Identifier(name))).rowcount == 0, name
        # Of the tenant's own table the tenant's own row.
        assert [row["id"] for row in app.execute("select id from tenants").fetchall()] == [tenant.customer.tenant_id]


def test_a_forged_context_changes_and_deletes_nothing(connect, tables, forged) -> None:
    app = connect()
    tenant, organization = forged
    with forged_context(app, tenant.customer, organization.customer):
        for business in forged:
            for table in tables:
                row = business.rows[table.name]
                where = key(table, row)
                assert outcome(app, *update(table, {"id": row["id"]}, where)) in ("0 rows", "InsufficientPrivilege")
                assert outcome(app, *delete(table, where)) in ("0 rows", "InsufficientPrivilege")


def test_a_forged_context_makes_nothing(connect, tables, forged) -> None:
    app = connect()
    tenant, organization = forged
    ids = {**rows.ids(tenant.customer), "organization_id": organization.customer.organization_id}
    with forged_context(app, tenant.customer, organization.customer):
        for table in tables:
            if table.name not in OF_CUSTOMERS:
                # A foreign key of each table holds the organization to its tenant.
                with pytest.raises((InsufficientPrivilege, IntegrityError)):
                    rows.insert(app, table, rows.references(table, organization.rows) | ids)


def test_a_forged_context_gets_no_answer_from_a_function(connect, forged) -> None:
    app = connect()
    tenant, organization = forged
    lead, entry = organization.rows["leads"]["id"], organization.rows["dnc_list"]["phone_number"]
    with forged_context(app, tenant.customer, organization.customer):
        with pytest.raises(psycopg.errors.NoDataFound), app.transaction():
            app.execute("select calculate_lead_score(%s)", [lead])
        with pytest.raises(psycopg.Error), app.transaction():
            app.execute("select is_on_dnc_list(%s, %s)", [entry, organization.customer.organization_id])


def test_a_leaky_function_sees_no_other_organizations_rows_through_the_candidates_view(customer, connect) -> None:
    """The view is no security barrier: what holds is its owner's policy, behind which conditions wait."""
    mine, theirs = customer(), customer()
    app = connect("app")
    for organization, name in ((mine, "Mine"), (theirs, "Theirs")):
        with app.transaction():
            app.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
            app.execute("insert into leads (first_name, phone_number) values (%s, '+14155550142')", [name])
    seen: list[str] = []
    app.add_notice_handler(lambda notice: seen.append(str(notice.message_primary)))
    app.execute(
        """
        create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001
        as $$ begin raise notice '%', $1; return true; end $$
        """
    )
    with app.transaction():
        app.execute("select enter_context(%s, %s)", [mine.tenant_id, mine.organization_id])
        app.execute("select id from lead_candidates where pg_temp.leak(full_name)").fetchall()
    assert seen == ["mine"]
