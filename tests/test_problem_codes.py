"""Every code of the contract is reached by a call of a route, and is a problem (RFC 9457) with that code and status."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from werkzeug.test import Client

from functions.budget_api.app import handler as budget
from functions.dnc_api.app import handler as dnc
from functions.gate_api.app import handler as gate
from functions.leads_api.app import handler as leads
from local.gateway import Gateway
from tests.calling import Caller, Reply, caller
from tests.conftest import Customer
from tests.leads import NUMBER, change, create, get, list_number, page


@dataclass(frozen=True)
class World:
    """An organization, another of the same tenant, and a member of the first."""

    organization: Customer
    sister: Customer
    admin: Caller
    gateway: Client  # of an HTTP front, which looks at tokens before a function does


def unauthorized(world: World) -> Reply:
    answer = world.gateway.get("/leads", headers={"authorization": "Bearer no.valid.token"})
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers}, answer.json)


def forbidden(world: World) -> Reply:
    return caller(world.organization, "agent").ask(dnc, "GET /dnc")


def not_a_member(world: World) -> Reply:
    subject = world.organization.members["admin"].subject
    return page(caller(world.sister, "admin", sub=subject))


def not_found(world: World) -> Reply:
    return get(world.admin, create(caller(world.sister)).body)


def duplicate_lead(world: World) -> Reply:
    first = create(world.admin).body
    reply = create(world.admin)
    assert reply.body["lead_id"] == first["id"]
    return reply


def idempotency_conflict(world: World) -> Reply:
    key = {"idempotency-key": "a"}
    world.admin.ask(leads, "POST /leads", body={"phone_number": NUMBER}, headers=key)
    return world.admin.ask(leads, "POST /leads", body={"phone_number": NUMBER, "first_name": "Ada"}, headers=key)


def version_mismatch(world: World) -> Reply:
    return change(world.admin, create(world.admin).body, version=7, first_name="Ada")


def body_too_large(world: World) -> Reply:
    return world.admin.ask(leads, "POST /leads", raw_body=" " * (4 * 1024 * 1024 + 1))


def on_dnc_list(world: World) -> Reply:
    list_number(world.organization)
    return create(world.admin)


def bad_phone(world: World) -> Reply:
    return create(world.admin, phone_number="555-0142")


def unknown_field(world: World) -> Reply:
    return page(world.admin, colour="blue")


def bad_cursor(world: World) -> Reply:
    return page(world.admin, cursor="forged")


def version_required(world: World) -> Reply:
    path = {"lead_id": create(world.admin).body["id"]}
    return world.admin.ask(leads, "DELETE /leads/{lead_id}", path=path)


def malformed_json(world: World) -> Reply:
    return world.admin.ask(leads, "POST /leads", raw_body="{")


def bad_amount(world: World) -> Reply:
    return world.admin.ask(budget, "POST /budget/debits", body={"amount": "-1"})


def insufficient_budget(world: World) -> Reply:
    return world.admin.ask(budget, "POST /budget/debits", body={"amount": "1"})


def idempotency_key_required(world: World) -> Reply:
    return world.admin.ask(gate, "POST /calls/authorize", body={"phone_number": NUMBER, "channel": "call"})


# By code: its status, and a call that is answered so.
CODES: dict[str, tuple[int, Callable[[World], Reply]]] = {
    "unauthorized": (401, unauthorized),
    "forbidden": (403, forbidden),
    "not_a_member": (403, not_a_member),
    "not_found": (404, not_found),
    "duplicate_lead": (409, duplicate_lead),
    "idempotency_conflict": (409, idempotency_conflict),
    "version_mismatch": (412, version_mismatch),
    "body_too_large": (413, body_too_large),
    "on_dnc_list": (422, on_dnc_list),
    "bad_phone": (422, bad_phone),
    "unknown_field": (422, unknown_field),
    "bad_cursor": (422, bad_cursor),
    "bad_amount": (422, bad_amount),
    "idempotency_key_required": (422, idempotency_key_required),
    "insufficient_budget": (422, insufficient_budget),
    "version_required": (428, version_required),
    "malformed_json": (400, malformed_json),
}

# As others were promised them: a change here is a breaking one.
PROMISED = {
    400: {"malformed_json"},
    401: {"unauthorized"},
    403: {"forbidden", "not_a_member"},
    404: {"not_found"},
    409: {"duplicate_lead", "idempotency_conflict"},
    412: {"version_mismatch"},
    413: {"body_too_large"},
    422: {
        *("on_dnc_list", "bad_phone", "unknown_field", "bad_cursor", "bad_amount", "idempotency_key_required"),
        "insufficient_budget",
    },
    428: {"version_required"},
}
MEMBERS = {"type", "title", "status", "code", "detail", "errors"}
MORE = {"duplicate_lead": {"lead_id"}, "unauthorized": {"message"}}  # the latter is API Gateway's own


@pytest.fixture
def world(customer, tmp_path) -> World:
    organization = customer()
    gateway = Gateway(tmp_path)
    gateway.add({"Method": "GET", "Path": "/leads"}, lambda event: leads(event, None))
    sister = customer(beside=organization)
    return World(organization, sister, caller(organization, "admin"), Client(gateway))


def test_every_code_that_is_promised_is_called_for_here():
    promised = {(status, code) for status, codes in PROMISED.items() for code in codes}
    assert promised == {(status, code) for code, (status, _) in CODES.items()}


@pytest.mark.parametrize("code", CODES)
def test_a_code_is_answered_as_a_problem(world, code):
    status, call = CODES[code]
    reply = call(world)
    assert reply.status == status
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.body.keys() == MEMBERS | MORE.get(code, set())
    assert (reply.body["status"], reply.body["code"]) == (status, code)
    assert reply.body["type"] == f"urn:leadline:problem:{code}"
    assert reply.body["title"]
    assert reply.body["detail"]
    for error in reply.body["errors"]:
        assert error.keys() == {"pointer", "code", "detail"}
        assert error["pointer"].startswith("/")
