-- The twelve tables of the CRM, their isolation, their history and the indexes that serve them under row-level security.
--
-- Every key carries the organization: a foreign-key check ignores row-level security, so a single-column key would accept
-- another organization's row, and a unique key over more than one organization tells that a row exists.
-- Every foreign key has an index that begins with its columns.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Leads ---------------------------------------------------------------------------------------------------------------

create table leads (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    user_id uuid,
    first_name text,
    last_name text,
    full_name text not null generated always as (
        lower(btrim(coalesce(first_name, '') || ' ' || coalesce(last_name, '')))
    ) stored,
    phone_number e164,
    email text,
    address text,
    city text,
    state text,
    zip text,
    country text not null default 'US' check (country ~ '^[A-Z]{2}$'),
    time_zone text,
    status text not null default 'new'
        check (status in ('new', 'contacted', 'qualified', 'nurturing', 'hot', 'cold', 'recruited', 'dnc')),
    lead_score integer not null default 0 check (lead_score between 0 and 100),
    lead_score_factors jsonb not null default '{}' check (jsonb_typeof(lead_score_factors) = 'object'),
    source text,
    sub_source text,
    source_metadata jsonb not null default '{}' check (jsonb_typeof(source_metadata) = 'object'),
    tags text[] not null default '{}' check (cardinality(tags) <= 50),
    notes text,
    last_contact_date timestamptz,
    interaction_count integer not null default 0 check (interaction_count >= 0),
    calling_blocked boolean not null default false,
    custom_fields jsonb not null default '{}' check (jsonb_typeof(custom_fields) = 'object'),
    version integer not null default 1,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    deleted_at timestamptz,
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, user_id) references members (organization_id, id),
    -- Only a deleted lead may be without a number (a person who was erased): everybody else is here to be called.
    check (phone_number is not null or deleted_at is not null)
);
comment on table leads is
    'A person to recruit or sell to. Deleting is soft (deleted_at); a lead in status dnc, or with calling_blocked, is never called.

Newest first, keyset: where deleted_at is null and (created_at, id) < ($1, $2) order by created_at desc, id desc limit $3
By number: where phone_number = $1 and deleted_at is null
By tag or part of a name: where id = any (array(select id from lead_candidates where tags @> $1)), since under row-level security @>, && and ILIKE on the table itself never reach their index, and an IN would be flattened into it
Cost per source: group by source over all rows, deleted ones too';
comment on column leads.user_id is 'The owner: the member who works the lead.';
comment on column leads.full_name is 'First and last name in lower case, for search by part of a name.';
comment on column leads.time_zone is 'IANA name, when the lead or its source states one.';
comment on column leads.state is 'Of the address, as two letters where the country has them.';
comment on column leads.version is 'Raised by every update; the ETag of the lead.';
select isolate_by_tenant('leads');

create unique index leads_one_per_number on leads (organization_id, phone_number) where deleted_at is null;
create index leads_newest on leads (tenant_id, organization_id, created_at desc, id desc) where deleted_at is null;
create index leads_by_status_and_score on leads (organization_id, status, lead_score desc, id desc) where deleted_at is null;
create index leads_by_score on leads (organization_id, lead_score desc, id desc) where deleted_at is null;
create index leads_by_owner on leads (organization_id, user_id, created_at desc);
create index leads_by_source on leads (tenant_id, organization_id, source, created_at);
create index leads_by_tag on leads using gin (organization_id, tags) where deleted_at is null;
create index leads_by_name on leads using gin (organization_id, full_name gin_trgm_ops) where deleted_at is null;

create function update_leads_updated_at() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    new.updated_at := now();
    new.version := old.version + 1;
    return new;
end
$$;
comment on function update_leads_updated_at() is 'Stamps every update of a lead and raises its version.';
create trigger update_leads_updated_at before update on leads
    for each row execute function update_leads_updated_at();

create function calculate_lead_score(lead_id uuid) returns integer
language plpgsql stable set search_path = public, pg_temp
as $$
declare
    score integer;
begin
    select lead_score into score from leads where id = calculate_lead_score.lead_id;
    if not found then
        raise exception 'no lead % in this organization', lead_id using errcode = 'no_data_found';
    end if;
    return score;
end
$$;
comment on function calculate_lead_score(uuid) is
    'The score of a lead of this organization, 0-100: the one stored with it. Raises when the lead is not to be seen.';
grant execute on function calculate_lead_score(uuid) to leadline_app;


-- Finding leads by what row-level security cannot index ----------------------------------------------------------------
-- An operator that is not leakproof (@>, &&, ILIKE) is only a filter behind a policy. This view has the organization in its
-- own text and an owner whose policy lets it pass, so the index is used; it answers ids, and the rows are read again under
-- row-level security. It is queried by fixed SQL only. Its owner can do nothing else, nobody is a member of it, and what the
-- ALTER needs is taken back at once: left standing, every definer function of the owner would see all tenants.

grant select (tenant_id, organization_id, id, tags, full_name, deleted_at) on leads to leadline_finder;
create policy finder_policy on leads for select to leadline_finder using (true);

create view lead_candidates as
    select id, organization_id, tags, full_name
    from leads
    where tenant_id = current_setting('app.current_tenant_id')::uuid
        and organization_id = current_setting('app.current_org_id')::uuid
        and deleted_at is null;
comment on view lead_candidates is
    'Ids of this organization''s leads by tag or by part of a name.

Always as an array of ids: where id = any (array(select id from lead_candidates where full_name like $1))';
grant create on schema public to leadline_finder;
grant leadline_finder to current_user;
alter view lead_candidates owner to leadline_finder;
grant select on lead_candidates to leadline_app;
revoke leadline_finder from current_user;
revoke create on schema public from leadline_finder;


-- History of leads, written by the database alone ----------------------------------------------------------------------
-- Members are named without a foreign key: enter_context has just checked them, a member is never deleted, and the hottest
-- tables of the house carry no index that only a key needs.

create table lead_audit_log (
    tenant_id uuid not null,
    organization_id uuid not null,
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    user_id uuid,
    field_name text not null,
    old_value text,
    new_value text,
    change_reason text,
    ip_address text,
    user_agent text,
    changed_at timestamptz not null default now(),
    primary key (organization_id, id, changed_at),
    foreign key (organization_id, lead_id) references leads (organization_id, id)
) partition by range (changed_at);
create index lead_audit_log_by_lead on lead_audit_log (organization_id, lead_id, changed_at desc, id desc);
comment on table lead_audit_log is
    'Every change of every field of a lead, one row a field, written by trigger from the transaction''s context. Append-only; partitioned by month (UTC), so the primary key carries changed_at.

Of one lead, newest first: where lead_id = $1 and (changed_at, id) < ($2, $3) order by changed_at desc, id desc limit $4';
comment on column lead_audit_log.user_id is 'The member who changed it; null when the system itself did.';
comment on column lead_audit_log.old_value is 'As text; arrays and objects as JSON.';
select isolate_by_tenant('lead_audit_log', 'select');

create table lead_audit_log_default partition of lead_audit_log default;
comment on table lead_audit_log_default is
    'Audit rows of a month that has no partition, so that no row is ever refused. A row here is a finding for upkeep.

Never read directly: read lead_audit_log';
select isolate_by_tenant('lead_audit_log_default', '');

create function make_audit_partitions(months_ahead integer default 3) returns text []
language plpgsql security definer set search_path = public, pg_temp
as $$
declare
    month_start timestamptz;
    partition_name text;
    made text [] := '{}';
begin
    perform pg_advisory_xact_lock(hashtextextended('make_audit_partitions', 0));
    for month_start in
        select date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' + make_interval(months => ahead)
        from generate_series(0, months_ahead) as ahead
    loop
        partition_name := 'lead_audit_log_' || to_char(month_start at time zone 'UTC', 'YYYY_MM');
        continue when to_regclass(partition_name) is not null;
        begin
            execute format(
                'create table %I partition of lead_audit_log for values from (%L) to (%L)',
                partition_name, month_start, (month_start at time zone 'UTC' + interval '1 month') at time zone 'UTC'
            );
        exception
            when check_violation then
                continue; -- its rows wait in the default partition, a finding of its own; the other months go on
        end;
        execute format(
            'comment on table %I is %L',
            partition_name, E'Audit rows of one month.\n\nNever read directly: read lead_audit_log'
        );
        perform isolate_by_tenant(partition_name::regclass, '');
        made := made || partition_name;
    end loop;
    return made;
end
$$;
comment on function make_audit_partitions(integer) is
    'Makes the audit log''s partitions of this month and of those ahead, and answers the names of the new ones.';
grant execute on function make_audit_partitions(integer) to leadline_dispatch;
select make_audit_partitions();

create table lead_status_history (
    tenant_id uuid not null,
    organization_id uuid not null,
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    from_status text,
    to_status text not null,
    user_id uuid,
    trigger_type text not null check (trigger_type in ('call', 'manual', 'automation', 'nurture', 'ai')),
    trigger_id text,
    reason text,
    changed_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id)
);
create index lead_status_history_by_lead on lead_status_history (organization_id, lead_id, changed_at desc, id desc);
comment on table lead_status_history is
    'Every status a lead has had, from its first (from_status null), written by trigger from the transaction''s context. Append-only.

Of one lead, newest first: where lead_id = $1 order by changed_at desc, id desc';
comment on column lead_status_history.trigger_id is 'The call, step run or rule that caused it: another system''s id need not be a UUID.';
select isolate_by_tenant('lead_status_history', 'select');

create function record_lead_creation() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    insert into lead_status_history
        (tenant_id, organization_id, lead_id, to_status, user_id, trigger_type, trigger_id, reason, changed_at)
    select
        lead.tenant_id, lead.organization_id, lead.id, lead.status, current_user_id(),
        coalesce(nullif(current_setting('app.trigger_type', true), ''), 'automation'),
        nullif(current_setting('app.trigger_id', true), ''),
        nullif(current_setting('app.change_reason', true), ''),
        lead.created_at
    from created as lead;
    return null;
end
$$;
comment on function record_lead_creation() is 'Writes the first status of new leads, one statement for all of them.';
create trigger record_lead_creation after insert on leads
    referencing new table as created
    for each statement execute function record_lead_creation();

create function record_lead_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp
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
comment on function record_lead_change() is
    'Writes every changed field to the audit log and every changed status to the status history, one statement for all changed leads.';
create trigger record_lead_change after update on leads
    referencing old table as before new table as after
    for each statement execute function record_lead_change();

create table lead_score_history (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    score integer not null check (score between 0 and 100),
    factors jsonb not null default '{}' check (jsonb_typeof(factors) = 'object'),
    calculated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id)
);
create index lead_score_history_by_lead on lead_score_history (organization_id, lead_id, calculated_at desc, id desc);
create index lead_score_history_by_time on lead_score_history (tenant_id, organization_id, calculated_at);
comment on table lead_score_history is
    'Every score a lead has had, with what it was made of. Append-only.

Of one lead, newest first: where lead_id = $1 order by calculated_at desc, id desc';
select isolate_by_tenant('lead_score_history', 'select, insert');

create table lead_assignments (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    from_user uuid,
    to_user uuid,
    assigned_by uuid default current_user_id(),
    strategy text not null default 'manual'
        check (strategy in ('manual', 'round_robin', 'capacity', 'geographic', 'skill_based')),
    reason text,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    assigned_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id),
    foreign key (organization_id, from_user) references members (organization_id, id),
    foreign key (organization_id, to_user) references members (organization_id, id),
    foreign key (organization_id, assigned_by) references members (organization_id, id)
);
create index lead_assignments_by_lead on lead_assignments (organization_id, lead_id, assigned_at desc, id desc);
create index lead_assignments_by_time on lead_assignments (tenant_id, organization_id, assigned_at);
create index lead_assignments_by_giver on lead_assignments (organization_id, from_user, assigned_at);
create index lead_assignments_by_taker on lead_assignments (organization_id, to_user, assigned_at);
create index lead_assignments_by_assigner on lead_assignments (organization_id, assigned_by, assigned_at);
comment on table lead_assignments is
    'Every change of a lead''s owner, with the strategy that chose it and its context. Append-only.

Of one lead, newest first: where lead_id = $1 order by assigned_at desc, id desc
What a member was given: where to_user = $1 and assigned_at >= $2';
select isolate_by_tenant('lead_assignments', 'select, insert');


-- Do-Not-Call -----------------------------------------------------------------------------------------------------------

create table dnc_list (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    phone_number e164 not null,
    added_by uuid default current_user_id(),
    reason text not null check (
        reason in ('lead_requested', 'legal_requirement', 'complaint', 'admin_added', 'cooling_off', 'ai_detected')
    ),
    source text,
    detected_phrase text,
    notes text,
    added_at timestamptz not null default now(),
    expires_at timestamptz,
    consent_withdrawal_documented boolean not null default false,
    removed_at timestamptz,
    removed_by uuid,
    removal_reason text,
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, added_by) references members (organization_id, id),
    foreign key (organization_id, removed_by) references members (organization_id, id),
    constraint an_opt_out_by_a_person_never_expires
        check (expires_at is null or reason not in ('lead_requested', 'complaint', 'ai_detected')),
    constraint a_removal_has_a_reason check ((removed_at is null) = (removal_reason is null))
);
create unique index dnc_list_one_active_per_number on dnc_list (organization_id, phone_number) where removed_at is null;
create index dnc_list_newest on dnc_list (tenant_id, organization_id, added_at desc, id desc);
create index dnc_list_by_adder on dnc_list (organization_id, added_by, added_at);
create index dnc_list_by_remover on dnc_list (organization_id, removed_by, removed_at);
create index dnc_list_by_expiry on dnc_list (expires_at) where removed_at is null and expires_at is not null;
comment on table dnc_list is
    'Numbers this organization must not contact. Keyed by the number and not by the lead; a removal is a mark, the row stays.

One number: select is_on_dnc_list($1, $2)
Many numbers: join dnc_list using (phone_number) on a list of numbers, where removed_at is null and (expires_at is null or expires_at > now())';
comment on column dnc_list.detected_phrase is 'The words by which the person opted out, verbatim.';
comment on column dnc_list.expires_at is 'Judged at the instant of each check; a person''s own opt-out has none.';
select isolate_by_tenant('dnc_list', 'select, insert, update', 'org_dnc_policy');

create function is_on_dnc_list(phone text, organization_id uuid) returns boolean
language plpgsql stable set search_path = public, pg_temp
as $$
begin
    -- Seen only in its own context, and only when the tenant of that context is its own too.
    if not exists (select from organizations where id = is_on_dnc_list.organization_id) then
        raise exception 'the Do-Not-Call list of another organization cannot be seen' using errcode = 'insufficient_privilege';
    end if;
    if phone is null or phone !~ '^\+[1-9][0-9]{6,14}$' then
        raise exception 'the phone number is not in E.164' using errcode = 'invalid_parameter_value';
    end if;
    return exists (
        select from dnc_list as entry
        where entry.phone_number = phone
            and entry.removed_at is null
            and (entry.expires_at is null or entry.expires_at > now())
    );
end
$$;
comment on function is_on_dnc_list(text, uuid) is
    'Whether a number is on this organization''s Do-Not-Call list now. Raises for another organization and for a number not in E.164: it never answers false to a question it could not see.';
grant execute on function is_on_dnc_list(text, uuid) to leadline_app;

create function lock_number(address text) returns void
language plpgsql set search_path = public, pg_temp
as $$
begin
    perform pg_advisory_xact_lock_shared(hashtextextended(current_org_id()::text, 0));
    perform pg_advisory_xact_lock(hashtextextended(current_org_id()::text || ' ' || address, 0));
end
$$;
comment on function lock_number(text) is
    'Lets one transaction at a time judge or change one number of this organization. A statement of its own: what is read after it sees what the one before has committed.';
grant execute on function lock_number(text) to leadline_app;

create function lock_all_numbers() returns void
language plpgsql set search_path = public, pg_temp
as $$
begin
    perform pg_advisory_xact_lock(hashtextextended(current_org_id()::text, 0));
end
$$;
comment on function lock_all_numbers() is
    'The same for all numbers of the organization, for work on more than 500 of them: one lock a number would overflow shared memory.';
grant execute on function lock_all_numbers() to leadline_app;


-- Costs of sources ------------------------------------------------------------------------------------------------------

create table lead_source_costs (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    user_id uuid default current_user_id(),
    source text not null check (source <> ''),
    sub_source text,
    period date not null check (extract(day from period) = 1),
    cost numeric(18, 4) not null check (cost >= 0),
    currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
    notes text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique nulls not distinct (organization_id, source, sub_source, period, currency),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, user_id) references members (organization_id, id)
);
create index lead_source_costs_by_period on lead_source_costs (tenant_id, organization_id, period);
create index lead_source_costs_by_user on lead_source_costs (organization_id, user_id);
comment on table lead_source_costs is
    'What a lead source cost in a month, in its currency. Without a sub-source counts as one value of it.

Of a range of months: where period between $1 and $2, summed on its own before it meets leads or revenue';
comment on column lead_source_costs.period is 'The month, as its first day.';
select isolate_by_tenant('lead_source_costs', 'select, insert, update, delete');


-- Nurture ---------------------------------------------------------------------------------------------------------------

create table nurture_sequences (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    created_by uuid default current_user_id(),
    name text not null check (name <> ''),
    description text,
    steps jsonb not null default '[]' check (jsonb_typeof(steps) = 'array'),
    trigger_conditions jsonb not null default '{}' check (jsonb_typeof(trigger_conditions) = 'object'),
    active boolean not null default false,
    total_enrollments integer not null default 0 check (total_enrollments >= 0),
    completion_rate numeric(5, 4) check (completion_rate between 0 and 1),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, created_by) references members (organization_id, id)
);
create index nurture_sequences_newest on nurture_sequences (tenant_id, organization_id, created_at desc, id desc);
create index nurture_sequences_by_creator on nurture_sequences (organization_id, created_by);
comment on table nurture_sequences is
    'An ordered list of nurture steps, with the conditions that enroll a lead by itself.

All, newest first: order by created_at desc, id desc';
comment on column nurture_sequences.completion_rate is 'Completed by all ended enrollments, 0 to 1; null when none has ended.';
select isolate_by_tenant('nurture_sequences');

create table lead_sequence_enrollments (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    sequence_id uuid not null,
    current_step integer not null default 1 check (current_step >= 1),
    status text not null default 'active' check (status in ('active', 'paused', 'completed', 'cancelled', 'failed')),
    enrolled_at timestamptz not null default now(),
    completed_at timestamptz,
    next_step_scheduled_at timestamptz,
    enrolled_by uuid default current_user_id(),
    pause_reason text,
    exit_reason text,
    executed_steps jsonb not null default '[]' check (jsonb_typeof(executed_steps) = 'array'),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id),
    foreign key (organization_id, sequence_id) references nurture_sequences (organization_id, id),
    foreign key (organization_id, enrolled_by) references members (organization_id, id)
);
create unique index lead_sequence_enrollments_one_live on lead_sequence_enrollments (organization_id, lead_id, sequence_id)
    where status in ('active', 'paused');
create index lead_sequence_enrollments_newest on lead_sequence_enrollments (tenant_id, organization_id, enrolled_at desc, id desc);
create index lead_sequence_enrollments_by_lead on lead_sequence_enrollments (organization_id, lead_id, enrolled_at desc);
create index lead_sequence_enrollments_by_sequence on lead_sequence_enrollments (organization_id, sequence_id, status);
create index lead_sequence_enrollments_by_enroller on lead_sequence_enrollments (organization_id, enrolled_by);
create index lead_sequence_enrollments_due on lead_sequence_enrollments (next_step_scheduled_at) where status = 'active';
comment on table lead_sequence_enrollments is
    'One lead''s trip through one sequence; at most one live one per lead and sequence.

Of one lead: where lead_id = $1 order by enrolled_at desc
Due now, across tenants, for the dispatcher: where status = ''active'' and next_step_scheduled_at <= $1';
comment on column lead_sequence_enrollments.executed_steps is 'The finished runs, written with them in one statement; the step-run rows are the truth.';
select isolate_by_tenant('lead_sequence_enrollments');


-- Segments --------------------------------------------------------------------------------------------------------------

create table segments (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    owner_id uuid default current_user_id(),
    name text not null check (name <> ''),
    description text,
    filter jsonb not null default '{}' check (jsonb_typeof(filter) = 'object'),
    is_public boolean not null default false,
    lead_count integer check (lead_count >= 0),
    last_calculated_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, owner_id) references members (organization_id, id)
);
create index segments_newest on segments (tenant_id, organization_id, created_at desc, id desc);
create index segments_by_owner on segments (organization_id, owner_id);
comment on table segments is
    'A saved filter over leads, evaluated anew at use; the count is a cached one, with its age.

All a member may see: where is_public or owner_id = $1 order by created_at desc, id desc';
select isolate_by_tenant('segments', 'select, insert, update, delete');


-- Budget ----------------------------------------------------------------------------------------------------------------

create table budget_transactions (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    user_id uuid,
    from_account text not null check (from_account <> ''),
    to_account text not null check (to_account <> ''),
    transaction_type text not null check (
        transaction_type in ('debit', 'credit', 'refund', 'adjustment', 'hold', 'settle', 'release')
    ),
    amount numeric(18, 6) not null check (amount > 0),
    balance_before numeric(18, 6) not null,
    balance_after numeric(18, 6) not null,
    description text,
    reference_type text check (reference_type in ('call', 'sms', 'email', 'top_up', 'admin_adjustment')),
    reference_id text,
    idempotency_key text,
    metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
    created_by uuid default current_user_id(),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, user_id) references members (organization_id, id),
    foreign key (organization_id, created_by) references members (organization_id, id),
    check (from_account <> to_account)
);
create unique index budget_transactions_one_per_key on budget_transactions (organization_id, idempotency_key)
    where idempotency_key is not null;
create index budget_transactions_newest on budget_transactions (tenant_id, organization_id, created_at desc, id desc);
create index budget_transactions_by_user on budget_transactions (organization_id, user_id, created_at desc);
create index budget_transactions_by_creator on budget_transactions (organization_id, created_by);
create index budget_transactions_by_reference on budget_transactions (organization_id, reference_type, reference_id);
comment on table budget_transactions is
    'The ledger: every movement of money with both its sides and the balance before and after. Append-only.

Newest first: order by created_at desc, id desc
Of one call: where reference_type = ''call'' and reference_id = $1';
comment on column budget_transactions.amount is 'In the currency of the organization''s budget, six decimals: a call can cost 0.0075.';
comment on column budget_transactions.reference_id is 'Text: another system''s id need not be a UUID.';
select isolate_by_tenant('budget_transactions', 'select, insert');


-- Configuration ---------------------------------------------------------------------------------------------------------

create table system_config (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    config_key text not null check (config_key ~ '^[a-z][a-z0-9_.]*$'),
    config_value jsonb not null,
    updated_by uuid default current_user_id(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, config_key),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, updated_by) references members (organization_id, id)
);
create index system_config_by_organization on system_config (tenant_id, organization_id, config_key);
create index system_config_by_updater on system_config (organization_id, updated_by);
comment on table system_config is
    'What an organization has decided for itself, one row a key; a key that is absent has its default in the code.

One key: select config_value from system_config where config_key = $1';
select isolate_by_tenant('system_config');
