-- Takes the guards of the Do-Not-Call list away, and gives history and keys back what they were.

set local role leadline_owner;

create or replace function claim_idempotency_key(for_route text, wanted_key text, hash text) returns void
language plpgsql set search_path = public, pg_temp
as $$
begin
    -- Who adds a key takes a few expired ones away, so that nobody else need do it.
    delete from idempotency_keys
    where id in (
        select id from idempotency_keys where created_at < now() - interval '30 days'
        order by created_at limit 20 for update skip locked
    );
    -- Waits here for another call in flight with the same key. An expired key is as good as none.
    insert into idempotency_keys as kept (route, key, content_hash)
    values (for_route, wanted_key, hash)
    on conflict (organization_id, route, key) do update
    set content_hash = excluded.content_hash, status = null, headers = null, body = null, created_at = now()
    where kept.created_at < now() - interval '30 days';
    if not found then
        raise exception 'the key has an answer' using errcode = 'LD409';
    end if;
end
$$;
comment on column idempotency_keys.content_hash is 'SHA-256 of the query and the canonical body.';
alter table idempotency_keys drop column claimed_by;

create or replace function record_lead_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off
as $$
begin
    insert into lead_audit_log
        (tenant_id, organization_id, lead_id, user_id, field_name, old_value, new_value, change_reason, ip_address, user_agent)
    select
        lead.tenant_id, lead.organization_id, lead.id, current_user_id(), field.name,
        lead.before ->> field.name, lead.after ->> field.name,
        nullif(current_setting('app.change_reason', true), ''),
        nullif(current_setting('app.ip_address', true), ''),
        nullif(current_setting('app.user_agent', true), '')
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
        (tenant_id, organization_id, lead_id, from_status, to_status, user_id, trigger_type, trigger_id, reason)
    select
        after.tenant_id, after.organization_id, after.id, before.status, after.status, current_user_id(),
        coalesce(nullif(current_setting('app.trigger_type', true), ''), 'automation'),
        nullif(current_setting('app.trigger_id', true), ''),
        nullif(current_setting('app.change_reason', true), '')
    from before
    join after using (organization_id, id)
    where before.status <> after.status;
    return null;
end
$$;

alter table lead_assignments alter column assigned_at set default now();
alter table dnc_additions alter column added_at set default now();
alter table opt_out_events alter column honoured_at set default now();
alter table dnc_list alter column added_at set default now();

drop index dnc_additions_by_event;
drop index leads_deleted_by_number;
drop trigger stop_calls_to_leads_of_changed_entries on dnc_list;
drop trigger stop_calls_to_leads_of_new_entries on dnc_list;
drop function stop_calls_to_listed_leads();
drop trigger refuse_change_of_ended_entry on dnc_list;
drop function refuse_change_of_ended_entry();
revoke update (
    reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented,
    removed_at, removed_by, removal_reason, removal_consent
) on dnc_list from leadline_app;
grant update on dnc_list to leadline_app;
