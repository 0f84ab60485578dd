"""Addresses that get no more email: opt-outs by the address in lower case, which list no number."""

from datetime import datetime

from leadline.db import Transaction
from leadline.dnc.additions import due_on, lock_number


def stop_email(tx: Transaction, address: str, *, source: str, at: datetime) -> bool:
    """Keeps that whoever reads mail at this address wants no more, and whether that is new.

    No consent brings email back, so an opt-out that stands is enough; two at the same moment are one.
    """
    lock_number(tx, address)
    kept = tx.execute(
        """
        insert into opt_out_events (address, channel, reason, source, verdict, occurred_at, due_on)
        select %(address)s, 'email', 'lead_requested', %(source)s, 'certain', %(at)s, %(due_on)s
        where not exists (
            select from opt_out_events as event
            where event.address = %(address)s and event.channel = 'email' and not exists (
                select from opt_out_reviews as review where review.event_id = event.id and review.decision = 'reject'
            )
        )
        returning id
        """,
        {"address": address, "source": source, "at": at, "due_on": due_on(at)},
    ).fetchall()
    return bool(kept)
