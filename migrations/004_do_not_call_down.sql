-- Takes the guard, the opt-outs, their reviews and the additions away.

set local role leadline_owner;

drop trigger refuse_listed_leads_that_change on leads;
drop trigger refuse_listed_leads_that_are_new on leads;
drop function refuse_listed_leads();
alter function record_lead_change() reset enable_nestloop;
drop table dnc_additions;
drop table opt_out_reviews;
drop table opt_out_events;
revoke select (tenant_id, organization_id, id, expires_at, removed_at) on dnc_list from leadline_dispatch;
drop policy dispatch_policy on dnc_list;
drop function dnc_strictness(text);
drop index dnc_list_by_removal;
alter table dnc_list
    drop constraint consent_comes_with_a_removal,
    drop column removal_consent;
drop function lock_numbers(text []);
