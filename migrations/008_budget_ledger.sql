-- The ledger: accounts and holds beside the transactions, written by the functions below and by nobody else; and domain events.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Events ----------------------------------------------------------------------------------------------------------------

create table domain_events (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    type text not null check (type ~ '^[a-z][a-z0-9_.]*$'),
    subject_id text,
    occurrence text not null check (occurrence <> ''),
    data jsonb not null default '{}' check (jsonb_typeof(data) = 'object'),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, type, occurrence),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index domain_events_newest on domain_events (tenant_id, organization_id, created_at desc, id desc);
create index domain_events_by_type on domain_events (organization_id, type, created_at desc, id desc);
comment on table domain_events is
    'What has happened that somebody should hear of: every alert, crossing and finding, written in the transaction in which it happened. Append-only.

Newest first: order by created_at desc, id desc
Of one type: where type = $1 order by created_at desc, id desc';
comment on column domain_events.subject_id is 'What it is about: the id of a call, a lead, a transaction; another system''s id need not be a UUID.';
comment on column domain_events.occurrence is 'Names the one time that it happened, so that telling it twice makes one row.';
select isolate_by_tenant('domain_events', 'select, insert');


-- Accounts --------------------------------------------------------------------------------------------------------------
-- Whoever moves money has taken the organization's one lock before anything else here (lock_available), so no account, hold or
-- call is ever waited for, and the functions may follow each other in any order in a transaction. An advisory lock goes from
-- one to the next in one step; many who wait for a row wake and look again. Were it forgotten, the order of transactions,
-- which is unique, would refuse the second one.

create table budget_accounts (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    account text not null check (
        account in ('available', 'held', 'overage', 'funding', 'call_spend', 'sms_spend', 'email_spend', 'adjustment')
    ),
    balance numeric(24, 6) not null default 0 check (balance < 'NaN'),
    last_sequence bigint not null default 0,
    primary key (organization_id, id),
    unique (organization_id, account),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    constraint no_money_that_is_not_there check (account not in ('available', 'held') or balance >= 0),
    constraint overage_is_what_is_owed check (account <> 'overage' or balance <= 0)
) with (fillfactor = 50);
create index budget_accounts_by_organization on budget_accounts (tenant_id, organization_id);
comment on table budget_accounts is
    'The balance of each account of an organization''s budget: double entry, so that all of them together are always 0. Made on first use, written by the ledger''s functions alone.

One account: where account = ''available''';
comment on column budget_accounts.balance is 'In the currency of the organization''s budget. Negative where money came from (funding) and where it is owed (overage).';
comment on column budget_accounts.last_sequence is 'Of the account available: the sequence of the organization''s last transaction. 0 in the others.';
select isolate_by_tenant('budget_accounts', 'select');


-- Holds -----------------------------------------------------------------------------------------------------------------

create table budget_holds (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    user_id uuid,
    amount numeric(18, 6) not null check (amount > 0 and amount < 'NaN'),
    reference_type text not null default 'call' check (reference_type in ('call', 'sms', 'email')),
    reference_id text,
    phone_number e164,
    lead_id uuid,
    decision_id uuid,
    state text not null default 'held' check (state in ('held', 'settled', 'released', 'expired')),
    expires_at timestamptz not null,
    ended_at timestamptz,
    settled_amount numeric(18, 6) check (settled_amount > 0 and settled_amount < 'NaN'),
    settled_at timestamptz,
    call_id text,
    created_by uuid default current_user_id(),
    created_at timestamptz not null default clock_timestamp(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, user_id) references members (organization_id, id),
    constraint an_ended_hold_has_ended check ((state = 'held') = (ended_at is null)),
    constraint a_settlement_has_amount_and_time check ((settled_amount is null) = (settled_at is null)),
    constraint a_settled_hold_is_settled check (state <> 'settled' or settled_at is not null),
    constraint a_held_one_is_not check (state <> 'held' or settled_at is null)
);
create index budget_holds_by_organization on budget_holds (tenant_id, organization_id, created_at desc);
create index budget_holds_by_user on budget_holds (organization_id, user_id);
create index budget_holds_by_number on budget_holds (organization_id, phone_number) where state = 'held';
create index budget_holds_due on budget_holds (expires_at) where state = 'held';
comment on table budget_holds is
    'Money set aside for a call or message that has not ended: held, then once and for all settled, released or expired. Written by the ledger''s functions alone.

One hold: where id = $1
Held for a number: where phone_number = $1 and state = ''held''
Due over all tenants, for the clock: where state = ''held'' and expires_at <= now()';
comment on column budget_holds.lead_id is 'Without a foreign key: what was paid outlives the lead.';
comment on column budget_holds.decision_id is 'The decision of the gate that placed it.';
comment on column budget_holds.settled_amount is 'What was booked at its settlement, be it more than was held. A hold that had been released or had expired keeps its state.';
comment on column budget_holds.call_id is 'The call that ended it, as the call system names it.';
select isolate_by_tenant('budget_holds', 'select');

-- The clock finds what is due, and learns nothing else: not the number, not the amount.
create policy dispatch_policy on budget_holds for select to leadline_dispatch using (state = 'held');
grant select (tenant_id, organization_id, id, expires_at, state) on budget_holds to leadline_dispatch;

create table budget_calls (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    call_id text not null check (call_id <> ''),
    hold_id uuid,
    cost numeric(18, 6) check (cost >= 0 and cost < 'NaN'),
    original text,
    cancelled_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, call_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index budget_calls_by_organization on budget_calls (tenant_id, organization_id, created_at);
comment on table budget_calls is
    'Each call whose cost was booked or cancelled, so that neither is done twice. Written by the ledger''s functions alone.

One call: where call_id = $1';
comment on column budget_calls.call_id is 'As the call system names it.';
comment on column budget_calls.cost is 'As it was booked, rounded half up at six decimals; null for a call that was cancelled first.';
comment on column budget_calls.original is 'The cost as the message had it.';
select isolate_by_tenant('budget_calls', 'select');

create table budget_caps (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    member_id uuid not null,
    monthly_amount numeric(18, 6) not null check (monthly_amount > 0 and monthly_amount < 'NaN'),
    month date not null,
    spent numeric(24, 6) not null check (spent < 'NaN'),
    updated_by uuid default current_user_id(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, member_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, member_id) references members (organization_id, id)
) with (fillfactor = 50);
create index budget_caps_by_organization on budget_caps (tenant_id, organization_id);
comment on table budget_caps is
    'What a member may spend in a month. Written by the ledger''s functions alone.

Of one member: where member_id = $1';
comment on column budget_caps.month is 'The first day of the month that `spent` is of, in the organization''s time zone; an older one means that nothing has been spent since.';
comment on column budget_caps.spent is 'What the member''s transactions of the month have moved to held and spent, less what came back of that month''s.';
select isolate_by_tenant('budget_caps', 'select');


-- Transactions ----------------------------------------------------------------------------------------------------------

revoke insert on budget_transactions from leadline_app;
-- Rows that are there already (of a ledger that was taken down) get their order and their accounts back; under FORCE there
-- would be none to see, for a foreign key neither.
alter table budget_transactions no force row level security;
alter table budget_accounts no force row level security;
alter table budget_transactions
    alter column balance_before type numeric(24, 6),
    alter column balance_after type numeric(24, 6),
    add column sequence bigint,
    add column hold_id uuid,
    add column call_id text,
    add column refund_of uuid;
update budget_transactions as t
set sequence = placed.place
from (
    select organization_id, id, row_number() over (partition by organization_id order by created_at, id) as place
    from budget_transactions
) as placed
where t.organization_id = placed.organization_id and t.id = placed.id;
insert into budget_accounts (tenant_id, organization_id, account, balance, last_sequence)
select
    tenant_id, organization_id, account,
    coalesce(sum(case account when to_account then amount when from_account then -amount end), 0),
    case account when 'available' then max(sequence) else 0 end
from budget_transactions
cross join unnest(
    array['adjustment', 'available', 'call_spend', 'email_spend', 'funding', 'held', 'overage', 'sms_spend']
) as made (account)
group by tenant_id, organization_id, account;
alter table budget_transactions
    alter column sequence set not null,
    add constraint budget_transactions_in_one_order unique (organization_id, sequence),
    add foreign key (organization_id, refund_of) references budget_transactions (organization_id, id),
    add constraint amounts_are_numbers check (amount < 'NaN'), -- which is greater than 0
    add constraint balances_are_those_of_available check (
        balance_before >= 0 and balance_after >= 0
        and balance_after - balance_before
        = case 'available' when to_account then amount when from_account then -amount else 0 end
    );
alter table budget_transactions force row level security;
alter table budget_accounts force row level security;
create index budget_transactions_by_refunded on budget_transactions (organization_id, refund_of);
create index budget_transactions_by_hold on budget_transactions (organization_id, hold_id) where hold_id is not null;
comment on column budget_transactions.balance_before is 'Of the account available, as is balance_after; equal where the transaction does not touch it.';
comment on column budget_transactions.sequence is 'The order of posting, without gaps in an organization: each begins with the balance that the one before it left.';
comment on column budget_transactions.call_id is 'Where a call''s cost was booked: the call, as the call system names it.';
comment on column budget_transactions.hold_id is 'Without a foreign key: holds are never deleted, and come a thousand in the statement that writes these rows.';

create function budget_entry(
    transaction_type text,
    from_account text,
    to_account text,
    amount numeric,
    user_id uuid default null,
    reference_type text default null,
    reference_id text default null,
    hold_id uuid default null,
    call_id text default null,
    refund_of uuid default null,
    description text default null,
    metadata jsonb default null,
    idempotency_key text default null
) returns budget_transactions
language plpgsql immutable set search_path = pg_catalog, public, pg_temp
as $$
#variable_conflict use_variable
declare
    entry budget_transactions;
begin
    entry.transaction_type := transaction_type;
    entry.from_account := from_account;
    entry.to_account := to_account;
    entry.amount := amount;
    entry.user_id := user_id;
    entry.reference_type := reference_type;
    entry.reference_id := reference_id;
    entry.hold_id := hold_id;
    entry.call_id := call_id;
    entry.refund_of := refund_of;
    entry.description := description;
    entry.metadata := metadata;
    entry.idempotency_key := idempotency_key;
    return entry;
end
$$;
comment on function budget_entry(text, text, text, numeric, uuid, text, text, uuid, text, uuid, text, jsonb, text) is
    'A transaction to be posted, without what posting gives it: id, balances, order and time.';

create function lock_available(out available numeric, out last_sequence bigint)
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(current_setting('app.current_org_id') || ' budget', 0));
    select a.balance, a.last_sequence into available, last_sequence
    from budget_accounts as a where a.account = 'available';
    if not found then
        insert into budget_accounts (account)
        select made.account
        from unnest(
            array['adjustment', 'available', 'call_spend', 'email_spend', 'funding', 'held', 'overage', 'sms_spend']
        ) as made (account);
        available := 0;
        last_sequence := 0;
    end if;
end
$$;
comment on function lock_available() is
    'Makes this transaction the only one to move the organization''s money, making the accounts on first use.';

-- plpgsql, as everything here: it keeps its plans for the session, where a function in SQL is planned each time it is called.
create function budget_month(moment timestamptz) returns date
language plpgsql stable set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    zone text;
begin
    select config_value #>> '{}' into zone from system_config where config_key = 'time_zone';
    return date_trunc('month', moment at time zone coalesce(zone, 'America/New_York'));
end
$$;
comment on function budget_month(timestamptz) is 'The first day of the month in the organization''s time zone.';

create function budget_spending(entries budget_transactions [], moment timestamptz)
returns table (member_id uuid, spent numeric)
language plpgsql stable set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    this_month constant date := budget_month(moment);
begin
    return query
    select
        entry.user_id,
        sum(
            case
                when entry.to_account = 'held' or entry.to_account like '%\_spend' then
                    case when entry.from_account <> 'held' then entry.amount else 0 end
                when entry.from_account = 'held' or entry.from_account like '%\_spend' then
                    case when budget_month(coalesce(hold.created_at, refunded.created_at)) = this_month
                        then -entry.amount
                        else 0
                    end
                else 0
            end
        )
    from unnest(entries) as entry
    left join budget_holds as hold on entry.from_account = 'held' and hold.id = entry.hold_id
    left join budget_transactions as refunded on refunded.id = entry.refund_of
    where entry.user_id is not null
    group by entry.user_id;
end
$$;
comment on function budget_spending(budget_transactions [], timestamptz) is
    'What transactions add to each member''s month: what they move to held and spent, less what comes back of the same month''s holds and debits.';

create function money_text(amount numeric) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return to_char(amount, 'FM999999999999999990.009999');
comment on function money_text(numeric) is 'Money as answers write it: two to six decimals.';

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

create function post_budget(entries budget_transactions [], available numeric, last_sequence bigint)
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
comment on function post_budget(budget_transactions [], numeric, bigint) is
    'Posts transactions in their order and moves the balances, and answers them as posted: the one place that does. Where they bring something in, a last one pays what is owed. The caller has called lock_available, and hands over what it then read.';

create function acting_person() returns uuid
language plpgsql stable set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    acting constant uuid := current_user_id();
begin
    return (select id from members where id = acting and role <> 'service');
end
$$;
comment on function acting_person() is 'The member who acts, unless that is a machine or the system itself.';

create function cap_rooms() returns jsonb
language plpgsql stable set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if not exists (select from budget_caps) then
        return '{}';
    end if;
    return (
        select jsonb_object_agg(member_id, monthly_amount - case cap.month when this.month then spent else 0 end)
        from budget_caps as cap
        cross join budget_month(clock_timestamp()) as this (month)
    );
end
$$;
comment on function cap_rooms() is 'By member with a cap: what is left of it in this month.';


-- What may be asked of the ledger ---------------------------------------------------------------------------------------

create function lock_budget(out available numeric, out held numeric, out overage numeric, out rooms jsonb)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform lock_available();
    select
        max(balance) filter (where account = 'available'), max(balance) filter (where account = 'held'),
        -max(balance) filter (where account = 'overage')
    into available, held, overage
    from budget_accounts;
    rooms := cap_rooms();
end
$$;
comment on function lock_budget() is
    'The balances, and by member with a cap what is left of it, true until this transaction ends: nobody else moves the organization''s money before that.';

create function book_budget(
    kind text,
    amount numeric,
    for_user uuid,
    reference_type text,
    reference_id text,
    description text,
    metadata jsonb,
    key text
) returns setof budget_transactions
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    spender constant uuid := case kind when 'debit' then coalesce(for_user, acting_person()) else for_user end;
    available numeric;
    last_sequence bigint;
    entry budget_transactions;
    posted budget_transactions [];
begin
    if book_budget.amount <= 0 or book_budget.amount = 'NaN' then
        raise exception 'an amount is a number above 0' using errcode = 'check_violation';
    end if;
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    if key is not null then
        return query select * from budget_transactions where idempotency_key = key;
        if found then
            return;
        end if;
    end if;
    if kind in ('debit', 'adjustment down') and available < book_budget.amount
        or kind = 'debit' and (cap_rooms() ->> spender::text)::numeric < book_budget.amount
    then
        return;
    end if;
    entry := budget_entry(
        split_part(kind, ' ', 1),
        case kind when 'credit' then 'funding' when 'adjustment up' then 'adjustment' else 'available' end,
        case kind
            when 'debit' then book_budget.reference_type || '_spend' when 'adjustment down' then 'adjustment'
            else 'available'
        end,
        book_budget.amount, spender, book_budget.reference_type, book_budget.reference_id,
        description => book_budget.description, metadata => book_budget.metadata, idempotency_key => key
    );
    posted := post_budget(array[entry], available, last_sequence);
    return next posted[1];
end
$$;
comment on function book_budget(text, numeric, uuid, text, text, text, jsonb, text) is
    'A credit, a debit, an adjustment up or an adjustment down; what comes in pays the overage. Answers the transaction, the first one of its key, or nothing where the balance or the member''s cap does not allow it.';

create function refund_budget(refunded uuid, amount numeric, description text, metadata jsonb, key text)
returns setof budget_transactions
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    available numeric;
    last_sequence bigint;
    original budget_transactions;
    refundable numeric;
    wanted numeric;
    posted budget_transactions [];
begin
    if refund_budget.amount <= 0 or refund_budget.amount = 'NaN' then
        raise exception 'an amount is a number above 0' using errcode = 'check_violation';
    end if;
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    if key is not null then
        return query select * from budget_transactions where idempotency_key = key;
        if found then
            return;
        end if;
    end if;
    select * into original from budget_transactions where id = refunded and to_account like '%\_spend';
    refundable := original.amount - coalesce(
        (select sum(t.amount) from budget_transactions as t where refund_of = refunded), 0
    );
    wanted := coalesce(refund_budget.amount, refundable);
    if refundable > 0 and wanted <= refundable then
        posted := post_budget(
            array[budget_entry(
                'refund', original.to_account, 'available', wanted, original.user_id, original.reference_type,
                original.reference_id, refund_of => refunded, description => refund_budget.description,
                metadata => refund_budget.metadata, idempotency_key => key
            )],
            available, last_sequence
        );
        return next posted[1];
    end if;
end
$$;
comment on function refund_budget(uuid, numeric, text, jsonb, text) is
    'Gives back what a debit or settlement has spent, or with a null amount what is left of it. Answers nothing where refunds would add up to more than it.';

create function place_holds(
    ids uuid [],
    amounts numeric [],
    reference_types text [],
    reference_ids text [],
    users uuid [],
    leads uuid [],
    numbers text [],
    decisions uuid [],
    expiries timestamptz []
) returns table (hold_id uuid, refused text)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    available numeric;
    last_sequence bigint;
    free numeric;
    rooms jsonb;
    person constant uuid := acting_person();
    placed uuid [] := '{}';
    entries budget_transactions [] := '{}';
    asked record;
begin
    if exists (select from unnest(amounts) as a (amount) where a.amount <= 0 or a.amount = 'NaN') then
        raise exception 'an amount is a number above 0' using errcode = 'check_violation';
    end if;
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    free := available;
    rooms := cap_rooms();
    for asked in
        select coalesce(id, uuid_v7()) as id, round(amount, 6) as amount, reference_type, reference_id, coalesce(member, person) as member
        from unnest(ids, amounts, reference_types, reference_ids, users)
            with ordinality as a (id, amount, reference_type, reference_id, member, place)
        order by place
    loop
        hold_id := asked.id;
        refused := case
            when free is null or asked.amount > free then 'available'
            when (rooms ->> asked.member::text)::numeric < asked.amount then 'cap'
        end;
        if refused = 'available' then
            free := null; -- the money is gone: nothing that comes later overtakes
        elsif refused is null then
            free := free - asked.amount;
            if rooms ? asked.member::text then
                rooms := rooms
                    || jsonb_build_object(asked.member, (rooms ->> asked.member::text)::numeric - asked.amount);
            end if;
            entries := array_append(entries, budget_entry(
                'hold', 'available', 'held', asked.amount, asked.member, asked.reference_type, asked.reference_id,
                hold_id => asked.id
            ));
        end if;
        placed := array_append(placed, case when refused is null then asked.id end);
        return next;
    end loop;
    insert into budget_holds (
        id, amount, reference_type, reference_id, user_id, lead_id, phone_number, decision_id, expires_at
    )
    select id, amount, reference_type, reference_id, coalesce(member, person), lead, number, decision, expiry
    from unnest(placed, amounts, reference_types, reference_ids, users, leads, numbers, decisions, expiries)
        as hold (id, amount, reference_type, reference_id, member, lead, number, decision, expiry)
    where id is not null;
    if cardinality(entries) > 0 then
        perform post_budget(entries, available, last_sequence);
    end if;
end
$$;
comment on function place_holds(uuid [], numeric [], text [], text [], uuid [], uuid [], text [], uuid [], timestamptz []) is
    'Sets money aside for each in order until the money is gone; one that only its member''s cap refuses does not stop the others. Answers in order which were refused, and by what: available or cap.';

create function end_holds(ids uuid [], as_what text) returns void
language plpgsql set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    available numeric;
    last_sequence bigint;
    entries budget_transactions [];
begin
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    with ended as (
        update budget_holds set state = as_what, ended_at = clock_timestamp()
        where id = any (ids) and state = 'held' and (as_what <> 'expired' or expires_at <= clock_timestamp())
        returning *
    )
    select array_agg(
        budget_entry(
            'release', 'held', 'available', amount, user_id, reference_type, reference_id, hold_id => id,
            description => case as_what when 'expired' then 'the hold has expired' end
        )
        order by id
    )
    into entries from ended;
    if entries is not null then
        perform post_budget(entries, available, last_sequence);
    end if;
end
$$;
comment on function end_holds(uuid [], text) is
    'Gives back what is held, as released or as expired; what has ended already, or has not expired, is left alone.';

create function release_hold(hold uuid) returns setof budget_holds
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform end_holds(array[hold], 'released');
    return query select * from budget_holds where id = hold;
end
$$;
comment on function release_hold(uuid) is 'Gives back what is held, and answers the hold as it is then; nothing where there is none.';

create function release_holds_of(numbers text []) returns void
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    ids constant uuid [] := array(
        select id from budget_holds where phone_number = any (numbers) and state = 'held'
    );
begin
    if cardinality(ids) > 0 then
        perform end_holds(ids, 'released');
    end if;
end
$$;
comment on function release_holds_of(text []) is 'Gives back all that is held for these phone numbers, which must be locked.';

create function expire_holds(ids uuid []) returns void
language sql security definer set search_path = public, pg_temp
begin atomic
    select end_holds(ids, 'expired');
end;
comment on function expire_holds(uuid []) is 'Gives back what is held by those of these holds that have expired.';


-- Calls -----------------------------------------------------------------------------------------------------------------

create function call_refunds(calls text [], moved boolean) returns budget_transactions []
language plpgsql stable set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
begin
    return array(
        select
            budget_entry(
                'refund', (booked).to_account, 'available', left_over.amount, (booked).user_id, (booked).reference_type,
                call, call_id => case when moved then call end, refund_of => (booked).id,
                description => case when moved then 'the call''s hold pays' end
            )
        from (
            select reference_id as call, t as booked from budget_transactions as t
            where reference_type in ('call', 'sms', 'email') and reference_id = any (calls)
                and t.call_id = reference_id and to_account like '%\_spend'
            union all
            select known.call_id, t
            from budget_calls as known
            join budget_holds as hold on hold.id = known.hold_id and hold.call_id = known.call_id
            join budget_transactions as t on t.hold_id = hold.id
            where known.call_id = any (calls) and t.call_id is null and t.to_account like '%\_spend'
        ) as spent (call, booked)
        cross join lateral (
            select (booked).amount - coalesce(sum(amount), 0) as amount
            from budget_transactions where refund_of = (booked).id
        ) as left_over
        where left_over.amount > 0
        order by (booked).sequence
    );
end
$$;
comment on function call_refunds(text [], boolean) is
    'What gives back all that is left of what calls have cost: booked under their ids, or by hand on the hold that was theirs. A call whose cost moves to its hold is named in the refund, so that the two make its cost.';

create function book_calls(
    calls text [],
    holds uuid [],
    costs numeric [],
    users uuid [],
    kinds text [],
    originals text []
) returns table (call_id text, outcome text, shortfall numeric)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    available numeric;
    last_sequence bigint;
    free numeric;
    fresh text [];
    used uuid [] := '{}';
    seen text [];
    entries budget_transactions [] := '{}';
    asked record;
    moves boolean;
    given_back budget_transactions [];
    part budget_transactions;
    cost numeric;
    of_hold numeric;
    beyond numeric;
begin
    if exists (select from unnest(costs) as c (cost) where c.cost is null or c.cost < 0 or c.cost = 'NaN') then
        raise exception 'a cost is a number, and not below 0' using errcode = 'check_violation';
    end if;
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    free := available;
    -- Once a call: whoever comes second finds it here.
    with made as (
        insert into budget_calls (call_id, hold_id, cost, original)
        select distinct on (call) call, hold, a.cost, original
        from unnest(calls, holds, costs, originals) with ordinality as a (call, hold, cost, original, place)
        where call is not null
        order by call, place
        on conflict (organization_id, call_id) do nothing
        returning call_id
    )
    select coalesce(array_agg(made.call_id), '{}') into fresh from made;
    seen := fresh;
    for asked in
        select
            a.call, a.hold, round(a.cost, 6) as cost, hold.amount, hold.state, hold.settled_at, hold.call_id as settled_by,
            coalesce(hold.reference_type, a.kind) as kind, coalesce(a.call, hold.reference_id) as reference_id,
            coalesce(hold.user_id, (select id from members where id = a.member)) as member,
            case when known.cancelled_at is null then known.cost end as booked,
            not exists (select from budget_holds as h where h.id = known.hold_id) as without_hold
        from unnest(calls, holds, costs, users, kinds)
            with ordinality as a (call, hold, cost, member, kind, place)
        left join budget_holds as hold on hold.id = a.hold
        left join budget_calls as known on known.call_id = a.call
        order by a.place
    loop
        call_id := asked.call;
        outcome := 'debited';
        -- A call that was booked or cancelled before costs nothing more, and holds nothing more.
        cost := case when asked.call is null or asked.call = any (fresh) then asked.cost else 0 end;
        of_hold := 0;
        beyond := cost;
        moves := false;
        if asked.call is not null and asked.call <> all (fresh) then
            outcome := case when asked.booked <> asked.cost then 'known_otherwise' else 'known' end;
            -- Booked before anybody said which hold was its own, which is still there, or was settled by hand.
            if asked.booked is not null and asked.without_hold and asked.call <> all (seen) and asked.hold <> all (used)
                and (asked.state = 'held' or asked.settled_at is not null and asked.settled_by is null)
            then
                seen := array_append(seen, asked.call);
                moves := asked.state = 'held';
                given_back := call_refunds(array[asked.call], moves);
                entries := entries || given_back;
                select coalesce(sum(back.amount), 0) into beyond from unnest(given_back) as back;
                free := free + beyond;
                cost := case when moves then beyond else 0 end;
                beyond := cost;
                update budget_calls set hold_id = asked.hold where call_id = asked.call;
            end if;
        elsif asked.call is null and asked.settled_by is not null then
            outcome := 'known';
            cost := 0;
            beyond := 0;
        elsif asked.hold is not null and asked.state is null then
            outcome := 'unknown_hold';
        end if;
        fresh := array_remove(fresh, asked.call);
        if asked.state is not null and asked.settled_at is null and asked.hold <> all (used) then
            used := array_append(used, asked.hold);
            part := budget_entry(
                'settle', 'held', asked.kind || '_spend', cost, asked.member, asked.kind, asked.reference_id,
                hold_id => asked.hold, call_id => asked.call
            );
            if asked.state = 'held' then
                of_hold := least(cost, asked.amount);
                beyond := cost - of_hold;
            end if;
            if of_hold > 0 then
                part.amount := of_hold;
                entries := array_append(entries, part);
            end if;
            if asked.state = 'held' and of_hold < asked.amount then
                free := free + asked.amount - of_hold;
                entries := array_append(entries, budget_entry(
                    'release', 'held', 'available', asked.amount - of_hold, asked.member, asked.kind,
                    asked.reference_id, hold_id => asked.hold
                ));
            end if;
            if outcome not like 'known%' or moves and outcome = 'known' then
                outcome := case when cost > 0 then 'settled' else 'released' end;
            end if;
            update budget_holds
            set state = case when state <> 'held' then state when cost > 0 then 'settled' else 'released' end,
                ended_at = coalesce(ended_at, clock_timestamp()),
                settled_amount = nullif(cost, 0),
                settled_at = case when cost > 0 then clock_timestamp() end,
                call_id = coalesce(budget_holds.call_id, asked.call)
            where id = asked.hold;
        else
            part := budget_entry(
                'debit', 'available', asked.kind || '_spend', cost, asked.member, asked.kind, asked.reference_id,
                call_id => asked.call
            );
            -- Settled without a call's id, as by POST /settle: this is the call that it was for.
            if asked.settled_at is not null and asked.hold <> all (used)
                and (asked.call is null or coalesce(asked.settled_by, asked.call) = asked.call)
            then
                used := array_append(used, asked.hold);
                update budget_holds set call_id = asked.call where id = asked.hold and budget_holds.call_id is null;
                outcome := case outcome when 'known_otherwise' then outcome else 'known' end;
                beyond := 0;
            end if;
        end if;
        of_hold := least(beyond, free);
        if of_hold > 0 then
            free := free - of_hold;
            part.from_account := 'available';
            part.amount := of_hold;
            entries := array_append(entries, part);
        end if;
        shortfall := beyond - of_hold;
        if shortfall > 0 then
            part.from_account := 'overage';
            part.amount := shortfall;
            entries := array_append(entries, part);
        end if;
        return next;
    end loop;
    if cardinality(entries) > 0 then
        perform post_budget(entries, available, last_sequence);
    end if;
end
$$;
comment on function book_calls(text [], uuid [], numeric [], uuid [], text [], text []) is
    'Books what calls have cost, each call once: from its hold, beyond that from available, and what is missing there from overage. A call that was booked before anybody named its hold moves to it. Answers in order what became of each (settled, released, debited, known, known_otherwise where it was booked at another cost, or unknown_hold, which is debited) and the shortfall.';

create function settle_hold(hold uuid, amount numeric, call text) returns setof budget_holds
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    if exists (select from budget_holds where id = hold) then
        perform book_calls(array[call], array[hold], array[amount], array[null::uuid], array['call'], array[amount::text]);
        return query
        select * from budget_holds
        where id = coalesce(
            (select h.id from budget_calls as c join budget_holds as h on h.id = c.hold_id where c.call_id = call), hold
        );
    end if;
end
$$;
comment on function settle_hold(uuid, numeric, text) is
    'Books what a hold was for and gives back the rest; a second settlement, of the hold or of the call, answers the hold as the first has left it. Nothing where there is no such hold.';

create function cancel_calls(calls text [], holds uuid []) returns table (call_id text, refunded numeric)
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    available numeric;
    last_sequence bigint;
    fresh text [];
    undone text [];
    entries budget_transactions [];
begin
    perform lock_available();
    fresh := array(
        select distinct call from unnest(calls) as call
        where not exists (select from budget_calls where call_id = call and cancelled_at is not null)
    );
    -- Again where only now its hold is named.
    with cancelled as (
        insert into budget_calls as known (call_id, hold_id, cancelled_at)
        select distinct on (call) call, hold, now()
        from unnest(calls, holds) with ordinality as a (call, hold, place)
        order by call, place
        on conflict (organization_id, call_id) do update
        set cancelled_at = coalesce(known.cancelled_at, excluded.cancelled_at),
            hold_id = coalesce(known.hold_id, excluded.hold_id)
        where known.cancelled_at is null or known.hold_id is null and excluded.hold_id is not null
        returning call_id
    )
    select array_agg(cancelled.call_id) into undone from cancelled;
    perform end_holds(holds, 'released');
    -- Settled without a call's id: this is the call that it was for.
    update budget_holds as hold set call_id = known.call_id
    from (
        select distinct on (hold_id) hold_id, call_id from budget_calls
        where call_id = any (undone)
        order by hold_id, call_id
    ) as known
    where hold.id = known.hold_id
        and hold.settled_at is not null and hold.call_id is null;
    -- Once more: releases have been posted.
    select l.available, l.last_sequence into available, last_sequence from lock_available() as l;
    entries := call_refunds(undone, false);
    if cardinality(entries) > 0 then
        perform post_budget(entries, available, last_sequence);
    end if;
    return query
    select call, coalesce(sum(entry.amount), 0)
    from unnest(fresh) as call
    left join unnest(entries) as entry on entry.reference_id = call
    group by call;
end
$$;
comment on function cancel_calls(text [], uuid []) is
    'Undoes calls, each once: gives back what their holds hold and what was booked under their ids or by hand on their holds; what comes of such a call later books nothing. Answers the calls that were not cancelled before, and what was refunded.';


-- Caps ------------------------------------------------------------------------------------------------------------------

create function cap_member(member uuid, monthly numeric) returns setof budget_caps
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
    this_month date;
begin
    perform lock_available();
    this_month := budget_month(clock_timestamp());
    return query
    insert into budget_caps as cap (member_id, monthly_amount, month, spent)
    select member, monthly, this_month, coalesce(
        (
            select spending.spent from budget_spending(
                array(
                    select t from budget_transactions as t
                    where user_id = member and created_at > this_month - interval '1 day'
                        and budget_month(created_at) = this_month
                ),
                clock_timestamp()
            ) as spending
        ),
        0
    )
    on conflict (organization_id, member_id) do update
    set monthly_amount = excluded.monthly_amount, month = excluded.month, spent = excluded.spent,
        updated_by = current_user_id(), updated_at = now()
    returning *;
end
$$;
comment on function cap_member(uuid, numeric) is 'Decides what a member may spend in a month; what was spent in this one counts.';

create function uncap_member(member uuid) returns setof budget_caps
language plpgsql security definer set search_path = public, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
    perform lock_available();
    return query delete from budget_caps where member_id = member returning *;
end
$$;
comment on function uncap_member(uuid) is 'Takes a member''s cap away, and answers it; nothing where there is none.';


-- The proof -------------------------------------------------------------------------------------------------------------

create function ledger_mismatches() returns table (finding text, subject text, expected numeric, found numeric)
language sql stable set search_path = public, pg_temp
begin atomic
    with side as (
        select to_account as account, amount from budget_transactions
        union all
        select from_account, -amount from budget_transactions
    ),
    summed as (select account, sum(amount) as amount from side group by account),
    chain as (
        select
            id, sequence, balance_before,
            lag(sequence, 1, 0) over (order by sequence) + 1 as expected_sequence,
            lag(balance_after, 1, 0) over (order by sequence) as balance_left
        from budget_transactions
    ),
    last_one as (select sequence, balance_after from budget_transactions order by sequence desc limit 1)
    select 'balance', coalesce(a.account, summed.account), coalesce(summed.amount, 0), coalesce(a.balance, 0)
    from budget_accounts as a
    full join summed on summed.account = a.account
    where coalesce(summed.amount, 0) <> coalesce(a.balance, 0)
    union all
    select 'held', 'held', coalesce(sum(amount) filter (where state = 'held'), 0),
        coalesce((select balance from budget_accounts where account = 'held'), 0)
    from budget_holds
    having coalesce(sum(amount) filter (where state = 'held'), 0)
        <> coalesce((select balance from budget_accounts where account = 'held'), 0)
    union all
    select 'number', id::text, 0, amount from budget_transactions where amount = 'NaN'
    union all
    select 'number', account, 0, balance from budget_accounts where balance = 'NaN'
    union all
    select 'number', id::text, amount, settled_amount from budget_holds where amount = 'NaN' or settled_amount = 'NaN'
    union all
    select 'number', call_id, 0, cost from budget_calls where cost = 'NaN'
    union all
    select 'number', member_id::text, monthly_amount, spent from budget_caps where monthly_amount = 'NaN' or spent = 'NaN'
    union all
    select 'overage', 'overage', 0, -owed.balance
    from budget_accounts as owed
    join budget_accounts as free on free.account = 'available'
    where owed.account = 'overage' and owed.balance < 0 and free.balance > 0
    union all
    select 'sequence', id::text, expected_sequence, sequence from chain where sequence <> expected_sequence
    union all
    select 'chain', id::text, balance_left, balance_before from chain where balance_before <> balance_left
    union all
    select 'last', account, last_one.sequence, last_sequence
    from budget_accounts
    cross join last_one
    where account = 'available' and (last_sequence <> last_one.sequence or balance <> last_one.balance_after)
    union all
    select 'refunds', booked.id::text, max(booked.amount), sum(refund.amount)
    from budget_transactions as refund
    join budget_transactions as booked on booked.id = refund.refund_of
    group by booked.id
    having sum(refund.amount) > max(booked.amount)
    union all
    select 'settlement', hold.id::text, hold.settled_amount, sum(t.amount)
    from budget_holds as hold
    join budget_transactions as t on t.hold_id = hold.id and t.to_account like '%\_spend'
    group by hold.organization_id, hold.id
    having sum(t.amount) is distinct from max(hold.settled_amount)
    union all
    select 'call', call.call_id, call.cost, sum(case t.to_account when 'available' then -t.amount else t.amount end)
    from budget_calls as call
    join budget_transactions as t on t.reference_id = call.call_id and t.call_id = call.call_id
    group by call.organization_id, call.id
    having sum(case t.to_account when 'available' then -t.amount else t.amount end) is distinct from call.cost
    union all
    select 'cap', cap.member_id::text, coalesce(spending.spent, 0), cap.spent
    from budget_caps as cap
    left join budget_spending(
        array(
            select t from budget_transactions as t
            where budget_month(created_at) = budget_month(now()) and user_id in (select member_id from budget_caps)
        ),
        now()
    ) as spending on spending.member_id = cap.member_id
    where cap.month = budget_month(now()) and cap.spent <> coalesce(spending.spent, 0);
end;
comment on function ledger_mismatches() is
    'Proves the ledger from its transactions: every amount is a number, every balance is their sum, what is held is the sum of the holds, each transaction begins with the balance that the one before it left, nothing is owed while something is available, settlements, calls and refunds agree, and so does what counts against caps. Answers what does not; a healthy ledger, nothing.';

grant execute on function
    lock_budget(),
    book_budget(text, numeric, uuid, text, text, text, jsonb, text),
    refund_budget(uuid, numeric, text, jsonb, text),
    place_holds(uuid [], numeric [], text [], text [], uuid [], uuid [], text [], uuid [], timestamptz []),
    release_hold(uuid),
    release_holds_of(text []),
    expire_holds(uuid []),
    book_calls(text [], uuid [], numeric [], uuid [], text [], text []),
    settle_hold(uuid, numeric, text),
    cancel_calls(text [], uuid []),
    cap_member(uuid, numeric),
    uncap_member(uuid),
    acting_person(),
    budget_month(timestamptz),
    budget_spending(budget_transactions [], timestamptz),
    ledger_mismatches()
to leadline_app;
