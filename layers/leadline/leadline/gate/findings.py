"""What the gate sees of calls afterwards: those that it had not allowed, no longer allowed, or that pass a cap."""

from collections.abc import Sequence
from typing import LiteralString

from leadline.db import Transaction


def note(tx: Transaction, call_ids: Sequence[str]) -> None:
    """Keeps an event of each of these calls with which something is wrong, once a kind.

    `call_not_allowed`: its decision is none, denied it, was for another number, channel or voice, or has had its call.
    `call_started_late`: after its decision was good. `call_after_opt_out`: the person had asked not to be called.
    `call_over_cap`: it takes its place even over a cap, as a call does that was reported late.
    """
    values = {"call_ids": list(call_ids)}
    tx.execute(AGAINST_THE_DECISION, values)
    tx.execute(OVER_THE_CAP, values)


AGAINST_THE_DECISION: LiteralString = """
    insert into domain_events (type, subject_id, occurrence, data)
    select kind, call_id, call_id, jsonb_build_object('decision_id', decision_id, 'started_at', started_at)
    from (
        select
            call.call_id, call.decision_id, call.started_at,
            array_remove(
                array[
                    case
                        when decision.id is null or not decision.allowed or decision.channel <> 'call'
                            or decision.phone_number <> call.phone_number or decision.voice <> call.voice
                            or exists (
                                select from calls as other
                                where other.decision_id = call.decision_id
                                    and (other.placed_at, other.id) < (call.placed_at, call.id)
                            )
                            then 'call_not_allowed'
                    end,
                    case when call.started_at > decision.valid_until then 'call_started_late' end,
                    case
                        when exists (
                            select from opt_out_events as event
                            where event.address = call.phone_number and event.channel <> 'email'
                                and event.occurred_at < call.started_at
                        ) and is_on_dnc_list(call.phone_number, current_org_id())
                            then 'call_after_opt_out'
                    end
                ],
                null
            ) as kinds
        from calls as call
        left join gate_decisions as decision on decision.id = call.decision_id
        where call.call_id = any (%(call_ids)s) and call.direction = 'outbound' and call.started_at is not null
            and call.decision_id is not null
    ) as seen
    cross join unnest(kinds) as kind
    on conflict (organization_id, type, occurrence) do nothing
"""
OVER_THE_CAP: LiteralString = """
    insert into domain_events (type, subject_id, occurrence, data)
    select distinct on (call.call_id)
        'call_over_cap', call.call_id, call.call_id, jsonb_build_object('rule', rule.id, 'version', rule.version)
    from calls as call
    join area_codes as area on call.phone_number ^@ '+1' and area.area_code = substr(call.phone_number, 3, 3)
    join calling_rules as rule on rule.region = area.region and rule.channel = 'call' and rule.cap is not null
        and call.placed_at::date between rule.valid_from and coalesce(rule.valid_to, 'infinity')
    where call.call_id = any (%(call_ids)s) and call.direction = 'outbound' and call.rang
        and rule.cap < (
            select count(*) from calls as other
            where other.phone_number = call.phone_number and other.direction = 'outbound' and other.rang
                and other.placed_at <= call.placed_at
                and other.placed_at > call.placed_at - make_interval(hours => rule.cap_hours)
        )
    order by call.call_id
    on conflict (organization_id, type, occurrence) do nothing
"""
