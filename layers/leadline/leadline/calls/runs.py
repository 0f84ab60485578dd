"""What calls and texts say of the steps of sequences that they came from."""

from collections.abc import Sequence
from datetime import datetime

from psycopg import Cursor
from psycopg.rows import DictRow

from leadline.calls.folding import CallState, TextState
from leadline.db import Transaction
from leadline.nurture import receipts
from leadline.nurture.receipts import Receipt, Reply


def receipts_of(calls: Sequence[CallState], texts: Sequence[TextState]) -> list[Receipt]:
    """The receipts in all that is known of calls and texts: a call that was answered was delivered, as it were."""
    found = [
        receipts.receipt(
            call.call_id,
            _told(call),
            call.decision_id,
            min((one.at for one in call.opt_outs), default=None),
        )
        for call in calls
        if call.direction == "outbound"
    ]
    found += [receipts.receipt(text.message_id, text.reported) for text in texts if text.direction == "outbound"]
    return [one for one in found if one]


def _told(call: CallState) -> list[tuple[str, datetime]]:
    """What a call's end says of its step: one that nobody took was made, and failed only where it never rang."""
    if call.reached_at:
        return [("delivered", call.reached_at)]
    if call.ended_at:
        return [("sent" if call.rang else "failed", call.ended_at)]
    return []


def move(tx: Transaction, told: Sequence[Receipt], replies: Sequence[Reply], now: datetime) -> Cursor[DictRow] | None:
    """Moves the runs that receipts and replies are of, with enrollments locked; what fails too often stops.

    Answers, unfetched, the holds to settle: of texts that have proved sent though nobody had recorded it.
    """
    proved = receipts.apply(tx, told, now)
    receipts.answer(tx, replies, now)
    return proved
