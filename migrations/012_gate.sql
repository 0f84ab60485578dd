-- The gate: every decision on whether a person may be contacted, kept with what it rested on.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create table gate_decisions (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    lead_id uuid,
    phone_number e164,
    channel text not null check (channel in ('call', 'sms', 'email')),
    voice text check (voice in ('human', 'artificial')),
    allowed boolean not null,
    reasons jsonb not null check (jsonb_typeof(reasons) = 'array'),
    inputs jsonb not null check (jsonb_typeof(inputs) = 'object'),
    max_cost numeric(18, 6) check (max_cost > 0),
    decided_at timestamptz not null,
    valid_until timestamptz,
    next_allowed_at timestamptz,
    hold_id uuid,
    hold_expires_at timestamptz,
    requested_by uuid default current_user_id(),
    recorded_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    -- What is allowed for money has its money: a decision without its hold cannot be written.
    foreign key (organization_id, hold_id) references budget_holds (organization_id, id),
    constraint a_denial_has_reasons_and_an_end_only_what_is_allowed check (
        case when allowed then reasons = '[]' and valid_until > decided_at and valid_until <= decided_at + interval '60 s'
        else reasons <> '[]' and valid_until is null and hold_id is null end
    ),
    check ((channel = 'call') = (voice is not null)),
    check ((hold_id is null) = (hold_expires_at is null)),
    check (not allowed or (hold_id is null) = (max_cost is null))
);
create index gate_decisions_newest on gate_decisions (tenant_id, organization_id, decided_at desc, id desc);
create index gate_decisions_by_lead on gate_decisions (organization_id, lead_id, decided_at desc, id desc);
create index gate_decisions_by_hold on gate_decisions (organization_id, hold_id);
create index gate_decisions_that_allow on gate_decisions (organization_id, phone_number, decided_at desc) where allowed;
comment on table gate_decisions is
    'Every answer of the gate, with its reasons, what it knew and the versions of the rules it asked. Append-only.

What has been allowed to a number lately, for its caps: where phone_number = $1 and allowed and decided_at > $2
Denials of a period by reason: where decided_at >= $1 and decided_at < $2 and not allowed';
comment on column gate_decisions.lead_id is 'Without a foreign key: a decision also speaks of numbers that are no lead''s, and outlives every lead.';
comment on column gate_decisions.phone_number is 'Null where the lead has none.';
comment on column gate_decisions.decided_at is 'Read from the clock under the number''s lock; on the local suite the request may say it.';
comment on column gate_decisions.valid_until is 'After it the contact must be authorized again; at most 60 seconds on, and never past the window.';
select isolate_by_tenant('gate_decisions', 'select, insert');
