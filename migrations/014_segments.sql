-- Segments: a filter may ask any field of a lead, and each answer is found by one reading of the candidates.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Candidates -------------------------------------------------------------------------------------------------------------
-- A filter with a tag and a city is answered in one scan only where the view has both: else every lead with the tag would
-- be read again under row-level security.

grant select (
    first_name, city, state, zip, country, time_zone, email, phone_number, updated_at, interaction_count, calling_blocked,
    custom_fields
) on leads to leadline_finder;

grant leadline_finder to current_user;
create or replace view lead_candidates as
    select
        id, organization_id, tags, full_name,
        user_id, last_name, status, lead_score, source, sub_source, last_contact_date, created_at,
        deleted_at,
        first_name, city, state, zip, country, time_zone, email, phone_number, updated_at, interaction_count,
        calling_blocked, custom_fields
    from leads
    where tenant_id = current_setting('app.current_tenant_id')::uuid
        and organization_id = current_setting('app.current_org_id')::uuid
        and deleted_at is null;
comment on view lead_candidates is
    'Ids of this organization''s leads by tag, by part of a name or by a segment''s filter, with what a list of them is filtered and sorted by.

A page, and always as an array of ids: where id = any (array(select id from lead_candidates where full_name like $1 and status = $2 order by created_at desc, id desc limit $3)) order by created_at desc, id desc
Count: select count(*) from lead_candidates where tags @> $1';
revoke leadline_finder from current_user;


-- Segments ---------------------------------------------------------------------------------------------------------------

alter table segments add column last_tried_at timestamptz;
comment on column segments.last_tried_at is
    'When a count was last begun: one that took too long is not tried first again.';
comment on table segments is
    'A saved filter over leads, evaluated anew at use; the count is a cached one, with its age.

All a member may see, newest first: where (is_public or owner_id = $1) and (created_at, id) < ($2, $3) order by created_at desc, id desc
To be counted anew: the same order by last_tried_at nulls first';
