"""How many round trips to the database a call takes, counted behind a proxy."""

import os
from collections.abc import Iterator

from bench.leads import ADMIN, created, unused_numbers
from bench.round_trips import counted
from functions.leads_api.app import handler
from leadline import db


def round_trips(app: str) -> Iterator[tuple[str, int]]:
    """By call: its round trips on a connection that is open."""
    number = next(unused_numbers())
    with counted(app) as (dsn, trips):
        connect(dsn)
        path = {"lead_id": ADMIN.ask(handler, "GET /leads", query={"limit": "1"}).body["items"][0]["id"]}
        version = ADMIN.ask(handler, "GET /leads/{lead_id}", path=path).headers["etag"]
        for name, call in {
            "get": lambda: ADMIN.ask(handler, "GET /leads/{lead_id}", path=path),
            "create": lambda: created(number),
            "refuse a duplicate": lambda: ADMIN.ask(handler, "POST /leads", body={"phone_number": number}),
            "change": lambda: ADMIN.ask(
                handler, "PATCH /leads/{lead_id}", path=path, headers={"if-match": version}, body={"notes": "x"}
            ),
            "list by tag and name, with a count": lambda: ADMIN.ask(
                handler, "GET /leads", query={"tags_any": "tag7", "name": "fer", "count": "true"}
            ),
        }.items():
            before = trips()
            call()
            yield name, trips() - before
    connect(app)


def connect(dsn: str) -> None:
    """Leads the layer there from its next transaction on."""
    os.environ["DATABASE_URL"] = dsn
    if db._connection is not None:
        db._connection.close()
