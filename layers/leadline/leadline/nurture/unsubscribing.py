"""Who follows the link in an email gets no more of them; whether there is such a lead does not matter."""

from datetime import datetime

from leadline import dnc
from leadline.db import Transaction, fetch_one


def organization_name(tx: Transaction) -> str:
    """Who the person would hear no more from."""
    name: str = fetch_one(tx, "select name from organizations", {})["name"]
    return name


def unsubscribe(tx: Transaction, address: str, now: datetime) -> None:
    """Keeps that nobody may write email to this address, in lower case, from now on; a second time changes nothing.

    The newest email that went there is the one that was answered so. The gate stops what waits to be sent.
    """
    if dnc.stop_email(tx, address, source="unsubscribe_link", at=now):
        tx.execute(
            """
            with newest as (
                select id from step_runs
                where address = %(address)s and channel = 'email' and status in ('sent', 'delivered', 'replied')
                order by started_at desc, id desc
                limit 1
            )
            update step_runs set opted_out_at = %(now)s, updated_at = %(now)s
            where id in (select id from newest) and opted_out_at is null
            """,
            {"address": address, "now": now},
        )
