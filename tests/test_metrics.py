"""What the business counts, as CloudWatch reads it from the log: told once what is counted has committed."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from functions.call_events_worker.app import handler as worker
from functions.gate_api.app import handler as gate_handler
from functions.hold_expiry_worker.app import expire
from functions.leads_api.app import handler as leads_handler
from leadline import metrics
from leadline.budget import DueHolds
from leadline.db import system_transaction, tenant_transaction
from leadline.errors import NotFound
from tests.calling import caller
from tests.ledger import Ledger


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def counted(logged):
    """Every value counted since the test began: name, value and dimensions; and the lines themselves."""

    def counted() -> list[tuple[str, float, dict[str, str]]]:
        return [
            (metric["Name"], line[metric["Name"]], {name: line[name] for name in told["Dimensions"][0]})
            for line in lines(logged())
            for told in line["_aws"]["CloudWatchMetrics"]
            for metric in told["Metrics"]
        ]

    return counted


def lines(text: str) -> list[dict]:
    return [line for line in map(json.loads, text.splitlines()) if "_aws" in line]


def test_a_line_is_in_embedded_metric_format(logged):
    with system_transaction():
        metrics.gauge("OldestDueStep", 1, Channel="sms")
        metrics.gauge("OldestDueStep", 41.5, Channel="sms")
        metrics.count("StepsSent", 3, Channel="sms")
        metrics.count("StepsSent", 2, Channel="sms")
    (line,) = lines(logged())
    assert abs(line["_aws"].pop("Timestamp") / 1000 - datetime.now(UTC).timestamp()) < 60
    assert line["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "Leadline",
            "Dimensions": [["Channel"]],
            "Metrics": [{"Name": "OldestDueStep", "Unit": "Seconds"}, {"Name": "StepsSent", "Unit": "Count"}],
        }
    ]
    assert (line["OldestDueStep"], line["StepsSent"], line["Channel"]) == (41.5, 5, "sms")


def test_what_is_counted_in_a_transaction_is_told_when_it_has_committed(counted, organization):
    with tenant_transaction(organization.caller("admin")):
        metrics.count("StepsSent")
        assert counted() == []
    assert counted() == [("StepsSent", 1, {})]


def test_what_is_rolled_back_is_not_told_and_is_not_told_later(counted, organization):
    with pytest.raises(NotFound), tenant_transaction(organization.caller("admin")):
        metrics.count("StepsSent")
        raise NotFound
    with tenant_transaction(organization.caller("admin")):
        pass
    assert counted() == []


def test_what_is_counted_outside_a_transaction_is_told_at_once(counted):
    metrics.count("StepsSent", 2)
    assert counted() == [("StepsSent", 2, {})]


def test_the_tenant_stands_beside_a_metric_and_is_no_dimension_of_it(logged, organization):
    with tenant_transaction(organization.caller("admin")):
        metrics.count("StepsSent", Channel="sms")
    (line,) = lines(logged())
    assert (line["tenant_id"], line["organization_id"]) == (
        str(organization.tenant_id),
        str(organization.organization_id),
    )
    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Channel"]]


def test_a_lead_is_counted_when_it_is_created_and_neither_as_a_duplicate_nor_by_a_retry(counted, organization):
    agent, body, key = caller(organization), {"phone_number": "+14155550142"}, {"idempotency-key": "one"}
    for status, headers in ((201, key), (201, key), (409, {})):
        assert agent.ask(leads_handler, "POST /leads", body=body, headers=headers).status == status
    assert counted() == [("LeadsCreated", 1, {})]


def test_a_denial_is_counted_by_each_of_its_reasons(counted, organization):
    body = {"channel": "call", "max_cost": "0.50", "phone_number": "+18005550142"}
    key = {"idempotency-key": "one"}
    dialer = caller(organization, "service")
    decision = dialer.ask(gate_handler, "POST /calls/authorize", body=body, headers=key).body
    codes = {reason["code"] for reason in decision["reasons"]}
    assert {"no_consent", "insufficient_budget"} <= codes
    found = counted()
    assert ("GateDecisions", 1, {"Channel": "call", "Outcome": "denied"}) in found
    assert {told["Reason"] for name, _, told in found if name == "GateDenials"} == codes
    assert len(found) == 1 + len(codes)


def test_what_is_spent_is_counted_in_cents_by_what_it_was_for(counted, organization):
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("10")
    ledger.debit("0.25", reference_type="sms")
    ledger.book(("call", "1.5"), ("another", "0.5"))
    ledger.book(("call", "1.5"))  # told again
    assert counted() == [
        ("SpendBooked", 25, {"ReferenceType": "sms"}),
        ("SpendBooked", 200, {"ReferenceType": "call"}),
    ]


def test_a_hold_that_expires_is_counted_once(counted, organization):
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("10")
    due, later = ledger.hold("1", expires_at=datetime.now(UTC)), ledger.hold("2")
    message = DueHolds(
        tenant_id=organization.tenant_id, organization_id=organization.organization_id, hold_ids=[due, later]
    )
    expire(message)
    expire(message)
    assert [value for _, value, _ in counted()] == [1, 0]
    assert ledger.balances()[1] == str(Decimal("2.00"))


def test_a_dead_letter_is_counted_by_its_reason(counted, monkeypatch):
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "dead letters")
    monkeypatch.setattr("leadline.events._send", lambda *_: None)
    assert worker({"Records": [{"messageId": "one", "body": "{"}]}, None) == {"batchItemFailures": []}
    assert counted() == [("DeadLetters", 1, {"Reason": "malformed_json"})]
