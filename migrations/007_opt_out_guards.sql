-- Opt-outs, guarded from the list's own side too; history in the order of what happened; whose an Idempotency-Key is.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- What an entry may become ----------------------------------------------------------------------------------------------
-- Its number, and when and by whom it was listed, stay as they are; one that has ended is history.

revoke update on dnc_list from leadline_app;
grant update (
    reason, source, detected_phrase, notes, expires_at, consent_withdrawal_documented,
    removed_at, removed_by, removal_reason, removal_consent
) on dnc_list to leadline_app;

create function refuse_change_of_ended_entry() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    raise exception 'a Do-Not-Call entry that has ended does not change; list the number again'
        using errcode = 'check_violation', constraint = 'an_ended_entry_stays_ended', table = 'dnc_list';
end
$$;
comment on function refuse_change_of_ended_entry() is
    'Refuses to change an entry that has ended: made active again, it would hide that its number was callable meanwhile.';
create trigger refuse_change_of_ended_entry before update on dnc_list
    for each row when (old.removed_at is not null) execute function refuse_change_of_ended_entry();


-- What an entry does to its leads ---------------------------------------------------------------------------------------
-- Beside the data, so that no way to list a number leaves a lead of it callable. As with the guard on leads, locks are
-- tried and never waited for: who lists a number has locked it before.

create function stop_calls_to_listed_leads() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
declare
    given constant text := coalesce(current_setting('app.change_reason', true), '');
    many constant boolean := (select count(*) > 500 from after);
    listed record;
    locked boolean;
begin
    for listed in
        select entry.organization_id, entry.reason, array_agg(entry.phone_number::text) as numbers
        from after as entry
        where entry.removed_at is null and (entry.expires_at is null or entry.expires_at > now())
        group by entry.organization_id, entry.reason
    loop
        locked := false;
        if not many then
            select
                pg_try_advisory_xact_lock_shared(hashtextextended(listed.organization_id::text, 0))
                and bool_and(pg_try_advisory_xact_lock(hashtextextended(listed.organization_id::text || ' ' || number, 0)))
            into locked
            from unnest(listed.numbers) as these (number);
        end if;
        -- Who has locked all numbers need not have each: one that commits lets go of the organization's lock first.
        if not (locked or pg_try_advisory_xact_lock(hashtextextended(listed.organization_id::text, 0))) then
            raise exception 'somebody else judges or changes this number; lock it first' using errcode = 'lock_not_available';
        end if;
        -- History says why, where nobody has said it better.
        perform set_config('app.change_reason', coalesce(nullif(given, ''), listed.reason), true);
        -- An array and no join: its plan stays an index scan, for one number and for fifty thousand.
        update leads set status = 'dnc', calling_blocked = true
        where leads.organization_id = listed.organization_id and leads.phone_number = any (listed.numbers)
            and leads.deleted_at is null and (leads.status <> 'dnc' or not leads.calling_blocked);
        perform set_config('app.change_reason', given, true);
    end loop;
    return null;
end
$$;
comment on function stop_calls_to_listed_leads() is
    'Sets every live lead of a number that a statement lists to dnc and blocked, whoever lists it; refuses where another transaction is just judging the number.';
create trigger stop_calls_to_leads_of_new_entries after insert on dnc_list
    referencing new table as after
    for each statement execute function stop_calls_to_listed_leads();
create trigger stop_calls_to_leads_of_changed_entries after update on dnc_list
    referencing new table as after
    for each statement execute function stop_calls_to_listed_leads();

-- Opt-outs reach the enrollments of deleted leads, and a rejected review every entry that rests on its event.
create index leads_deleted_by_number on leads (organization_id, phone_number) where deleted_at is not null;
create index dnc_additions_by_event on dnc_additions (organization_id, event_id) where event_id is not null;


-- When things happened --------------------------------------------------------------------------------------------------
-- A transaction that waits for a number's lock has begun before what it waits for: now() would tell the two in the wrong
-- order.

alter table dnc_list alter column added_at set default clock_timestamp();
alter table opt_out_events alter column honoured_at set default clock_timestamp();
alter table dnc_additions alter column added_at set default clock_timestamp();
alter table lead_assignments alter column assigned_at set default clock_timestamp();

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


-- Whose a key is --------------------------------------------------------------------------------------------------------

alter table idempotency_keys add column claimed_by uuid;
alter table idempotency_keys alter column claimed_by set default current_user_id();
comment on column idempotency_keys.claimed_by is
    'The member who used it: another one''s use is a conflict, since the answer may be of what he cannot see.';
comment on column idempotency_keys.content_hash is 'SHA-256 of the path''s variables, the query and the canonical body.';

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
    set content_hash = excluded.content_hash, claimed_by = excluded.claimed_by, status = null, headers = null, body = null,
        created_at = now()
    where kept.created_at < now() - interval '30 days';
    if not found then
        raise exception 'the key has an answer' using errcode = 'LD409';
    end if;
end
$$;
