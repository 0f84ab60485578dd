-- Faster writes: functions that every insert calls keep their plans for the session, and the ledger asks less of each row.
--
-- A function in SQL that sets its search_path is not inlined, and is parsed and planned anew by every statement that calls
-- it: uuid_v7() took 40 to 57 us, each of the others 7. In plpgsql they take 3 and 1.5, and the plan is made once a session.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- The defaults of almost every column -----------------------------------------------------------------------------------
-- The same answers, the same errors without a context: only the language is another.

create or replace function current_tenant_id() returns uuid
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return current_setting('app.current_tenant_id')::uuid;
end
$$;

create or replace function current_org_id() returns uuid
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return current_setting('app.current_org_id')::uuid;
end
$$;

create or replace function current_user_id() returns uuid
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return nullif(current_setting('app.current_user_id', true), '')::uuid;
end
$$;

create or replace function uuid_v7() returns uuid
language plpgsql volatile parallel safe set search_path = pg_catalog, pg_temp
as $$
declare
    microseconds constant bigint := extract(epoch from clock_timestamp()) * 1000000;
begin
    -- 48 bits of milliseconds, the version, 12 bits of a millisecond's 4096ths; the rest is chance, and the variant.
    return encode(
        overlay(
            uuid_send(gen_random_uuid())
            placing int8send((microseconds / 1000 << 16) | x'7000'::bigint | (microseconds % 1000 * 4096 / 1000))
            from 1 for 8
        ),
        'hex'
    )::uuid;
end
$$;


-- The ledger's constraints ----------------------------------------------------------------------------------------------
-- PostgreSQL reads a table's checks anew for every statement that writes it, from text: those of a transaction and its
-- accounts were a tenth of what a debit took. The same rules in fewer words: an array is one constant, a list of words
-- one for each. Every row that there is satisfies them, and is read once to prove it.

alter table budget_transactions
    drop constraint budget_transactions_transaction_type_check,
    drop constraint budget_transactions_reference_type_check,
    add constraint budget_transactions_transaction_type_check check (
        transaction_type = any ('{debit,credit,refund,adjustment,hold,settle,release}'::text [])
    ),
    add constraint budget_transactions_reference_type_check check (
        reference_type = any ('{call,sms,email,top_up,admin_adjustment}'::text [])
    );
alter table budget_accounts
    drop constraint budget_accounts_account_check,
    drop constraint no_money_that_is_not_there,
    add constraint budget_accounts_account_check check (
        account = any ('{available,held,overage,funding,call_spend,sms_spend,email_spend,adjustment}'::text [])
    ),
    add constraint no_money_that_is_not_there check (account <> all ('{available,held}'::text []) or balance >= 0);

-- Few transactions are refunds: the others need no place here, and a check of the foreign key looks for an id, never null.
drop index budget_transactions_by_refunded;
create index budget_transactions_by_refunded on budget_transactions (organization_id, refund_of)
    where refund_of is not null;


-- Keys that are checked by their own index ------------------------------------------------------------------------------
-- Told by its statistics that organizations have one row each, the planner takes any whole index that begins with the
-- organization to be as good as the key's for checking a foreign key, and reads all of a large organization for each check.
-- An index without the rows that have no owner is none for it.

drop index leads_by_owner;
create index leads_by_owner on leads (organization_id, user_id, created_at desc) where user_id is not null;
drop index budget_holds_by_user;
create index budget_holds_by_user on budget_holds (organization_id, user_id) where user_id is not null;


-- Posting ---------------------------------------------------------------------------------------------------------------
-- As it was, but a posting that passes no threshold and borrows nothing does not call for alerts.

drop function alert_of_budget(budget_transactions [], numeric, boolean);
create function alert_of_budget(entries budget_transactions [], thresholds text [], has_overage boolean) returns void
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
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
comment on function alert_of_budget(budget_transactions [], text [], boolean) is
    'Tells of each transaction that was booked beyond the balance, and of each of these thresholds that the available balance has fallen below.';

create or replace function post_budget(entries budget_transactions [], available numeric, last_sequence bigint)
returns budget_transactions []
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_variable
declare
    moment constant timestamptz := clock_timestamp();
    tenant constant uuid := current_tenant_id();
    organization constant uuid := current_org_id();
    member constant uuid := current_user_id();
    before constant numeric := available;
    lowest numeric := available;
    thresholds text [];
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
    if lowest < before or cardinality(entries) > 1 then
        select array_agg(threshold) into thresholds
        from jsonb_array_elements_text(
            coalesce((select config_value from system_config where config_key = 'budget_alerts'), '["100", "20"]')
        ) as decided (threshold)
        where threshold::numeric > lowest;
    end if;
    if thresholds is not null or borrowed > 0 then
        perform alert_of_budget(entries, thresholds, borrowed > 0);
    end if;
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
