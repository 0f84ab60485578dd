"""`make bench`: what row-level security and the layer cost, as ratios against a floor measured in the same run.

LEADS (1,000,000) says at which size; the database is kept in DATA/bench. Results go to bench/results/, with the machine
and the date.
"""

import datetime
import logging
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bench import budget, calls, gate, leads, nurture, starts
from local import postgres, seed
from local.template import ROOT

RESULTS = ROOT / "bench" / "results"
LEADS = int(os.environ.get("LEADS") or 1_000_000)


def main() -> None:
    """Measure, print, and keep what was printed."""
    data = Path(os.environ.get("DATA") or ".data").resolve() / "bench"
    server = postgres.start(data)
    postgres.prepare(server)
    with psycopg.connect(server.dsn("superuser")) as conn:
        found = conn.execute("select count(*) from leads").fetchone()
    there = found[0] if found else 0
    if there < LEADS:
        print(f"Seeding {LEADS - there:,} leads ...", flush=True)
        seed.fill(server.dsn("superuser"), LEADS - there)
    os.environ["DATABASE_URL"] = server.dsn("app")
    logging.disable(logging.CRITICAL)  # a line of log for each call is the terminal's time, not ours

    now = datetime.datetime.now(datetime.UTC)
    title = f"# {now:%Y-%m-%d}: {max(LEADS, there):,} leads in {seed.ORGANIZATIONS} organizations"
    text = "\n".join([title, "", *_report(server, data), ""])
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{now:%Y-%m-%d}.md").write_text(text)
    postgres.stop(data)


def _report(server: postgres.Server, data: Path) -> Iterator[str]:
    app = server.dsn("app")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    yield f"{machine}; medians of {leads.RUNS}, interleaved."
    yield from _header(
        "query", "under row-level security, ms", "without, explicit organization, ms", "ratio (at most 1.3)"
    )
    for name, mine, floor in leads.under_row_level_security(app, server.dsn("superuser")):
        yield f"| {name} | {mine:.2f} | {floor:.2f} | {mine / floor:.2f} |"
    yield from _header(
        "call", "through the handler, ms", "bare psycopg, same SQL and envelope, ms", "ratio (at least 0.7)"
    )
    for name, mine, floor in leads.through_the_handler(app):
        yield f"| {name} | {mine:.2f} | {floor:.2f} | {floor / mine:.2f} |"
    yield from budget.table(server)
    yield from nurture.table(server, data)
    yield "\nCounted, and measured without a floor beside it: no ratios."
    yield from _header("call", "round trips to the database (at most 3)")
    for name, trips in calls.round_trips(app):
        yield f"| {name} | {trips} |"
    yield from _header("the gate", "")
    for name, figure in gate.authorizations(app):
        yield f"| {name} | {figure:.2f} |"
    yield from _header("function", f"CPU of its import in a fresh interpreter, ms (median of {starts.RUNS})")
    for name, milliseconds in starts.imports():
        yield f"| {name} | {milliseconds:.0f} |"


def _header(*titles: str) -> list[str]:
    return ["", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]


if __name__ == "__main__":
    main()
