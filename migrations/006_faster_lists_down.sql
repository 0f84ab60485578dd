-- Gives the candidates view back its first columns (a view's columns go only with the view), and the function its first form.

set local role leadline_owner;

create or replace function sees_only_leads_of() returns uuid
language sql stable parallel safe set search_path = pg_catalog, pg_temp
return nullif(current_setting('app.sees_only_leads_of', true), '')::uuid;

grant leadline_finder to current_user;
comment on column lead_candidates.deleted_at is null; -- fails where the columns are not there
drop view lead_candidates;
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
alter view lead_candidates owner to leadline_finder;
grant select on lead_candidates to leadline_app;
revoke leadline_finder from current_user;
revoke create on schema public from leadline_finder;

revoke select (user_id, last_name, status, lead_score, source, sub_source, last_contact_date, created_at) on leads
    from leadline_finder;
