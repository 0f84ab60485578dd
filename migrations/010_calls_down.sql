-- Takes calls, messages and the inbox away, and lets one statement name one trigger again.

set local role leadline_owner;

create or replace function record_lead_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off
as $$
declare
    this_moment constant timestamptz := clock_timestamp();
begin
    insert into lead_audit_log (
        tenant_id, organization_id, lead_id, user_id, field_name, old_value, new_value, change_reason, ip_address, user_agent,
        changed_at
    )
    select
        lead.tenant_id, lead.organization_id, lead.id, current_user_id(), field.name,
        lead.before ->> field.name, lead.after ->> field.name,
        nullif(current_setting('app.change_reason', true), ''),
        nullif(current_setting('app.ip_address', true), ''),
        nullif(current_setting('app.user_agent', true), ''),
        this_moment
    from (
        select
            after.tenant_id, after.organization_id, after.id, to_jsonb(before) as before, to_jsonb(after) as after
        from before
        join after using (organization_id, id)
        offset 0 -- turns each row into JSON once, not once for each of its fields
    ) as lead
    cross join lateral jsonb_object_keys(lead.after) as field (name)
    where lead.before -> field.name is distinct from lead.after -> field.name
        -- derived from the others, and changed by every update
        and field.name not in ('full_name', 'version', 'updated_at');

    insert into lead_status_history
        (tenant_id, organization_id, lead_id, from_status, to_status, user_id, trigger_type, trigger_id, reason, changed_at)
    select
        after.tenant_id, after.organization_id, after.id, before.status, after.status, current_user_id(),
        coalesce(nullif(current_setting('app.trigger_type', true), ''), 'automation'),
        nullif(current_setting('app.trigger_id', true), ''),
        nullif(current_setting('app.change_reason', true), ''),
        this_moment
    from before
    join after using (organization_id, id)
    where before.status <> after.status;
    return null;
end
$$;

comment on column opt_out_events.address is 'A phone number in E.164.';
drop table messages;
drop table calls;
drop table inbox_messages;
