-- Nurture: templates, the versions of a sequence, enrollments that know what they wait for, and one run of each step.
--
-- What must never break stands here and not in the code: a step of an enrollment has one run a round, what has ended stays
-- ended, a run never goes back to before it was sent, and only an active enrollment can be claimed.

set local role leadline_owner;

do $$
begin
    if current_user <> 'leadline_owner' then
        raise exception 'apply this file in one transaction (psql -1), so that leadline_owner owns what it makes';
    end if;
end
$$;


-- Templates -------------------------------------------------------------------------------------------------------------

create table templates (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    template_id text not null check (template_id ~ '^[a-z0-9][a-z0-9_-]{0,99}$'),
    channel text not null check (channel in ('sms', 'email', 'call')),
    name text not null check (name <> ''),
    subject text,
    body text not null check (body <> ''),
    html text,
    voice text check (voice in ('human', 'artificial')),
    script_id text,
    script_version text,
    version integer not null default 1,
    created_by uuid default current_user_id(),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, template_id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, created_by) references members (organization_id, id),
    constraint an_email_has_a_subject check ((channel = 'email') = (subject is not null)),
    constraint only_an_email_has_html check (channel = 'email' or html is null),
    constraint a_call_has_a_voice check ((channel = 'call') = (voice is not null)),
    constraint only_a_call_has_a_script check (channel = 'call' or (script_id is null and script_version is null))
);
create index templates_newest on templates (tenant_id, organization_id, created_at desc, id desc);
create index templates_by_creator on templates (organization_id, created_by);
comment on table templates is
    'What a step says: text with placeholders of the lead and the organization. A step names it by template_id.

All, newest first: order by created_at desc, id desc
Of some steps: where template_id = any ($1)';
comment on column templates.template_id is 'The name that steps use, as in welcome_sms; it never changes.';
comment on column templates.body is 'Of an SMS or email the text; of a call what the agent is told to say first.';
comment on column templates.version is 'Raised by every change; a run keeps which one it used, and what it came to.';
select isolate_by_tenant('templates');

create function raise_template_version() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    new.updated_at := now();
    new.version := old.version + 1;
    if new.template_id <> old.template_id or new.channel <> old.channel then
        raise exception 'the name and the channel of a template stay as they are'
            using errcode = 'check_violation', constraint = 'a_template_keeps_its_name', table = 'templates';
    end if;
    return new;
end
$$;
comment on function raise_template_version() is 'Stamps every change of a template and raises its version.';
create trigger raise_template_version before update on templates
    for each row execute function raise_template_version();


-- Versions of a sequence ------------------------------------------------------------------------------------------------
-- An enrollment keeps the steps it started with, so a change of the steps is a version of its own, kept whoever makes it.

alter table nurture_sequences
    add column version integer not null default 1,
    add column paused_reason text check (paused_reason in ('failure_rate', 'person')),
    add column ended_enrollments integer not null default 0 check (ended_enrollments >= 0),
    add column completed_enrollments integer not null default 0 check (completed_enrollments >= 0);
comment on column nurture_sequences.version is 'Of its steps; raised by every change of them.';
comment on column nurture_sequences.paused_reason is 'Why it is not active, where it was stopped; null where it has not been started.';
comment on column nurture_sequences.trigger_conditions is
    '{"on": [lead_created | status_changed | score_crossed], "filter": a segment''s filter, "re_enroll_after_days": a number or absent}; empty when it enrolls nobody by itself.';
create index nurture_sequences_that_enroll on nurture_sequences (organization_id)
    where active and trigger_conditions <> '{}';

create table sequence_versions (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    sequence_id uuid not null,
    version integer not null check (version >= 1),
    steps jsonb not null check (jsonb_typeof(steps) = 'array'),
    created_by uuid default current_user_id(),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    unique (organization_id, sequence_id, version),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, sequence_id) references nurture_sequences (organization_id, id),
    foreign key (organization_id, created_by) references members (organization_id, id)
);
create index sequence_versions_of_organization on sequence_versions (tenant_id, organization_id);
create index sequence_versions_by_creator on sequence_versions (organization_id, created_by);
comment on table sequence_versions is
    'The steps of a sequence as they were at each version. Append-only; written by a trigger on nurture_sequences.

One: where sequence_id = $1 and version = $2';
select isolate_by_tenant('sequence_versions', 'select');

create function keep_sequence_version() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    if tg_op = 'UPDATE' then
        new.version := old.version + case when new.steps is distinct from old.steps then 1 else 0 end;
    end if;
    return new;
end
$$;
comment on function keep_sequence_version() is 'Raises the version of a sequence when its steps change.';
create trigger keep_sequence_version before update on nurture_sequences
    for each row execute function keep_sequence_version();

create function record_sequence_version() returns trigger
language plpgsql security definer set search_path = public, pg_temp
as $$
begin
    insert into sequence_versions (tenant_id, organization_id, sequence_id, version, steps)
    values (new.tenant_id, new.organization_id, new.id, new.version, new.steps);
    return null;
end
$$;
comment on function record_sequence_version() is 'Keeps the steps of each version of a sequence.';
create trigger record_first_version after insert on nurture_sequences
    for each row execute function record_sequence_version();
create trigger record_later_version after update on nurture_sequences
    for each row when (old.version <> new.version) execute function record_sequence_version();

-- Those that were there before: the owner sees the rows of all only while the force is off.
alter table nurture_sequences no force row level security;
alter table sequence_versions no force row level security;
alter table lead_sequence_enrollments no force row level security;
insert into sequence_versions (tenant_id, organization_id, sequence_id, version, steps, created_by, created_at)
select tenant_id, organization_id, id, version, steps, created_by, created_at from nurture_sequences;


-- Enrollments -----------------------------------------------------------------------------------------------------------

alter table lead_sequence_enrollments
    add column sequence_version integer,
    add column round integer not null default 1 check (round >= 1),
    add column enrolled_on text not null default 'person'
        check (enrolled_on in ('person', 'lead_created', 'status_changed', 'score_crossed')),
    add column claimable_at timestamptz,
    add column waiting_for text check (waiting_for in ('outside_hours', 'cap_reached', 'retry')),
    add column remaining_delay interval,
    add column note text;
update lead_sequence_enrollments set
    sequence_version = 1,
    next_step_scheduled_at = case when status = 'active' then coalesce(next_step_scheduled_at, now()) end,
    claimable_at = case when status = 'active' then coalesce(next_step_scheduled_at, now()) end,
    pause_reason = case when status = 'paused' then case when pause_reason = 'replied' then pause_reason else 'person' end end,
    exit_reason = case
        when status in ('cancelled', 'failed') then case when exit_reason = 'opted_out' then exit_reason else 'person' end
    end;
alter table lead_sequence_enrollments
    alter column sequence_version set not null,
    add foreign key (organization_id, sequence_id, sequence_version)
        references sequence_versions (organization_id, sequence_id, version),
    add constraint only_an_active_one_can_be_claimed
        check ((status = 'active') = (claimable_at is not null) and (claimable_at is null) = (next_step_scheduled_at is null)),
    add constraint a_pause_has_its_reason check ((status = 'paused') = (pause_reason is not null) and (
        pause_reason is null or pause_reason in (
            'replied', 'person', 'sequence_paused', 'insufficient_budget', 'delivery_unknown', 'no_consent',
            'unknown_zone', 'no_rule_for_region', 'not_allowed'
        )
    )),
    add constraint an_end_before_the_last_step_has_its_reason check (
        (status in ('cancelled', 'failed')) = (exit_reason is not null) and (
            exit_reason is null or exit_reason in (
                'opted_out', 'recruited', 'lead_deleted', 'calling_blocked', 'person', 'no_address', 'refused_for_good',
                'retries_exhausted', 'message_too_long', 'bounced'
            )
        )
    );
alter table sequence_versions force row level security;
alter table nurture_sequences force row level security;
alter table lead_sequence_enrollments force row level security;
-- One index for both foreign keys: each more is written three times a step.
drop index lead_sequence_enrollments_by_sequence;
create index lead_sequence_enrollments_by_sequence
    on lead_sequence_enrollments (organization_id, sequence_id, sequence_version, status);
drop index lead_sequence_enrollments_due;
create index lead_sequence_enrollments_claimable on lead_sequence_enrollments (claimable_at) where status = 'active';
comment on table lead_sequence_enrollments is
    'One lead''s trip through one sequence; at most one live one per lead and sequence.

Of one lead: where lead_id = $1 order by enrolled_at desc
Due now, across tenants, for the dispatcher: where status = ''active'' and claimable_at <= $1 order by claimable_at for update skip locked';
comment on column lead_sequence_enrollments.round is 'Raised when a person has a step run again whose fate is unknown: a step runs once a round.';
comment on column lead_sequence_enrollments.next_step_scheduled_at is 'When the current step is due; held time counts, and so it may be later than its delay.';
comment on column lead_sequence_enrollments.claimable_at is 'From when the dispatcher may claim it: when the step is due, or when the lease of who has claimed it ends. A worker works on it only while it is what the worker was told.';
comment on column lead_sequence_enrollments.waiting_for is 'Why the step is due later than its delay says.';
comment on column lead_sequence_enrollments.remaining_delay is 'Of a paused one: how long its step had still to wait.';
comment on column lead_sequence_enrollments.note is 'What the person said who last paused, resumed, skipped or cancelled it.';

create function keep_enrollment_in_order() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    if tg_op = 'INSERT' then
        new.sequence_version := coalesce(
            new.sequence_version, (select version from nurture_sequences where id = new.sequence_id), 1
        );
        if new.status = 'active' then
            new.next_step_scheduled_at := coalesce(new.next_step_scheduled_at, new.enrolled_at);
            new.claimable_at := coalesce(new.claimable_at, new.next_step_scheduled_at);
        elsif new.status = 'paused' then
            new.pause_reason := coalesce(new.pause_reason, 'person');
        elsif new.status <> 'completed' then
            new.exit_reason := coalesce(new.exit_reason, 'person');
        end if;
        return new;
    end if;
    if old.status not in ('active', 'paused') then
        raise exception 'an enrollment that has ended stays as it is'
            using errcode = 'check_violation', constraint = 'an_ended_enrollment_stays_ended',
                table = 'lead_sequence_enrollments';
    end if;
    if new.current_step < old.current_step or new.round < old.round or new.lead_id <> old.lead_id
        or new.sequence_id <> old.sequence_id or new.sequence_version <> old.sequence_version
    then
        raise exception 'an enrollment goes forward only, and stays its lead''s and its sequence''s'
            using errcode = 'check_violation', constraint = 'an_enrollment_goes_forward', table = 'lead_sequence_enrollments';
    end if;
    if new.status = old.status then
        return new;
    end if;
    -- Who changes the status says when by updated_at; all else follows from it.
    if new.updated_at = old.updated_at then
        new.updated_at := now();
    end if;
    case new.status
        when 'paused' then
            new.pause_reason := coalesce(new.pause_reason, 'person');
            new.remaining_delay := greatest(old.next_step_scheduled_at - new.updated_at, interval '0');
        when 'active' then
            new.pause_reason := null;
            new.next_step_scheduled_at := new.updated_at + coalesce(new.remaining_delay, interval '0');
            new.claimable_at := new.next_step_scheduled_at;
            new.remaining_delay := null;
        else
            new.pause_reason := null;
            new.remaining_delay := null;
            new.completed_at := new.updated_at;
            if new.status <> 'completed' then
                new.exit_reason := coalesce(new.exit_reason, 'person');
            end if;
    end case;
    if new.status <> 'active' then
        new.next_step_scheduled_at := null;
        new.claimable_at := null;
        new.waiting_for := null;
    end if;
    return new;
end
$$;
comment on function keep_enrollment_in_order() is
    'Refuses what makes no sense of an enrollment (life after its end, a step back), and keeps what follows from its status: a pause stops its clock, and going on lets the rest of the delay run.';
create trigger keep_new_enrollment_in_order before insert on lead_sequence_enrollments
    for each row execute function keep_enrollment_in_order();
create trigger keep_enrollment_in_order before update on lead_sequence_enrollments
    for each row when (
        old.status not in ('active', 'paused') or new.status <> old.status
        or new.current_step < old.current_step or new.round < old.round or new.lead_id <> old.lead_id
        or new.sequence_id <> old.sequence_id or new.sequence_version <> old.sequence_version
    )
    execute function keep_enrollment_in_order();

create function count_enrollments() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
declare
    changed record;
begin
    -- One sequence after the other, in the order that everybody keeps.
    if tg_op = 'INSERT' then
        for changed in
            select organization_id, sequence_id, count(*) as added,
                count(*) filter (where status not in ('active', 'paused')) as ended,
                count(*) filter (where status = 'completed') as completed
            from after group by 1, 2 order by 1, 2
        loop
            update nurture_sequences set
                total_enrollments = total_enrollments + changed.added,
                ended_enrollments = ended_enrollments + changed.ended,
                completed_enrollments = completed_enrollments + changed.completed,
                completion_rate = (completed_enrollments + changed.completed)::numeric
                    / nullif(ended_enrollments + changed.ended, 0)
            where organization_id = changed.organization_id and id = changed.sequence_id;
        end loop;
        return null;
    end if;
    for changed in
        select after.organization_id, after.sequence_id, count(*) as ended,
            count(*) filter (where after.status = 'completed') as completed
        from after join before using (organization_id, id)
        where after.status not in ('active', 'paused') and before.status in ('active', 'paused')
        group by 1, 2 order by 1, 2
    loop
        update nurture_sequences set
            ended_enrollments = ended_enrollments + changed.ended,
            completed_enrollments = completed_enrollments + changed.completed,
            completion_rate = (completed_enrollments + changed.completed)::numeric / (ended_enrollments + changed.ended)
        where organization_id = changed.organization_id and id = changed.sequence_id;
    end loop;
    return null;
end
$$;
comment on function count_enrollments() is
    'Keeps of each sequence how many were enrolled, how many have ended and how many of those completed it.';
create trigger count_new_enrollments after insert on lead_sequence_enrollments
    referencing new table as after
    for each statement execute function count_enrollments();
create trigger count_ended_enrollments after update on lead_sequence_enrollments
    referencing old table as before new table as after
    for each statement execute function count_enrollments();

-- The dispatcher claims, and learns nothing else: not the lead, not the sequence.
create policy dispatch_policy on lead_sequence_enrollments to leadline_dispatch
    using (status = 'active') with check (status = 'active');
-- By its place (ctid), once it is locked: told of few rows, the planner would look each row up by an index that finds all of an
-- organization.
grant select (ctid, tenant_id, organization_id, id, status, claimable_at), update (claimable_at)
    on lead_sequence_enrollments to leadline_dispatch;


-- Runs of steps ---------------------------------------------------------------------------------------------------------

create table step_runs (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    enrollment_id uuid not null,
    lead_id uuid not null,
    sequence_id uuid not null,
    sequence_version integer not null,
    step integer not null check (step >= 1),
    round integer not null default 1 check (round >= 1),
    channel text not null check (channel in ('sms', 'email', 'call')),
    template_id text not null,
    template_version integer,
    status text not null default 'sending' check (
        status in ('sending', 'retrying', 'sent', 'delivered', 'failed', 'bounced', 'replied', 'unknown', 'skipped')
    ),
    attempts integer not null default 1 check (attempts >= 0),
    sending_until timestamptz,
    address text,
    subject text,
    body text,
    decision_id uuid,
    hold_id uuid,
    provider text,
    provider_message_id text,
    error text,
    due_at timestamptz not null,
    started_at timestamptz not null,
    sent_at timestamptz,
    delivered_at timestamptz,
    replied_at timestamptz,
    opted_out_at timestamptz,
    ended_at timestamptz,
    updated_at timestamptz not null default now(),
    primary key (organization_id, id),
    constraint a_step_runs_once_a_round unique (organization_id, enrollment_id, step, round),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
    foreign key (organization_id, enrollment_id) references lead_sequence_enrollments (organization_id, id),
    constraint what_is_being_sent_has_a_limit check ((status = 'sending') = (sending_until is not null)),
    constraint what_was_decided_is_kept check (status in ('skipped', 'failed') or decision_id is not null)
);
create index step_runs_newest on step_runs (tenant_id, organization_id, started_at desc, id desc);
create index step_runs_by_lead on step_runs (organization_id, lead_id, started_at desc, id desc);
create index step_runs_by_step on step_runs (organization_id, sequence_id, step, status);
create index step_runs_by_provider_message on step_runs (organization_id, provider_message_id)
    where provider_message_id is not null;
comment on table step_runs is
    'One execution of one step of one enrollment: what was decided, what was sent, and what became of it. Marked as sending before anything leaves, so that a crash is seen and nothing is sent twice.

Of one enrollment: where enrollment_id = $1 order by step, round
Of one lead, newest first: where lead_id = $1 order by started_at desc, id desc
Of a sequence, counted: where sequence_id = $1 group by step, status
By the provider''s id: where provider_message_id = $1';
comment on column step_runs.id is 'Also the key by which whoever sends it knows a message that it has had before, and the message id of an SMS.';
comment on column step_runs.lead_id is 'Of its enrollment, without a foreign key of its own; so are the sequence and its version.';
comment on column step_runs.status is 'sending: marked, and perhaps on its way. retrying: refused by who sends, known not to have gone out. unknown: nobody knows whether it went out. skipped: not sent, for the reason in error.';
comment on column step_runs.sending_until is 'Whoever sends it has let it go by then: later it is unknown.';
comment on column step_runs.decision_id is 'The gate''s, of the last attempt; hold_id is the money that it set aside.';
comment on column step_runs.error is 'Why it was skipped, retried or failed, as a stable code.';
comment on column step_runs.due_at is 'When it was to run; what it waited for the hours is not late.';
comment on column step_runs.opted_out_at is 'When the person opted out in answer to it.';
create index step_runs_being_sent on step_runs (sending_until) where status = 'sending';
select isolate_by_tenant('step_runs');

-- A run that was being sent and of which nobody has told: the clock finds it also where its enrollment is never claimed again.
create policy dispatch_policy on step_runs for select to leadline_dispatch using (status = 'sending');
grant select (tenant_id, organization_id, status, sending_until) on step_runs to leadline_dispatch;

create function keep_run_in_order() returns trigger
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
comment on function keep_run_in_order() is
    'Refuses what makes no sense of a run: it is sent once, and what became of it is not unsaid.';
create trigger keep_run_in_order before update on step_runs
    for each row when (old.status <> new.status) execute function keep_run_in_order();


-- Who is to be enrolled -------------------------------------------------------------------------------------------------
-- What happens to leads is noted beside them, whoever makes it happen, and only where a sequence may want to know; the
-- clock hands it to a worker, which judges the filters.

create table enrollment_triggers (
    tenant_id uuid not null default current_tenant_id(),
    organization_id uuid not null default current_org_id(),
    id uuid not null default uuid_v7(),
    lead_id uuid not null,
    event text not null check (event in ('lead_created', 'status_changed', 'score_crossed')),
    created_at timestamptz not null default now(),
    primary key (organization_id, id),
    foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
);
create index enrollment_triggers_oldest on enrollment_triggers (tenant_id, organization_id, created_at, id);
comment on table enrollment_triggers is
    'What has happened to leads and may enroll them: taken away in the transaction that has judged it.

The oldest: order by created_at, id limit $1';
comment on column enrollment_triggers.lead_id is 'Without a foreign key: what happened to a lead is judged with what the lead is by then.';
select isolate_by_tenant('enrollment_triggers', 'select, insert, delete');
create policy dispatch_policy on enrollment_triggers for select to leadline_dispatch using (true);
grant select (tenant_id, organization_id, created_at) on enrollment_triggers to leadline_dispatch;

create function note_enrollment_triggers() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
declare
    what constant text := case when tg_op = 'INSERT' then 'lead_created' else 'status_changed' end;
begin
    if not exists (
        select from nurture_sequences
        where active and trigger_conditions <> '{}' and trigger_conditions -> 'on' @> to_jsonb(what)
    ) then
        return null;
    end if;
    if tg_op = 'INSERT' then
        insert into enrollment_triggers (tenant_id, organization_id, lead_id, event)
        select tenant_id, organization_id, id, what from after where deleted_at is null;
    else
        insert into enrollment_triggers (tenant_id, organization_id, lead_id, event)
        select after.tenant_id, after.organization_id, after.id, what
        from after join before using (organization_id, id)
        where after.status <> before.status and after.deleted_at is null;
    end if;
    return null;
end
$$;
comment on function note_enrollment_triggers() is
    'Notes leads that are new or have a new status, where an active sequence enrolls such leads by itself.';
create trigger note_new_leads after insert on leads
    referencing new table as after
    for each statement execute function note_enrollment_triggers();
create trigger note_changed_leads after update on leads
    referencing old table as before new table as after
    for each statement execute function note_enrollment_triggers();

create function note_crossed_score() returns trigger
language plpgsql set search_path = public, pg_temp
as $$
begin
    if exists (
        select from nurture_sequences
        where active and trigger_conditions <> '{}' and trigger_conditions -> 'on' @> '"score_crossed"'
    ) then
        insert into enrollment_triggers (tenant_id, organization_id, lead_id, event)
        values (new.tenant_id, new.organization_id, new.subject_id::uuid, 'score_crossed');
    end if;
    return null;
end
$$;
comment on function note_crossed_score() is 'The same of a lead whose score has crossed a boundary, which is an event.';
create trigger note_crossed_score after insert on domain_events
    for each row when (new.type = 'score_crossed') execute function note_crossed_score();
