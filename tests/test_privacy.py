"""Nothing that tells of a person is in a log. Runs last, over all that the run has logged in this process."""

import json
import re

from functions.leads_api.app import handler
from tests.calling import caller

PERSONAL = {
    "phone_number": "+442079460958",
    "first_name": "Xanthippe-Personal",
    "last_name": "Quux-Personal",
    "email": "personal@private.example",
    "address": "1 Personal Street",
    "notes": "said something personal",
    "tags": ["personal-tag"],
}


NOBODYS = re.compile(r'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|"timestamp":"[^"]*"|"milliseconds":[0-9.]+')


def test_no_log_line_holds_a_name_a_number_an_address_or_a_text(customer, everything_logged, connect):
    agent = caller(customer())
    lead = agent.ask(handler, "POST /leads", body=PERSONAL).body
    agent.ask(handler, "POST /leads", body=PERSONAL)
    agent.ask(handler, "POST /leads", body=PERSONAL | {"email": "personal at private"})
    agent.ask(handler, "GET /leads/{lead_id}", path={"lead_id": "+442079460958"})
    path, headers = {"lead_id": lead["id"]}, {"if-match": '"1"', "x-change-reason": "personal reason"}
    agent.ask(handler, "PATCH /leads/{lead_id}", path=path, headers=headers, body={"notes": "personal again"})

    logged = everything_logged.read_text()
    assert lead["id"] in logged
    assert agent.claims["custom:tenant_id"] in logged
    # Thousands of lines differ in nothing else, and each is searched for thousands of values.
    logged = "\n".join({NOBODYS.sub("", line) for line in logged.splitlines()})
    assert not re.search(r"personal", logged, re.IGNORECASE)
    assert not re.findall(r"\+[1-9]\d{6,14}(?!\d)(?!:)", logged.replace("+0000", ""))
    assert not re.findall(r"[\w.]+@[\w.]+\.\w+", logged)
    rows = (
        connect("superuser").execute("select first_name, last_name, phone_number, email, notes from leads").fetchall()
    )
    known = {str(value) for row in rows for value in row.values() if value and len(str(value)) > 7}
    assert known
    assert not {value for value in known if value in logged}


def test_every_line_of_a_request_names_tenant_organization_and_correlation_id(everything_logged):
    lines = [json.loads(line) for line in everything_logged.read_text().splitlines() if line.startswith("{")]
    answered = [line for line in lines if line.get("message") == "answered" and line.get("status") == 201]
    assert answered
    for line in answered:
        assert {"tenant_id", "organization_id", "correlation_id", "route", "milliseconds"} <= line.keys()
