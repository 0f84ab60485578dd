"""What calls and texts say of the steps of sequences that they came from."""

from collections.abc import Sequence
from datetime import datetime

from leadline.calls.folding import CallState, TextState
from leadline.db import Transaction
from leadline.nurture import receipts
from leadline.nurture.receipts import Receipt, Reply


def receipts_of(calls: Sequence[CallState], texts: Sequence[TextState]) -> list[Receipt]:
    """The receipts in all that is known of calls and texts: a call that was answered was delivered, as it were."""
    found = [
        receipts.receipt(
            call.call_id,
            [("delivered", call.reached_at)]
            if call.reached_at
            else [("failed", call.ended_at)]
            if call.ended_at
            else [],
            call.decision_id,
            min((one.at for one in call.opt_outs), default=None),
        )
        for call in calls
        if call.direction == "outbound"
    ]
    found += [receipts.receipt(text.message_id, text.reported) for text in texts if text.direction == "outbound"]
    return [one for one in found if one]


def move(tx: Transaction, told: Sequence[Receipt], replies: Sequence[Reply], now: datetime) -> None:
    """Moves the runs that receipts and replies are of, with enrollments locked; what fails too often stops."""
    receipts.apply(tx, told, now)
    receipts.answer(tx, replies, now)
