-- Do-Not-Call in full: opt-outs as events that nothing deletes, every addition kept, reviews, and a guard beside the data.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Locks on many numbers -------------------------------------------------------------------------------------------------

create function lock_numbers(addresses text []) returns void
language plpgsql set search_path = public, pg_temp
as $$
declare
    address text;
begin
    if cardinality(addresses) > 500 then
        perform lock_all_numbers();
        return;
    end if;
    -- By code point, as Python sorts: two who lock the same numbers must meet in the same order.
    for address in select distinct a.number collate "C" from unnest(addresses) as a (number) order by 1 loop
        perform lock_number(address);
    end loop;
end
$$;
comment on function lock_numbers(text []) is
    'Locks several numbers of this organization in sorted order; over 500, all of them. A statement of its own, like lock_number.';
grant execute on function lock_numbers(text []) to leadline_app;


-- Entries ---------------------------------------------------------------------------------------------------------------

alter table dnc_list
    add column removal_consent jsonb check (jsonb_typeof(removal_consent) = 'object'),
    add constraint consent_comes_with_a_removal check (removal_consent is null or removed_at is not null);
comment on column dnc_list.removal_consent is
    'The later written consent with which a person''s own opt-out was removed: captured_at, disclosure_text, method.';
create index dnc_list_by_removal on dnc_list (organization_id, removed_at) where removed_at is not null;

create function dnc_strictness(reason text) returns integer
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
return array_position(
    array['cooling_off', 'admin_added', 'legal_requirement', 'ai_detected', 'lead_requested', 'complaint'], reason
);
comment on function dnc_strictness(text) is
    'Which reason wins when a number is added again: the higher one. A person''s own words stand above all others.';
grant execute on function dnc_strictness(text) to leadline_app;

-- The clock finds what has expired, and learns nothing else: not the number, not why.
create policy dispatch_policy on dnc_list for select to leadline_dispatch
    using (removed_at is null and expires_at is not null);
grant select (tenant_id, organization_id, id, expires_at, removed_at) on dnc_list to leadline_dispatch;


-- Opt-outs, their reviews, and what made each entry ---------------------------------------------------------------------
-- Events and additions come in tens of thousands at once, in the statement that writes what they name. A key to it would be
-- checked row by row, by a plan that a warm connection has kept from when the table was small: twelve times as long.

create table opt_out_events (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    address text not null check (address <> ''),
    channel text not null check (channel in ('call', 'sms', 'email', 'web', 'mail', 'other')),
    reason text not null check (reason in ('lead_requested', 'complaint', 'ai_detected')),
    source text,
    words text,
    confidence numeric(4, 3) check (confidence between 0 and 1),
    verdict text not null check (verdict in ('certain', 'uncertain')),
    occurred_at timestamptz not null,
    due_on date not null,
    honoured_at timestamptz not null default now(),
    recorded_by uuid default current_user_id(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index opt_out_events_newest on opt_out_events (tenant_id, organization_id, honoured_at desc, id desc);
create index opt_out_events_by_address on opt_out_events (organization_id, address, honoured_at desc);
create index opt_out_events_to_review on opt_out_events (organization_id, honoured_at, id) where verdict = 'uncertain';
comment on table opt_out_events is
    'Every time a person has asked not to be contacted, keyed by the address and not by the lead, so that it survives delete, merge and import. Append-only.

Of one address: where address = $1 order by honoured_at desc
Waiting for a manager, longest first: where verdict = ''uncertain'' and not exists (select from opt_out_reviews where event_id = opt_out_events.id) order by honoured_at, id
Of a period: where honoured_at >= $1 and honoured_at < $2';
comment on column opt_out_events.address is 'A phone number in E.164.';
comment on column opt_out_events.words is 'What the person said or wrote, verbatim.';
comment on column opt_out_events.confidence is 'How sure the one who detected it was, 0 to 1; null where nobody doubted.';
comment on column opt_out_events.verdict is 'An uncertain one suppresses at once and waits for a review.';
comment on column opt_out_events.due_on is 'Ten business days after it occurred: the last day the law gives (47 CFR 64.1200(a)(10)).';
comment on column opt_out_events.honoured_at is 'When it took effect here.';
select isolate_by_tenant('opt_out_events', 'select, insert');

create table opt_out_reviews (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    event_id uuid not null,
    decision text not null check (decision in ('confirm', 'reject')),
    reason text not null check (reason <> ''),
    decided_by uuid default current_user_id(),
    decided_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, event_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, event_id) references opt_out_events (organization_id, id),
    foreign key (organization_id, decided_by) references members (organization_id, id)
);
create index opt_out_reviews_by_time on opt_out_reviews (tenant_id, organization_id, decided_at);
create index opt_out_reviews_by_decider on opt_out_reviews (organization_id, decided_by);
comment on table opt_out_reviews is
    'What a manager has decided about an uncertain opt-out, once and for all. Append-only.

Of a period: where decided_at >= $1 and decided_at < $2';
select isolate_by_tenant('opt_out_reviews', 'select, insert');

create table dnc_additions (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    entry_id uuid not null,
    event_id uuid,
    reason text not null check (
        reason in ('lead_requested', 'legal_requirement', 'complaint', 'admin_added', 'cooling_off', 'ai_detected')
    ),
    source text,
    detected_phrase text,
    notes text,
    expires_at timestamptz,
    added_by uuid default current_user_id(),
    added_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index dnc_additions_by_entry on dnc_additions (organization_id, entry_id);
create index dnc_additions_by_time on dnc_additions (tenant_id, organization_id, added_at);
comment on table dnc_additions is
    'Every time a number was put on the Do-Not-Call list, as it was asked; its entry holds the strictest of them. Append-only.

What an entry rests on: where entry_id = $1, without those whose event a review has rejected
Of a period: where added_at >= $1 and added_at < $2';
select isolate_by_tenant('dnc_additions', 'select, insert');


-- The last line of defence ----------------------------------------------------------------------------------------------
-- Whoever makes a lead callable has locked its number before; then the locks below are his already and cost nothing. Who has
-- not is refused where somebody else works on the number: trying a lock never waits, and so never closes a circle.

-- A trigger's plan is kept from its first call, often for one row: a nested loop then, and 5,000 rows took 15 s instead of 0.4.
alter function record_lead_change() set enable_nestloop = off;

create function refuse_listed_leads() returns trigger
language plpgsql set search_path = public, pg_temp set enable_nestloop = off
as $$
declare
    organizations uuid [];
    numbers text [];
    locked boolean;
begin
    if tg_op = 'INSERT' then
        select array_agg(lead.organization_id), array_agg(lead.phone_number::text) into organizations, numbers
        from after as lead
        where lead.deleted_at is null and not (lead.status = 'dnc' and lead.calling_blocked);
    else
        select array_agg(lead.organization_id), array_agg(lead.phone_number::text) into organizations, numbers
        from after as lead
        join before as was using (organization_id, id)
        where lead.deleted_at is null and not (lead.status = 'dnc' and lead.calling_blocked)
            and (
                was.deleted_at is not null or (was.status = 'dnc' and was.calling_blocked)
                or was.phone_number is distinct from lead.phone_number
            );
    end if;
    if numbers is null then
        return null;
    end if;
    if cardinality(numbers) > 500 then
        select bool_and(pg_try_advisory_xact_lock(hashtextextended(organization::text, 0))) into locked
        from (select distinct unnest(organizations)) as these (organization);
    else
        select
            bool_and(
                pg_try_advisory_xact_lock_shared(hashtextextended(organization::text, 0))
                and pg_try_advisory_xact_lock(hashtextextended(organization::text || ' ' || number, 0))
            )
        into locked
        from unnest(organizations, numbers) as these (organization, number);
    end if;
    if not locked then
        raise exception 'somebody else judges or changes this number; lock it first' using errcode = 'lock_not_available';
    end if;
    if exists (
        select from unnest(organizations, numbers) as these (organization, number)
        where (
            select true from dnc_list as entry
            where entry.organization_id = organization and entry.phone_number = number and entry.removed_at is null
                and (entry.expires_at is null or entry.expires_at > now())
        )
    ) then
        raise exception 'a number on the Do-Not-Call list cannot be a callable lead''s'
            using errcode = 'check_violation', constraint = 'a_listed_number_is_not_callable', table = 'leads';
    end if;
    return null;
end
$$;
comment on function refuse_listed_leads() is
    'Refuses a statement that would make a lead callable whose number is listed, or whose number another transaction is just judging.';
create trigger refuse_listed_leads_that_are_new after insert on leads
    referencing new table as after
    for each statement execute function refuse_listed_leads();
create trigger refuse_listed_leads_that_change after update on leads
    referencing old table as before new table as after
    for each statement execute function refuse_listed_leads();
