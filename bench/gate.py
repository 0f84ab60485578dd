"""What the gate costs: one authorization through the handler, and many requests decided at once."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

from bench.calls import connect
from bench.leads import ADMIN, ORGANIZATION, TENANT
from bench.round_trips import counted
from functions.gate_api.app import handler
from leadline import budget, config, gate
from leadline.db import Caller, tenant_transaction
from leadline.gate import Ask

RUNS = 31
MANY = 1000
NOON = datetime(2026, 7, 15, 18, tzinfo=UTC)  # inside the hours from New York to Los Angeles
NUMBERS = [f"+1404555{number:04d}" for number in range(2000, 2000 + MANY)]


def authorizations(app: str) -> Iterator[tuple[str, float]]:
    """By what is asked: milliseconds, and round trips; everything asked is allowed."""
    os.environ["LEADLINE_REQUEST_CLOCK"] = "1"
    caller = Caller(TENANT, ORGANIZATION, "seed", "admin")
    _prepare(caller)
    started, numbers = time.time_ns(), itertools.cycle(NUMBERS)

    def ask() -> None:
        body = {"phone_number": next(numbers), "channel": "call", "max_cost": "0.01", "at": NOON.isoformat()}
        key = {"idempotency-key": f"{started} {time.perf_counter_ns()}"}
        reply = ADMIN.ask(handler, "POST /calls/authorize", body=body, headers=key)
        if not reply.body["allowed"]:
            raise AssertionError(reply.body["reasons"])

    def decide(many: int) -> None:
        asks = [Ask(None, number, "call", "artificial", Decimal("0.01")) for number in NUMBERS[:many]]
        with tenant_transaction(caller) as tx:
            decisions = gate.decide(tx, asks, config.read(tx), NOON)
        if not all(decision.allowed for decision in decisions):
            raise AssertionError("a decision that denies is not what is measured")

    yield "authorize, ms", _milliseconds(ask)
    yield f"of {MANY:,} decided at once, each, ms", _milliseconds(lambda: decide(MANY), 7) / MANY
    with counted(app) as (dsn, trips):
        connect(dsn)
        ask()
        before = trips()
        ask()
        yield "authorize, round trips (at most 3)", trips() - before
    connect(app)


def _prepare(caller: Caller) -> None:
    """Money and consents for everybody who is asked for."""
    with tenant_transaction(caller) as tx:
        budget.credit(tx, budget.NewCredit.model_validate({"amount": "1000000"}))
        tx.execute(
            """
            insert into consents (
                phone_number, kind, channels, voice_modes, disclosure_text, disclosure_version, method, captured_at,
                captured_at_offset
            )
            select
                number, 'prior_express_written', '{call,sms}', '{artificial,human}', 'bench', '1', 'web_form',
                '2026-01-01', 0
            from unnest(%(numbers)s::text[]) as number
            where number not in (select phone_number from consents)
            """,
            {"numbers": NUMBERS},
        )


def _milliseconds(run: Callable[[], object], runs: int = RUNS) -> float:
    times: list[float] = []
    for _ in range(runs + 3):
        started = time.perf_counter()
        run()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[3:])  # the first ones warm the caches up
