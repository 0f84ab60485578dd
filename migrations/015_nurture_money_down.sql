-- Takes 015_nurture_money back.

set local role leadline_owner;

revoke select (ctid) on lead_sequence_enrollments from leadline_dispatch;
revoke select (tenant_id, organization_id, status, sending_until) on step_runs from leadline_dispatch;
drop policy dispatch_policy on step_runs;
drop index step_runs_being_sent;
drop function release_holds(uuid []);
drop function settle_holds(uuid []);
