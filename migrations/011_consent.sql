-- Consent: who has agreed to be contacted, how, in whose voice, by which words; and who has taken that back.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create table consents (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    phone_number e164 not null,
    kind text not null check (kind in ('express', 'prior_express_written', 'established_relationship')),
    basis text check (basis in ('purchase', 'inquiry')),
    channels text [] not null check (cardinality(channels) > 0 and channels <@ array['call', 'sms', 'email']),
    voice_modes text [] not null default '{}' check (voice_modes <@ array['human', 'artificial']),
    person text,
    topic text,
    disclosure_text text,
    disclosure_version text,
    disclosure_hash text generated always as (encode(digest(disclosure_text, 'sha256'), 'hex')) stored,
    method text not null check (method in ('web_form', 'paper', 'key_press', 'recording', 'text')),
    signature_form text,
    captured_at timestamptz not null,
    captured_at_offset integer not null check (captured_at_offset between -1080 and 1080),
    ip_address text,
    user_agent text,
    page_url text,
    vendor text,
    certificate_id text,
    evidence bytea,
    evidence_hash text,
    evidence_reference text,
    expires_at timestamptz,
    recorded_by uuid default current_user_id(),
    recorded_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    constraint a_consent_to_calls_says_in_whose_voice check ('call' <> all (channels) or cardinality(voice_modes) > 0),
    constraint a_given_consent_has_its_disclosure check (
        kind = 'established_relationship' or (disclosure_text is not null and disclosure_version is not null)
    ),
    -- A relationship lifts the National registry for a person who calls; it never allows an artificial voice or a text.
    constraint a_relationship_has_a_basis_and_an_end check (
        (kind = 'established_relationship') = (basis is not null) and (basis is null or expires_at is not null)
    ),
    check (expires_at > captured_at)
);
create index consents_newest on consents (tenant_id, organization_id, recorded_at desc, id desc);
create index consents_by_number on consents (organization_id, phone_number, captured_at desc);
comment on table consents is
    'What a person has agreed to, keyed by the number and not by the lead, with what proves it. Append-only: what was agreed stays; what ended it is a revocation.

Of one number: where phone_number = $1 order by captured_at desc
In force: captured_at later than the last revocation, and (expires_at is null or expires_at > $2)';
comment on column consents.basis is 'Of an established relationship: 18 months from a purchase, 3 from an inquiry (47 CFR 64.1200(f)(5)).';
comment on column consents.disclosure_hash is 'SHA-256 of the disclosure text, as hex.';
comment on column consents.captured_at_offset is 'Minutes east of UTC, as the time was given.';
comment on column consents.ip_address is 'Of the person who agreed; so are user_agent and page_url.';
comment on column consents.evidence is 'Encrypted by pgp_sym_encrypt under a key that is not in the database.';
comment on column consents.evidence_hash is 'SHA-256 of the evidence before it was encrypted, as hex.';
select isolate_by_tenant('consents', 'select, insert');

create table consent_revocations (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    phone_number e164 not null,
    channels text [] not null check (cardinality(channels) > 0 and channels <@ array['call', 'sms', 'email']),
    words text,
    source text,
    revoked_at timestamptz not null,
    due_on date not null,
    recorded_by uuid default current_user_id(),
    recorded_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index consent_revocations_newest on consent_revocations (tenant_id, organization_id, recorded_at desc, id desc);
create index consent_revocations_by_number on consent_revocations (organization_id, phone_number, revoked_at desc);
comment on table consent_revocations is
    'A person has taken consent back: all that was given before is void, and only a written one given later revives it. Append-only.

Of one number: where phone_number = $1 order by revoked_at desc';
comment on column consent_revocations.words is 'What the person said or wrote, verbatim.';
comment on column consent_revocations.due_on is 'Ten business days after it: the last day the law gives (47 CFR 64.1200(a)(10)); here it holds at once.';
select isolate_by_tenant('consent_revocations', 'select, insert');
