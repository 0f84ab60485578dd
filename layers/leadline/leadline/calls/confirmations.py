"""The one text that tells who opted out by text that it was heard: at most once, within five minutes.

The gate is not asked: the number is on the list by then, and 47 CFR 64.1200(a)(12) allows this text because it is.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from leadline.calls.effects import People
from leadline.db import Transaction
from leadline.inputs import Input

WITHIN = timedelta(minutes=5)  # 64.1200(a)(12)
NAME = "{{organization.name}}"


class ConfirmationRequest(Input):
    """What the call system is asked for, in the queue of its requests. After `valid_until` it is not to be sent."""

    id: UUID
    type: Literal["sms.request"] = "sms.request"
    purpose: Literal["opt_out_confirmation"] = "opt_out_confirmation"
    tenant_id: UUID
    organization_id: UUID
    occurred_at: datetime
    lead_id: UUID | None
    to: str
    decision_id: None = None
    hold_id: None = None
    valid_until: datetime
    sms: dict[str, Any]


class Revocation(Input):
    """A text by which a number was listed that had not been: whose, by which message, when, and to which number."""

    phone_number: str
    message_id: str
    at: datetime
    own_number: str | None


def confirm(
    tx: Transaction, revocations: Sequence[Revocation], text: str, people: People, now: datetime
) -> list[ConfirmationRequest]:
    """Writes down a confirmation for each revocation that is fresh, and answers what to ask for after the commit.

    What is written and then not asked for, for a crash in between, is never sent.
    """
    by_number: dict[str, Revocation] = {}
    for one in revocations:
        if now - WITHIN < one.at:
            by_number.setdefault(one.phone_number, one)
    if not by_number:
        return []
    fresh = list(by_number.values())
    rows = tx.execute(
        """
        insert into opt_out_confirmations (phone_number, message_id, text, valid_until)
        select told.phone_number, told.message_id, replace(%(text)s, %(name)s, organizations.name), told.valid_until
        from organizations, unnest(%(numbers)s::text[], %(message_ids)s::text[], %(ends)s::timestamptz[])
            as told (phone_number, message_id, valid_until)
        on conflict (organization_id, message_id) do nothing
        returning id, tenant_id, organization_id, phone_number, text, valid_until
        """,
        {
            "text": text,
            "name": NAME,
            "numbers": [one.phone_number for one in fresh],
            "message_ids": [one.message_id for one in fresh],
            "ends": [min(one.at, now) + WITHIN for one in fresh],
        },
    )
    return [_request(row, by_number[row["phone_number"]], people, now) for row in rows.fetchall()]


def _request(row: Mapping[str, Any], told: Revocation, people: People, now: datetime) -> ConfirmationRequest:
    lead = people.by_number.get(told.phone_number)
    return ConfirmationRequest(
        id=row["id"],
        tenant_id=row["tenant_id"],
        organization_id=row["organization_id"],
        occurred_at=now,
        lead_id=lead.id if lead else None,
        to=told.phone_number,
        valid_until=row["valid_until"],
        sms={"text": row["text"], "from": told.own_number},
    )
