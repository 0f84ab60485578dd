"""`make bench`: what row-level security and the layer cost, as ratios against a floor measured in the same run.

LEADS (1,000,000) says at which size; the database is kept in DATA/bench. Results go to bench/results/, with the machine
and the date.
"""

import datetime
import logging
import os
import platform
from pathlib import Path

import psycopg

from bench import budget, leads
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
    lines = [
        f"# {now:%Y-%m-%d}: {max(LEADS, there):,} leads in {seed.ORGANIZATIONS} organizations",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()};"
        f" medians of {leads.RUNS}, interleaved.",
        "",
        "| query | under row-level security, ms | without, explicit organization, ms | ratio (at most 1.3) |",
        "|---|---|---|---|",
    ]
    for name, mine, floor in leads.under_row_level_security(server.dsn("app"), server.dsn("superuser")):
        lines.append(f"| {name} | {mine:.2f} | {floor:.2f} | {mine / floor:.2f} |")
    lines += [
        "",
        "| call | through the handler, ms | bare psycopg, same SQL and envelope, ms | ratio (at least 0.7) |",
        "|---|---|---|---|",
    ]
    for name, mine, floor in leads.through_the_handler(server.dsn("app")):
        lines.append(f"| {name} | {mine:.2f} | {floor:.2f} | {floor / mine:.2f} |")
    lines += budget.table(server)
    text = "\n".join([*lines, ""])
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{now:%Y-%m-%d}.md").write_text(text)
    postgres.stop(data)


if __name__ == "__main__":
    main()
