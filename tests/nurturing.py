"""Nurture as the tests play it: sequences, leads that may be contacted, a clock, and channels that remember."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg import sql

from leadline.db import Caller, Transaction, tenant_transaction
from leadline.nurture import channels, dispatch, engine, results
from leadline.nurture.channels import Outcome, Outgoing, Sent
from leadline.nurture.dispatch import DueSteps
from tests.ledger import Ledger

NOON = datetime(2026, 7, 15, 17, tzinfo=UTC)  # a Wednesday: 13:00 in New York, 10:00 in San Francisco
EVENING = datetime(2026, 7, 16, 1, 30, tzinfo=UTC)  # 21:30 in New York
SMS = {"step": 1, "delay_days": 0, "delay_hours": 0, "delay_minutes": 0, "channel": "sms", "template_id": "hello"}


@dataclass
class Recorder:
    """A channel that remembers what went out; `outcome` says what becomes of a message."""

    name: str = "recorder"
    settles: bool = True
    sent: list[Outgoing] = field(default_factory=list)
    outcome: Callable[[Outgoing], Outcome] = lambda message: Sent(f"provider {message.run_id}")

    def send(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        self.sent += messages
        return [self.outcome(message) for message in messages]


class Organization:
    """One organization that nurtures, on a clock of the test's own."""

    def __init__(self, customer: Any, connect: Callable[..., Transaction]) -> None:
        self.customer = customer
        self.connect = connect
        self.caller = Caller(customer.tenant_id, customer.organization_id)
        self.recorder = Recorder()

    def sql(self, query: str | sql.Composed, *values: Any) -> list[dict[str, Any]]:
        with tenant_transaction(self.caller, pipelined=False) as tx:
            found = tx.execute(query, values or None)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def one(self, query: str, *values: Any) -> dict[str, Any]:
        (row,) = self.sql(query, *values)
        return row

    def credit(self, amount: str = "1000") -> None:
        Ledger(self.customer.caller("admin")).credit(amount)

    def decide(self, key: str, value: Any) -> None:
        self.sql(
            "insert into system_config (config_key, config_value) values (%s, %s)"
            " on conflict (organization_id, config_key) do update set config_value = excluded.config_value",
            key,
            json.dumps(value),
        )

    def template(self, template_id: str = "hello", channel: str = "sms", **fields: Any) -> None:
        values = {"name": template_id, "body": "Hello {{first_name|there}}", **fields}
        if channel == "email":
            values.setdefault("subject", "For {{first_name|you}}")
        if channel == "call":
            values.setdefault("voice", "artificial")
        values = {"template_id": template_id, "channel": channel, **values}
        self.sql(composed("insert into templates ({names}) values ({marks})", values), *values.values())

    def sequence(self, *steps: dict[str, Any], active: bool = True) -> UUID:
        numbered = [SMS | {"conditions": {}} | step | {"step": place} for place, step in enumerate(steps or ({},), 1)]
        return self.one(
            "insert into nurture_sequences (name, steps, active) values ('welcome', %s, %s) returning id",
            json.dumps(numbered),
            active,
        )["id"]

    def leads(self, count: int = 1, *, area: str = "212555", consent: bool = True, **fields: Any) -> list[UUID]:
        """Leads of New York who have consented to everything."""
        values = {"first_name": "Ada", **fields}
        statement = """
            insert into leads ({names}, phone_number)
            select {marks}, '+1' || %s || to_char(place, 'FM0000') from generate_series(1, %s) as place
            returning id, phone_number
            """
        rows = self.sql(composed(statement, values), *values.values(), area, count)
        if consent:
            self.sql(
                """
                insert into consents (
                    phone_number, kind, channels, voice_modes, disclosure_text, disclosure_version, method,
                    captured_at, captured_at_offset
                )
                select number, 'prior_express_written', '{call,sms}', '{artificial,human}', 'I agree', '1', 'web_form',
                    '2026-01-01Z', 0
                from unnest(%s::text[]) as number
                """,
                [row["phone_number"] for row in rows],
            )
        return [row["id"] for row in rows]

    def enroll(self, sequence: UUID, leads: Sequence[UUID], at: datetime = NOON, **fields: Any) -> list[UUID]:
        values = {
            "sequence_id": sequence,
            "enrolled_at": at,
            "next_step_scheduled_at": at,
            "claimable_at": at,
            **fields,
        }
        statement = """
            insert into lead_sequence_enrollments ({names}, lead_id)
            select {marks}, lead_id from unnest(%s::uuid[]) as lead_id
            returning id
            """
        rows = self.sql(composed(statement, values), *values.values(), list(leads))
        return [row["id"] for row in rows]

    def claim(self, now: datetime = NOON, size: int = 500) -> list[DueSteps]:
        """What the dispatcher claims, of this organization; the others' is left as it was."""
        conn = self.connect("dispatch")
        with conn.transaction():
            found = dispatch.claim(conn, now, size)
        return [one for one in found if one.organization_id == self.customer.organization_id]

    def prepare(self, message: DueSteps, now: datetime = NOON) -> list[Outgoing]:
        with tenant_transaction(self.caller) as tx:
            return engine.prepare(tx, message, message.enrollment_ids, now).outgoing

    def record(self, outgoing: Sequence[Outgoing], outcomes: Sequence[Outcome], now: datetime = NOON) -> None:
        with tenant_transaction(self.caller) as tx:
            results.record(tx, outgoing, outcomes, now)

    def tick(self, now: datetime = NOON) -> list[Outgoing]:
        """A whole minute: claimed, prepared, sent, recorded; what went out."""
        went: list[Outgoing] = []
        for message in self.claim(now):
            outgoing = self.prepare(message, now)
            recorders = dict.fromkeys(("sms", "email", "call"), self.recorder)
            self.record(outgoing, channels.send(outgoing, recorders), now)
            went += outgoing
        return went

    def enrollment(self, enrollment_id: UUID) -> dict[str, Any]:
        return self.one("select * from lead_sequence_enrollments where id = %s", enrollment_id)

    def runs(self) -> list[dict[str, Any]]:
        return self.sql("select * from step_runs order by started_at, id")


def composed(statement: str, values: dict[str, Any]) -> sql.Composed:
    """A statement with the names of columns and a place for each value."""
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    return sql.SQL(statement).format(names=names, marks=sql.SQL(", ").join([sql.Placeholder()] * len(values)))


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)
