-- What nurture's worker needs beside its tables: many holds ended in one statement, and runs that nobody has finished found.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create function settle_holds(ids uuid []) returns void
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    available numeric;
    last_sequence bigint;
    entries budget_transactions [];
    ended uuid [];
begin
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    with settled as (
        update budget_holds
        set state = 'settled', ended_at = clock_timestamp(), settled_at = clock_timestamp(), settled_amount = amount
        where id = any (ids) and state = 'held'
        returning *
    )
    select array_agg(
        budget_entry(
            'settle', 'held', reference_type || '_spend', amount, user_id, reference_type, reference_id, hold_id => id
        )
        order by id
    )
    into entries from settled;
    if entries is not null then
        perform post_budget(entries, available, last_sequence);
    end if;
    -- What has expired, or was released, is booked in full all the same: from available, and beyond that from overage.
    ended := array(
        select id from budget_holds where id = any (ids) and state in ('released', 'expired') and settled_at is null
        order by id
    );
    if cardinality(ended) > 0 then
        perform book_calls(
            array_agg(null::text), array_agg(id), array_agg(amount), array_agg(null::uuid), array_agg(reference_type),
            array_agg(amount::text)
        )
        from budget_holds where id = any (ended);
    end if;
end
$$;
comment on function settle_holds(uuid []) is
    'Spends in full what is held by these; one that has expired or was released is booked all the same. A second time changes nothing.';

create function release_holds(ids uuid []) returns void
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform end_holds(ids, 'released');
end
$$;
comment on function release_holds(uuid []) is 'Gives back what is held by these; what has ended already is left alone.';

grant execute on function settle_holds(uuid []), release_holds(uuid []) to leadline_app;


-- A run that was being sent and of which nobody has told: the clock finds it also where its enrollment is never claimed again.

create index step_runs_being_sent on step_runs (sending_until) where status = 'sending';
create policy dispatch_policy on step_runs for select to leadline_dispatch using (status = 'sending');
grant select (tenant_id, organization_id, status, sending_until) on step_runs to leadline_dispatch;

-- By its place, once it is locked: told of few rows, the planner would look each row up by an index that finds all of an organization.
grant select (ctid) on lead_sequence_enrollments to leadline_dispatch;
