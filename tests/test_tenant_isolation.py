"""What belongs to an organization is closed to all others: by the catalog, without a context, and on entering one.

The rules ask the catalog what there is, so that a table, view or function of a later migration is covered without a
line written for it; what deviates on purpose is named below. `test_strangers.py` tells the same as a story.
"""

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from leadline.db import Transaction
from local import postgres
from tests import rows
from tests.conftest import Customer

# What is no organization's, and why.
NAMED: dict[str, Any] = {
    "roles": ["leadline_owner", "leadline_app", "leadline_dispatch", "leadline_finder"],
    "of_nobody": rows.OF_NOBODY,  # the application cannot touch them
    "of_reference": rows.REFERENCE,  # facts of the world, the same for everybody
    "of_customers": ["tenants", "organizations"],  # whose own ids are what the keys of all others carry
    "policies": {  # (table, policy): to whom, in place of tenant_isolation_policy or beside it
        "budget_holds": ["tenant_isolation_policy", "dispatch_policy"],
        "dnc_list": ["org_dnc_policy", "dispatch_policy"],
        "enrollment_triggers": ["tenant_isolation_policy", "dispatch_policy"],
        "lead_sequence_enrollments": ["tenant_isolation_policy", "dispatch_policy"],
        "leads": ["tenant_isolation_policy", "finder_policy"],
        "provider_keys": ["tenant_isolation_policy", "dispatch_policy"],
        "step_runs": ["tenant_isolation_policy", "dispatch_policy"],
        **{table: ["reference_policy", "owner_policy"] for table in rows.REFERENCE},
    },
    "definers": [
        *("make_audit_partitions", "record_lead_change", "record_lead_creation", "record_sequence_version"),
        # The ledger: what may be asked of it.
        *("lock_budget", "book_budget", "refund_budget", "book_calls", "cancel_calls", "cap_member", "uncap_member"),
        *("place_holds", "settle_hold", "release_hold", "release_holds_of", "expire_holds"),
        *("settle_holds", "release_holds"),
    ],
    # What a person has entered and nothing else rests on, answers that have expired, and what has been judged.
    "deletable": ["enrollment_triggers", "idempotency_keys", "lead_source_costs", "segments"],
    "append_only": [
        *("budget_transactions", "lead_assignments", "lead_score_history"),
        *("dnc_additions", "domain_events", "inbox_messages", "opt_out_events", "opt_out_reviews"),
        *("opt_out_confirmations", "provider_keys"),
    ],
    "written_by_the_ledger": [
        *("budget_accounts", "budget_calls", "budget_caps", "budget_holds", "budget_transactions")
    ],
    "written_by_trigger": ["lead_audit_log", "lead_status_history", "sequence_versions"],
}

TENANT = "tenant_id = (current_setting('app.current_tenant_id'::text))::uuid"
ORGANIZATION = "organization_id = (current_setting('app.current_org_id'::text))::uuid"
NAMED["policy_text"] = {
    "tenants": f"({TENANT.replace('tenant_id', 'id', 1)})",
    "organizations": f"(({TENANT}) AND ({ORGANIZATION.replace('organization_id', 'id', 1)}))",
    "others": f"(({TENANT}) AND ({ORGANIZATION}))",
}

# What the rules ask about. What an extension brought is not ours.
OURS: LiteralString = """
    with relation as (
        select
            c.oid, c.relname::text as name, c.relkind as kind, c.relispartition as is_partition,
            c.reloptions as options,
            c.relrowsecurity and c.relforcerowsecurity as secured, c.relowner::regrole::text as owner,
            case when c.relispartition then pg_partition_root(c.oid)::regclass::text else c.relname::text end as root,
            coalesce(c.relacl, acldefault('r', c.relowner)) as acl
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            )
    ),
    isolated as (
        select
            *,
            coalesce(%(policies)s::jsonb -> root, '["tenant_isolation_policy"]') as policies,
            coalesce(%(policy_text)s::jsonb ->> root, %(policy_text)s::jsonb ->> 'others') as policy_text
        from relation where kind in ('r', 'p') and name <> all (%(of_nobody)s)
    ),
    routine as (
        select
            p.oid, p.oid::regprocedure::text as name, p.proname::text as bare_name, p.prosecdef as is_definer,
            p.proowner, p.proconfig as options, coalesce(p.proacl, acldefault('f', p.proowner)) as acl
        from pg_proc as p
        where p.pronamespace = 'public'::regnamespace
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            )
    ),
    policy as (
        select
            isolated.oid, isolated.name as on_table, isolated.policies, isolated.policy_text, p.polname::text as name,
            p.polroles as roles,
            p.polpermissive as is_permissive, p.polcmd as command,
            pg_get_expr(p.polqual, p.polrelid) as sees, pg_get_expr(p.polwithcheck, p.polrelid) as writes
        from pg_policy as p
        join isolated on isolated.oid = p.polrelid
    ),
    key as (
        select
            isolated.name as on_table, isolated.oid, i.indexrelid::regclass::text as name, i.indisprimary as is_primary,
            array(
                select a.attname::text
                from unnest(i.indkey) with ordinality as k (number, place)
                join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = k.number
                where k.place <= i.indnkeyatts
                order by k.place
            ) as columns
        from pg_index as i
        join isolated on isolated.oid = i.indrelid
        where i.indisunique
    ),
    reference as (
        select
            isolated.name as on_table, isolated.oid, c.conname::text as name, c.confrelid::regclass::text as target,
            c.conkey as numbers, c.confdeltype as on_delete, c.confupdtype as on_update,
            array(
                select a.attname || '=' || b.attname
                from unnest(c.conkey, c.confkey) as k (ours, theirs)
                join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = k.ours
                join pg_attribute as b on b.attrelid = c.confrelid and b.attnum = k.theirs
            ) as pairs
        from pg_constraint as c
        join isolated on isolated.oid = c.conrelid
        where c.contype = 'f'
    ),
    grantee as (
        select
            relation.name as on_table, relation.is_partition, relation.owner, g.privilege_type as privilege,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end as role
        from relation, aclexplode(relation.acl) as g
        union
        select
            relation.name, relation.is_partition, relation.owner, g.privilege_type || ' of ' || a.attname,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end
        from relation
        join pg_attribute as a on a.attrelid = relation.oid, aclexplode(a.attacl) as g
    )
"""


@dataclass(frozen=True)
class Rule:
    """A query with one row of text for each fault, and something that breaks the rule with what the query then says."""

    faults: LiteralString
    spoiled_by: LiteralString
    found: list[str]


RULES = {
    "row-level security is enabled and forced on every table": Rule(
        faults="""
            select name from isolated where not secured
        """,
        spoiled_by="""
            create table a ();
            create table b ();
            alter table b enable row level security;
            alter table leads no force row level security
        """,
        found=["a", "b", "leads"],
    ),
    "application and owner have exactly one policy on every table, any other role at most one": Rule(
        faults="""
            select isolated.name || ' for ' || role
            from isolated
            cross join unnest(%(roles)s::text[]) as role
            left join policy on policy.oid = isolated.oid and policy.is_permissive
                and role::regrole = any (policy.roles)
            group by isolated.name, role
            having count(policy.name) <> 1
                and (count(policy.name) > 1 or role in ('leadline_owner', 'leadline_app'))
        """,
        spoiled_by="""
            create policy second on leads to leadline_app using (true);
            create policy second on segments to leadline_dispatch using (true);
            create policy third on segments for select to leadline_dispatch using (true);
            drop policy org_dnc_policy on dnc_list;
            create policy org_dnc_policy on dnc_list as restrictive to leadline_owner, leadline_app using (true)
        """,
        found=[
            "dnc_list for leadline_app",
            "dnc_list for leadline_owner",
            "leads for leadline_app",
            "segments for leadline_dispatch",
        ],
    ),
    "no policy is for everybody": Rule(
        faults="""
            select on_table || '.' || name from policy where 0 = any (roles)
        """,
        spoiled_by="create policy a on leads using (true)",
        found=["leads.a"],
    ),
    "policies have the names that are known": Rule(
        faults="""
            select on_table || '.' || name from policy
            where not policies ? name
            union all
            select isolated.name || ' lacks ' || wanted
            from isolated, jsonb_array_elements_text(policies) as wanted
            where not exists (select from policy where policy.oid = isolated.oid and policy.name = wanted)
        """,
        spoiled_by="""
            alter policy org_dnc_policy on dnc_list rename to tenant_isolation_policy;
            drop policy finder_policy on leads
        """,
        found=["dnc_list lacks org_dnc_policy", "dnc_list.tenant_isolation_policy", "leads lacks finder_policy"],
    ),
    "a policy compares with the context in the bare form, for reading and for writing": Rule(
        faults="""
            select on_table || '.' || name from policy
            where name not in ('finder_policy', 'dispatch_policy') and on_table <> all (%(of_reference)s)
                and (command <> '*' or sees is distinct from policy_text or writes is distinct from policy_text)
        """,
        spoiled_by="""
            alter policy tenant_isolation_policy on leads using (tenant_id = (select current_tenant_id()));
            alter policy tenant_isolation_policy on segments with check (true);
            drop policy tenant_isolation_policy on system_config;
            create policy tenant_isolation_policy on system_config using (
                tenant_id = current_setting('app.current_tenant_id')::uuid
                and organization_id = current_setting('app.current_org_id')::uuid
            );
            create policy a on members for select using (
                tenant_id = current_setting('app.current_tenant_id')::uuid
                and organization_id = current_setting('app.current_org_id')::uuid
            )
        """,
        found=[
            "leads.tenant_isolation_policy",
            "members.a",
            "segments.tenant_isolation_policy",
            "system_config.tenant_isolation_policy",
        ],
    ),
    "reference data is read by the application, in any context or none, and written by the owner alone": Rule(
        faults="""
            select on_table || '.' || name from policy
            where on_table = any (%(of_reference)s)
                and (roles, command::text, sees, coalesce(writes, '-')) not in (
                    (array['leadline_app'::regrole::oid], 'r', 'true', '-'),
                    (array['leadline_owner'::regrole::oid], '*', 'true', 'true')
                )
            union all
            select on_table || ' ' || privilege || ' to ' || role from grantee
            where on_table = any (%(of_reference)s) and role <> owner
                and (role, privilege) <> ('leadline_app', 'SELECT')
            union all
            select name || ' of ' || owner from relation
            where name = any (%(of_reference)s) and owner <> 'leadline_owner'
            union all
            select wanted || ' is not there' from unnest(%(of_reference)s) as wanted
            where not exists (select from isolated where name = wanted)
        """,
        spoiled_by="""
            grant update (name) on holidays to leadline_app;
            grant select on holidays to leadline_dispatch;
            alter policy reference_policy on holidays to leadline_app, leadline_dispatch;
            alter policy owner_policy on calling_windows using (days = '{1}');
            drop policy reference_policy on calling_rules;
            create policy reference_policy on calling_rules to leadline_app using (true);
            alter table area_codes owner to postgres
        """,
        found=[
            "area_codes of postgres",
            "calling_rules.reference_policy",
            "calling_windows.owner_policy",
            "holidays SELECT to leadline_dispatch",
            "holidays UPDATE of name to leadline_app",
            "holidays.reference_policy",
        ],
    ),
    "the finder may select and nothing else": Rule(
        faults="""
            select on_table || '.' || name from policy
            where name = 'finder_policy' and (command <> 'r' or roles <> array['leadline_finder'::regrole::oid])
            union all
            select on_table || ' ' || privilege from grantee
            where role = 'leadline_finder' and owner <> 'leadline_finder' and privilege not like 'SELECT of %%'
        """,
        spoiled_by="""
            grant select, update (notes) on leads to leadline_finder;
            drop policy finder_policy on leads;
            create policy finder_policy on leads to leadline_finder using (true);
        """,
        found=["leads SELECT", "leads UPDATE of notes", "leads.finder_policy"],
    ),
    "the dispatcher may see what waits for the clock, never whom it is about, and claim it, and nothing else": Rule(
        faults="""
            select on_table || '.' || name from policy
            where name = 'dispatch_policy'
                and (
                    command <> case on_table when 'lead_sequence_enrollments' then '*' else 'r' end
                    or roles <> array['leadline_dispatch'::regrole::oid]
                )
            union all
            select on_table || ' ' || privilege from grantee
            where role = 'leadline_dispatch'
                and (on_table, privilege) <> ('lead_sequence_enrollments', 'UPDATE of claimable_at')
                and not (on_table = 'unmatched_webhooks' and privilege like 'INSERT of %%')
                and (
                    privilege not like 'SELECT of %%'
                    or privilege ~ ' of (phone_number|first_name|last_name|email|notes|detected_phrase)$'
                )
        """,
        spoiled_by="""
            grant select (phone_number) on dnc_list to leadline_dispatch;
            grant update (removed_at) on dnc_list to leadline_dispatch;
            drop policy dispatch_policy on dnc_list;
            create policy dispatch_policy on dnc_list to leadline_dispatch using (true);
        """,
        found=["dnc_list SELECT of phone_number", "dnc_list UPDATE of removed_at", "dnc_list.dispatch_policy"],
    ),
    "a view asks with the rights of who asks": Rule(
        faults="""
            select name from relation
            where kind = 'v' and not 'security_invoker=true' = any (coalesce(options, '{}'))
                and not (name = 'lead_candidates' and owner = 'leadline_finder')
        """,
        spoiled_by="create view a as select 1; alter view lead_candidates owner to leadline_owner",
        found=["a", "lead_candidates"],
    ),
    "nothing answers past row-level security: no materialized view, no foreign table": Rule(
        faults="""
            select name from relation where kind in ('m', 'f')
        """,
        spoiled_by="create materialized view a as select 1",
        found=["a"],
    ),
    "a function sets its search path, with pg_temp last": Rule(
        faults="""
            select name from routine
            where not exists (select from unnest(options) as o (setting) where setting ~ '^search_path=.*\\mpg_temp$')
        """,
        spoiled_by="""
            create function a() returns int language sql return 1;
            create function b() returns int language sql set search_path = public return 1
        """,
        found=["a()", "b()"],
    ),
    "nobody may do anything because he is somebody": Rule(
        faults="""
            select name from routine where exists (select from aclexplode(acl) as g where g.grantee = 0)
            union all
            select on_table || ' ' || privilege from grantee where role = 'public'
        """,
        spoiled_by="create function a() returns int language sql return 1; grant execute on function a() to public;"
        "grant select on leads to public",
        found=["a()", "leads SELECT"],
    ),
    "a function with its owner's rights is named, and the owner's": Rule(
        faults="""
            select name from routine
            where is_definer and (bare_name <> all (%(definers)s) or proowner <> 'leadline_owner'::regrole)
        """,
        spoiled_by="create function a() returns int language sql security definer return 1;"
        "alter function record_lead_change() owner to postgres",
        found=["a()", "record_lead_change()"],
    ),
    "every foreign key has an index that begins with its columns": Rule(
        faults="""
            select on_table || '.' || name from reference
            where not exists (
                select from pg_index as i
                where i.indrelid = reference.oid and i.indisvalid
                    and (
                        i.indpred is null -- or leaves out only the rows that refer to nothing
                        or pg_get_expr(i.indpred, i.indrelid) in (
                            select format('(%%I IS NOT NULL)', attname) from pg_attribute
                            where attrelid = i.indrelid and attnum = any (numbers)
                        )
                    )
                    and i.indnkeyatts >= cardinality(numbers)
                    and (i.indkey::smallint[])[0:cardinality(numbers) - 1] @> numbers
            )
        """,
        spoiled_by="""
            create table a (
                organization_id uuid,
                lead_id uuid,
                foreign key (organization_id, lead_id) references leads (organization_id, id)
            );
            create index on a (organization_id);
            create index on a (organization_id, lead_id) where lead_id > organization_id;
            create index on a (lead_id) include (organization_id);
            create table b (like a, foreign key (organization_id, lead_id) references leads (organization_id, id));
            create index on b (organization_id, lead_id) where lead_id is not null
        """,
        found=["a.a_organization_id_lead_id_fkey"],
    ),
    "every key carries the organization": Rule(
        faults="""
            select on_table || '.' || name from key
            where on_table <> all (%(of_customers)s::text[] || %(of_reference)s)
                and not 'organization_id' = any (columns)
            union all
            select on_table || '.' || name from reference
            where on_table <> all (%(of_customers)s::text[] || %(of_reference)s)
                and not (case target when 'organizations' then array['tenant_id=tenant_id', 'organization_id=id']
                    else array['organization_id=organization_id'] end <@ pairs)
        """,
        spoiled_by="""
            create unique index leads_by_id on leads (id);
            create table a (
                organization_id uuid,
                lead_id uuid references leads (id),
                phone_number text unique,
                email text,
                foreign key (lead_id, organization_id) references leads (organization_id, id)
            );
            create unique index a_one_per_email on a (email) include (organization_id)
        """,
        found=[
            "a.a_lead_id_fkey",
            "a.a_lead_id_organization_id_fkey",
            "a.a_one_per_email",
            "a.a_phone_number_key",
            "leads.leads_by_id",
        ],
    ),
    "every table has a primary key, and an organization's begins with it": Rule(
        faults="""
            select name from isolated
            where not exists (
                select from key
                where key.oid = isolated.oid and is_primary
                    and case
                        when root = any (%(of_reference)s) then cardinality(columns) > 0
                        when root = 'tenants' then columns = '{id}'
                        when root = 'organizations' then columns = '{tenant_id, id}'
                        when root = 'lead_audit_log' then columns = '{organization_id, id, changed_at}'
                        else columns = '{organization_id, id}'
                    end
            )
            union all
            select name from relation
            where kind in ('r', 'p') and name = any (%(of_nobody)s)
                and not exists (select from pg_index as i where i.indrelid = relation.oid and i.indisprimary)
        """,
        spoiled_by="create table a (); create table b (id uuid primary key, organization_id uuid);"
        "alter table schema_migrations drop constraint schema_migrations_pkey",
        found=["a", "b", "schema_migrations"],
    ),
    "every row is somebody's": Rule(
        faults="""
            select isolated.name || '.' || wanted
            from isolated
            cross join unnest(array['tenant_id', 'organization_id']) as wanted
            where isolated.name <> all (%(of_customers)s::text[] || %(of_reference)s)
                and not exists (
                    select from pg_attribute as a
                    where a.attrelid = isolated.oid and a.attname = wanted and a.attnotnull
                        and a.atttypid = 'uuid'::regtype
                )
        """,
        spoiled_by="create table a (tenant_id uuid not null, organization_id uuid)",
        found=["a.organization_id"],
    ),
    "where the application inserts, a key ties the organization to its tenant": Rule(
        faults="""
            select name from isolated
            where not is_partition and name <> all (%(of_customers)s)
                and has_any_column_privilege('leadline_app', oid, 'insert')
                and not exists (select from reference where reference.oid = isolated.oid and target = 'organizations')
        """,
        spoiled_by="""
            create table a (organization_id uuid, lead_id uuid);
            grant insert (lead_id) on a to leadline_app;
            alter table a add foreign key (organization_id, lead_id) references leads (organization_id, id)
        """,
        found=["a"],
    ),
    "the application reads and writes rows, and nothing else": Rule(
        faults="""
            select on_table || ' ' || privilege from grantee
            where role = 'leadline_app' and privilege not in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
                and not (on_table = 'dnc_list' and privilege like 'UPDATE of %%')
        """,
        spoiled_by="grant truncate, references on leads to leadline_app; grant update (notes) on leads to leadline_app",
        found=["leads REFERENCES", "leads TRUNCATE", "leads UPDATE of notes"],
    ),
    "of a Do-Not-Call entry the application updates neither the number nor when and by whom it was listed": Rule(
        faults="""
            select attname::text from pg_attribute
            where attrelid = 'dnc_list'::regclass and attnum > 0 and not attisdropped
                and has_column_privilege('leadline_app', attrelid, attnum, 'update')
                and attname in ('tenant_id', 'organization_id', 'id', 'phone_number', 'added_at', 'added_by')
        """,
        spoiled_by="grant update (phone_number) on dnc_list to leadline_app",
        found=["phone_number"],
    ),
    "the application deletes only what nothing rests on": Rule(
        faults="""
            select name from relation
            where has_table_privilege('leadline_app', oid, 'delete') and root <> all (%(deletable)s)
        """,
        spoiled_by="grant delete on leads, members to leadline_app",
        found=["leads", "members"],
    ),
    "history is append-only": Rule(
        faults="""
            select name from relation
            where root = any (%(append_only)s::text[] || %(written_by_trigger)s::text[])
                and (
                    has_any_column_privilege('leadline_app', oid, 'update')
                    or has_table_privilege('leadline_app', oid, 'delete, truncate')
                )
        """,
        spoiled_by="""
            grant update (reason) on lead_status_history to leadline_app;
            grant delete on budget_transactions to leadline_app;
            grant truncate on lead_audit_log_default to leadline_app
        """,
        found=["budget_transactions", "lead_audit_log_default", "lead_status_history"],
    ),
    "history of leads and sequences is written by triggers alone": Rule(
        faults="""
            select name from relation
            where root = any (%(written_by_trigger)s) and has_any_column_privilege('leadline_app', oid, 'insert')
        """,
        spoiled_by="""
            grant insert on lead_audit_log to leadline_app;
            grant insert (lead_id) on lead_status_history to leadline_app
        """,
        found=["lead_audit_log", "lead_status_history"],
    ),
    "money is moved by the ledger's functions alone": Rule(
        faults="""
            select name from relation
            where name = any (%(written_by_the_ledger)s)
                and (
                    has_any_column_privilege('leadline_app', oid, 'insert, update')
                    or has_table_privilege('leadline_app', oid, 'delete, truncate')
                )
        """,
        spoiled_by="""
            grant insert on budget_transactions to leadline_app;
            grant update (balance) on budget_accounts to leadline_app;
            grant delete on budget_caps to leadline_app
        """,
        found=["budget_accounts", "budget_caps", "budget_transactions"],
    ),
    "no foreign key deletes or changes rows": Rule(
        faults="""
            select on_table || '.' || name from reference
            where on_delete not in ('a', 'r') or on_update not in ('a', 'r')
        """,
        spoiled_by="""
            create table a (id uuid, foreign key (id) references tenants (id) on delete cascade);
            create table b (id uuid, foreign key (id) references tenants (id) on delete set null);
            create table c (id uuid, foreign key (id) references tenants (id) on update cascade)
        """,
        found=["a.a_id_fkey", "b.b_id_fkey", "c.c_id_fkey"],
    ),
    "a partition is reached through its parent only": Rule(
        faults="""
            select on_table || ' ' || privilege from grantee where is_partition and role <> owner
        """,
        spoiled_by="grant select on lead_audit_log_default to leadline_app",
        found=["lead_audit_log_default SELECT"],
    ),
    "tables are granted to the application alone, but for what finder and dispatcher look up": Rule(
        faults="""
            select on_table || ' to ' || role from grantee
            where role not in (owner, 'leadline_app')
                and (on_table, role) not in (
                    ('leads', 'leadline_finder'), ('dnc_list', 'leadline_dispatch'),
                    ('budget_holds', 'leadline_dispatch'), ('enrollment_triggers', 'leadline_dispatch'),
                    ('lead_sequence_enrollments', 'leadline_dispatch'), ('step_runs', 'leadline_dispatch'),
                    ('provider_keys', 'leadline_dispatch'), ('unmatched_webhooks', 'leadline_dispatch')
                )
        """,
        spoiled_by="grant select on leads to leadline_dispatch; grant select (name) on segments to leadline_finder",
        found=["leads to leadline_dispatch", "segments to leadline_finder"],
    ),
    "the application owns nothing": Rule(
        faults="""
            select distinct classid::regclass::text from pg_shdepend
            where refclassid = 'pg_authid'::regclass and refobjid = 'leadline_app'::regrole and deptype = 'o'
                and dbid in (0, (select oid from pg_database where datname = current_database()))
        """,
        spoiled_by="create table a (); alter table a owner to leadline_app",
        found=["pg_class"],
    ),
    "no role of ours passes row-level security by, and none but the owner makes roles": Rule(
        faults="""
            select rolname from pg_roles
            where rolname ~ '^leadline_'
                and (
                    rolsuper or rolbypassrls or rolreplication or rolcreatedb
                    or rolcreaterole <> (rolname = 'leadline_owner')
                    or rolcanlogin <> (rolname <> 'leadline_finder')
                )
        """,
        spoiled_by="""
            alter role leadline_app bypassrls;
            alter role leadline_dispatch createrole;
            alter role leadline_finder login
        """,
        found=["leadline_app", "leadline_dispatch", "leadline_finder"],
    ),
    # That the owner may administer the roles it has made comes from CREATEROLE; it lends no right over rows.
    "no role of ours has the rights of another": Rule(
        faults="""
            select role || ' as ' || other
            from unnest(%(roles)s::text[]) as role
            cross join (select rolname, oid from pg_roles where not rolsuper) as others (other, id)
            cross join unnest(array['usage', 'set', 'member']) as way
            where role <> other and pg_has_role(role, id, case
                when way <> 'set' then way
                when current_setting('server_version_num')::integer >= 160000 then 'set'
                else 'member'
            end)
            and not (role = 'leadline_owner' and (way = 'member' or other = 'pg_database_owner'))
        """,
        spoiled_by="""
            set local role leadline_owner;
            grant leadline_finder to leadline_owner;
            grant leadline_dispatch to leadline_app;
            reset role;
            grant pg_read_all_data to leadline_dispatch
        """,
        found=[
            "leadline_app as leadline_dispatch",
            "leadline_app as pg_read_all_data",
            "leadline_dispatch as pg_read_all_data",
            "leadline_owner as leadline_finder",
        ],
    ),
}


def faults(conn: Transaction, rule: Rule) -> set[str]:
    names = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in NAMED.items()}
    return {next(iter(row.values())) for row in conn.execute(OURS + rule.faults, names)}


@pytest.fixture(scope="module")
def catalog(database: postgres.Server) -> Iterator[Transaction]:
    with psycopg.connect(database.dsn("superuser"), autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_in_the_catalog(catalog: Transaction, rule: Rule) -> None:
    assert faults(catalog, rule) == set()


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_what_breaks_a_rule_is_seen(catalog: Transaction, rule: Rule) -> None:
    with catalog.transaction(force_rollback=True):
        catalog.execute(rule.spoiled_by)
        assert faults(catalog, rule) == set(rule.found)


# Without a context ---------------------------------------------------------------------------------------------------

NEVER_SET, SET_BEFORE, NO_PRIVILEGE = "42704", "22P02", "42501"


@pytest.fixture(scope="module", params=["empty", "filled"])
def tables_of(request: pytest.FixtureRequest, database: postgres.Server, customer: Callable[..., Customer]):
    """A database in which every table is empty, and one in which none is."""
    if request.param == "filled":
        with psycopg.connect(database.dsn("owner"), autocommit=True, row_factory=dict_row) as owner:
            rows.fill(owner, customer())
        yield database
        return
    empty = dataclasses.replace(database, database=f"empty_{secrets.token_hex(6)}")
    postgres.prepare(empty)
    yield empty
    with psycopg.connect(database.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(empty.database)))


def answers_without_context(conn: Transaction, expected: str) -> list[str]:
    """Which statements did anything else than raise: as it should be for want of a context, or of the privilege."""
    relations = conn.execute(
        """
        select
            c.relname as name,
            array(
                select a.attname::text from pg_attribute as a
                where a.attrelid = c.oid and a.attname in ('tenant_id', 'organization_id', 'id')
            ) as ids,
            has_table_privilege(c.oid, 'select') as may_select, has_any_column_privilege(c.oid, 'insert') as may_insert,
            has_any_column_privilege(c.oid, 'update') as may_update, has_table_privilege(c.oid, 'delete') as may_delete
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
            and c.relname <> all (%(of_nobody)s::text[] || %(of_reference)s) and c.relname !~ '^pg_stat_statements'
        """,
        NAMED,
    ).fetchall()
    wrong: list[str] = []
    for relation in relations:
        table, ids = sql.Identifier(relation["name"]), [sql.Identifier(name) for name in relation["ids"]]
        statements = {
            "select": [
                sql.SQL("select * from {}").format(table),
                sql.SQL("select count(*) from {}").format(table),
                sql.SQL("select from {} limit 1").format(table),
            ],
            "insert": [
                sql.SQL("insert into {} default values").format(table),
                sql.SQL("insert into {} ({}) values ({})").format(
                    table, sql.SQL(", ").join(ids), sql.SQL(", ").join([sql.SQL("gen_random_uuid()")] * len(ids))
                ),
            ],
            "update": [sql.SQL("update {} set {} = {}").format(table, ids[0], ids[0])],
            "delete": [sql.SQL("delete from {}").format(table)],
        }
        for verb, texts in statements.items():
            for text in texts:
                try:
                    answer = conn.execute(text).statusmessage
                except psycopg.Error as error:
                    answer = error.sqlstate
                # The planner may ask for the context before the executor asks for the privilege.
                if answer != expected and (relation[f"may_{verb}"] or answer != NO_PRIVILEGE):
                    wrong.append(f"{verb} {relation['name']}: {answer}")
    return wrong


@pytest.mark.parametrize("role", ["app", "owner"])
def test_without_a_context_every_table_raises_on_a_fresh_connection(connect, tables_of, role) -> None:
    assert answers_without_context(connect(role, tables_of), NEVER_SET) == []


@pytest.mark.parametrize("role", ["app", "owner"])
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_without_a_context_every_table_raises_on_a_used_connection(connect, tables_of, role, end) -> None:
    conn = connect(role, tables_of)
    with conn.transaction(force_rollback=end == "rollback"):
        conn.execute(
            """
            select set_config('app.current_tenant_id', gen_random_uuid()::text, true),
                set_config('app.current_org_id', gen_random_uuid()::text, true)
            """
        )
        assert conn.execute("select * from leads").fetchall() == []
    assert answers_without_context(conn, SET_BEFORE) == []


@pytest.mark.parametrize("table", rows.REFERENCE)
@pytest.mark.parametrize("context", ["in a context", "without one"])
def test_reference_data_is_read_by_the_application_and_not_written(connect, customer, table, context) -> None:
    app, acme, name = connect(), customer(), sql.Identifier(table)
    with app.transaction():
        if context == "in a context":
            enter(app, acme.tenant_id, acme.organization_id)
        assert app.execute(sql.SQL("select from {}").format(name)).rowcount > 0
        for statement in (
            "insert into {0} select * from {0}",
            "update {0} set source = source" if table != "calling_windows" else "update {0} set days = days",
            "delete from {0}",
            "truncate {0}",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), app.transaction():
                app.execute(sql.SQL(statement).format(name))


# Entering ------------------------------------------------------------------------------------------------------------

SETTINGS = [
    *("app.current_tenant_id", "app.current_org_id", "app.current_user_id", "app.ip_address", "app.user_agent"),
    *("app.change_reason", "app.trigger_type", "app.trigger_id"),
]


def enter(conn: Transaction, *arguments: object) -> Any:
    """The member's id, from enter_context(tenant, organization, subject, role, ...)."""
    places = sql.SQL(", ").join(sql.Placeholder() * len(arguments))
    row = conn.execute(sql.SQL("select enter_context({}) as member").format(places), arguments).fetchone()
    assert row
    return row["member"]


def settings(conn: Transaction) -> list[str | None]:
    row = conn.execute(
        "select array(select current_setting(s, true) from unnest(%s::text[]) as s) as values", [SETTINGS]
    )
    return row.fetchall()[0]["values"]


def test_a_member_enters_and_the_settings_say_who_and_why(connect, customer) -> None:
    app, acme = connect(), customer()
    member, subject = acme.members["manager"]
    history = ["203.0.113.7", "Mozilla", "asked to", "call", "call-17"]
    with app.transaction():
        assert enter(app, acme.tenant_id, acme.organization_id, subject, "manager", *history) == member
        assert settings(app) == [str(acme.tenant_id), str(acme.organization_id), str(member), *history]


def test_the_system_enters_an_organization_as_nobody(connect, customer) -> None:
    app, acme = connect(), customer()
    with app.transaction():
        assert enter(app, acme.tenant_id, acme.organization_id) is None
        assert settings(app) == [str(acme.tenant_id), str(acme.organization_id), *[""] * 6]


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_context_ends_with_its_transaction(connect, customer, end) -> None:
    app, acme = connect(), customer()
    _, subject = acme.members["agent"]
    with app.transaction(force_rollback=end == "rollback"):
        enter(app, acme.tenant_id, acme.organization_id, subject, "agent", *["left behind"] * 3, "call", "left behind")
    assert set(settings(app)) <= {"", None}
    with app.transaction():
        enter(app, acme.tenant_id, acme.organization_id)
        assert settings(app)[2:] == [""] * 6


def test_entering_again_leaves_nothing_of_who_was_there_before(connect, customer) -> None:
    app, acme, other = connect(), customer(), customer()
    with app.transaction():
        enter(app, acme.tenant_id, acme.organization_id, acme.members["agent"].subject, "agent", *["of acme"] * 3)
        enter(app, other.tenant_id, other.organization_id)
        assert settings(app) == [str(other.tenant_id), str(other.organization_id), *[""] * 6]


@pytest.mark.parametrize("by_whom", ["the system", "a member of the organization", "a member of the tenant"])
def test_an_organization_of_another_tenant_is_refused(connect, customer, by_whom) -> None:
    mine, theirs = customer(), customer()
    subject = {"a member of the organization": theirs, "a member of the tenant": mine}.get(by_whom)
    who = [subject.members["agent"].subject, "agent"] if subject else []
    refused(connect(), mine.tenant_id, theirs.organization_id, *who)


def test_who_is_no_active_member_in_that_role_is_refused(connect, customer) -> None:
    acme, other = customer(), customer()
    there = acme.tenant_id, acme.organization_id
    _, subject = acme.members["agent"]
    refused(connect(), *there, subject, "admin")
    refused(connect(), *there, subject, None)
    refused(connect(), *there, "unknown", "agent")
    refused(connect(), *there, "", "agent")
    refused(connect(), *there, other.members["agent"].subject, "agent")
    refused(connect(), acme.tenant_id, uuid4(), subject, "agent")
    refused(connect(), acme.tenant_id, uuid4())
    refused(connect(), uuid4(), acme.organization_id)
    owner = connect("owner")
    with owner.transaction():
        enter(owner, *there)
        owner.execute("update members set active = false where subject = %s", [subject])
    refused(connect(), *there, subject, "agent")


def refused(conn: Transaction, *arguments: object) -> None:
    with pytest.raises(psycopg.Error) as error, conn.transaction():
        enter(conn, *arguments)
    assert error.value.sqlstate == "LD403"
    assert not set(settings(conn)) - {"", None}


@pytest.mark.parametrize("missing", ["tenant", "organization"])
def test_a_context_with_a_part_missing_is_an_error(connect, customer, missing) -> None:
    app, acme = connect(), customer()
    ids = [None if missing == "tenant" else acme.tenant_id, None if missing == "organization" else acme.organization_id]
    with pytest.raises(psycopg.DataError), app.transaction():
        enter(app, *ids)


# The Do-Not-Call list as SQL asks it ---------------------------------------------------------------------------------

NUMBER = "+14155550142"


def list_number(conn: Transaction, **given: object) -> None:
    entry = {"phone_number": NUMBER, "reason": "admin_added", **given}
    conn.execute(
        """
        insert into dnc_list (phone_number, reason, expires_at, removed_at, removal_reason)
        select phone_number, reason, expires_at, removed_at, removal_reason
        from jsonb_populate_record(null::dnc_list, %s)
        """,
        [Jsonb(entry)],
    )


def is_listed(conn: Transaction, number: str | None, organization: object) -> bool:
    row = conn.execute("select is_on_dnc_list(%s, %s) as listed", [number, organization]).fetchone()
    assert row
    return row["listed"]


@pytest.fixture
def in_context(connect, customer):
    """The application in a customer's context, and the customer."""
    app, acme = connect(), customer()
    with app.transaction():
        enter(app, acme.tenant_id, acme.organization_id)
        yield app, acme


@pytest.mark.parametrize("given", [{}, {"expires_at": "9999-01-01"}], ids=["for good", "for a time"])
def test_a_number_on_the_list_is_listed(in_context, given) -> None:
    app, acme = in_context
    assert is_listed(app, NUMBER, acme.organization_id) is False
    list_number(app, **given)
    assert is_listed(app, NUMBER, acme.organization_id) is True
    assert is_listed(app, "+14155550143", acme.organization_id) is False


@pytest.mark.parametrize(
    "given",
    [{"expires_at": "2001-01-01"}, {"removed_at": "2001-01-01", "removal_reason": "consent"}],
    ids=["expired", "removed"],
)
def test_an_entry_that_has_ended_does_not_count(in_context, given) -> None:
    app, acme = in_context
    list_number(app, **given)
    assert is_listed(app, NUMBER, acme.organization_id) is False


@pytest.mark.parametrize(
    "number", [None, "", "4155550142", "(415) 555-0142", "+1", "+04155550142", "+1415555014\n", NUMBER + "x"]
)
def test_a_question_about_no_phone_number_is_an_error(in_context, number) -> None:
    app, acme = in_context
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        is_listed(app, number, acme.organization_id)


@pytest.mark.parametrize("whose", ["a stranger's", "a sister's", "nobody's"])
def test_a_question_about_another_list_is_an_error(in_context, customer, whose) -> None:
    app, acme = in_context
    theirs = {"a stranger's": customer(), "a sister's": customer(beside=acme)}.get(whose)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        is_listed(app, NUMBER, theirs and theirs.organization_id)


def test_a_question_without_a_context_is_an_error(connect, customer) -> None:
    with pytest.raises(psycopg.errors.UndefinedObject):
        is_listed(connect(), NUMBER, customer().organization_id)
