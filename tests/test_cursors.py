"""Cursors of every list that there is: a forged one is refused or is just a place, and never a fault."""

import base64
import json

import pytest

from functions.dnc_api.app import handler as dnc_handler
from local import api_document
from tests.calling import caller
from tests.leads import change
from tests.targets import TARGETS, ask, fill_lists

ROUTES = {key: route for key, (_, route) in api_document.routes().items() if "cursor" in route.query.model_fields}
NOBODY = "00000000-0000-7000-8000-000000000000"
# What may stand where a part of the key stood.
PARTS = [
    *("", "x", "nul\0", "\ud800", "infinity", "-infinity", "NaN", "1e400", "9" * 600, "٣", "a" * 600, NOBODY),
    *("2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00+00:00:30.5"),
    *("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01T00:00:00+23:59", "294277-01-01T00:00:00Z"),
    *(None, True, 0, -1, 10**30, 10**600, 1.5, float("inf"), float("nan"), [], {}, ["x"], {"x": 1}),
]
NOT_JSON = ["", "=", "é", "\0", "x", "!!!!", "e30", "W10", "bnVsbA", "IiI", "MQ", "/+/+", "_-_-", "a" * 5_000]
DEEP = b"[" * 1_000 + b"]" * 1_000


def encoded(cursor: object) -> str:
    raw = cursor if isinstance(cursor, bytes) else json.dumps(cursor).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.fixture(params=ROUTES)
def listed(request, customer, monkeypatch):
    """A list with two pages at least: how it is asked for, and the cursor of its second."""
    monkeypatch.setattr("leadline.dnc.entries.EXPORTED_AT_ONCE", 1)
    organization, key = customer(), request.param
    admin = caller(organization, "admin")
    target = TARGETS[key](organization)
    fill_lists(organization)
    if "lead_id" in target.path:
        for version, status in ((1, "hot"), (2, "cold")):
            assert change(admin, {"id": target.path["lead_id"]}, version, status=status).status == 200
    limit = {"limit": "1"} if "limit" in ROUTES[key].query.model_fields else {}

    def listed(cursor=None, **query):
        query = {**limit, **query} if cursor is None else {**limit, **query, "cursor": cursor}
        return ask(admin, key, target, query=query)

    return listed


def test_the_second_page_goes_on_after_the_first(listed):
    first = listed().body
    second = listed(first["next_cursor"]).body
    assert len(first["items"]) == len(second["items"]) == 1
    assert first["items"] != second["items"]


def test_a_forged_cursor_is_refused_or_is_just_a_place(listed):
    name, *key = json.loads(base64.urlsafe_b64decode(listed().body["next_cursor"] + "=="))
    forged = [[name, *key[:place], part, *key[place + 1 :]] for place in range(len(key)) for part in PARTS]
    forged += [[name], [name, *key, "more"], [name, *key[:-1]], [None, *key], [[], *key], {}, 1, "x", None, DEEP]
    for cursor in [*NOT_JSON, *map(encoded, forged)]:
        reply = listed(cursor)
        assert reply.status == 200 or (reply.status, reply.code) == (422, "bad_cursor"), (cursor, reply)
    for cursor in (NOT_JSON[-1], encoded(DEEP), encoded([name]), encoded([f"{name} ", *key])):
        assert listed(cursor).code == "bad_cursor"


@pytest.mark.parametrize("character", ["😀", "\x01", '"', "\\"], ids=ascii)
def test_a_list_of_long_filters_goes_on(customer, character):
    """Where the filters stand in the cursor, it is no longer than a cursor may be."""
    admin, text = caller(customer(), "admin"), character * 200
    reasons = "lead_requested,legal_requirement,complaint,admin_added,cooling_off,ai_detected"
    for number in ("+14155550112", "+14155550113"):
        entry = {"phone_number": number, "reason": "complaint", "source": text}
        assert admin.ask(dnc_handler, "POST /dnc", body=entry).status == 201
    query = {"limit": "1", "source": text, "reason": reasons}
    first = admin.ask(dnc_handler, "GET /dnc", query=query).body
    second = admin.ask(dnc_handler, "GET /dnc", query={**query, "cursor": first["next_cursor"]})
    assert second.status == 200
    assert len(second.body["items"]) == 1
    assert second.body["next_cursor"] is None
