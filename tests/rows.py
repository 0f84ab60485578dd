"""Rows made from the catalog: one for every table there is, so that a table of a later migration is tried as well.

A row gets what its table demands: columns that are not null and have no default, and the columns of its keys, foreign
ones too. What a CHECK refuses is tried again with other values, those that stand in the CHECK among them.
"""

import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import product
from typing import Any
from uuid import uuid4

from psycopg import sql
from psycopg.errors import CheckViolation
from psycopg.types.json import Jsonb

from leadline.db import Transaction
from tests.conftest import Customer

Row = dict[str, Any]

# Reference data: nobody's rows, read by all and written by the owner alone.
REFERENCE = ["area_codes", "calling_rules", "calling_windows", "holidays"]
OF_NOBODY = ["schema_migrations", "unmatched_webhooks"]  # no organization's: the runner's own, and what nobody knows of
OF_CUSTOMERS = {"tenants": "tenant_id", "organizations": "organization_id"}  # whose id is everybody else's key
# Made with the row that they belong to, and what a second one would have.
BY_TRIGGER: dict[str, dict[str, Any]] = {"sequence_versions": {"version": 2}}

VALUES: dict[str, Callable[[], list[Any]]] = {
    "uuid": lambda: [uuid4()],
    "text": lambda: ["a" + secrets.token_hex(6)],
    "e164": lambda: [f"+1415{2_000_000 + secrets.randbelow(8_000_000)}"],
    "text[]": lambda: [[]],
    "integer": lambda: [1, 0],
    "bigint": lambda: [1, 0],
    "numeric": lambda: [1, 0],
    "boolean": lambda: [True, False],
    "jsonb": lambda: [{}, []],
    "date": lambda: [date(2024, 1, 1)],
    "timestamp with time zone": lambda: [datetime.now(UTC)],
}


@dataclass(frozen=True)
class Reference:
    target: str
    columns: dict[str, str]  # ours: theirs


@dataclass(frozen=True)
class Table:
    name: str
    types: dict[str, str]  # of every column that can be written
    demanded: list[str]
    nullable: set[str]
    checks: dict[str, list[str]]  # name: columns
    choices: dict[str, list[str]]  # column: the texts in its checks
    references: list[Reference]


def tables(conn: Transaction) -> list[Table]:
    """Every table of an organization but its partitions, each after those that it references."""
    found = {
        row["name"]: _table(conn, row["name"], row["oid"])
        for row in conn.execute(
            """
        select c.oid, c.relname as name from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname <> all (%s)
        order by name
        """,
            [OF_NOBODY + REFERENCE],
        ).fetchall()
    }
    in_order: dict[str, Table] = {}
    while len(in_order) < len(found):
        ready = [
            table
            for name, table in found.items()
            if name not in in_order and {reference.target for reference in table.references} <= in_order.keys() | {name}
        ]
        assert ready, f"the foreign keys of {found.keys() - in_order.keys()} form a circle"
        in_order |= {table.name: table for table in ready}
    return list(in_order.values())


def _table(conn: Transaction, name: str, oid: int) -> Table:
    columns = conn.execute(
        """
        select
            a.attname as name, regexp_replace(format_type(a.atttypid, null), '^public\\.', '') as type,
            not a.attnotnull as nullable,
            (a.attnotnull and not a.atthasdef and a.attidentity = '')
                or exists (
                    select from pg_index as i
                    where i.indrelid = a.attrelid and i.indisunique and not a.atthasdef and a.attnum = any (i.indkey)
                )
                or exists (
                    select from pg_constraint as c
                    where c.conrelid = a.attrelid and c.contype = 'f' and a.attnum = any (c.conkey)
                ) as demanded
        from pg_attribute as a
        where a.attrelid = %s and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        order by a.attnum
        """,
        [oid],
    ).fetchall()
    constraints = conn.execute(
        """
        select
            c.conname as name, c.contype as kind, c.confrelid::regclass::text as target,
            pg_get_constraintdef(c.oid) as text,
            array(
                select a.attname::text from unnest(c.conkey) with ordinality as k (number, place)
                join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.number order by k.place
            ) as columns,
            array(
                select a.attname::text from unnest(c.confkey) with ordinality as k (number, place)
                join pg_attribute as a on a.attrelid = c.confrelid and a.attnum = k.number order by k.place
            ) as targets
        from pg_constraint as c
        where c.conrelid = %s and c.contype in ('c', 'f')
        """,
        [oid],
    ).fetchall()
    checks = [constraint for constraint in constraints if constraint["kind"] == "c"]
    choices: dict[str, list[str]] = {}
    for check in checks:
        for column in check["columns"]:
            for text, is_array in re.findall(r"'([^']*)'::text(\[\])?", check["text"]):
                choices.setdefault(column, []).extend(text.strip("{}").split(",") if is_array else [text])
    return Table(
        name,
        types={column["name"]: column["type"] for column in columns},
        demanded=[column["name"] for column in columns if column["demanded"]],
        nullable={column["name"] for column in columns if column["nullable"]},
        checks={check["name"]: check["columns"] for check in checks},
        choices=choices,
        references=[
            Reference(one["target"], dict(zip(one["columns"], one["targets"], strict=True)))
            for one in constraints
            if one["kind"] == "f"
        ],
    )


def fill(conn: Transaction, customer: Customer) -> dict[str, Row]:
    """Commits one row of the customer's in every table, and answers them by table. The connection is the owner's."""
    made: dict[str, Row] = {}
    with conn.transaction():
        conn.execute("select enter_context(%s, %s)", [customer.tenant_id, customer.organization_id])
        for _ in one_by_one(conn, customer, made):
            pass
    return made


def one_by_one(conn: Transaction, customer: Customer, made: dict[str, Row]) -> Iterator[Table]:
    """Yields each table before its row is made; the context is the customer's and the role the owner's."""
    for table in tables(conn):
        yield table
        if table.name in OF_CUSTOMERS or table.name in BY_TRIGGER:
            (row,) = conn.execute(sql.SQL("select * from {}").format(sql.Identifier(table.name))).fetchall()
        else:
            row = insert(conn, table, references(table, made) | ids(customer))
        made[table.name] = row


def ids(customer: Customer) -> Row:
    return {"tenant_id": customer.tenant_id, "organization_id": customer.organization_id}


def references(table: Table, made: dict[str, Row]) -> Row:
    """The columns by which a row references rows that are made; none references itself."""
    return {
        ours: made[reference.target][theirs] if reference.target in made else None
        for reference in table.references
        for ours, theirs in reference.columns.items()
    }


def insert(conn: Transaction, table: Table, given: Row) -> Row:
    """A row with what is given and what else the table demands; AssertionError where none can be made."""
    row = {column: _values(table, column)[0] for column in table.demanded} | given
    others: dict[str, Iterator[Row]] = {}
    while True:
        try:
            with conn.transaction():
                (made,) = conn.execute(*statement(table, row)).fetchall()
                return made
        except CheckViolation as refused:
            check = refused.diag.constraint_name or ""
            free = [column for column in table.checks.get(check, []) if column not in given]
            values = (_values(table, column) + [None] * (column in table.nullable) for column in free)
            again = others.setdefault(check, (dict(zip(free, each, strict=True)) for each in product(*values)))
            other = next(again, None)
            assert other, f"no row can be made for {table.name}: {check} refuses all; see tests/rows.py"
            row |= other


def statement(table: Table, row: Row) -> tuple[sql.Composed, list[Any]]:
    """The INSERT of a row as it is, but for what the database generates, and its values."""
    written = {
        column: Jsonb(value) if table.types[column] == "jsonb" and value is not None else value
        for column, value in row.items()
        if column in table.types
    }
    text = sql.SQL("insert into {} ({}) values ({}) returning *").format(
        sql.Identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, written)),
        sql.SQL(", ").join(sql.Placeholder() * len(written)),
    )
    return text, list(written.values())


def _values(table: Table, column: str) -> list[Any]:
    kind = table.types[column]
    assert kind in VALUES, f"no value is known for {table.name}.{column} of type {kind}; see tests/rows.py"
    choices = table.choices.get(column, [])
    return VALUES[kind]() + {"text": choices, "text[]": [[choice] for choice in choices]}.get(kind, [])
