-- Takes 017_faster_writes back: the functions in SQL, the constraints in their first words, posting as it was.

set local role leadline_owner;

create or replace function current_tenant_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return current_setting('app.current_tenant_id')::uuid;
comment on function current_tenant_id() is 'The tenant of this transaction; raises when none is set.';

create or replace function current_org_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return current_setting('app.current_org_id')::uuid;
comment on function current_org_id() is 'The organization of this transaction; raises when none is set.';

create or replace function current_user_id() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return nullif(current_setting('app.current_user_id', true), '')::uuid;
comment on function current_user_id() is 'The member who acts in this transaction; null when the system itself does.';

create or replace function uuid_v7() returns uuid
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

alter table budget_transactions
    drop constraint budget_transactions_transaction_type_check,
    drop constraint budget_transactions_reference_type_check,
    add constraint budget_transactions_transaction_type_check check (
        transaction_type in ('debit', 'credit', 'refund', 'adjustment', 'hold', 'settle', 'release')
    ),
    add constraint budget_transactions_reference_type_check check (
        reference_type in ('call', 'sms', 'email', 'top_up', 'admin_adjustment')
    );
alter table budget_accounts
    drop constraint budget_accounts_account_check,
    drop constraint no_money_that_is_not_there,
    add constraint budget_accounts_account_check check (
        account in ('available', 'held', 'overage', 'funding', 'call_spend', 'sms_spend', 'email_spend', 'adjustment')
    ),
    add constraint no_money_that_is_not_there check (account not in ('available', 'held') or balance >= 0);

drop index budget_transactions_by_refunded;
create index budget_transactions_by_refunded on budget_transactions (organization_id, refund_of);

drop index leads_by_owner;
create index leads_by_owner on leads (organization_id, user_id, created_at desc);
drop index budget_holds_by_user;
create index budget_holds_by_user on budget_holds (organization_id, user_id);

drop function alert_of_budget(budget_transactions [], text [], boolean);
create function alert_of_budget(entries budget_transactions [], lowest numeric, has_overage boolean) returns void
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    thresholds text [];
begin
    if lowest < entries[1].balance_before or cardinality(entries) > 1 then
        select array_agg(threshold) into thresholds
        from jsonb_array_elements_text(
            coalesce((select config_value from system_config where config_key = 'budget_alerts'), '["100", "20"]')
        ) as decided (threshold)
        where threshold::numeric > lowest;
    end if;
    if thresholds is not null then
        insert into domain_events (type, occurrence, data)
        select
            'budget_below', id || ' ' || threshold,
            jsonb_build_object('threshold', threshold, 'available', money_text(balance_after))
        from unnest(entries)
        cross join unnest(thresholds) as passed (threshold)
        where balance_before >= threshold::numeric and balance_after < threshold::numeric
            and to_account <> 'overage' -- who pays what is owed had nothing before
        on conflict (organization_id, type, occurrence) do nothing;
    end if;
    if has_overage then
        insert into domain_events (type, subject_id, occurrence, data)
        select
            'budget_overage', reference_id, id::text,
            jsonb_build_object('amount', money_text(amount), 'transaction_id', id, 'hold_id', hold_id)
        from unnest(entries)
        where from_account = 'overage'
        on conflict (organization_id, type, occurrence) do nothing;
    end if;
end
$$;
comment on function alert_of_budget(budget_transactions [], numeric, boolean) is
    'Tells of each transaction that was booked beyond the balance, and of each threshold (budget_alerts) that the available balance has fallen below.';

create or replace function post_budget(entries budget_transactions [], available numeric, last_sequence bigint)
returns budget_transactions []
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
    moment constant timestamptz := clock_timestamp();
    -- By hand: the columns' defaults are functions in SQL.
    tenant constant uuid := current_tenant_id();
    organization constant uuid := current_org_id();
    member constant uuid := current_user_id();
    lowest numeric := available;
    place integer := 0;
    entry budget_transactions;
    touched text [] := array['available'];
    something_comes_in boolean := false;
    borrowed numeric := 0;
    owed numeric;
begin
    loop
        place := place + 1;
        if place > cardinality(entries) then
            -- What has come in pays what is owed before anything else: where money is available, nothing is owed.
            exit when not something_comes_in;
            something_comes_in := false;
            select least(borrowed - a.balance, available) into owed from budget_accounts as a where a.account = 'overage';
            exit when owed = 0;
            entries := array_append(entries, budget_entry('settle', 'available', 'overage', owed));
        end if;
        entry := entries[place];
        entry.tenant_id := tenant;
        entry.organization_id := organization;
        entry.id := uuid_v7();
        entry.created_by := member;
        entry.created_at := moment;
        entry.metadata := coalesce(entry.metadata, '{}');
        entry.sequence := last_sequence + place;
        entry.balance_before := available;
        if entry.to_account = 'available' then
            available := available + entry.amount;
            something_comes_in := true;
        elsif entry.from_account = 'available' then
            available := available - entry.amount;
            lowest := least(lowest, available);
        end if;
        entry.balance_after := available;
        entries[place] := entry;
        if entry.to_account <> all (touched) then
            touched := array_append(touched, entry.to_account);
        end if;
        if entry.from_account <> all (touched) then
            touched := array_append(touched, entry.from_account);
        end if;
        if entry.from_account = 'overage' then
            borrowed := borrowed + entry.amount;
        end if;
    end loop;
    insert into budget_transactions select * from unnest(entries);
    update budget_accounts as a
    set balance = a.balance + (
            select sum(case a.account when e.to_account then e.amount when e.from_account then -e.amount else 0 end)
            from unnest(entries) as e
        ),
        last_sequence = case a.account when 'available' then last_sequence + cardinality(entries) else 0 end
    where a.account = any (touched);
    perform alert_of_budget(entries, lowest, borrowed > 0);
    if exists (select from budget_caps) then
        update budget_caps as cap
        set spent = spending.spent + case cap.month when budget_month(moment) then cap.spent else 0 end,
            month = budget_month(moment)
        from budget_spending(entries, moment) as spending
        where cap.member_id = spending.member_id;
    end if;
    return entries;
end
$$;
