"""The Do-Not-Call list of an organization."""

from leadline.db import Transaction
from leadline.errors import Refused


class OnDncList(Refused):
    """The number is on this organization's Do-Not-Call list."""


def lock_number(tx: Transaction, phone_number: str) -> None:
    """Makes this transaction the only one to judge or change the number until it ends.

    To be called before the statement that judges: what is read after it sees all that was committed before it. Several
    numbers are locked in sorted order.
    """
    tx.execute("select lock_number(%(phone_number)s)", {"phone_number": phone_number})


def add(tx: Transaction, phone_number: str, *, reason: str, source: str) -> None:
    """Lists a number for good and stops all calls to its leads; an entry that would expire no longer does.

    The number must be locked.
    """
    tx.execute(
        """
        insert into dnc_list (phone_number, reason, source)
        values (%(phone_number)s, %(reason)s, %(source)s)
        on conflict (organization_id, phone_number) where removed_at is null do update
        set reason = excluded.reason, source = excluded.source, added_by = excluded.added_by, added_at = now(),
            expires_at = null
        where dnc_list.expires_at is not null
        """,
        {"phone_number": phone_number, "reason": reason, "source": source},
    )
    tx.execute(
        """
        update leads set status = 'dnc', calling_blocked = true
        where phone_number = %(phone_number)s and deleted_at is null and (status <> 'dnc' or not calling_blocked)
        """,
        {"phone_number": phone_number},
    )
