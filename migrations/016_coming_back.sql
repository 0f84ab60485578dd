-- What comes back: webhooks find whose they are, receipts and replies find the step run that they speak of, and a person who
-- opts out by text is told once that it was heard.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Whose a webhook is ----------------------------------------------------------------------------------------------------

create table provider_keys (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    provider text not null check (provider in ('telnyx', 'ses')),
    key text not null check (key <> ''),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, provider, key),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index provider_keys_of_organization on provider_keys (tenant_id, organization_id);
create index provider_keys_by_key on provider_keys (key, provider);
comment on table provider_keys is
    'By what a webhook is known to be an organization''s: its own numbers, and the ids of what it has sent. Several organizations may have one number; what comes to it is for each of them.

Of a webhook, across tenants: where provider = $1 and key = any ($2)';
comment on column provider_keys.key is 'An own number in E.164, the id of a step run, or the provider''s id of a message.';
select isolate_by_tenant('provider_keys', 'select, insert');
create policy dispatch_policy on provider_keys for select to leadline_dispatch using (true);
grant select (provider, key, tenant_id, organization_id) on provider_keys to leadline_dispatch;

-- Nobody's: whoever reads it is an operator. What the webhook said is not kept, for that is a person's; the provider has it.
create table unmatched_webhooks (
    id uuid primary key default uuid_v7(),
    provider text not null check (provider in ('telnyx', 'ses')),
    event_id text not null check (event_id <> ''),
    type text not null,
    reason text not null check (reason in ('unknown_key', 'unknown_type')),
    received_at timestamptz not null default now(),
    unique (provider, event_id)
);
create index unmatched_webhooks_newest on unmatched_webhooks (received_at desc);
comment on table unmatched_webhooks is
    'Verified webhooks that are no organization''s as far as we know, by the provider''s id, with which their text can be asked for there. Of no tenant.

The newest: order by received_at desc';
comment on column unmatched_webhooks.reason is 'unknown_key: no organization has the number or sent the message. unknown_type: we do nothing with such events.';
grant insert (provider, event_id, type, reason) on unmatched_webhooks to leadline_dispatch;


-- Receipts --------------------------------------------------------------------------------------------------------------

create index step_runs_by_decision on step_runs (organization_id, decision_id) where decision_id is not null;
create index step_runs_by_email on step_runs (organization_id, address, started_at desc, id desc) where channel = 'email';
create index step_runs_of_sequence_newest on step_runs (organization_id, sequence_id, started_at desc);
comment on table step_runs is
    'One execution of one step of one enrollment: what was decided, what was sent, and what became of it. Marked as sending before anything leaves, so that a crash is seen and nothing is sent twice.

Of one enrollment: where enrollment_id = $1 order by step, round
Of one lead, newest first: where lead_id = $1 order by started_at desc, id desc
Of a sequence, counted: where sequence_id = $1 group by step, status
Of a sequence, the newest: where sequence_id = $1 and started_at > $2 order by started_at desc limit $3
By the provider''s id: where provider_message_id = $1
By the gate''s decision: where decision_id = $1
By the address of an email, newest first: where address = $1 and channel = ''email'' order by started_at desc, id desc';

-- As in 013, and two things more: a bounce may come after a failure, and a receipt of what was to be tried again shows that
-- it went out. So receipts in any order end the same: sent, failed, delivered, bounced, replied, and never back.
create or replace function keep_run_in_order() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    if not (
        case old.status
            when 'sending' then true
            when 'retrying' then new.status in ('sending', 'failed', 'skipped', 'sent', 'delivered', 'bounced', 'replied')
            when 'unknown' then new.status in ('sent', 'delivered', 'failed', 'bounced', 'replied')
            when 'sent' then new.status in ('delivered', 'failed', 'bounced', 'replied')
            when 'delivered' then new.status in ('bounced', 'replied')
            when 'failed' then new.status in ('delivered', 'bounced', 'replied')
            when 'bounced' then new.status = 'replied'
            else false
        end
    ) then
        raise exception 'a step run does not go from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'a_run_goes_forward', table = 'step_runs';
    end if;
    if new.status <> 'sending' then
        new.sending_until := null;
    end if;
    return new;
end
$$;

alter table nurture_sequences add column active_since timestamptz;
comment on column nurture_sequences.active_since is
    'When it was last started again: what failed before does not stop it a second time. Null where it never stopped.';
create function stamp_sequence_start() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    new.active_since := now();
    return new;
end
$$;
comment on function stamp_sequence_start() is 'Keeps when a sequence was started again.';
create trigger stamp_sequence_start before update on nurture_sequences
    for each row when (new.active and not old.active and new.active_since is not distinct from old.active_since)
    execute function stamp_sequence_start();


-- One confirmation of an opt-out ----------------------------------------------------------------------------------------

create table opt_out_confirmations (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    phone_number e164 not null,
    message_id text not null check (message_id <> ''),
    text text not null check (text <> ''),
    valid_until timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, message_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index opt_out_confirmations_of_organization on opt_out_confirmations (tenant_id, organization_id, created_at desc);
comment on table opt_out_confirmations is
    'The one text that tells a person that the opt-out was heard (47 CFR 64.1200(a)(12)): written before it is asked for, so at most once. Append-only.

Of a period: where created_at >= $1 and created_at < $2';
comment on column opt_out_confirmations.message_id is 'Of the message that revoked, as in inbox_messages.';
comment on column opt_out_confirmations.id is 'Also the key of the request to the call system.';
comment on column opt_out_confirmations.valid_until is 'Five minutes after the person wrote: later it may not be sent.';
select isolate_by_tenant('opt_out_confirmations', 'select, insert');
