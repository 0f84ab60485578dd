-- Leads, complete: agents who see their own leads only, and an index for each order of the list.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Whose leads a member sees ---------------------------------------------------------------------------------------------
-- Decided once, on entering, and asked by the statements that read leads for a person. It is no policy: an agent's change
-- of a number must meet the leads of all the others, and an opt-out must stop calls to every one of them.

create or replace function enter_context(
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
        set_config('app.trigger_id', coalesce(trigger_id, ''), true),
        set_config('app.sees_only_leads_of', '', true);
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
    if member_role = 'agent' and exists (
        select from system_config where config_key = 'agents_see_own_leads_only' and config_value = 'true'
    ) then
        perform set_config('app.sees_only_leads_of', member::text, true);
    end if;
    return member;
end
$$;

create function sees_only_leads_of() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return nullif(current_setting('app.sees_only_leads_of', true), '')::uuid;
comment on function sees_only_leads_of() is
    'The agent who acts in this transaction, where agents see their own leads only; null when all leads of the organization are to be seen.';
grant execute on function sees_only_leads_of() to leadline_app;


-- Orders of the list ----------------------------------------------------------------------------------------------------
-- No part of a key is null, so that one comparison of rows finds where a page goes on; what is absent stands last. It is
-- greatest(), which passes over nulls, and not coalesce(): that one the planner takes for leaky, and keeps from the index.

create index leads_by_last_contact on leads (organization_id, (greatest(last_contact_date, '-infinity')) desc, id desc)
    where deleted_at is null;
create index leads_by_last_name on leads (organization_id, (case when last_name is null then 1 else 0 end), (greatest(last_name, '')), id)
    where deleted_at is null;

-- An organization has one tenant. Without being told, the planner multiplies how rare the two are, takes an organization for
-- smaller than it is by as many times as there are tenants, and sorts all of it instead of reading a page in order.
create statistics leads_organization_decides_tenant (dependencies) on organization_id, tenant_id from leads;
