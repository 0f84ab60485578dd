"""Holds: money set aside for a call or message that has not ended, and how a hold ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow
from pydantic import Field
from pydantic_core import to_json

from leadline import metrics
from leadline.budget.movements import count_spend, insufficient, require_member
from leadline.budget.shapes import Contact, HoldEnded
from leadline.db import Transaction as Tx
from leadline.errors import NotFound
from leadline.inputs import Input, Word
from leadline.money import Money, rows_of

HANDED_OVER_AT_ONCE = 500  # holds in one message to the worker


class HoldRequest(Input):
    """Money to set aside, and for how long at most."""

    amount: Money
    reference_type: Contact = "call"
    reference_id: Word | None = None
    user_id: UUID | None = None
    expires_in_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600


class Settlement(Input):
    """What it came to in the end, more than was held or less; `call_id` as the call system names the call."""

    amount: Money
    call_id: Word | None = None


class DueHolds(Input):
    """Holds of one organization that have expired: the message from the clock to the worker."""

    tenant_id: UUID
    organization_id: UUID
    hold_ids: list[UUID]


@dataclass(frozen=True, slots=True)
class NewHold:
    """Money to be set aside; without an id it gets one, and without a user_id it is the acting person's."""

    amount: Decimal
    expires_at: datetime
    id: UUID | None = None
    reference_type: Contact = "call"
    reference_id: str | None = None
    user_id: UUID | None = None
    lead_id: UUID | None = None
    phone_number: str | None = None
    decision_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of a hold that was asked for: placed, or refused by the balance or by the member's cap."""

    id: UUID
    refused: Literal["available", "cap"] | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Money set aside, as text. `settled_amount` is what was booked for it, be it more than was held."""

    id: UUID
    state: Literal["held", "settled", "released", "expired"]
    amount: str
    reference_type: Contact
    reference_id: str | None
    user_id: UUID | None
    lead_id: UUID | None
    decision_id: UUID | None
    expires_at: datetime
    ended_at: datetime | None
    settled_amount: str | None
    settled_at: datetime | None
    call_id: str | None
    created_at: datetime


HOLD_COLUMNS = sql.SQL(
    "id, state, amount, reference_type, reference_id, user_id, lead_id, decision_id, expires_at, ended_at,"
    " settled_amount, settled_at, call_id, created_at"
)
HOLDS = sql.SQL("select {columns} from budget_holds where id = %(id)s")
SETTLE = sql.SQL("select {columns} from settle_hold(%(id)s, %(amount)s, %(call_id)s)")
RELEASE = sql.SQL("select {columns} from release_hold(%(id)s)")


def hold(tx: Tx, new: HoldRequest) -> Hold:
    """One hold. Raises InsufficientBudget and UnknownMember."""
    require_member(tx, new.user_id)
    wanted = NewHold(
        amount=new.amount,
        expires_at=datetime.now(UTC) + timedelta(seconds=new.expires_in_seconds),
        reference_type=new.reference_type,
        reference_id=new.reference_id,
        user_id=new.user_id,
    )
    (placed,) = outcome(hold_all(tx, [wanted]))
    if placed.refused:
        raise insufficient(tx, new.amount, new.user_id)
    return get(tx, placed.id)


def hold_all(tx: Tx, holds: Sequence[NewHold]) -> Cursor[DictRow]:
    """Sets aside in order until the money is gone: one that does not fit refuses all that come after it.

    One that only its member's cap refuses does not stop the others. One statement, unfetched, for `outcome`. Members
    must be the organization's.
    """
    return tx.execute(
        """
        select placed.hold_id, placed.refused
        from (
            select
                array_agg(id order by place) as ids, array_agg(amount order by place) as amounts,
                array_agg(reference_type order by place) as reference_types,
                array_agg(reference_id order by place) as reference_ids, array_agg(user_id order by place) as users,
                array_agg(lead_id order by place) as leads, array_agg(phone_number order by place) as numbers,
                array_agg(decision_id order by place) as decisions, array_agg(expires_at order by place) as expiries
            from rows from (
                jsonb_to_recordset(%(holds)s::jsonb) as (
                    id uuid, amount numeric, reference_type text, reference_id text, user_id uuid, lead_id uuid,
                    phone_number text, decision_id uuid, expires_at timestamptz
                )
            ) with ordinality as hold (
                id, amount, reference_type, reference_id, user_id, lead_id, phone_number, decision_id, expires_at, place
            )
        ) as asked,
        place_holds(ids, amounts, reference_types, reference_ids, users, leads, numbers, decisions, expiries) as placed
        """,
        {"holds": to_json(holds).decode()},
    )


def outcome(asked: Cursor[DictRow]) -> list[Placed]:
    """What became of the holds that `hold_all` was asked for, in their order."""
    return [Placed(row["hold_id"], row["refused"]) for row in asked.fetchall()]


def get(tx: Tx, hold_id: UUID) -> Hold:
    """One hold. Raises NotFound."""
    return _one(holds(tx).execute(HOLDS.format(columns=HOLD_COLUMNS), {"id": hold_id}))


def settle(tx: Tx, hold_id: UUID, settlement: Settlement) -> Hold:
    """Books what it came to, and gives back the rest; beyond the hold from available, and what is missing from overage.

    A hold that has expired or was released is booked in full all the same. A second settlement, of the hold or of the
    call, answers the hold as the first has left it. Raises NotFound.
    """
    settled = _one(holds(tx).execute(SETTLE.format(columns=HOLD_COLUMNS), {"id": hold_id, **vars(settlement)}))
    count_spend(settlement.amount, settled.reference_type)
    return settled


def release(tx: Tx, hold_id: UUID) -> Hold:
    """Gives back what is held; nothing is left to do where it has come back already. Raises NotFound and HoldEnded."""
    released = _one(holds(tx).execute(RELEASE.format(columns=HOLD_COLUMNS), {"id": hold_id}))
    if released.state == "settled":
        raise HoldEnded
    return released


def settle_all(tx: Tx, hold_ids: Sequence[UUID]) -> None:
    """Books all that these holds set aside, once each; what had been given back meanwhile is booked all the same."""
    if hold_ids:
        tx.execute("select settle_holds(%(ids)s)", {"ids": list(hold_ids)})


def release_all(tx: Tx, hold_ids: Sequence[UUID]) -> None:
    """Gives back what is held by these; what has ended already is left alone."""
    if hold_ids:
        tx.execute("select release_holds(%(ids)s)", {"ids": list(hold_ids)})


def release_numbers(tx: Tx, phone_numbers: list[str]) -> None:
    """Gives back all that is held for these numbers, which must be locked."""
    tx.execute("select release_holds_of(%(numbers)s)", {"numbers": phone_numbers})


def expire(tx: Tx, hold_ids: list[UUID]) -> None:
    """Gives back what is held by those of these that have expired; a second time changes nothing."""
    due = tx.execute(
        """
        select count(*) as due from budget_holds
        where id = any (%(ids)s) and state = 'held' and expires_at <= now()
        """,
        {"ids": hold_ids},
    )
    tx.execute("select expire_holds(%(ids)s)", {"ids": hold_ids})
    metrics.count("HoldsExpired", sum(row["due"] for row in due.fetchall()))


def expired(tx: Tx) -> list[DueHolds]:
    """What has expired and is held still, over all organizations, in parts of at most 500 holds.

    For the dispatcher: it sees ids and times of holds, and no other column.
    """
    rows = tx.execute(
        """
        select tenant_id, organization_id, array_agg(id order by id) as hold_ids
        from (
            select
                tenant_id, organization_id, id,
                (row_number() over (partition by organization_id order by id) - 1) / %(at_once)s as part
            from budget_holds
            where state = 'held' and expires_at <= now()
        ) as numbered
        group by tenant_id, organization_id, part
        order by tenant_id, organization_id, part
        """,
        {"at_once": HANDED_OVER_AT_ONCE},
    ).fetchall()
    return [DueHolds(**row) for row in rows]


def holds(tx: Tx) -> Cursor[Hold]:
    """A cursor whose rows are holds."""
    return tx.cursor(row_factory=rows_of(Hold))


def _one(found: Cursor[Hold]) -> Hold:
    row = found.fetchone()
    if row is None:
        raise NotFound
    return row
