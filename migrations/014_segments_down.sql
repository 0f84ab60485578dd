-- Gives the candidates view back its columns (a view's columns go only with the view), and segments theirs.

set local role leadline_owner;

comment on table segments is
    'A saved filter over leads, evaluated anew at use; the count is a cached one, with its age.

All a member may see: where is_public or owner_id = $1 order by created_at desc, id desc';
alter table segments drop column last_tried_at;

grant leadline_finder to current_user;
drop view lead_candidates;
create view lead_candidates as
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
grant create on schema public to leadline_finder;
alter view lead_candidates owner to leadline_finder;
grant select on lead_candidates to leadline_app;
revoke leadline_finder from current_user;
revoke create on schema public from leadline_finder;

revoke select (
    first_name, city, state, zip, country, time_zone, email, phone_number, updated_at, interaction_count, calling_blocked,
    custom_fields
) on leads from leadline_finder;
