-- Takes the orders of the list away, and lets every agent see all leads again.

set local role leadline_owner;

drop statistics leads_organization_decides_tenant;
drop index leads_by_last_name;
drop index leads_by_last_contact;
drop function sees_only_leads_of();

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
