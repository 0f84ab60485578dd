"""Nothing that tells of a person is in a log; conftest asks the same of all that a run has logged, at its end."""

import json

import pytest

from functions.leads_api.app import handler
from tests.calling import caller
from tests.privacy import persons_in

PERSONAL = {
    "phone_number": "+442079460958",
    "first_name": "Xanthippe-Personal",
    "last_name": "Quux-Personal",
    "email": "personal@private.example",
    "address": "1 Personal Street",
    "notes": "said something personal",
    "tags": ["personal-tag"],
}


@pytest.fixture
def requests(customer):
    """Requests that are answered, refused and wrong, with what tells of a person in each part; and who made them."""
    agent = caller(customer())
    lead = agent.ask(handler, "POST /leads", body=PERSONAL).body
    agent.ask(handler, "POST /leads", body=PERSONAL)
    agent.ask(handler, "POST /leads", body=PERSONAL | {"email": "personal at private"})
    agent.ask(handler, "GET /leads/{lead_id}", path={"lead_id": "+442079460958"})
    path, headers = {"lead_id": lead["id"]}, {"if-match": '"1"', "x-change-reason": "personal reason"}
    agent.ask(handler, "PATCH /leads/{lead_id}", path=path, headers=headers, body={"notes": "personal again"})
    return agent, lead


@pytest.fixture
def told(logged, request):
    """What was logged of the requests, which are made now."""
    request.getfixturevalue("requests")
    return logged()


def test_no_log_line_holds_a_name_a_number_an_address_or_a_text(told, requests):
    agent, lead = requests
    assert lead["id"] in told
    assert agent.claims["custom:tenant_id"] in told
    assert "personal" not in told.lower()
    assert persons_in(told, [PERSONAL]) == set()


@pytest.mark.parametrize("line", ["called +442079460958", "to ada@private.example", "hello Xanthippe-Personal"])
def test_a_line_that_tells_of_a_person_is_found(line):
    assert persons_in(f'{{"message": "{line}"}}', [PERSONAL])


def test_every_line_of_a_request_names_tenant_organization_and_correlation_id(told):
    lines = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    answered = [line for line in lines if line.get("message") == "answered"]
    assert {line["status"] for line in answered} == {200, 201, 404, 409, 422}
    for line in answered:
        assert {"tenant_id", "organization_id", "correlation_id", "route", "milliseconds"} <= line.keys()
