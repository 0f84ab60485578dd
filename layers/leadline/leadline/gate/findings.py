"""What the gate sees of calls afterwards: those that it had not allowed, or no longer."""

from collections.abc import Sequence

from leadline.db import Transaction


def note(tx: Transaction, call_ids: Sequence[str]) -> None:
    """Keeps an event of each call that began after its decision was good, or whose decision did not allow it.

    A call that began late has taken its place under the caps again, even over one; now somebody should see why.
    """
    tx.execute(
        """
        insert into domain_events (type, subject_id, occurrence, data)
        select
            case when decision.allowed and decision.phone_number = call.phone_number
                then 'call_started_late' else 'call_not_allowed' end,
            call.call_id, call.call_id,
            jsonb_build_object(
                'decision_id', decision.id, 'valid_until', decision.valid_until, 'started_at', call.started_at
            )
        from calls as call
        join gate_decisions as decision on decision.id = call.decision_id
        where call.call_id = any (%(call_ids)s) and call.direction = 'outbound' and call.started_at is not null
            and (
                not decision.allowed or decision.phone_number is distinct from call.phone_number
                or call.started_at > decision.valid_until
            )
        on conflict (organization_id, type, occurrence) do nothing
        """,
        {"call_ids": list(call_ids)},
    )
