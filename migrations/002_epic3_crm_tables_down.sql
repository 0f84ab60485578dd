-- Takes the twelve tables away, with the functions and the view that hang on them.

set local role leadline_owner;

drop table system_config;
drop table budget_transactions;
drop table segments;
drop table lead_sequence_enrollments;
drop table nurture_sequences;
drop table lead_source_costs;
drop function lock_all_numbers();
drop function lock_number(text);
drop function is_on_dnc_list(text, uuid);
drop table dnc_list;
drop table lead_assignments;
drop table lead_score_history;
drop table lead_status_history;
drop table lead_audit_log;
drop function make_audit_partitions(integer);

grant leadline_finder to current_user;
drop view lead_candidates;
revoke leadline_finder from current_user;

drop function calculate_lead_score(uuid);
drop table leads;
drop function record_lead_change();
drop function record_lead_creation();
drop function update_leads_updated_at();
