"""Messages as they are kept, and the rows of calls and texts that are made from them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import DictRow, class_row
from pydantic_core import to_json

from leadline.calls.folding import CallState, Kept, TextState
from leadline.calls.messages import AboutCall, Message, payload
from leadline.db import Transaction

# What a state tells that is no column of its row.
UNWRITTEN = {
    *("lead_named", "reached_at", "failed", "asks_for", "unknown_outcomes", "opt_outs"),
    *("reported", "own_number"),
}


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of a call, or of a text, before: its lead, and whether that lead has counted it."""

    key: str
    lead_id: UUID | None
    counted: bool
    phone_number: str | None
    direction: str


@dataclass(frozen=True, slots=True)
class Allowance:
    """A decision of the gate, or a hold, that a call names: the hold, and the number that it is for."""

    id: UUID
    hold_id: UUID | None
    phone_number: str | None


def as_kept(message: Message) -> Kept:
    """A message as the inbox would have it."""
    about_call = isinstance(message, AboutCall)
    return Kept(
        message.id,
        message.type,
        message.call.id if about_call else None,
        None if about_call else message.message.id,
        message.occurred_at,
        payload(message),
    )


def receive(tx: Transaction, messages: Sequence[Kept]) -> Cursor[DictRow]:
    """Keeps messages that are new, and answers their ids. One that another worker is keeping is waited for."""
    rows = [asdict(message) for message in messages]
    return tx.execute(
        """
        insert into inbox_messages (message_id, type, call_id, text_message_id, occurred_at, payload)
        select message_id, type, call_id, text_message_id, occurred_at, payload
        from jsonb_to_recordset(%(rows)s::jsonb) as sent (
            message_id text, type text, call_id text, text_message_id text, occurred_at timestamptz, payload jsonb
        )
        order by message_id collate "C"
        on conflict (organization_id, message_id) do nothing
        returning message_id
        """,
        {"rows": to_json(rows).decode()},
    )


def lock_calls(tx: Transaction, first_heard_of: dict[str, datetime]) -> Cursor[Before]:
    """Makes this transaction the only one to work on these calls, those that are new too; the inbox has their messages.

    A call is made for a message that is kept: a second message of one id is none, whatever call it names.
    """
    values = {"ids": list(first_heard_of), "times": list(first_heard_of.values())}
    tx.execute(
        """
        insert into calls (call_id, occurred_at, placed_at)
        select call_id, at, at from unnest(%(ids)s::text[], %(times)s::timestamptz[]) as heard (call_id, at)
        where exists (select from inbox_messages where call_id = heard.call_id)
        order by call_id collate "C"
        on conflict (organization_id, call_id) do nothing
        """,
        values,
    )
    return tx.cursor(row_factory=class_row(Before)).execute(
        """
        select call_id as key, lead_id, counted, phone_number, direction from calls where call_id = any (%(ids)s)
        order by call_id collate "C" for update
        """,
        values,
    )


def lock_texts(tx: Transaction, first_heard_of: dict[str, datetime]) -> Cursor[Before]:
    """The same for texts."""
    values = {"ids": list(first_heard_of), "times": list(first_heard_of.values())}
    tx.execute(
        """
        insert into messages (message_id, occurred_at)
        select * from unnest(%(ids)s::text[], %(times)s::timestamptz[]) as heard (message_id, at)
        where exists (select from inbox_messages where text_message_id = heard.message_id)
        order by message_id collate "C"
        on conflict (organization_id, message_id) do nothing
        """,
        values,
    )
    return tx.cursor(row_factory=class_row(Before)).execute(
        """
        select message_id as key, lead_id, counted, phone_number, direction from messages
        where message_id = any (%(ids)s)
        order by message_id collate "C" for update
        """,
        values,
    )


def known(tx: Transaction, call_ids: Sequence[str], text_ids: Sequence[str]) -> tuple[Cursor[Before], Cursor[Before]]:
    """What is known of calls and texts, without locking them."""
    calls = tx.cursor(row_factory=class_row(Before)).execute(
        """
        select call_id as key, lead_id, counted, phone_number, direction from calls where call_id = any (%(ids)s)
        """,
        {"ids": list(call_ids)},
    )
    texts = tx.cursor(row_factory=class_row(Before)).execute(
        """
        select message_id as key, lead_id, counted, phone_number, direction from messages
        where message_id = any (%(ids)s)
        """,
        {"ids": list(text_ids)},
    )
    return calls, texts


def allowances(tx: Transaction, calls: Sequence[CallState]) -> dict[UUID, Allowance]:
    """The decisions that calls name, and the holds of those of which no message tells the number; neither changes."""
    decisions = [call.decision_id for call in calls if call.decision_id]
    holds = [call.hold_id for call in calls if call.hold_id and not call.phone_number]
    if not decisions and not holds:
        return {}
    rows = tx.cursor(row_factory=class_row(Allowance)).execute(
        """
        select id, hold_id, phone_number from gate_decisions where id = any (%(decisions)s)
        union all
        select id, id, phone_number from budget_holds where id = any (%(holds)s)
        """,
        {"decisions": decisions, "holds": holds},
    )
    return {row.id: row for row in rows}


def kept(tx: Transaction, call_ids: Sequence[str], text_ids: Sequence[str]) -> Cursor[Kept]:
    """All messages about these calls and texts. To be read when they are locked: then nobody adds another."""
    return tx.cursor(row_factory=class_row(Kept)).execute(
        """
        select message_id, type, call_id, text_message_id, occurred_at, payload from inbox_messages
        where call_id = any (%(call_ids)s)
        union all
        select message_id, type, call_id, text_message_id, occurred_at, payload from inbox_messages
        where text_message_id = any (%(text_ids)s)
        """,
        {"call_ids": list(call_ids), "text_ids": list(text_ids)},
    )


def write_calls(tx: Transaction, calls: Sequence[CallState], of_lead: dict[str, UUID], counted: set[str]) -> None:
    """The rows of calls that are locked, all in one statement."""
    rows = [
        _columns(call)
        | {"lead_id": of_lead.get(call.call_id), "counted": call.call_id in counted}
        | {
            "outcome_status": call.asks_for and call.asks_for.status,
            "outcome_at": call.asks_for and call.asks_for.at,
            "outcome_message_id": call.asks_for and call.asks_for.message_id,
        }
        for call in calls
    ]
    tx.execute(
        """
        update calls set
            lead_id = told.lead_id, direction = told.direction, from_number = told.from_number,
            to_number = told.to_number, phone_number = told.phone_number, voice = told.voice,
            script_id = told.script_id, script_version = told.script_version, decision_id = told.decision_id,
            hold_id = told.hold_id, status = told.status, rang = told.rang, occurred_at = told.occurred_at,
            placed_at = told.placed_at, refused_at = least(calls.refused_at, told.refused_at),
            started_at = told.started_at, ended_at = told.ended_at, duration_seconds = told.duration_seconds,
            cost_usd = told.cost_usd, cost_as_sent = told.cost_as_sent, outcome = told.outcome,
            outcome_status = told.outcome_status, outcome_at = told.outcome_at,
            outcome_message_id = told.outcome_message_id, qualification = told.qualification, intent = told.intent,
            recording_url = told.recording_url, counted = told.counted, updated_at = now()
        from jsonb_to_recordset(%(rows)s::jsonb) as told (
            call_id text, lead_id uuid, direction text, from_number text, to_number text, phone_number text, voice text,
            script_id text, script_version text, decision_id uuid, hold_id uuid, status text, rang boolean,
            occurred_at timestamptz, placed_at timestamptz, refused_at timestamptz, started_at timestamptz,
            ended_at timestamptz, duration_seconds integer,
            cost_usd numeric, cost_as_sent text, outcome text, outcome_status text, outcome_at timestamptz,
            outcome_message_id text, qualification jsonb, intent jsonb, recording_url text, counted boolean
        )
        where calls.call_id = told.call_id
        """,
        {"rows": to_json(rows).decode()},
    )


def write_texts(tx: Transaction, texts: Sequence[TextState], of_lead: dict[str, UUID], counted: set[str]) -> None:
    """The rows of texts that are locked, all in one statement."""
    rows = [
        _columns(text) | {"lead_id": of_lead.get(text.message_id), "counted": text.message_id in counted}
        for text in texts
    ]
    tx.execute(
        """
        update messages set
            lead_id = told.lead_id, call_id = told.call_id, channel = told.channel, direction = told.direction,
            address = told.address, phone_number = told.phone_number, text = told.text, status = told.status,
            status_at = told.status_at, provider = told.provider, occurred_at = told.occurred_at,
            counted = told.counted, updated_at = now()
        from jsonb_to_recordset(%(rows)s::jsonb) as told (
            message_id text, lead_id uuid, call_id text, channel text, direction text, address text, phone_number text,
            text text, status text, status_at timestamptz, provider text, occurred_at timestamptz, counted boolean
        )
        where messages.message_id = told.message_id
        """,
        {"rows": to_json(rows).decode()},
    )


def _columns(state: CallState | TextState) -> dict[str, Any]:
    return {name: value for name, value in asdict(state).items() if name not in UNWRITTEN}
