-- Calls and messages as the call system reports them: what was sent, once each, and what it comes to.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- What was sent ---------------------------------------------------------------------------------------------------------

create table inbox_messages (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    message_id text not null check (message_id <> ''),
    type text not null,
    call_id text,
    text_message_id text,
    occurred_at timestamptz not null,
    payload jsonb not null check (jsonb_typeof(payload) = 'object'),
    received_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, message_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    constraint a_message_is_about_one_thing check ((call_id is null) <> (text_message_id is null))
);
create index inbox_messages_newest on inbox_messages (tenant_id, organization_id, received_at desc);
create index inbox_messages_by_call on inbox_messages (organization_id, call_id) where call_id is not null;
create index inbox_messages_by_text_message on inbox_messages (organization_id, text_message_id)
    where text_message_id is not null;
comment on table inbox_messages is
    'Every message of the call system, once, however often its queue delivered it. Calls and messages are made from all of theirs, so the order in which they come changes nothing. Append-only.

Of some calls: where call_id = any ($1), then sorted by occurred_at and message_id (by code point)';
comment on column inbox_messages.message_id is 'The sender''s id of the message: a second one of the same id is the same message.';
comment on column inbox_messages.call_id is 'The call that it is about, by the call system''s id; null when it is about a text.';
comment on column inbox_messages.text_message_id is 'The SMS or email that it is about, by the sender''s id.';
comment on column inbox_messages.payload is 'The fields that we know, as they were sent.';
select isolate_by_tenant('inbox_messages', 'select, insert');


-- What it comes to ------------------------------------------------------------------------------------------------------

create table calls (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    call_id text not null check (call_id <> ''),
    lead_id uuid,
    direction text not null default 'outbound' check (direction in ('outbound', 'inbound')),
    from_number text,
    to_number text,
    phone_number e164,
    voice text check (voice in ('human', 'artificial')),
    script_id text,
    script_version text,
    decision_id uuid,
    hold_id uuid,
    status text check (status in ('started', 'completed', 'failed')),
    rang boolean not null default true,
    occurred_at timestamptz not null,
    placed_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    duration_seconds integer check (duration_seconds >= 0),
    cost_usd numeric(18, 6) check (cost_usd >= 0),
    cost_as_sent text,
    outcome text,
    outcome_status text
        check (outcome_status in ('new', 'contacted', 'qualified', 'nurturing', 'hot', 'cold', 'recruited')),
    outcome_at timestamptz,
    outcome_message_id text,
    refused_at timestamptz,
    qualification jsonb not null default '{}' check (jsonb_typeof(qualification) = 'object'),
    intent jsonb not null default '{}' check (jsonb_typeof(intent) = 'object'),
    recording_url text,
    counted boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, call_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id),
    constraint a_status_from_an_outcome_has_its_message
        check ((outcome_status is null) = (outcome_at is null) and (outcome_at is null) = (outcome_message_id is null))
);
create index calls_newest on calls (tenant_id, organization_id, occurred_at desc, id desc);
create index calls_by_lead on calls (organization_id, lead_id, occurred_at desc, id desc);
create index calls_by_number on calls (organization_id, phone_number, placed_at desc);
create index calls_by_decision on calls (organization_id, decision_id) where decision_id is not null;
comment on table calls is
    'A call as all messages about it tell it, whatever the order in which they came.

One call: where call_id = $1
Of one lead, newest first: where lead_id = $1 and (occurred_at, id) < ($2, $3) order by occurred_at desc, id desc limit $4
To one number since then: where phone_number = $1 and placed_at >= $2 and direction = ''outbound'' and rang
When a person last refused: select max(refused_at) where phone_number = $1
By the gate''s decision: where decision_id = $1';
comment on column calls.call_id is 'The call system''s id, and the ledger''s reference_id.';
comment on column calls.lead_id is 'Null while nobody with that id or number is a lead.';
comment on column calls.from_number is 'In E.164 where it reads as a number, else as it was sent; to_number too.';
comment on column calls.phone_number is 'The person''s: the one called, or of an inbound call the one calling. The newest that reads as a number, else what was known before, else that of the gate''s decision, of the hold, or of the lead.';
comment on column calls.hold_id is 'The hold that it names, else that of its decision.';
comment on column calls.decision_id is 'The gate''s decision that allowed the call, when it names one.';
comment on column calls.status is 'By the newest message that ends the call; null while only an analysis of it has come.';
comment on column calls.rang is 'False when all that ended it were failures before it could ring, and nothing says that anybody answered: then it takes no slot of a cap.';
comment on column calls.occurred_at is 'The earliest of its messages.';
comment on column calls.placed_at is 'When it was placed: the earliest start that a message tells, else the earliest end, else occurred_at. Caps count by it: an analysis with an old time does not move a call out of its day.';
comment on column calls.cost_usd is 'Rounded half up at six decimals; cost_as_sent has all of them.';
comment on column calls.outcome_status is 'The status that the newest outcome with a status asks for; outcome_at and outcome_message_id say which message that was.';
comment on column calls.refused_at is 'The first time that a message says that the person refused: by its outcome, a hard objection or an opt-out. No later outcome unsays it.';
comment on column calls.qualification is 'BANTI answers, 0-100 each; of each the newest.';
comment on column calls.counted is 'Whether the lead''s interaction_count has it already.';
select isolate_by_tenant('calls');

create table messages (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    message_id text not null check (message_id <> ''),
    lead_id uuid,
    call_id text,
    channel text check (channel in ('sms', 'email')),
    direction text not null default 'outbound' check (direction in ('outbound', 'inbound')),
    address text,
    phone_number e164,
    text text,
    status text,
    status_at timestamptz,
    provider text,
    occurred_at timestamptz not null,
    counted boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, message_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, lead_id) references leads (organization_id, id)
);
create index messages_newest on messages (tenant_id, organization_id, occurred_at desc, id desc);
create index messages_by_lead on messages (organization_id, lead_id, occurred_at desc, id desc);
create index messages_by_number on messages (organization_id, phone_number, occurred_at desc);
comment on table messages is
    'An SMS or an email to or from a person, as all messages about it tell it.

One: where message_id = $1
Of one lead, newest first: where lead_id = $1 and (occurred_at, id) < ($2, $3) order by occurred_at desc, id desc limit $4';
comment on column messages.message_id is 'The sender''s id of the SMS or email.';
comment on column messages.lead_id is 'Null while nobody with that id or number is a lead.';
comment on column messages.call_id is 'The call that it belongs to, when it names one.';
comment on column messages.address is 'The person''s, as it was sent; phone_number is that in E.164 where it reads as a number.';
comment on column messages.status is 'The newest that was reported: received, sent, delivered, failed and so on, in the sender''s words.';
comment on column messages.counted is 'Whether the lead''s interaction_count has it already.';
select isolate_by_tenant('messages');

-- Who opts out by email gets no more email, and is not listed: then the address is the email's.
comment on column opt_out_events.address is 'A phone number in E.164, or of an opt-out by email its address in lower case.';


-- Which call changed a lead ---------------------------------------------------------------------------------------------
-- One statement changes many leads, each for a call of its own: app.trigger_ids holds them by lead, as a JSON object, for the
-- statement that follows. A lead that it does not name has app.trigger_id, as ever.

create or replace function record_lead_change() returns trigger
language plpgsql security definer set search_path = public, pg_temp set enable_nestloop = off
as $$
declare
    this_moment constant timestamptz := clock_timestamp();
    trigger_ids constant jsonb := nullif(current_setting('app.trigger_ids', true), '')::jsonb;
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
        coalesce(trigger_ids ->> after.id::text, nullif(current_setting('app.trigger_id', true), '')),
        nullif(current_setting('app.change_reason', true), ''),
        this_moment
    from before
    join after using (organization_id, id)
    where before.status <> after.status;
    return null;
end
$$;
