-- Takes 013_nurture back.

set local role leadline_owner;

drop trigger note_crossed_score on domain_events;
drop function note_crossed_score();
drop trigger note_changed_leads on leads;
drop trigger note_new_leads on leads;
drop function note_enrollment_triggers();
drop table enrollment_triggers;
drop table step_runs;
drop function keep_run_in_order();

revoke all on lead_sequence_enrollments from leadline_dispatch;
drop policy dispatch_policy on lead_sequence_enrollments;
drop trigger count_ended_enrollments on lead_sequence_enrollments;
drop trigger count_new_enrollments on lead_sequence_enrollments;
drop function count_enrollments();
drop trigger keep_enrollment_in_order on lead_sequence_enrollments;
drop trigger keep_new_enrollment_in_order on lead_sequence_enrollments;
drop function keep_enrollment_in_order();
alter table lead_sequence_enrollments
    drop constraint only_an_active_one_can_be_claimed,
    drop constraint a_pause_has_its_reason,
    drop constraint an_end_before_the_last_step_has_its_reason,
    drop column sequence_version,
    drop column round,
    drop column enrolled_on,
    drop column claimable_at,
    drop column waiting_for,
    drop column remaining_delay,
    drop column note;
create index lead_sequence_enrollments_by_sequence on lead_sequence_enrollments (organization_id, sequence_id, status);
create index lead_sequence_enrollments_due on lead_sequence_enrollments (next_step_scheduled_at) where status = 'active';
comment on table lead_sequence_enrollments is
    'One lead''s trip through one sequence; at most one live one per lead and sequence.

Of one lead: where lead_id = $1 order by enrolled_at desc
Due now, across tenants, for the dispatcher: where status = ''active'' and next_step_scheduled_at <= $1';
comment on column lead_sequence_enrollments.next_step_scheduled_at is null;

drop trigger record_later_version on nurture_sequences;
drop trigger record_first_version on nurture_sequences;
drop function record_sequence_version();
drop trigger keep_sequence_version on nurture_sequences;
drop function keep_sequence_version();
drop table sequence_versions;
drop index nurture_sequences_that_enroll;
comment on column nurture_sequences.trigger_conditions is null;
alter table nurture_sequences
    drop column version,
    drop column paused_reason,
    drop column ended_enrollments,
    drop column completed_enrollments;

drop table templates;
drop function raise_template_version();
