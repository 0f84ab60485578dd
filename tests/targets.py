"""Of every route with a token: something that it can be asked about, and a good call of it.

A new route is one line here; the tests that walk all routes hold this table to what the functions declare.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from functions.dnc_api.app import handler as dnc_handler
from functions.dnc_reviews_api.app import handler as reviews_handler
from local import api_document
from tests.calling import Caller, Reply, caller
from tests.conftest import Customer
from tests.leads import create, delete

NUMBER, OTHER = "+14155550142", "+14155550143"
LISTED = {"phone_number": OTHER, "reason": "admin_added", "notes": "on a list"}
PERIOD = {"from": "2026-01-01", "to": "2026-01-31"}


@dataclass(frozen=True)
class Target:
    """A good call: who may make it by role, and what goes in."""

    role: str = "admin"
    path: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def with_ids(self, **ids: str) -> "Target":
        return replace(self, path=self.path | ids)


def ask(member: Caller, route: str, target: Target, **other: Any) -> Reply:
    """The target's call by a member, with some of it replaced."""
    call = {"path": target.path, "query": target.query, "body": target.body, "headers": target.headers} | other
    return member.ask(handler_of(route), route, **call)


def handler_of(route: str) -> Callable[[Any, Any], dict[str, Any]]:
    function, _ = api_document.routes()[route]
    return importlib.import_module(f"functions.{function}.app").handler


def _lead(organization: Customer, **fields: Any) -> dict[str, Any]:
    reply = create(caller(organization), first_name="Ada", tags=["old"], **fields)
    assert reply.status == 201, reply.body
    return reply.body


def _of_lead(**target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        lead = _lead(organization)
        headers = {"if-match": f'"{lead["version"]}"'}
        return Target(path={"lead_id": lead["id"]}, headers=headers, **target).with_ids(**target.get("path", {}))

    return make


def _tagged(tag: str) -> Callable[[Customer], Target]:
    return lambda organization: _of_lead()(organization).with_ids(tag=tag)


def _deleted_lead(organization: Customer) -> Target:
    lead = _lead(organization)
    assert delete(caller(organization), lead).status == 204
    return Target(path={"lead_id": lead["id"]})


def _entry(organization: Customer) -> Target:
    reply = caller(organization, "admin").ask(dnc_handler, "POST /dnc", body=LISTED)
    assert reply.status == 201, reply.body
    return Target(path={"entry_id": reply.body["id"]}, body={"reason": "entered by mistake"})


def _opt_out_to_review(organization: Customer) -> Target:
    admin = caller(organization, "admin")
    doubted = {"phone_number": OTHER, "reason": "ai_detected", "confidence": 0.4, "detected_phrase": "stop by"}
    assert admin.ask(dnc_handler, "POST /dnc", body=doubted).status == 201
    (waiting,) = admin.ask(reviews_handler, "GET /dnc/reviews").body["items"]
    return Target(path={"event_id": waiting["id"]}, body={"decision": "reject", "reason": "asked about bus stops"})


def _nothing(**target: Any) -> Callable[[Customer], Target]:
    return lambda _: Target(**target)


TARGETS: dict[str, Callable[[Customer], Target]] = {
    "GET /config/{key}": _nothing(path={"key": "default_region"}),
    "PUT /config/{key}": _nothing(path={"key": "default_region"}, body={"value": "GB"}),
    "POST /leads": _nothing(body={"phone_number": NUMBER}),
    "GET /leads": _nothing(),
    "GET /leads/{lead_id}": _of_lead(),
    "PATCH /leads/{lead_id}": _of_lead(body={"first_name": "Eve"}),
    "DELETE /leads/{lead_id}": _of_lead(),
    "POST /leads/{lead_id}/restore": _deleted_lead,
    "PUT /leads/{lead_id}/tags/{tag}": _tagged("new"),
    "DELETE /leads/{lead_id}/tags/{tag}": _tagged("old"),
    "GET /leads/{lead_id}/audit": _of_lead(),
    "GET /leads/{lead_id}/status-history": _of_lead(),
    "GET /leads/{lead_id}/timeline": _of_lead(),
    "POST /dnc/check": _nothing(body={"phone_number": NUMBER}),
    "POST /dnc": _nothing(body=LISTED),
    "GET /dnc": _nothing(),
    "DELETE /dnc/{entry_id}": _entry,
    "POST /dnc/import": _nothing(body=[LISTED]),
    "GET /dnc/export": _nothing(),
    "GET /dnc/report": _nothing(query=PERIOD),
    "GET /dnc/reviews": _nothing(),
    "POST /dnc/reviews/{event_id}": _opt_out_to_review,
}
