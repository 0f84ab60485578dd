"""Writes docs/schema.md from the catalog of a freshly migrated database: `python -m local.schema_document`.

What a table is for and how it is read stands in its COMMENT, what is true of all of them in INTRODUCTION.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from local import postgres

DOCUMENT = Path(__file__).parent.parent / "docs" / "schema.md"

INTRODUCTION = """\
# The schema

*Written by `python -m local.schema_document` from the migrations, and compared with them by a test. To change it, edit
the comments in `migrations/`, or the introduction in `local/schema_document.py`, and write it again.*

Every table of an organization is closed by row-level security to all but that organization, for its owner too. The
context is set for one transaction by `enter_context(tenant, organization, ...)`; without one, every statement on such a
table raises. Application SQL never names the tenant: column defaults write it, and the policy filters by it.

## Reading fast under row-level security

PostgreSQL checks the policy before any condition of the query that could leak what it sees. So an operator that is not
leakproof never becomes an index condition: it is a filter over all rows of the organization.

| reaches its index | is only a filter |
|---|---|
| `=`, `<`, `between`, `in` and row comparison of text, uuid, integer, date, timestamptz | of numeric and enum |
| `^@` (prefix of a text) | `like`, `ilike`, `~`, `lower(x) =` |
| `is null`, and the condition of a partial index | `@>`, `&&`, the operators of jsonb |

What follows from it here:

- An index begins with `organization_id`, or with `tenant_id, organization_id` where it serves their foreign key too:
  these comparisons are the policy's own.
- Choices are text with a CHECK, not an enum; what is compared without regard to case is stored in lower case.
- Tags and parts of names are searched in the view `lead_candidates`, which answers the ids of a page, to be read again
  under the policy: `where id = any (array(select id from lead_candidates where tags @> $1 order by created_at desc,
  id desc limit $2)) order by created_at desc, id desc`. The array matters: with
  `id in (select ...)` the planner takes the policy's comparison over to the view, and the tag is only a filter again.
- Lists page by key, `(created_at, id) < ($1, $2)`, never by offset, and a count stops at a cap.
- The policy is bare, `organization_id = current_setting('app.current_org_id')::uuid`: the planner estimates it well,
  and it raises without a context. Nothing casts the column, and no policy looks anything up.
- A long history is narrowed to a lead or to a time before it is joined.
"""

ORGANIZATION_ONLY = (
    "((tenant_id = (current_setting('app.current_tenant_id'::text))::uuid)"
    " AND (organization_id = (current_setting('app.current_org_id'::text))::uuid))"
)

Row = dict[str, Any]
Connection = psycopg.Connection[Row]


def document(dsn: str) -> str:
    """The whole document, of the database at `dsn`; partitions are folded into their table."""
    with psycopg.connect(dsn, row_factory=dict_row) as conn:
        conn.execute("set local search_path = public")
        relations = _relations(conn)
        lines = [INTRODUCTION, "## What there is", "", "| | |", "|---|---|"]
        lines += [f"| [{one['name']}](#{one['name']}) | {_cell(one['purpose'])} |" for one in relations]
        for relation in relations:
            lines += ["", *_relation(conn, relation)]
        lines += ["", *_functions(conn), "", *_domains(conn)]
    return "\n".join(lines) + "\n"


def _relations(conn: Connection) -> list[Row]:
    """Tables in the order in which they were made, each after what it rests on, and views."""
    rows = conn.execute(
        """
        select
            c.oid, c.relname as name, c.relkind as kind, c.relowner::regrole::text as owner, c.reloptions as options,
            c.relrowsecurity and c.relforcerowsecurity as isolated, pg_get_partkeydef(c.oid) as partitioned,
            case when c.relkind = 'v' then pg_get_viewdef(c.oid, true) end as definition,
            split_part(obj_description(c.oid, 'pg_class'), E'\\n\\n', 1) as purpose,
            split_part(obj_description(c.oid, 'pg_class'), E'\\n\\n', 2) as reading
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
            and c.relname <> 'schema_migrations'
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            )
        order by c.oid
        """
    )
    return rows.fetchall()


def _relation(conn: Connection, relation: Row) -> Iterator[str]:
    yield f"## {relation['name']}"
    yield ""
    yield relation["purpose"]
    if relation["partitioned"]:
        yield ""
        yield f"Partitioned by `{relation['partitioned'].lower()}`, with a default; all partitions are alike."
    yield from _bullets("How to read it", map(_reading, relation["reading"].splitlines()))
    yield from _columns(conn, relation)
    if relation["definition"]:
        yield from ("", "```sql", relation["definition"].strip(), "```")
    yield from _bullets("Keys and checks", _constraints(conn, relation))
    yield from _bullets("Indexes", _indexes(conn, relation))
    yield from _bullets("Who sees what", _policies(conn, relation))
    yield from _bullets("Who may what", _grants(conn, relation))
    yield from _bullets("Triggers", _triggers(conn, relation))


def _reading(line: str) -> str:
    title, _, query = line.partition(": ")
    query, because, why = query.partition(", since ")
    return f"{title}: `{query}`{because}{why}"


def _columns(conn: Connection, relation: Row) -> Iterator[str]:
    yield from ("", "| column | type | null | default | |", "|---|---|---|---|---|")
    for column in conn.execute(
        """
        select
            a.attname as name, format_type(a.atttypid, a.atttypmod) as type, not a.attnotnull as nullable,
            a.attgenerated <> '' as generated, pg_get_expr(d.adbin, d.adrelid) as value,
            col_description(a.attrelid, a.attnum) as comment
        from pg_attribute as a
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
        order by a.attnum
        """,
        [relation["oid"]],
    ):
        kind = column["type"].replace("timestamp with time zone", "timestamptz")
        null = "null" if column["nullable"] and relation["kind"] != "v" else ""
        value = "generated" if column["generated"] else _code(column["value"])
        yield f"| `{column['name']}` | {kind} | {null} | {_cell(value)} | {_cell(column['comment'] or '')} |"


def _constraints(conn: Connection, relation: Row) -> Iterator[str]:
    for constraint in conn.execute(
        """
        select conname as name, pg_get_constraintdef(oid, true) as text
        from pg_constraint where conrelid = %s and contype in ('p', 'u', 'f', 'c')
        order by position(contype::text in 'pufc'), conname
        """,
        [relation["oid"]],
    ):
        # A name that PostgreSQL did not make up says why.
        name = "" if constraint["name"].startswith(relation["name"]) else f"`{constraint['name']}` "
        yield f"{name}`{_spelled(constraint['text'])}`"


def _indexes(conn: Connection, relation: Row) -> Iterator[str]:
    """Those that are not a constraint's own."""
    for index in conn.execute(
        """
        select
            i.indexrelid::regclass::text as name, i.indisunique as is_unique, am.amname as method,
            regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING \\w+ ', '') as text
        from pg_index as i
        join pg_class as c on c.oid = i.indexrelid
        join pg_am as am on am.oid = c.relam
        where i.indrelid = %s and not exists (
            select from pg_constraint as n where n.conindid = i.indexrelid and n.contype in ('p', 'u')
        )
        order by name
        """,
        [relation["oid"]],
    ):
        kind = (" unique" if index["is_unique"] else "") + f" {index['method']}".replace(" btree", "")
        yield f"`{index['name']}`{kind} `{_spelled(index['text'])}`"


def _policies(conn: Connection, relation: Row) -> Iterator[str]:
    if relation["kind"] == "v":
        rights = "who asks" if relation["options"] else f"its owner, {relation['owner']}"
        yield f"the view reads with the rights of {rights}"
    for policy in conn.execute(
        """
        select policyname as name, array_to_string(roles, ', ') as roles, lower(cmd) as command, qual, with_check
        from pg_policies where schemaname = 'public' and tablename = %s order by policyname
        """,
        [relation["name"]],
    ):
        sees, writes = policy["qual"], policy["with_check"]
        if sees == writes == ORGANIZATION_ONLY:
            rule = "rows of the context's tenant and organization, to see and to write"
        elif sees == writes:
            rule = f"sees and writes `{_spelled(sees)}`"
        else:
            rule = f"sees `{_spelled(sees)}`" + (f", writes `{_spelled(writes)}`" if writes else "")
        yield f"`{policy['name']}` for {policy['command']} to {policy['roles']}: {rule}"


def _grants(conn: Connection, relation: Row) -> Iterator[str]:
    """Besides the owner, who may all."""
    for grant in conn.execute(
        """
        select grantee::regrole::text as role, string_agg(lower(privilege_type), ', ' order by place) as privileges
        from (
            select g.grantee, g.privilege_type, position(left(g.privilege_type, 1) in 'SIUD') as place
            from pg_class as c, aclexplode(c.relacl) as g
            where c.oid = %(oid)s and g.grantee <> c.relowner
            union all
            select
                g.grantee, g.privilege_type || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')',
                position(left(g.privilege_type, 1) in 'SIUD')
            from pg_attribute as a, aclexplode(a.attacl) as g
            where a.attrelid = %(oid)s
            group by g.grantee, g.privilege_type
        ) as granted
        group by role order by role
        """,
        relation,
    ):
        yield f"{grant['role']}: {grant['privileges']}"


def _triggers(conn: Connection, relation: Row) -> Iterator[str]:
    for trigger in conn.execute(
        """
        select
            tgname as name, tgfoid::regproc::text as function,
            regexp_replace(
                pg_get_triggerdef(oid), '^CREATE TRIGGER \\S+ (.*) ON .*FOR EACH (\\w+) .*$', '\\1, each \\2'
            ) as moment
        from pg_trigger where tgrelid = %s and not tgisinternal order by tgname
        """,
        [relation["oid"]],
    ):
        yield f"`{trigger['name']}` {trigger['moment'].lower()}: [`{trigger['function']}()`](#functions)"


def _functions(conn: Connection) -> Iterator[str]:
    yield from ("## Functions", "", "| function | callable by | |", "|---|---|---|")
    for function in conn.execute(
        """
        select
            p.proname || '(' || pg_get_function_arguments(p.oid) || ')' as signature,
            pg_get_function_result(p.oid) as result, p.prosecdef as is_definer,
            obj_description(p.oid, 'pg_proc') as comment,
            (
                select string_agg(g.grantee::regrole::text, ', ' order by g.grantee::regrole::text)
                from aclexplode(p.proacl) as g where g.grantee <> p.proowner
            ) as callers
        from pg_proc as p
        where p.pronamespace = 'public'::regnamespace
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            )
        order by p.proname, signature
        """
    ):
        rights = " With the owner's rights." if function["is_definer"] else ""
        callers = function["callers"] or ("a trigger" if function["result"] == "trigger" else "the owner")
        signature = f"`{_spelled(function['signature'])}` → {function['result']}"
        yield f"| {_cell(signature)} | {callers} | {_cell(function['comment'])}{rights} |"


def _domains(conn: Connection) -> Iterator[str]:
    yield from ("## Types", "")
    for domain in conn.execute(
        """
        select
            t.typname as name, format_type(t.typbasetype, t.typtypmod) as base,
            obj_description(t.oid, 'pg_type') as comment,
            (select string_agg(pg_get_constraintdef(n.oid, true), ' ') from pg_constraint as n where n.contypid = t.oid)
                as checks
        from pg_type as t
        where t.typnamespace = 'public'::regnamespace and t.typtype = 'd'
        order by t.typname
        """
    ):
        yield f"- `{domain['name']}`, a {domain['base']} with `{_spelled(domain['checks'])}`: {domain['comment']}"


def _bullets(title: str, items: Iterator[str]) -> Iterator[str]:
    lines = [f"- {item}" for item in items]
    if lines:
        yield from ("", f"**{title}**", "", *lines)


def _spelled(expression: str) -> str:
    """SQL as we write it, without the casts and capitals that the catalog adds."""
    for verbose in ("::text[]", "::text", "::jsonb", "::name"):
        expression = expression.replace(verbose, "")
    for word in ("CHECK", "PRIMARY KEY", "UNIQUE NULLS NOT DISTINCT", "UNIQUE", "FOREIGN KEY", "REFERENCES", "WHERE"):
        expression = expression.replace(word, word.lower())
    for word in ("IS NOT NULL", "IS NULL", "AND", "OR", "NOT", "DESC", "ANY", "ALL", "ARRAY", "DEFAULT", "NULL"):
        expression = expression.replace(f" {word}", f" {word.lower()}").replace(f"({word}", f"({word.lower()}")
    return " ".join(expression.split())


def _code(expression: str | None) -> str:
    return f"`{_spelled(expression)}`" if expression else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Writes the document from a database made for it alone."""
    data = Path(os.environ.get("DATA") or ".data").resolve()
    server = replace(postgres.start(data), database="leadline_schema_document")
    try:
        postgres.prepare(server)
        DOCUMENT.write_text(document(server.dsn("owner")), "utf-8")
    finally:
        with psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
            conn.execute("drop database if exists leadline_schema_document with (force)")
        postgres.stop(data)


if __name__ == "__main__":
    main()
