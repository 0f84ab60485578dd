"""What row-level security and the layer cost at size: each figure beside a floor measured in the same run."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row

from functions.leads_api.app import handler
from leadline.db import Caller
from leadline.leads.shapes import LEAD_COLUMNS
from local import seed
from tests.calling import Caller as Member

RUNS = 31

# By name: the query under row-level security, and the same with an explicit organization for a role that bypasses it.
OF = "tenant_id = %(tenant)s and organization_id = %(organization)s"
QUERIES: dict[str, tuple[str, str]] = {
    "get": (
        "select * from leads where id = %(lead)s and deleted_at is null",
        f"select * from leads where {OF} and id = %(lead)s and deleted_at is null",
    ),
    "newest 50": (
        "select * from leads where deleted_at is null order by created_at desc, id desc limit 50",
        f"select * from leads where {OF} and deleted_at is null order by created_at desc, id desc limit 50",
    ),
    "status, by score": (
        "select * from leads where status = 'hot' and deleted_at is null order by lead_score desc, id desc limit 50",
        f"select * from leads where {OF} and status = 'hot' and deleted_at is null"
        " order by lead_score desc, id desc limit 50",
    ),
    "by tag": (
        "select * from leads where id = any (array(select id from lead_candidates where tags @> array['tag7']))"
        " order by created_at desc, id desc limit 50",
        f"select * from leads where {OF} and deleted_at is null and tags @> array['tag7']"
        " order by created_at desc, id desc limit 50",
    ),
    "by part of a name": (
        "select * from leads"
        " where id = any (array(select id from lead_candidates where full_name like '%%ferbelson%%'))"
        " order by created_at desc, id desc limit 50",
        f"select * from leads where {OF} and deleted_at is null and full_name like '%%ferbelson%%'"
        " order by created_at desc, id desc limit 50",
    ),
    "count of a tag": (
        "select count(*) from lead_candidates where tags @> array['tag7']",
        f"select count(*) from leads where {OF} and deleted_at is null and tags @> array['tag7']",
    ),
}


@contextmanager
def _opened(dsn: str, caller: Caller | None) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(dsn, row_factory=dict_row, prepare_threshold=None) as conn:
        if caller:
            conn.execute(
                "select enter_context(%s, %s, %s, %s)",
                [caller.tenant_id, caller.organization_id, caller.subject, caller.role],
            )
        yield conn


def interleaved(mine: Callable[[], object], floor: Callable[[], object], runs: int = RUNS) -> tuple[float, float]:
    """The medians of two things done in turn, in milliseconds."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 3):
        for one, taken in zip((mine, floor), times, strict=True):
            started = time.perf_counter()
            one()
            if run >= 3:  # the first ones warm the caches up
                taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def under_row_level_security(app: str, superuser: str) -> Iterator[tuple[str, float, float]]:
    """By query: its milliseconds under row-level security, and without it."""
    tenant, organization = seed.organization(7)
    caller = Caller(tenant, organization, "seed", "admin")
    with _opened(app, caller) as mine, _opened(superuser, None) as free:
        values: dict[str, Any] = {"tenant": tenant, "organization": organization}
        row = free.execute(f"select id from leads where {OF} limit 1", values).fetchone()
        values["lead"] = row["id"] if row else None
        for name, (query, floor) in QUERIES.items():
            yield (
                name,
                *interleaved(
                    lambda query=query: mine.execute(query, values).fetchall(),
                    lambda floor=floor: free.execute(floor, values).fetchall(),
                ),
            )


def through_the_handler(app: str) -> Iterator[tuple[str, float, float]]:
    """By call: the handler's milliseconds, and those of psycopg alone with the same SQL in the same transaction."""
    tenant, organization = seed.organization(7)
    admin = Member(
        {
            "sub": "seed",
            "custom:tenant_id": str(tenant),
            "custom:organization_id": str(organization),
            "custom:role": "admin",
        }
    )
    columns = LEAD_COLUMNS.as_string()
    numbers = itertools.count(time.time_ns() // 1000 % 10**6 * 10)
    with psycopg.connect(app, autocommit=True, row_factory=dict_row, prepare_threshold=None) as conn:

        def bare(*statements: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
            with conn.pipeline():
                conn.execute("begin")
                conn.execute("select enter_context(%s, %s, 'seed', 'admin')", [tenant, organization])
                for statement, values in statements:
                    rows = conn.execute(statement, values)
                found = rows.fetchall()
                conn.execute("commit")
            return found

        def new() -> dict[str, str]:
            return {"phone_number": f"+1303{next(numbers) % 10**7:07d}"}

        newest = f"select {columns} from leads where deleted_at is null order by created_at desc, id desc limit 51"
        one = f"select {columns} from leads where id = %(id)s and deleted_at is null"
        create = f"""
            insert into leads (phone_number) select %(phone_number)s::text
            where not is_on_dnc_list(%(phone_number)s, current_org_id())
            on conflict (organization_id, phone_number) where deleted_at is null do nothing returning {columns}
        """
        region = "select config_value from system_config where config_key = 'default_region'"
        lead_id = str(bare((newest, {}))[0]["id"])
        yield (
            "get",
            *interleaved(
                lambda: admin.ask(handler, "GET /leads/{lead_id}", path={"lead_id": lead_id}),
                lambda: bare((one, {"id": lead_id})),
            ),
        )
        yield "list 50", *interleaved(lambda: admin.ask(handler, "GET /leads"), lambda: bare((newest, {})))

        def create_bare() -> None:
            number = new()
            with conn.pipeline():
                conn.execute("begin")
                conn.execute("select enter_context(%s, %s, 'seed', 'admin')", [tenant, organization])
                conn.execute(region).fetchone()
                conn.execute("select lock_number(%(phone_number)s)", number)
                conn.execute(create, number).fetchone()
                conn.execute("commit")

        yield "create", *interleaved(lambda: admin.ask(handler, "POST /leads", body=new()), create_bare)
