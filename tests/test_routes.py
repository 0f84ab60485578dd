"""The routes of the template and of the functions are the same, and so is who may call them."""

import importlib
import re
from pathlib import Path

import pytest
from samtranslator.yaml_helper import yaml_parse

from leadline.api import ADMINS, MANAGERS, PEOPLE, PUBLIC, ROLES, Api
from tests.calling import caller

ROOT = Path(__file__).parent.parent

# Who may call what; a route that is not here is refused by the test.
ROUTES = {
    "GET /health": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /docs": PUBLIC,
    "POST /leads": PEOPLE,
    "GET /leads": PEOPLE,
    "GET /leads/{lead_id}": PEOPLE,
    "PATCH /leads/{lead_id}": PEOPLE,
    "DELETE /leads/{lead_id}": PEOPLE,
    "POST /leads/{lead_id}/restore": PEOPLE,
    "PUT /leads/{lead_id}/tags/{tag}": PEOPLE,
    "DELETE /leads/{lead_id}/tags/{tag}": PEOPLE,
    "GET /leads/{lead_id}/audit": PEOPLE,
    "POST /dnc/check": PEOPLE,
    "POST /dnc": PEOPLE,
    "GET /dnc": MANAGERS,
    "GET /dnc/export": MANAGERS,
    "GET /dnc/report": MANAGERS,
    "GET /dnc/reviews": MANAGERS,
    "POST /dnc/reviews/{event_id}": MANAGERS,
    "POST /dnc/import": ADMINS,
    "DELETE /dnc/{entry_id}": ADMINS,
    "GET /budget": PEOPLE,
    "POST /budget/credits": ADMINS,
    "POST /budget/adjustments": ADMINS,
    "POST /budget/debits": MANAGERS,
    "POST /budget/refunds": MANAGERS,
    "POST /budget/holds": MANAGERS | {"service"},
    "GET /budget/holds/{hold_id}": MANAGERS,
    "POST /budget/holds/{hold_id}/settle": MANAGERS | {"service"},
    "POST /budget/holds/{hold_id}/release": MANAGERS | {"service"},
    "GET /budget/transactions": MANAGERS,
    "GET /budget/caps": MANAGERS,
    "PUT /budget/caps/{member_id}": ADMINS,
    "DELETE /budget/caps/{member_id}": ADMINS,
    "GET /events": MANAGERS,
    "GET /segments": PEOPLE,
    "POST /segments": PEOPLE,
    "GET /segments/{segment_id}": PEOPLE,
    "PATCH /segments/{segment_id}": PEOPLE,
    "DELETE /segments/{segment_id}": PEOPLE,
    "POST /segments/preview": PEOPLE,
    "POST /segments/recount": PEOPLE,
    "GET /segments/{segment_id}/leads": PEOPLE,
    "GET /segments/{segment_id}/count": PEOPLE,
    "GET /leads/{lead_id}/status-history": PEOPLE,
    "GET /leads/{lead_id}/timeline": PEOPLE,
    "POST /consents": PEOPLE,
    "POST /consents/search": PEOPLE,
    "POST /consents/revocations": PEOPLE,
    "POST /calls/authorize": ROLES,
    "GET /config/{key}": MANAGERS,
    "GET /templates": PEOPLE,
    "POST /templates": MANAGERS,
    "GET /templates/{template_id}": PEOPLE,
    "PATCH /templates/{template_id}": MANAGERS,
    "POST /templates/{template_id}/preview": PEOPLE,
    "GET /sequences": PEOPLE,
    "POST /sequences": MANAGERS,
    "GET /sequences/{sequence_id}": PEOPLE,
    "PATCH /sequences/{sequence_id}": MANAGERS,
    "GET /sequences/{sequence_id}/versions": PEOPLE,
    "POST /sequences/{sequence_id}/enrollments": PEOPLE,
    "POST /sequences/{sequence_id}/resume": MANAGERS,
    "GET /sequences/{sequence_id}/stats": PEOPLE,
    "GET /enrollments": PEOPLE,
    "GET /enrollments/{enrollment_id}": PEOPLE,
    "POST /enrollments/{enrollment_id}/pause": PEOPLE,
    "POST /enrollments/{enrollment_id}/resume": PEOPLE,
    "POST /enrollments/{enrollment_id}/skip": PEOPLE,
    "POST /enrollments/{enrollment_id}/cancel": PEOPLE,
    "PUT /config/{key}": ADMINS,
}


def declared() -> dict[str, tuple[str, frozenset[str]]]:
    """By route: its function and its roles, as the functions declare them."""
    routes = {}
    for path in (ROOT / "functions").glob("*/app.py"):
        handler = importlib.import_module(f"functions.{path.parent.name}.app").handler
        if isinstance(handler, Api):
            routes |= {key: (path.parent.name, route.roles) for key, route in handler.routes.items()}
    return routes


def templated() -> dict[str, tuple[str, bool]]:
    """By route: its function and whether it is public, as the template deploys them."""
    routes = {}
    for resource in yaml_parse((ROOT / "template.yaml").read_text())["Resources"].values():
        for event in resource.get("Properties", {}).get("Events", {}).values():
            if event["Type"] == "HttpApi":
                properties = event["Properties"]
                public = properties.get("Auth", {}).get("Authorizer") == "NONE"
                function = resource["Properties"]["CodeUri"].removeprefix("functions/").rstrip("/")
                routes[f"{properties['Method'].upper()} {properties['Path']}"] = (function, public)
    return routes


def test_the_template_deploys_each_route_to_the_function_that_declares_it():
    assert {key: function for key, (function, _) in templated().items()} == {
        key: function for key, (function, _) in declared().items()
    }


def test_a_route_is_without_a_token_exactly_where_nobody_is_asked_for_one():
    public = {key for key, (_, is_public) in templated().items() if is_public}
    assert public == {key for key, (_, roles) in declared().items() if roles == PUBLIC}


def test_each_route_is_for_the_roles_of_the_table():
    assert {key: roles for key, (_, roles) in declared().items()} == ROUTES


@pytest.mark.parametrize("key", [key for key, roles in ROUTES.items() if roles])
def test_a_route_with_roles_refuses_every_other_role_and_no_token(key, customer):
    function, roles = declared()[key]
    handler = importlib.import_module(f"functions.{function}.app").handler
    path = dict.fromkeys(re.findall(r"{(\w+)}", key), "00000000-0000-7000-8000-000000000000")
    organization = customer()
    for role in {"agent", "manager", "admin", "service"} - roles:
        assert caller(organization, role).ask(handler, key, path=path, body={}).code == "forbidden"
    anonymous = caller(organization)
    anonymous.claims.clear()
    assert anonymous.ask(handler, key, path=path, body={}).code == "unauthorized"
