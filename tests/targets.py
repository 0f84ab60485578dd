"""Of every route with a token: something that it can be asked about, and a good call of it.

A new route is one line here; the tests that walk all routes hold this table to what the functions declare.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from functions.budget_api.app import handler as budget_handler
from functions.budget_control_api.app import handler as control_handler
from functions.budget_holds_api.app import handler as holds_handler
from functions.consents_api.app import handler as consents_handler
from functions.dnc_api.app import handler as dnc_handler
from functions.dnc_reviews_api.app import handler as reviews_handler
from functions.segments_api.app import handler as segments_handler
from local import api_document
from tests.calling import Caller, Reply, caller
from tests.conftest import Customer
from tests.leads import change, create, delete
from tests.nurture import TEMPLATE, a_segment, a_sequence, a_template, an_enrollment, change_sequence

NUMBER, OTHER = "+14155550142", "+14155550143"
LISTED = {"phone_number": OTHER, "reason": "admin_added", "notes": "on a list"}
CONSENT = {
    "phone_number": NUMBER,
    "kind": "prior_express_written",
    "channels": ["call", "sms"],
    "voice_modes": ["artificial"],
    "disclosure_text": "You may call me.",
    "disclosure_version": "1",
    "method": "web_form",
    "captured_at": "2026-01-02T03:04:05Z",
}
SEGMENT = {"name": "Promising", "filter": {"tags": "old", "lead_score": {"gte": 0}}}
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


def _credited(organization: Customer) -> Caller:
    admin = caller(organization, "admin")
    assert admin.ask(budget_handler, "POST /budget/credits", body={"amount": "10"}).status == 201
    return admin


def _spending(**target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        _credited(organization)
        return Target(**target)

    return make


def _debit(organization: Customer) -> Target:
    reply = _credited(organization).ask(budget_handler, "POST /budget/debits", body={"amount": "1"})
    assert reply.status == 201, reply.body
    return Target(body={"transaction_id": reply.body["id"]})


def _hold(**target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        reply = _credited(organization).ask(holds_handler, "POST /budget/holds", body={"amount": "1"})
        assert reply.status == 201, reply.body
        return Target(path={"hold_id": reply.body["id"]}, **target)

    return make


def _member_to_cap(organization: Customer) -> Target:
    return Target(path={"member_id": str(organization.members["agent"].id)}, body={"monthly_amount": "5"})


def _capped_member(organization: Customer) -> Target:
    target = _member_to_cap(organization)
    asked = caller(organization, "admin").ask(
        control_handler, "PUT /budget/caps/{member_id}", path=target.path, body=target.body
    )
    assert asked.status == 200, asked.body
    return replace(target, body=None)


def _lead_to_call(organization: Customer) -> Target:
    body = {"lead_id": _lead(organization)["id"], "channel": "call"}
    return Target(body=body, headers={"idempotency-key": "a call"})


def _segment(**target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        made = caller(organization, "admin").ask(segments_handler, "POST /segments", body=SEGMENT)
        assert made.status == 201, made.body
        return Target(path={"segment_id": made.body["id"]}, **target)

    return make


def _template(**target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        path = {"template_id": a_template(organization)["template_id"]}
        return Target(path=path, headers={"if-match": '"1"'}, **target)

    return make


def _template_for_a_lead(organization: Customer) -> Target:
    return _template(body={"lead_id": _lead(organization)["id"]})(organization)


def _sequence(**target: Any) -> Callable[[Customer], Target]:
    return lambda organization: Target(path={"sequence_id": a_sequence(organization)["id"]}, **target)


def _sequence_of_two_versions(organization: Customer) -> Target:
    sequence = a_sequence(organization)
    steps = [step | {"delay_days": 1} for step in sequence["steps"]]
    assert change_sequence(caller(organization, "admin"), sequence, 1, steps=steps).status == 200
    return Target(path={"sequence_id": sequence["id"]})


def _sequence_and_segment(organization: Customer) -> Target:
    return _sequence(body={"segment_id": a_segment(organization)})(organization)


def _enrollment(*, paused: bool = False, **target: Any) -> Callable[[Customer], Target]:
    def make(organization: Customer) -> Target:
        enrollment = an_enrollment(organization, _lead(organization), paused=paused)
        return Target(path={"enrollment_id": enrollment["id"]}, **target)

    return make


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
    "POST /consents": _nothing(body=CONSENT),
    "POST /consents/search": _nothing(body={"phone_number": NUMBER}),
    "POST /consents/revocations": _nothing(body={"phone_number": NUMBER}),
    "POST /calls/authorize": _lead_to_call,
    "GET /budget": _nothing(),
    "POST /budget/credits": _nothing(body={"amount": "10"}),
    "POST /budget/debits": _spending(body={"amount": "1"}),
    "POST /budget/refunds": _debit,
    "POST /budget/adjustments": _nothing(body={"amount": "1"}),
    "POST /budget/holds": _spending(body={"amount": "1"}),
    "GET /budget/holds/{hold_id}": _hold(),
    "POST /budget/holds/{hold_id}/settle": _hold(body={"amount": "0.5"}),
    "POST /budget/holds/{hold_id}/release": _hold(),
    "GET /budget/transactions": _nothing(),
    "GET /budget/caps": _nothing(),
    "PUT /budget/caps/{member_id}": _member_to_cap,
    "DELETE /budget/caps/{member_id}": _capped_member,
    "GET /segments": _nothing(),
    "POST /segments": _nothing(body=SEGMENT),
    "GET /segments/{segment_id}": _segment(),
    "PATCH /segments/{segment_id}": _segment(body={"name": "Others"}),
    "DELETE /segments/{segment_id}": _segment(),
    "POST /segments/preview": _nothing(body={"filter": {}}),
    "GET /segments/{segment_id}/leads": _segment(),
    "GET /segments/{segment_id}/count": _segment(),
    "POST /segments/recount": _nothing(),
    "GET /templates": _nothing(),
    "POST /templates": _nothing(body=TEMPLATE),
    "GET /templates/{template_id}": _template(),
    "PATCH /templates/{template_id}": _template(body={"name": "Another"}),
    "POST /templates/{template_id}/preview": _template_for_a_lead,
    "GET /sequences": _nothing(),
    "POST /sequences": _nothing(body={"name": "Welcome"}),
    "GET /sequences/{sequence_id}": _sequence(),
    "PATCH /sequences/{sequence_id}": _sequence(body={"active": False}),
    "GET /sequences/{sequence_id}/versions": _sequence_of_two_versions,
    "POST /sequences/{sequence_id}/enrollments": _sequence_and_segment,
    "POST /sequences/{sequence_id}/resume": _sequence(body={"pause_reason": "person"}),
    "GET /sequences/{sequence_id}/stats": _sequence(),
    "GET /enrollments": _nothing(),
    "GET /enrollments/{enrollment_id}": _enrollment(),
    "POST /enrollments/{enrollment_id}/pause": _enrollment(body={"reason": "on holiday"}),
    "POST /enrollments/{enrollment_id}/resume": _enrollment(paused=True, body={"reason": "back again"}),
    "POST /enrollments/{enrollment_id}/skip": _enrollment(body={"reason": "has had it"}),
    "POST /enrollments/{enrollment_id}/cancel": _enrollment(body={"reason": "asked for it"}),
    "GET /events": _nothing(),
}


def fill_lists(organization: Customer) -> None:
    """Makes two at least of whatever is listed anywhere."""
    admin = caller(organization, "admin")
    lead = _lead(organization, phone_number="+14155550110")
    for version, status in ((1, "hot"), (2, "cold")):
        assert change(admin, lead, version, status=status).status == 200
    create(admin, phone_number="+14155550111", tags=["old"])
    doubted = {"reason": "ai_detected", "confidence": 0.4}
    for number in ("+14155550112", "+14155550113"):
        assert admin.ask(dnc_handler, "POST /dnc", body={"phone_number": number, **doubted}).status == 201
    # Each debit takes the balance below one of the thresholds of which an event tells.
    assert admin.ask(budget_handler, "POST /budget/credits", body={"amount": "150"}).status == 201
    for amount in ("60", "80"):
        assert admin.ask(budget_handler, "POST /budget/debits", body={"amount": amount}).status == 201
    for role in ("agent", "manager"):
        path = {"member_id": str(organization.members[role].id)}
        cap = admin.ask(control_handler, "PUT /budget/caps/{member_id}", path=path, body={"monthly_amount": "5"})
        assert cap.status == 200, cap.body
    for version in ("1", "2"):
        consent = CONSENT | {"disclosure_version": version}
        assert admin.ask(consents_handler, "POST /consents", body=consent).status == 201
    for name in ("Promising", "Others"):
        made = admin.ask(segments_handler, "POST /segments", body=SEGMENT | {"name": name})
        assert made.status == 201, made.body
    for _ in range(2):
        a_sequence(organization)
        an_enrollment(organization, lead)
