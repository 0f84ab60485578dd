"""What the ledger costs: a debit beside a plain double entry on twin tables, by pgbench; and a hundred debits at once.

The plain one is two updates and an insert in one statement, in the same BEGIN, enter_context, COMMIT: no order, no
alerts, no caps, no proof.
"""

import itertools
import re
import statistics
import subprocess
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from leadline import budget
from leadline.budget import CallCost
from leadline.db import Caller, tenant_transaction
from local import postgres

RUNS = 15
SECONDS = 2
ORGANIZATIONS = 1000
TENANT = "b0000000-0000-7000-8000-000000000000"

TWINS = """
    set role leadline_owner;
    drop table if exists plain_transactions, plain_accounts;
    create table plain_accounts (
        tenant_id uuid not null default current_tenant_id(),
        organization_id uuid not null default current_org_id(),
        account text not null,
        balance numeric(24, 6) not null,
        primary key (organization_id, account),
        foreign key (tenant_id, organization_id) references organizations (tenant_id, id)
    ) with (fillfactor = 50);
    create table plain_transactions (
        tenant_id uuid not null default current_tenant_id(),
        organization_id uuid not null default current_org_id(),
        id uuid not null default uuid_v7(),
        user_id uuid,
        from_account text not null,
        to_account text not null,
        transaction_type text not null,
        amount numeric(18, 6) not null check (amount > 0),
        balance_before numeric(18, 6) not null,
        balance_after numeric(18, 6) not null,
        reference_type text,
        reference_id text,
        created_by uuid default current_user_id(),
        created_at timestamptz not null default now(),
        primary key (organization_id, id),
        foreign key (tenant_id, organization_id) references organizations (tenant_id, id),
        foreign key (organization_id, user_id) references members (organization_id, id),
        foreign key (organization_id, created_by) references members (organization_id, id)
    );
    create index on plain_transactions (tenant_id, organization_id, created_at desc, id desc);
    create index on plain_transactions (organization_id, user_id, created_at desc);
    create index on plain_transactions (organization_id, created_by);
    create index on plain_transactions (organization_id, reference_type, reference_id);
    select isolate_by_tenant('plain_accounts'), isolate_by_tenant('plain_transactions', 'select, insert');
    reset role;
"""
CUSTOMERS = """
    insert into tenants (id, name) values ('b0000000-0000-7000-8000-000000000000', 'Bench') on conflict do nothing;
    do $$
    begin
        for number in 1..1000 loop
            insert into organizations (tenant_id, id, name)
            values (
                'b0000000-0000-7000-8000-000000000000',
                ('b0000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, 'Bench'
            )
            on conflict do nothing;
            perform enter_context(
                'b0000000-0000-7000-8000-000000000000',
                ('b0000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid
            );
            insert into members (subject, role) values ('bench', 'admin') on conflict do nothing;
            insert into plain_accounts (account, balance)
            values ('available', 100000000), ('call_spend', 0), ('sms_spend', 0), ('email_spend', 0), ('held', 0),
                ('overage', 0), ('funding', -100000000), ('adjustment', 0);
            perform book_budget('credit', 100000000, null, 'top_up', null, null, null, 'bench');
        end loop;
    end
    $$;
"""
ENVELOPE = """
\\set number random(1, :organizations)
\\startpipeline
begin;
select enter_context(
    'b0000000-0000-7000-8000-000000000000', concat('b0000000-0000-7000-8000-', lpad(:number::text, 12, '0'))::uuid,
    'bench', 'admin'
);
{statement};
commit;
\\endpipeline
"""
LEDGER = """
select * from book_budget('debit', 0.0075, current_user_id(), 'call', concat('call-', :number::text), null, '{}', null)
"""
PLAIN = """
with taken as (
    update plain_accounts set balance = balance - 0.0075 where account = 'available' and balance >= 0.0075
    returning balance
),
given as (update plain_accounts set balance = balance + 0.0075 where account = 'call_spend' returning balance)
insert into plain_transactions (
    user_id, from_account, to_account, transaction_type, amount, balance_before, balance_after, reference_type,
    reference_id
)
select
    current_user_id(), 'available', 'call_spend', 'debit', 0.0075, taken.balance + 0.0075, taken.balance, 'call',
    concat('call-', :number::text)
from taken cross join given
returning *
"""


def table(server: postgres.Server) -> list[str]:
    """What the results say of the ledger, in Markdown."""
    lines = [
        "",
        f"Medians of {RUNS} runs of {SECONDS} s each, interleaved; every commit is flushed.",
        "",
        "| a debit | ledger, a second | plain double entry, a second | ratio (at least 0.8) |",
        "|---|---|---|---|",
    ]
    for name, mine, floor in beside_a_plain_one(server):
        lines.append(f"| {name} | {mine:.0f} | {floor:.0f} | {mine / floor:.2f} |")
    many, one = hundred_at_once()
    return [
        *lines,
        "",
        f"A hundred calls in one statement: {many:.3f} ms each; one alone {one:.2f} ms, {one / many:.0f} times.",
    ]


def beside_a_plain_one(server: postgres.Server) -> Iterator[tuple[str, float, float]]:
    """By load: the ledger's debits a second, and those of the plain double entry; medians, interleaved."""
    with psycopg.connect(server.dsn("superuser"), autocommit=True) as conn:
        conn.execute(TWINS.encode())
        conn.execute(CUSTOMERS.encode())
        conn.execute("vacuum analyze budget_accounts, budget_transactions, plain_accounts, plain_transactions, members")
        with TemporaryDirectory() as folder:
            scripts = {name: Path(folder) / name for name in ("ledger", "plain")}
            for name, statement in (("ledger", LEDGER), ("plain", PLAIN)):
                scripts[name].write_text(ENVELOPE.replace("{statement}", statement.strip()))
            for organizations, clients in itertools.product((1, ORGANIZATIONS), (1, 4, 16)):
                rates: dict[str, list[float]] = {"ledger": [], "plain": []}
                for run, name in itertools.product(range(RUNS + 1), rates):
                    found = _transactions_a_second(server.dsn("app"), scripts[name], organizations, clients)
                    if run:  # the first warms the caches up
                        rates[name].append(found)
                where = "one hot account" if organizations == 1 else f"{ORGANIZATIONS:,} organizations"
                yield (
                    f"{where}, {clients} connections",
                    statistics.median(rates["ledger"]),
                    statistics.median(rates["plain"]),
                )
        conn.execute("drop table plain_transactions, plain_accounts")


def _transactions_a_second(dsn: str, script: Path, organizations: int, clients: int) -> float:
    program = postgres.installation()[0] / "bin" / "pgbench"
    command = [
        *(program, "-n", "-M", "extended", "-f", script, "-D", f"organizations={organizations}"),
        *("-c", str(clients), "-j", "1", "-T", str(SECONDS), dsn),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    failed = re.search(r"number of failed transactions: (\d+)", done.stdout)
    if not found or not failed or int(failed[1]):
        raise RuntimeError(done.stdout + done.stderr)
    return float(found[1])


def hundred_at_once() -> tuple[float, float]:
    """Milliseconds for a debit: one of a hundred in one statement, and alone; medians of calls without a hold."""
    caller = Caller(uuid.UUID(TENANT), uuid.UUID("b0000000-0000-7000-8000-000000000001"), "bench", "admin")

    def book(count: int) -> float:
        costs = [CallCost(str(uuid.uuid4()), Decimal("0.0075"), "0.0075") for _ in range(count)]
        started = time.perf_counter()
        with tenant_transaction(caller) as tx:
            budget.book_calls(tx, costs)
        return (time.perf_counter() - started) * 1000 / count

    times = [(book(100), book(1)) for _ in range(RUNS * 3)][3:]
    return statistics.median(many for many, _ in times), statistics.median(one for _, one in times)
