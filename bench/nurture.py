"""What a step of a sequence costs, beside job queues that others use: each of theirs is one small transaction a job.

A step here is claimed, decided by the gate with its hold, rendered, marked, sent to a recorder, recorded and paid, and
its next one is scheduled. Everything of it is committed to a server that flushes, as the peers' jobs are.
"""

import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from bench import peers
from leadline import budget, gate
from leadline.db import Caller, tenant_transaction
from leadline.nurture import dispatch, engine, results, sequences, templates
from leadline.nurture.channels import Outcome, Outgoing, Sent
from leadline.nurture.sequences import NewSequence
from leadline.nurture.templates import NewTemplate
from local import postgres, seed

RUNS = 3
STEPS = 20_000
PROCESSES = 2
ORGANIZATIONS = range(4)  # of the seeded ones, with 20,000 leads each at a million
AT_ONCE = 500
NOON = datetime(2026, 7, 15, 18, tzinfo=UTC)  # inside the hours from New York to Los Angeles
LATER = NOON + timedelta(days=300)
NAME = "bench of the nurture engine"


@dataclass(frozen=True)
class Rate:
    """Steps a second, of each run."""

    name: str
    runs: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)


def table(server: postgres.Server, data: Path) -> Iterator[str]:
    """What the results say of nurture, in Markdown."""
    prepare(server)
    rates: dict[str, list[float]] = {}
    others: dict[str, str] = {}
    for _ in range(RUNS):
        for name, alone in (("with gate, ledger and RLS", False), ("the engine alone: no gate, no ledger", True)):
            rates.setdefault(name, []).append(steps_a_second(server, alone=alone))
        for name, rate in peers.rates(server, data):
            if isinstance(rate, str):
                others[name] = rate
            else:
                rates.setdefault(name, []).append(rate)
        for name, rate in floors(server):
            rates.setdefault(name, []).append(rate)
    peer = statistics.median(rates.get(peers.YARDSTICK, [0]))
    yield ""
    yield f"Steps, or jobs, a second: medians of {RUNS} runs, in turn; {PROCESSES} processes, {STEPS:,} steps by SMS."
    yield ""
    yield f"| | a second | of {peers.YARDSTICK} |"
    yield "|---|---|---|"
    for name, runs in rates.items():
        median = statistics.median(runs)
        yield f"| {name} | {median:,.0f} | {f'{median / peer:.2f}' if peer else ''} |"
    for name, why in others.items():
        yield f"| {name} | {why} | |"
    yield ""
    yield "| enrollments in the table | a step, ms of two processes |"
    yield "|---|---|"
    for there in (10_000, 1_000_000):
        fill(server, there)
        rate = statistics.median(steps_a_second(server, alone=False, steps=10_000) for _ in range(3))
        yield f"| {there:,} | {1000 / rate:.3f} |"


# The data ------------------------------------------------------------------------------------------------------------


def prepare(server: postgres.Server) -> None:
    """A sequence, money, and consents, in a few organizations; once a database."""
    for number in ORGANIZATIONS:
        caller = Caller(*seed.organization(number), "seed", "admin")
        with tenant_transaction(caller) as tx:
            if tx.execute("select id from nurture_sequences where name = %(name)s", {"name": NAME}).fetchone():
                continue
            budget.credit(tx, budget.NewCredit.model_validate({"amount": "100000000"}))
            said = {
                "template_id": "bench_sms",
                "channel": "sms",
                "name": "bench",
                "body": "Hello {{first_name|there}}.",
            }
            templates.create(tx, NewTemplate.model_validate(said))
            step = {"channel": "sms", "template_id": "bench_sms", "conditions": {}}
            steps = [{**step, "step": 1, "delay_days": 0}, {**step, "step": 2, "delay_days": 300}]
            sequences.create(tx, NewSequence.model_validate({"name": NAME, "steps": steps, "active": True}))
            tx.execute(
                """
                insert into consents (
                    phone_number, kind, channels, voice_modes, disclosure_text, disclosure_version, method, captured_at,
                    captured_at_offset
                )
                select
                    phone_number, 'prior_express_written', '{call,sms}', '{artificial,human}', 'bench', '1', 'web_form',
                    '2026-01-01', 0
                from leads where status <> 'dnc' and deleted_at is null
                """
            )
    with psycopg.connect(server.dsn("superuser"), autocommit=True) as conn:
        conn.execute("vacuum analyze consents")


def fill(server: postgres.Server, enrollments: int) -> None:
    """So many enrollments in the table in all; those beyond what is there are due in a year."""
    with psycopg.connect(server.dsn("superuser"), autocommit=True) as conn:
        found = conn.execute("select count(*) from lead_sequence_enrollments").fetchone()
        missing = enrollments - (found[0] if found else 0)
        # Without triggers and keys: leads that there are not, of whom nobody looks one up.
        conn.execute("set session_replication_role = replica")
        conn.execute(
            """
            insert into lead_sequence_enrollments (
                tenant_id, organization_id, lead_id, sequence_id, sequence_version, next_step_scheduled_at, claimable_at
            )
            select sequence.tenant_id, sequence.organization_id, gen_random_uuid(), sequence.id, 1, %(later)s, %(later)s
            from nurture_sequences as sequence
            cross join generate_series(1, %(each)s)
            where sequence.name = %(name)s
            """,
            {"later": LATER, "name": NAME, "each": max(missing, 0) // len(ORGANIZATIONS)},
        )
        conn.execute("vacuum analyze lead_sequence_enrollments")


def _due(server: postgres.Server, steps: int) -> None:
    """So many leads anew at their first step, due at noon; those of the run before are over."""
    with psycopg.connect(server.dsn("superuser"), autocommit=True) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from step_runs")
        conn.execute("delete from lead_sequence_enrollments where current_step = 2")
        conn.execute("delete from gate_decisions where channel = 'sms'")
        conn.execute("delete from budget_holds where reference_type = 'sms'")
        conn.execute(
            """
            insert into lead_sequence_enrollments (
                tenant_id, organization_id, lead_id, sequence_id, sequence_version, next_step_scheduled_at, claimable_at
            )
            select lead.tenant_id, lead.organization_id, lead.id, sequence.id, 1, %(noon)s, %(noon)s
            from nurture_sequences as sequence
            cross join lateral (
                select * from leads
                where organization_id = sequence.organization_id and status not in ('dnc', 'recruited')
                    and deleted_at is null
                order by id limit %(each)s
            ) as lead
            where sequence.name = %(name)s
            """,
            {"noon": NOON, "name": NAME, "each": steps // len(ORGANIZATIONS)},
        )
        conn.execute("vacuum analyze step_runs, gate_decisions, budget_holds, lead_sequence_enrollments")


# The engine -----------------------------------------------------------------------------------------------------------


def steps_a_second(server: postgres.Server, *, alone: bool, steps: int = STEPS) -> float:
    """All steps that are due, by as many workers as there are cores; they claim by themselves."""
    _due(server, steps)
    context = multiprocessing.get_context("spawn")
    ready, begin = context.Semaphore(0), context.Event()
    done = context.Queue()
    dsns = server.dsn("app"), server.dsn("dispatch")
    workers = [context.Process(target=_work, args=(dsns, alone, ready, begin, done)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    started = time.perf_counter()
    begin.set()
    sent = sum(done.get() for _ in workers)
    seconds = time.perf_counter() - started
    for worker in workers:
        worker.join()
    if sent != steps // len(ORGANIZATIONS) * len(ORGANIZATIONS):
        raise AssertionError(f"{sent} of {steps} steps were sent: what was held back is not what is measured")
    return sent / seconds


def _work(dsns: tuple[str, str], alone: bool, ready: Any, begin: Any, done: Any) -> None:
    app, clock = dsns
    os.environ |= {"DATABASE_URL": app, "LEADLINE_REQUEST_CLOCK": "1"}
    with psycopg.connect(clock, autocommit=True, row_factory=dict_row) as conn, _alone() if alone else _whole():
        with tenant_transaction(Caller(*seed.organization(0))) as tx:
            tx.execute("select 1")
        ready.release()
        begin.wait()
        sent = 0
        while True:
            with conn.transaction():
                claimed = dispatch.claim(conn, NOON, AT_ONCE)
            if not claimed:
                break
            sent += sum(_do(message) for message in claimed)
        done.put(sent)


def _do(message: dispatch.DueSteps) -> int:
    caller = Caller(message.tenant_id, message.organization_id)
    sent = 0
    for part in engine.parts(message):
        with tenant_transaction(caller) as tx:
            prepared = engine.prepare(tx, message, part, NOON)
        outcomes = recorded(prepared.outgoing)
        with tenant_transaction(caller) as tx:
            results.record(tx, prepared.outgoing, outcomes, NOON)
        sent += len(outcomes)
    return sent


def recorded(messages: Sequence[Outgoing]) -> list[Outcome]:
    """A channel that takes everything."""
    return [Sent(str(message.run_id)) for message in messages]


@contextmanager
def _whole() -> Iterator[None]:
    yield


@contextmanager
def _alone() -> Iterator[None]:
    """Everything is allowed, and costs nothing."""

    def allowed(tx: Any, asks: Sequence[gate.Ask], decided: Any, at: Any = None) -> list[gate.Decision]:
        del tx, decided, at
        until = NOON + timedelta(seconds=60)
        return [gate.Decision(True, uuid4(), [], None, until, None, None) for _ in asks]

    with patch.object(gate, "decide", allowed):
        yield


# Floors ------------------------------------------------------------------------------------------------------------


def floors(server: postgres.Server) -> Iterator[tuple[str, float]]:
    """What the database does at most, by one connection: a thousand enrollments claimed and moved on at once."""
    _due(server, STEPS)
    with psycopg.connect(server.dsn("superuser"), autocommit=True, row_factory=dict_row) as conn:
        started, moved = time.perf_counter(), 0
        while True:
            rows = conn.execute(
                """
                with due as (
                    select organization_id, id from lead_sequence_enrollments
                    where status = 'active' and claimable_at <= %(noon)s
                    order by claimable_at limit 1000 for update skip locked
                )
                update lead_sequence_enrollments as enrollment
                set current_step = current_step + 1, next_step_scheduled_at = %(later)s, claimable_at = %(later)s
                from due where enrollment.organization_id = due.organization_id and enrollment.id = due.id
                """,
                {"noon": NOON, "later": LATER},
            ).rowcount
            if not rows:
                break
            moved += rows
        yield "floor: claimed and moved on in one statement a thousand", moved / (time.perf_counter() - started)
    _due(server, STEPS)
    with psycopg.connect(server.dsn("superuser"), autocommit=True, row_factory=dict_row) as conn:
        started, moved = time.perf_counter(), 0
        while claimed := dispatch.claim(conn, NOON, AT_ONCE):
            for message in claimed:
                moved += _rendered_and_written(conn, message)
        yield "floor: leased, rendered, written back", moved / (time.perf_counter() - started)


def _rendered_and_written(conn: psycopg.Connection[Any], message: dispatch.DueSteps) -> int:
    ids = {"organization": message.organization_id, "ids": message.enrollment_ids, "later": LATER}
    rows = conn.execute(
        """
        select enrollment.id, lead.first_name from lead_sequence_enrollments as enrollment
        join leads as lead on lead.organization_id = enrollment.organization_id and lead.id = enrollment.lead_id
        where enrollment.organization_id = %(organization)s and enrollment.id = any (%(ids)s)
        """,
        ids,
    ).fetchall()
    said = [f"Hello {row['first_name'] or 'there'}." for row in rows]
    return conn.execute(
        """
        update lead_sequence_enrollments as enrollment
        set current_step = current_step + 1, next_step_scheduled_at = %(later)s, claimable_at = %(later)s, note = said
        from unnest(%(written)s::uuid[], %(said)s::text[]) as written (id, said)
        where enrollment.organization_id = %(organization)s and enrollment.id = written.id
        """,
        ids | {"written": [row["id"] for row in rows], "said": said},
    ).rowcount
