-- Answers kept by Idempotency-Key, so that a retried POST is answered and not done again.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;

create table idempotency_keys (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    route text not null,
    key text not null,
    content_hash text not null,
    status integer,
    headers jsonb,
    body text,
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, route, key),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index idempotency_keys_by_organization on idempotency_keys (tenant_id, organization_id, created_at);
comment on table idempotency_keys is
    'What a POST with an Idempotency-Key was answered, kept for 30 days and written in the transaction of its effect: a refused call leaves nothing.

One key: where route = $1 and key = $2';
comment on column idempotency_keys.route is 'Method and path template, as in POST /leads: a key is the route''s own.';
comment on column idempotency_keys.content_hash is 'SHA-256 of the query and the canonical body.';
select isolate_by_tenant('idempotency_keys', 'select, insert, update, delete');

create function claim_idempotency_key(for_route text, wanted_key text, hash text) returns void
language plpgsql set search_path = public, pg_temp
as $$
begin
    -- Who adds a key takes a few expired ones away, so that nobody else need do it.
    delete from idempotency_keys
    where id in (
        select id from idempotency_keys where created_at < now() - interval '30 days'
        order by created_at limit 20 for update skip locked
    );
    -- Waits here for another call in flight with the same key. An expired key is as good as none.
    insert into idempotency_keys as kept (route, key, content_hash)
    values (for_route, wanted_key, hash)
    on conflict (organization_id, route, key) do update
    set content_hash = excluded.content_hash, status = null, headers = null, body = null, created_at = now()
    where kept.created_at < now() - interval '30 days';
    if not found then
        raise exception 'the key has an answer' using errcode = 'LD409';
    end if;
end
$$;
comment on function claim_idempotency_key(text, text, text) is
    'Makes this transaction the one that answers a key. Raises LD409 when the key has an answer: statements sent after it then do nothing.';
grant execute on function claim_idempotency_key(text, text, text) to leadline_app;
