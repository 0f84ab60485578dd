-- Reading leads under row-level security, at less cost.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Candidates -------------------------------------------------------------------------------------------------------------
-- The view carries what the list filters and sorts by, so that a page is cut in it, and only the page is read again.

grant select (user_id, last_name, status, lead_score, source, sub_source, last_contact_date, created_at) on leads
    to leadline_finder;

-- To replace the view is its owner's; the membership is taken back at once, as when the view was made.
grant leadline_finder to current_user;
create or replace view lead_candidates as
    select
        id, organization_id, tags, full_name,
        user_id, last_name, status, lead_score, source, sub_source, last_contact_date, created_at,
        deleted_at
    from leads
    where tenant_id = current_setting('app.current_tenant_id')::uuid
        and organization_id = current_setting('app.current_org_id')::uuid
        and deleted_at is null;
comment on view lead_candidates is
    'Ids of this organization''s leads by tag or by part of a name, with what a list of them is filtered and sorted by.

A page, and always as an array of ids: where id = any (array(select id from lead_candidates where full_name like $1 and status = $2 order by created_at desc, id desc limit $3)) order by created_at desc, id desc
Count: select count(*) from lead_candidates where tags @> $1';
comment on column lead_candidates.deleted_at is
    'Always null: it is here so that a condition on leads can be asked of either.';
revoke leadline_finder from current_user;


-- Whose leads a member sees ---------------------------------------------------------------------------------------------
-- Every reading asks it once. A function in SQL that sets its search path is planned anew each time: a tenth of reading a lead.

create or replace function sees_only_leads_of() returns uuid
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp
as $$
begin
    return nullif(current_setting('app.sees_only_leads_of', true), '')::uuid;
end
$$;
