"""Fills the database with leads by COPY, for looking at plans and times at size: `make seed LEADS=1000000`.

As the superuser, with triggers off: COPY is refused under row-level security, and the history that the triggers would
write is made in one statement at the end. Fifty organizations in ten tenants; seeding again adds as many leads again.
"""

import random
import time
from collections.abc import Iterator
from uuid import UUID, uuid5

import psycopg

SEEDS = UUID("5eed0000-0000-7000-8000-000000000000")
ORGANIZATIONS = 50
TENANTS = 10
STATUSES = ["new"] * 5 + ["contacted"] * 4 + ["qualified", "nurturing", "hot", "cold", "cold", "recruited", "dnc"]
SOURCES = ["facebook", "google_ads", "referral", "website", "job_fair", "purchased_list"]
TAGS = [f"tag{number}" for number in range(40)]
SYLLABLES = [
    "an",
    "bel",
    "cor",
    "dan",
    "el",
    "fer",
    "gar",
    "han",
    "is",
    "jo",
    "ka",
    "lin",
    "mar",
    "nor",
    "ol",
    "per",
    "ros",
]


def organization(number: int) -> tuple[UUID, UUID]:
    """The tenant and the id of a seeded organization, 0 to 49; the admin's subject is `seed`."""
    tenant = uuid5(SEEDS, f"tenant {number % TENANTS}")
    return tenant, uuid5(tenant, f"organization {number}")


def fill(superuser: str, leads: int) -> float:
    """Adds leads and answers the seconds that it took."""
    started = time.monotonic()
    with psycopg.connect(superuser) as conn:
        conn.execute("set local session_replication_role = replica")
        for number in range(ORGANIZATIONS):
            tenant, organization_id = organization(number)
            conn.execute("insert into tenants (id, name) values (%s, 'Seed') on conflict do nothing", [tenant])
            conn.execute(
                "insert into organizations (tenant_id, id, name) values (%s, %s, 'Seed') on conflict do nothing",
                [tenant, organization_id],
            )
            conn.execute(
                "insert into members (tenant_id, organization_id, subject, role) values (%s, %s, 'seed', 'admin')"
                " on conflict do nothing",
                [tenant, organization_id],
            )
        found = conn.execute("select count(*) from leads").fetchone()
        with conn.cursor().copy(
            "copy leads (tenant_id, organization_id, first_name, last_name, phone_number, status, calling_blocked,"
            " lead_score, source, tags, last_contact_date, created_at) from stdin"
        ) as copy:
            for block in _blocks(found[0] if found else 0, leads):
                copy.write(block)
        conn.execute(
            """
            insert into lead_status_history (tenant_id, organization_id, lead_id, to_status, trigger_type, changed_at)
            select tenant_id, organization_id, id, status, 'automation', created_at from leads
            where not exists (
                select from lead_status_history as history
                where history.organization_id = leads.organization_id and history.lead_id = leads.id
            )
            """
        )
        conn.execute(
            """
            insert into dnc_list (tenant_id, organization_id, phone_number, reason, source)
            select tenant_id, organization_id, phone_number, 'lead_requested', 'seed' from leads where status = 'dnc'
            on conflict do nothing
            """
        )
    with psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute("vacuum analyze leads, lead_status_history, dnc_list")
    return time.monotonic() - started


def _blocks(first: int, leads: int) -> Iterator[str]:
    """Rows in COPY's text form, ten thousand at a time; the same ones for the same numbers."""
    chance = random.Random(first)  # noqa: S311 - sample rows, nothing secret
    names = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in ("", "a", "son")]
    of = [organization(number) for number in range(ORGANIZATIONS)]
    for start in range(first, first + leads, 10_000):
        rows: list[str] = []
        for number in range(start, min(start + 10_000, first + leads)):
            tenant, organization_id = of[number % ORGANIZATIONS]
            status = chance.choice(STATUSES)
            tags = ",".join(chance.sample(TAGS, chance.randint(0, 3)))
            seconds = chance.randint(0, 3 * 365 * 86_400)
            contact = (
                f"2026-{chance.randint(1, 11):02d}-{chance.randint(1, 28):02d} 12:00+00" if status != "new" else r"\N"
            )
            blocked = "t" if status == "dnc" else "f"
            rows.append(
                f"{tenant}\t{organization_id}\t{chance.choice(names)}\t{chance.choice(names)}\t"
                f"+1{2_012_000_000 + number}\t{status}\t{blocked}\t{chance.randint(0, 100)}\t{chance.choice(SOURCES)}\t"
                f"{{{tags}}}\t{contact}\t{_instant(seconds)}\n"
            )
        yield "".join(rows)


def _instant(seconds: int) -> str:
    day, rest = divmod(seconds, 86_400)
    hour, rest = divmod(rest, 3600)
    minute, second = divmod(rest, 60)
    return f"{2023 + day // 365}-{1 + day % 365 // 31:02d}-{1 + day % 28:02d} {hour:02d}:{minute:02d}:{second:02d}+00"
