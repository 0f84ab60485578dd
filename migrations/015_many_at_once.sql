-- Work on hundreds of numbers and holds at once, as the nurture engine does it.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create or replace function lock_numbers(addresses text []) returns void
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    organization constant text := current_setting('app.current_org_id')::uuid;
begin
    if cardinality(addresses) > 500 then
        perform lock_all_numbers();
        return;
    end if;
    if cardinality(addresses) > 0 then
        perform pg_advisory_xact_lock_shared(hashtextextended(organization, 0));
    end if;
    -- By code point, as Python sorts: two who lock the same numbers must meet in the same order.
    perform pg_advisory_xact_lock(hashtextextended(organization || ' ' || sorted.number, 0))
    from (
        select distinct a.number collate "C" as number from unnest(addresses) as a (number) order by 1 offset 0
    ) as sorted;
end
$$;

create function settle_holds(holds uuid []) returns void
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    available numeric;
    last_sequence bigint;
    entries budget_transactions [];
    late uuid [];
begin
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    with ended as (
        update budget_holds
        set state = 'settled', ended_at = clock_timestamp(), settled_amount = amount, settled_at = clock_timestamp()
        where id = any (holds) and state = 'held'
        returning *
    )
    select array_agg(
        budget_entry(
            'settle', 'held', reference_type || '_spend', amount, user_id, reference_type, reference_id, hold_id => id
        )
        order by id
    )
    into entries from ended;
    if entries is not null then
        perform post_budget(entries, available, last_sequence);
    end if;
    -- Given back meanwhile, though what they were for has happened.
    late := array(select id from budget_holds where id = any (holds) and state <> 'held' and settled_at is null order by id);
    if cardinality(late) > 0 then
        perform book_calls(
            array_agg(null::text), array_agg(hold.id order by hold.id), array_agg(hold.amount order by hold.id),
            array_agg(null::uuid), array_agg(hold.reference_type order by hold.id), array_agg(null::text)
        )
        from budget_holds as hold where hold.id = any (late);
    end if;
end
$$;
comment on function settle_holds(uuid []) is
    'Books all that these holds set aside; what has been settled is left alone, and what had been given back is booked from available, and what is missing there from overage.';

create function release_holds(holds uuid []) returns void
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform end_holds(holds, 'released');
end
$$;
comment on function release_holds(uuid []) is 'Gives back what is held by these holds; what has ended already is left alone.';

grant execute on function settle_holds(uuid []), release_holds(uuid []) to leadline_app;
