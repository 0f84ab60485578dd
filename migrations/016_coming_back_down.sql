-- Takes 016_coming_back back.

set local role leadline_owner;

drop table opt_out_confirmations;

drop trigger stamp_sequence_start on nurture_sequences;
drop function stamp_sequence_start();
alter table nurture_sequences drop column active_since;

create or replace function keep_run_in_order() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    if not (
        case old.status
            when 'sending' then true
            when 'retrying' then new.status in ('sending', 'failed', 'skipped')
            when 'unknown' then new.status in ('sent', 'delivered', 'failed', 'bounced', 'replied')
            when 'sent' then new.status in ('delivered', 'failed', 'bounced', 'replied')
            when 'delivered' then new.status in ('bounced', 'replied')
            when 'failed' then new.status in ('delivered', 'replied')
            when 'bounced' then new.status = 'replied'
            else false
        end
    ) then
        raise exception 'a step run does not go from % to %', old.status, new.status
            using errcode = 'check_violation', constraint = 'a_run_goes_forward', table = 'step_runs';
    end if;
    if new.status <> 'sending' then
        new.sending_until := null;
    end if;
    return new;
end
$$;
drop index step_runs_of_sequence_newest;
drop index step_runs_by_email;
drop index step_runs_by_decision;
comment on table step_runs is
    'One execution of one step of one enrollment: what was decided, what was sent, and what became of it. Marked as sending before anything leaves, so that a crash is seen and nothing is sent twice.

Of one enrollment: where enrollment_id = $1 order by step, round
Of one lead, newest first: where lead_id = $1 order by started_at desc, id desc
Of a sequence, counted: where sequence_id = $1 group by step, status
By the provider''s id: where provider_message_id = $1';

drop table unmatched_webhooks;
drop table provider_keys;
