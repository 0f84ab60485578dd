"""The schema: it goes and comes back identical, by whatever hand, and is what product.md asks for."""

import dataclasses
import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
from psycopg import sql

from leadline import migrations
from local import postgres, schema_document

ROOT = Path(__file__).parent.parent
MIGRATIONS = ROOT / "migrations"

# All that the catalog knows of what is ours, a line for each fact. The runner's own table is left out: psql makes none.
FACTS: dict[str, LiteralString] = {
    "relation": """
        select format('%s %s owner %s persistence %s security %s %s options %s part %s by %s text %s',
            c.relkind, c.oid::regclass, c.relowner::regrole, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
            c.reloptions, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
            case when c.relkind = 'v' then pg_get_viewdef(c.oid) end)
        from ours_relation as c
    """,
    "column": """
        select format('%s %s %s %s null %s default %s %s%s collation %s storage %s statistics %s inherited %s',
            a.attrelid::regclass, row_number() over (partition by a.attrelid order by a.attnum), a.attname,
            format_type(a.atttypid, a.atttypmod), not a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attgenerated,
            a.attidentity, a.attcollation, a.attstorage, a.attstattarget, a.attinhcount)
        from ours_relation as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    """,
    "constraint": """
        select format('%s %s %s %s valid %s deferrable %s', n.conrelid::regclass, n.contypid::regtype, n.conname,
            pg_get_constraintdef(n.oid), n.convalidated, n.condeferrable)
        from pg_constraint as n
        where n.conrelid in (select oid from ours_relation) or n.contypid in (select oid from ours_type)
    """,
    "index": """
        select format('%s valid %s owner %s', pg_get_indexdef(i.indexrelid), i.indisvalid, c.relowner::regrole)
        from pg_index as i join pg_class as c on c.oid = i.indexrelid
        where i.indrelid in (select oid from ours_relation)
    """,
    "policy": """
        select format('%s %s', c.oid::regclass, to_jsonb(p) - 'schemaname')
        from ours_relation as c join pg_policies as p on p.schemaname = 'public' and p.tablename = c.relname
    """,
    "trigger": """
        select format('%s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
        from pg_trigger as t
        where t.tgrelid in (select oid from ours_relation) and not t.tgisinternal
    """,
    "rule and statistics": """
        select pg_get_ruledef(oid) from pg_rewrite
        where ev_class in (select oid from ours_relation) and rulename <> '_RETURN'
        union all
        select pg_get_statisticsobjdef(oid) from pg_statistic_ext where stxnamespace = 'public'::regnamespace
    """,
    "type": """
        select format('%s %s owner %s base %s null %s default %s',
            t.typtype, t.oid::regtype, t.typowner::regrole, t.typbasetype::regtype, not t.typnotnull, t.typdefault)
        from ours_type as t
    """,
    "routine": """
        select format('%s owner %s', pg_get_functiondef(p.oid), p.proowner::regrole) from ours_routine as p
    """,
    "grant": """
        select format('%s %s to %s by %s, may grant %s', thing, g.privilege_type,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end, g.grantor::regrole, g.is_grantable)
        from (
            select oid::regclass::text, coalesce(relacl, acldefault('r', relowner)) from ours_relation
            union all
            select oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) from ours_routine
            union all
            select oid::regtype::text, coalesce(typacl, acldefault('T', typowner)) from ours_type
            union all
            select a.attrelid::regclass || '.' || a.attname, a.attacl from pg_attribute as a
            where a.attrelid in (select oid from ours_relation) and a.attacl is not null
            union all
            select format('default %s of %s', defaclobjtype, defaclrole::regrole), defaclacl from pg_default_acl
        ) as granted (thing, acl), aclexplode(acl) as g
    """,
    "schema": """
        select format('%s: %s may use %s, create %s', n.nspname, r.rolname,
            has_schema_privilege(r.oid, n.oid, 'usage'), has_schema_privilege(r.oid, n.oid, 'create'))
        from pg_namespace as n, pg_roles as r
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and r.rolname ~ '^leadline_'
    """,
    "comment": """
        select format('%s: %s', pg_describe_object(classoid, objoid, objsubid), description) from pg_description
        where objoid in (
            select oid from ours_relation union select oid from ours_routine union select oid from ours_type
        )
    """,
    "extension": """
        select format('%s %s owner %s', e.extname, e.extversion, e.extowner::regrole) from pg_extension as e
    """,
    "role setting": """
        select format('%s: %s', s.setrole::regrole, s.setconfig) from pg_db_role_setting as s
        where s.setdatabase = (select oid from pg_database where datname = current_database())
    """,
}
OURS: LiteralString = """
    create temporary view ours_relation as
        select * from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind not in ('i', 'I', 't', 'c')
            and c.relname <> 'schema_migrations'
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            );
    create temporary view ours_type as
        select * from pg_type as t
        where t.typnamespace = 'public'::regnamespace and t.typrelid = 0 and t.typelem = 0
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
            );
    create temporary view ours_routine as
        select * from pg_proc as p
        where p.pronamespace = 'public'::regnamespace
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            )
"""


def facts(conn: psycopg.Connection) -> dict[str, list[str]]:
    """Every fact of the catalog about what is ours, sorted."""
    with conn.transaction(force_rollback=True):
        conn.execute(OURS)
        return {kind: sorted(fact for (fact,) in conn.execute(query)) for kind, query in FACTS.items()}


def catalog(database: postgres.Server) -> dict[str, list[str]]:
    with psycopg.connect(database.dsn("superuser")) as conn:
        return facts(conn)


@pytest.fixture
def scratch(server: postgres.Server, scratch_database: str) -> postgres.Server:
    return dataclasses.replace(server, database=scratch_database)


def psql(dsn: str, file: str, *options: str) -> str:
    """psql -v ON_ERROR_STOP=1 -f FILE, and what it complains of."""
    program = postgres.installation()[0] / "bin" / "psql"
    command = [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", MIGRATIONS / file, dsn]
    environment = {"PATH": os.defpath, "PGOPTIONS": "-c client_min_messages=error"}
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, env=environment).stderr


def psql_all(dsn: str, files: Iterable[str]) -> None:
    for file in files:
        assert psql(dsn, file, "-1") == ""


def scripts(suffix: str = "") -> list[str]:
    names = sorted(path.stem for path in MIGRATIONS.glob("*.sql") if not path.stem.endswith("_down"))
    return [f"{name}{suffix}.sql" for name in names]


# There and back -------------------------------------------------------------------------------------------------------


def test_up_down_up_leaves_an_identical_schema_and_down_leaves_nothing(scratch) -> None:
    owner = scratch.dsn("owner")
    migrations.down(owner, MIGRATIONS, to=0)  # makes the runner's own table
    before = catalog(scratch)
    migrations.up(owner, MIGRATIONS)
    up = catalog(scratch)
    assert up["relation"]
    migrations.down(owner, MIGRATIONS, to=0)
    assert catalog(scratch) == before
    migrations.up(owner, MIGRATIONS)
    assert catalog(scratch) == up


def test_every_step_down_leaves_what_was_before_it(scratch) -> None:
    before = []
    for script in scripts():
        before.append(catalog(scratch))
        psql_all(scratch.dsn("owner"), [script])
    for script in reversed(scripts("_down")):
        psql_all(scratch.dsn("owner"), [script])
        assert catalog(scratch) == before.pop()


@pytest.mark.parametrize("role", ["owner", "superuser"])
def test_psql_makes_what_the_runner_makes(scratch, database, role) -> None:
    before = catalog(scratch)
    psql_all(scratch.dsn(role), scripts())
    assert catalog(scratch) == catalog(database)
    psql_all(scratch.dsn(role), reversed(scripts("_down")))
    assert catalog(scratch) == before


def test_psql_makes_the_same_in_an_administrators_database(scratch, database) -> None:
    with psycopg.connect(scratch.dsn("superuser"), autocommit=True) as conn:
        conn.execute(f"alter database {scratch.database} owner to current_user".encode())
    before = catalog(scratch)
    psql_all(scratch.dsn("superuser"), scripts())
    assert catalog(scratch) == catalog(database)
    psql_all(scratch.dsn("superuser"), reversed(scripts("_down")))
    # Like the roles, what the owner needs there to make anything stays.
    assert catalog(scratch) | {"schema": []} == before | {"schema": []}


def test_an_administrator_who_forgets_the_one_transaction_is_told(scratch) -> None:
    for script in scripts():
        assert "apply this file in one transaction" in psql(scratch.dsn("superuser"), script)
        psql_all(scratch.dsn("superuser"), [script])


@pytest.mark.parametrize(
    "change",
    [
        "alter table leads alter city set default 'Austin'",
        "alter table leads alter country drop not null",
        "alter table leads drop constraint leads_lead_score_check",
        "alter table leads no force row level security",
        "alter policy tenant_isolation_policy on leads using (true)",
        "drop index leads_by_name",
        "grant delete on leads to leadline_app",
        "grant select (city) on leads to leadline_dispatch",
        "grant execute on function lock_number(text) to public",
        "alter default privileges for role leadline_owner grant select on tables to leadline_app",
        "alter table leads disable trigger record_lead_change",
        "alter function lock_number(text) security definer",
        "alter function lock_number(text) reset search_path",
        "alter function lock_number(text) owner to current_user",
        "alter domain e164 set default '+14155550142'",
        "comment on column leads.city is 'of birth'",
        "create table a (id integer)",
        "create sequence a",
        "grant create on schema public to leadline_app",
        "alter role leadline_app in database {} set lock_timeout = '1s'",
    ],
)
def test_the_comparison_sees(database, change: str) -> None:
    expected = catalog(database)
    with psycopg.connect(database.dsn("superuser")) as conn, conn.transaction(force_rollback=True):
        conn.execute(change.format(database.database).encode())
        assert facts(conn) != expected


# What is there --------------------------------------------------------------------------------------------------------

# The columns that product.md asks for; there may be more.
COLUMNS = {
    "leads": """
        id uuid, tenant_id uuid, organization_id uuid, user_id uuid, first_name text, last_name text, phone_number e164,
        email text, address text, city text, state text, zip text, country text, time_zone text, status text,
        lead_score integer, lead_score_factors jsonb, source text, sub_source text, source_metadata jsonb, tags text[],
        notes text, last_contact_date instant, interaction_count integer, calling_blocked boolean, custom_fields jsonb,
        version integer, created_at instant, updated_at instant, deleted_at instant
    """,
    "lead_audit_log": """
        lead_id uuid, user_id uuid, field_name text, old_value text, new_value text, change_reason text,
        ip_address text, user_agent text, changed_at instant
    """,
    "lead_status_history": """
        lead_id uuid, from_status text, to_status text, user_id uuid, trigger_type text, trigger_id text, reason text,
        changed_at instant
    """,
    "dnc_list": """
        phone_number e164, organization_id uuid, added_by uuid, reason text, source text, detected_phrase text,
        notes text, added_at instant, expires_at instant, consent_withdrawal_documented boolean
    """,
    "lead_source_costs": """
        organization_id uuid, user_id uuid, source text, sub_source text, period date, cost numeric, currency text,
        notes text
    """,
    "nurture_sequences": """
        organization_id uuid, created_by uuid, name text, description text, steps jsonb, trigger_conditions jsonb,
        active boolean, total_enrollments integer, completion_rate numeric
    """,
    "lead_sequence_enrollments": """
        lead_id uuid, sequence_id uuid, current_step integer, status text, enrolled_at instant, completed_at instant,
        next_step_scheduled_at instant, enrolled_by uuid, pause_reason text, exit_reason text, executed_steps jsonb
    """,
    "segments": """
        owner_id uuid, name text, description text, filter jsonb, is_public boolean, lead_count integer,
        last_calculated_at instant
    """,
    "budget_transactions": """
        user_id uuid, from_account text, to_account text, transaction_type text, amount numeric, balance_before numeric,
        balance_after numeric, description text, reference_type text, reference_id text, idempotency_key text,
        metadata jsonb, created_by uuid, created_at instant
    """,
    "lead_assignments": """
        lead_id uuid, from_user uuid, to_user uuid, assigned_by uuid, strategy text, reason text, metadata jsonb,
        assigned_at instant
    """,
    "lead_score_history": "lead_id uuid, score integer, factors jsonb, calculated_at instant",
    "area_codes": "area_code text, region text, country text, time_zones text[], source text",
    "calling_rules": """
        id text, version integer, region text, channel text, cap integer, valid_from date, valid_to date, source text,
        secondary_source boolean
    """,
    "holidays": "region text, day date, name text, source text",
    "system_config": """
        organization_id uuid, config_key text, config_value jsonb, updated_by uuid, updated_at instant
    """,
}
# What the texts of these columns are, in product.md's words.
CHOICES = {
    "leads.status": "new, contacted, qualified, nurturing, hot, cold, recruited, dnc",
    "lead_status_history.trigger_type": "call, manual, automation, nurture, ai",
    "lead_sequence_enrollments.status": "active, paused, completed, cancelled, failed",
    "budget_transactions.transaction_type": "debit, credit, refund, adjustment, hold, settle, release",
    "budget_transactions.reference_type": "call, sms, email, top_up, admin_adjustment",
    "lead_assignments.strategy": "manual, round_robin, capacity, geographic, skill_based",
    "members.role": "agent, manager, admin, service",
    "dnc_list.reason": "lead_requested, legal_requirement, complaint, admin_added, cooling_off, ai_detected",
}


@pytest.fixture(scope="module")
def conn(database: postgres.Server) -> Iterator[psycopg.Connection]:
    """Sees the catalog through views of what is ours."""
    with psycopg.connect(database.dsn("superuser"), autocommit=True) as conn:
        conn.execute(OURS)
        yield conn


def column_types(conn: psycopg.Connection) -> dict[str, str]:
    """ "table.column": type."""
    return dict(
        conn.execute(
            """
            select c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod)
            from ours_relation as c join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            where c.relkind in ('r', 'p', 'v')
            """
        ).fetchall()
    )


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_the_columns_that_the_product_asks_for(conn, table) -> None:
    found = column_types(conn)
    for wanted in COLUMNS[table].split(","):
        name, kind = wanted.split()
        kind = {"instant": "timestamp with time zone"}.get(kind, kind)
        assert found.get(f"{table}.{name}", "absent").partition("(")[0] == kind, name


@pytest.mark.parametrize("column", CHOICES)
def test_a_column_of_choices_takes_those_of_the_product_and_no_other(conn, column) -> None:
    table, name = column.split(".")
    (check,) = conn.execute(
        """
        select pg_get_constraintdef(n.oid) from pg_constraint as n
        where n.conrelid = %s::regclass and n.contype = 'c'
            and n.conkey = array(select attnum from pg_attribute where attrelid = n.conrelid and attname = %s)
        """,
        [table, name],
    ).fetchall()
    listed = re.search(r"'\{(.*)\}'::text\[\]", check[0])
    found = listed[1].split(",") if listed else re.findall(r"'(\w+)'::text", check[0])
    assert found == CHOICES[column].split(", ")


def test_money_is_exact_and_instants_know_their_zone(conn) -> None:
    types = column_types(conn)
    for column, kind in types.items():
        assert not re.match("real|double|money|timestamp without|time |char|USER", kind), column
        if re.search("cost$|amount|balance|price|revenue", column.partition(".")[2]):
            assert re.fullmatch(r"numeric\(\d+,[4-9]\)", kind), column
        if column.endswith(("_at", "_date")):
            assert kind == "timestamp with time zone", column


def test_an_id_sorts_by_time(conn) -> None:
    before = None
    for _ in range(1000):
        ((made,),) = conn.execute("select uuid_v7()").fetchall()
        assert made.version == 7
        assert before is None or made > before
        before = made
    ((age,),) = conn.execute(
        """
        select abs(
            extract(epoch from now()) - ('x' || left(replace(uuid_v7()::text, '-', ''), 12))::bit(48)::bigint / 1000.0
        )
        """
    ).fetchall()
    assert age < 1


def test_everything_is_the_owners_but_the_view_of_candidates(conn) -> None:
    assert conn.execute(
        """
        select oid::regclass::text, relowner::regrole::text from ours_relation
        where relowner <> 'leadline_owner'::regrole
        union all
        select oid::regprocedure::text, proowner::regrole::text from ours_routine
        where proowner <> 'leadline_owner'::regrole
        union all
        select oid::regtype::text, typowner::regrole::text from ours_type where typowner <> 'leadline_owner'::regrole
        union all
        select indexrelid::regclass::text, c.relowner::regrole::text
        from pg_index join pg_class as c on c.oid = indexrelid
        where indrelid in (select oid from ours_relation) and c.relowner <> 'leadline_owner'::regrole
        """
    ).fetchall() == [("lead_candidates", "leadline_finder")]


def test_everything_is_in_the_schema_public(conn) -> None:
    assert (
        conn.execute(
            """
        select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')
        """
        ).fetchall()
        == []
    )


def test_everything_says_what_it_is(conn) -> None:
    assert (
        conn.execute(
            """
        select oid::regclass::text from ours_relation where obj_description(oid, 'pg_class') is null
        union all
        select oid::regprocedure::text from ours_routine where obj_description(oid, 'pg_proc') is null
        union all
        select oid::regtype::text from ours_type where obj_description(oid, 'pg_type') is null
        """
        ).fetchall()
        == []
    )


def test_every_table_says_how_it_is_read(conn) -> None:
    """A paragraph that says what it is for, and one with a line for each way to read it: `Title: SQL`."""
    tables = conn.execute(
        """
        select relname, coalesce(obj_description(oid, 'pg_class'), '') from ours_relation
        where relkind in ('r', 'p', 'v')
        """
    ).fetchall()
    for name, comment in tables:
        assert re.fullmatch(r"\S[^\n]*\.\n\n([A-Z][^:\n]+: [^\n]+(\n|$))+", comment), name


# Reading fast ---------------------------------------------------------------------------------------------------------

# As the application: the index that serves, what it is asked for, and the form that lets it. (`id in (select ...)` from
# the view does not: the planner takes the policy's comparison over to the view, and the tag is only a filter again.)
SERVED: list[tuple[str, str, LiteralString]] = [
    (
        "leads_newest",
        "created_at, id",
        """
        select id from leads
        where deleted_at is null and (created_at, id) < (now(), current_org_id())
        order by created_at desc, id desc limit 20
        """,
    ),
    (
        "leads_one_per_number",
        "phone_number",
        "select id from leads where phone_number = '+14155550142' and deleted_at is null",
    ),
    ("leads_by_owner", "user_id", "select id from leads where user_id = current_user_id()"),
    (
        "leads_by_tag",
        "tags",
        "select id from leads where id = any (array(select id from lead_candidates where tags @> '{rare}'))",
    ),
    (
        "leads_by_name",
        "full_name",
        "select id from leads where id = any (array(select id from lead_candidates where full_name like '%ada love%'))",
    ),
    (
        "lead_status_history_by_lead",
        "lead_id",
        "select id from lead_status_history where lead_id = current_org_id() order by changed_at desc, id desc",
    ),
]


@pytest.fixture(scope="module")
def crowd(database: postgres.Server, customer):
    """An organization of 5,000 leads, and the application in its context."""
    acme = customer()
    with psycopg.connect(database.dsn("owner")) as owner:
        owner.execute("select enter_context(%s, %s)", [acme.tenant_id, acme.organization_id])
        owner.execute(
            """
            insert into leads (phone_number, first_name, last_name, tags, created_at, user_id)
            select
                '+1415' || 2000000 + n, md5(n::text), md5((-n)::text),
                array['common'] || case when mod(n, 500) = 0 then array['rare'] else '{}' end,
                now() - make_interval(secs => n), %s
            from generate_series(1, 5000) as n
            """,
            [acme.members["agent"].id],
        )
        owner.commit()
        owner.autocommit = True
        owner.execute("vacuum analyze leads, lead_status_history")
    with psycopg.connect(database.dsn("app")) as app:
        app.execute("set local enable_seqscan = off")  # 5,000 rows are soon read
        app.execute("select enter_context(%s, %s)", [acme.tenant_id, acme.organization_id])
        yield app


@pytest.mark.parametrize(("index", "column", "query"), SERVED, ids=[index for index, _, _ in SERVED])
def test_the_index_is_reached_under_row_level_security(crowd, index, column, query) -> None:
    plan = "\n".join(line for (line,) in crowd.execute(sql.SQL("explain ") + sql.SQL(query)))
    assert re.search(rf"{index}[^\n]*\n *Index Cond: [^\n]*{column}", plan), plan


def test_what_inserts_call_for_defaults_keeps_its_plan(conn) -> None:
    called = conn.execute(
        """
        select distinct p.proname, l.lanname from pg_depend as d
        join ours_routine as p on d.refclassid = 'pg_proc'::regclass and p.oid = d.refobjid
        join pg_language as l on l.oid = p.prolang
        where d.classid = 'pg_attrdef'::regclass
        """
    ).fetchall()
    assert {name for name, _ in called} >= {"uuid_v7", "current_tenant_id", "current_org_id", "current_user_id"}
    # One in SQL that sets its search_path is planned by every statement that calls it.
    assert {language for _, language in called} == {"plpgsql"}


@pytest.mark.parametrize(
    ("table", "columns", "values"),
    [
        ("leads", "phone_number", "'+1415' || 2000000 + n"),
        ("budget_holds", "amount, expires_at", "1, now()"),
    ],
    ids=["leads", "budget_holds"],
)
def test_a_foreign_key_is_checked_by_its_own_index_even_where_organizations_seem_to_have_one_row_each(
    database, customer, table, columns, values
) -> None:
    acme = customer()
    names = {"table": sql.Identifier(table), "columns": sql.SQL(columns), "values": sql.SQL(values)}
    with psycopg.connect(database.dsn("superuser")) as superuser:
        superuser.execute("select enter_context(%s, %s)", [acme.tenant_id, acme.organization_id])
        superuser.execute(
            sql.SQL("insert into {table} ({columns}) select {values} from generate_series(1, 1000) as n").format(
                **names
            )
        )
        superuser.execute(
            sql.SQL(
                """
                alter table {table} alter organization_id set (n_distinct = -1);
                analyze {table};
                set local plan_cache_mode = force_generic_plan;
                prepare check_of_a_key as
                select 1 from only {table} as x where organization_id = $1 and id = $2 for key share of x
                """
            ).format(**names)
        )
        plan = str(superuser.execute("explain execute check_of_a_key(uuid_v7(), uuid_v7())").fetchall())
        superuser.rollback()
    assert re.search(
        rf"using {table}_pkey on {table}.*Index Cond: \(\(organization_id = \$1\) AND \(id = \$2\)\)", plan
    ), plan


# The document ---------------------------------------------------------------------------------------------------------


def test_the_document_says_what_is_there(database, conn) -> None:
    if conn.info.server_version // 10_000 != 17:
        pytest.skip("the document is written as PostgreSQL 17, which RDS runs, spells definitions")
    fresh = schema_document.document(database.dsn("owner"))
    assert schema_document.DOCUMENT.read_text("utf-8") == fresh, "write it: .venv/bin/python -m local.schema_document"


def test_the_document_names_every_table_and_function(conn) -> None:
    text = schema_document.DOCUMENT.read_text("utf-8")
    for (name,) in conn.execute(
        "select relname from ours_relation where relkind in ('r', 'p', 'v') and not relispartition"
    ).fetchall():
        assert f"\n## {name}\n" in text
    for (name,) in conn.execute("select proname from ours_routine").fetchall():
        assert f"| `{name}(" in text
