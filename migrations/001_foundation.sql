-- Foundation: roles, extensions, the context of a request, row-level security, and who the customers are.
--
-- Everything is owned by leadline_owner, whoever applies this file: the migration runner as that role, or an administrator
-- with `psql -1 -v ON_ERROR_STOP=1 -f`. Definer functions owned by a superuser would bypass row-level security.

do $$
begin
    if not exists (select from pg_roles where rolname = 'leadline_owner') then
        create role leadline_owner login createrole;
    end if;
    if current_user <> 'leadline_owner' then
        execute format('grant connect, create, temporary on database %I to leadline_owner', current_database());
        grant usage, create on schema public to leadline_owner with grant option;
    end if;
end
$$;

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create extension if not exists pg_trgm;
create extension if not exists pgcrypto;
create extension if not exists btree_gin;

-- A function of ours is callable by the roles it is granted to, and by nobody else.
alter default privileges revoke execute on functions from public;


-- Roles ---------------------------------------------------------------------------------------------------------------
-- Roles belong to the cluster, so another database may have made them already.

do $$
declare
    role_name text;
begin
    foreach role_name in array array ['leadline_app', 'leadline_dispatch', 'leadline_finder'] loop
        begin
            if not exists (select from pg_roles where rolname = role_name) then
                execute format(
                    'create role %I %s', role_name, case role_name when 'leadline_finder' then 'nologin' else 'login' end
                );
            end if;
        exception
            when duplicate_object or unique_violation then
                raise notice 'role % was made by another database meanwhile', role_name;
        end;
    end loop;
    -- Limits hold in this database only, so that two databases of one cluster do not fight over them.
    foreach role_name in array array ['leadline_app', 'leadline_dispatch'] loop
        execute format('alter role %I in database %I set statement_timeout = %L', role_name, current_database(), '20s');
        execute format('alter role %I in database %I set lock_timeout = %L', role_name, current_database(), '5s');
        execute format(
            'alter role %I in database %I set idle_in_transaction_session_timeout = %L',
            role_name, current_database(), '30s'
        );
    end loop;
end
$$;

grant usage on schema public to leadline_app, leadline_dispatch, leadline_finder;


-- The context of a request --------------------------------------------------------------------------------------------

create function current_tenant_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return current_setting('app.current_tenant_id')::uuid;
comment on function current_tenant_id() is 'The tenant of this transaction; raises when none is set.';

create function current_org_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return current_setting('app.current_org_id')::uuid;
comment on function current_org_id() is 'The organization of this transaction; raises when none is set.';

create function current_user_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return nullif(current_setting('app.current_user_id', true), '')::uuid;
comment on function current_user_id() is 'The member who acts in this transaction; null when the system itself does.';

create function uuid_v7() returns uuid
language sql volatile parallel safe set search_path = pg_catalog, pg_temp
return (
    select encode(
        substring(int8send(floor(milliseconds)::bigint) from 3)
        || int2send((x'7000'::int + floor((milliseconds - floor(milliseconds)) * 4096))::smallint)
        || substring(uuid_send(gen_random_uuid()) from 9),
        'hex'
    )::uuid
    from (select extract(epoch from clock_timestamp()) * 1000 as milliseconds) as clock
);
comment on function uuid_v7() is
    'A UUID that sorts by time to the microsecond (RFC 9562, version 7, method 3), so that rows of one transaction keep their order.';

create domain e164 as text check (value ~ '^\+[1-9][0-9]{6,14}$');
comment on domain e164 is 'A phone number in E.164: a plus, the country code, at most 15 digits.';


-- Row-level security --------------------------------------------------------------------------------------------------

create function isolate_by_tenant(
    target regclass,
    application_may text default 'select, insert, update',
    policy_name name default 'tenant_isolation_policy'
) returns void
language plpgsql set search_path = public, pg_temp
as $$
declare
    -- Bare on purpose: it raises without a context even on an empty table, and the planner estimates it well.
    of_this_organization constant text :=
        'tenant_id = current_setting(''app.current_tenant_id'')::uuid'
        ' and organization_id = current_setting(''app.current_org_id'')::uuid';
begin
    execute format('alter table %s enable row level security', target);
    execute format('alter table %s force row level security', target);
    execute format(
        'create policy %I on %s to leadline_app, leadline_owner using (%s) with check (%s)',
        policy_name, target, of_this_organization, of_this_organization
    );
    if application_may <> '' then
        execute format('grant %s on %s to leadline_app', application_may, target);
    end if;
end
$$;
comment on function isolate_by_tenant(regclass, text, name) is
    'Closes a table to all but one organization: enables and forces row-level security, makes its one policy, grants the application what it may do.';


-- Customers -----------------------------------------------------------------------------------------------------------

create table tenants (
    id uuid primary key default uuid_v7(),
    name text not null check (name <> ''),
    created_at timestamptz not null default now()
);
comment on table tenants is
    'A customer account. The one table that belongs to a whole tenant, not to an organization.

Read your own: select name from tenants';

alter table tenants enable row level security;
alter table tenants force row level security;
create policy tenant_isolation_policy on tenants to leadline_app, leadline_owner
    using (id = current_setting('app.current_tenant_id')::uuid)
    with check (id = current_setting('app.current_tenant_id')::uuid);
grant select on tenants to leadline_app;

create table organizations (
    tenant_id uuid not null default current_tenant_id() references tenants (id),
    id uuid not null unique default uuid_v7(),
    name text not null check (name <> ''),
    created_at timestamptz not null default now(),
    primary key (tenant_id, id)
);
comment on table organizations is
    'One business (one seller, in the law''s words) inside a tenant: the scope of leads, of the Do-Not-Call list and of the budget.

Read your own: select name from organizations';

alter table organizations enable row level security;
alter table organizations force row level security;
create policy tenant_isolation_policy on organizations to leadline_app, leadline_owner
    using (
        tenant_id = current_setting('app.current_tenant_id')::uuid
        and id = current_setting('app.current_org_id')::uuid
    )
    with check (
        tenant_id = current_setting('app.current_tenant_id')::uuid
        and id = current_setting('app.current_org_id')::uuid
    );
grant select on organizations to leadline_app;

create table members (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    subject text not null check (subject <> ''),
    name text,
    email text,
    role text not null check (role in ('agent', 'manager', 'admin', 'service')),
    active boolean not null default true,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, subject),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index members_by_role on members (tenant_id, organization_id, role);
comment on table members is
    'A user or a machine in an organization, with its role. One who leaves is deactivated, never deleted: history names members.

Who acts: select id, role from members where subject = $1 and active';
comment on column members.subject is 'The identity provider''s name for the member: the token''s claim sub.';
select isolate_by_tenant('members', 'select');


-- Entering ------------------------------------------------------------------------------------------------------------

create function enter_context(
    tenant uuid,
    organization uuid,
    member_subject text default null,
    member_role text default null,
    ip_address text default null,
    user_agent text default null,
    change_reason text default null,
    trigger_type text default null,
    trigger_id text default null
) returns uuid
language plpgsql set search_path = public, pg_temp
as $$
declare
    member uuid;
begin
    perform set_config('app.current_tenant_id', tenant::text, true),
        set_config('app.current_org_id', organization::text, true),
        set_config('app.current_user_id', '', true),
        set_config('app.ip_address', coalesce(ip_address, ''), true),
        set_config('app.user_agent', coalesce(user_agent, ''), true),
        set_config('app.change_reason', coalesce(change_reason, ''), true),
        set_config('app.trigger_type', coalesce(trigger_type, ''), true),
        set_config('app.trigger_id', coalesce(trigger_id, ''), true);
    if member_subject is null then
        if not exists (select from organizations) then
            raise exception 'the organization is not the tenant''s' using errcode = 'LD403';
        end if;
        return null;
    end if;
    select id into member from members where subject = member_subject and role = member_role and active;
    if member is null then
        raise exception 'no active member of the organization with that role' using errcode = 'LD403';
    end if;
    perform set_config('app.current_user_id', member::text, true);
    return member;
end
$$;
comment on function enter_context(uuid, uuid, text, text, text, text, text, text, text) is
    'Sets the context of one transaction and answers the member''s id. Raises LD403 when the organization is not the tenant''s, or the subject is no active member of it in that role; without a subject the system itself acts.';

grant execute on function current_tenant_id(), current_org_id(), current_user_id(), uuid_v7()
    to leadline_app, leadline_dispatch, leadline_finder;
grant execute on function enter_context(uuid, uuid, text, text, text, text, text, text, text) to leadline_app;
