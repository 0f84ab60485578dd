"""What row-level security and the layer cost at size: each figure beside a floor measured in the same run."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import dict_row

from bench.replay import Statement, replay, sent_by
from functions.dnc_api.app import handler as dnc
from functions.leads_api.app import handler
from leadline.db import Caller
from leadline.leads.shapes import LEAD_COLUMNS
from local import seed
from tests.calling import Caller as Member

RUNS = 201
TENANT, ORGANIZATION = seed.organization(7)
ADMIN = Member(
    {
        "sub": "seed",
        "custom:tenant_id": str(TENANT),
        "custom:organization_id": str(ORGANIZATION),
        "custom:role": "admin",
    }
)

# By name: the call of which a statement is taken, which one of them (the others are BEGIN, the context and COMMIT), and
# the same question with an explicit organization, for a role that bypasses row-level security.
OF = "tenant_id = %(tenant)s and organization_id = %(organization)s"
LIVE = f"select {LEAD_COLUMNS.as_string()} from leads where {OF} and deleted_at is null"
NEWEST = "order by created_at desc, id desc limit 51"
COUNTED = f"select count(*) from (select from leads where {OF} and deleted_at is null and {{}} limit 10001) as found"
LISTED = f"""
    select entry.phone_number, true as listed, entry.reason, entry.source, entry.added_at, entry.expires_at
    from (select distinct unnest(%(numbers)s::text[])) as asked (phone_number)
    join dnc_list as entry on entry.phone_number = asked.phone_number
    where {OF} and entry.removed_at is null and (entry.expires_at is null or entry.expires_at > now())
"""
NUMBERS = [f"+1{2_012_000_000 + 7 + place * seed.ORGANIZATIONS}" for place in range(10_000)]
QUERIES: dict[str, tuple[Callable[[str], object], int, str]] = {
    "get": (
        lambda lead: ADMIN.ask(handler, "GET /leads/{lead_id}", path={"lead_id": lead}),
        2,
        f"{LIVE} and id = %(lead)s",
    ),
    "newest 50": (lambda _: _list(), 2, f"{LIVE} {NEWEST}"),
    "status, by score": (
        lambda _: _list(status="hot", sort="-lead_score"),
        2,
        f"{LIVE} and status = 'hot' order by lead_score desc, id desc limit 51",
    ),
    "by tag": (lambda _: _list(tags_all="tag7"), 2, f"{LIVE} and tags @> array['tag7'] {NEWEST}"),
    "by part of a name": (
        lambda _: _list(name="ferbelson"),
        2,
        f"{LIVE} and full_name like '%%ferbelson%%' {NEWEST}",
    ),
    "count of a tag": (lambda _: _list(tags_all="tag7", count="true"), 3, COUNTED.format("tags @> array['tag7']")),
    "Do-Not-Call check of 10,000 numbers": (
        lambda _: ADMIN.ask(dnc, "POST /dnc/check", body={"phone_numbers": NUMBERS}),
        3,
        LISTED,
    ),
}


def _list(**query: str) -> object:
    return ADMIN.ask(handler, "GET /leads", query=query)


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
        turn = zip((mine, floor), times, strict=True)
        # Whoever comes second finds the pages in the processor's cache: each does so every other time.
        for one, taken in list(turn)[:: 1 if run % 2 else -1]:
            started = time.perf_counter()
            one()
            if run >= 3:  # the first ones warm the caches up
                taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(times[0]), statistics.median(times[1])


def under_row_level_security(app: str, superuser: str) -> Iterator[tuple[str, float, float]]:
    """By query: its milliseconds as the layer sends it, under row-level security, and without that."""
    caller = Caller(TENANT, ORGANIZATION, "seed", "admin")
    with _opened(app, caller) as mine, _opened(superuser, None) as free:
        values: dict[str, Any] = {"tenant": TENANT, "organization": ORGANIZATION, "numbers": NUMBERS}
        values["lead"] = free.execute(f"{LIVE} {NEWEST}", values).fetchall()[0]["id"]
        for name, (call, place, floor) in QUERIES.items():
            statement = sent_by(lambda call=call: call(str(values["lead"])))[place]
            text = statement.text.encode()
            if (found := mine.execute(text, statement.values).fetchall()) != free.execute(floor, values).fetchall():
                raise LookupError(f"{name}: the two answer differently, {len(found)} rows under row-level security")
            yield (
                name,
                *interleaved(
                    lambda text=text, statement=statement: mine.execute(text, statement.values).fetchall(),
                    lambda floor=floor: free.execute(floor, values).fetchall(),
                ),
            )


def through_the_handler(app: str) -> Iterator[tuple[str, float, float]]:
    """By call: milliseconds from its event to its answer, and of psycopg alone sending the same statements."""
    first = ADMIN.ask(handler, "GET /leads", query={"limit": "1"}).body["items"][0]["id"]
    with psycopg.connect(app, autocommit=True, row_factory=dict_row, prepare_threshold=None) as conn:
        for name, event in (
            ("get", ADMIN.event("GET /leads/{lead_id}", path={"lead_id": first})),
            ("list 50", ADMIN.event("GET /leads")),
        ):
            script = sent_by(lambda event=event: handler(event, None))
            yield name, *interleaved(partial(handler, event, None), partial(replay, conn, script))

        number, *others = itertools.islice(unused_numbers(), 1 + 2 * (RUNS + 3))
        script = sent_by(lambda: created(number))
        scripts = iter([_of_another(script, number, other) for other in others[::2]])
        new = iter(others[1::2])
        yield "create", *interleaved(lambda: created(next(new)), lambda: replay(conn, next(scripts)))


def unused_numbers() -> Iterator[str]:
    """Numbers of leads to create, from a place that the clock chooses: each run adds some."""
    first = time.time_ns() // 1000 % 7_000_000
    return (f"+1303{2_000_000 + number % 7_000_000:07d}" for number in itertools.count(first))


def created(number: str) -> dict[str, Any]:
    """The answer to a create; anything but a new lead would be another measurement."""
    answer = handler(ADMIN.event("POST /leads", body={"phone_number": number}), None)
    if answer["statusCode"] != 201:
        raise LookupError(f"no new lead: {answer['body']}")
    return answer


def _of_another(script: list[Statement], number: str, other: str) -> list[Statement]:
    return [
        replace(one, values={name: other if value == number else value for name, value in one.values.items()})
        for one in script
    ]
