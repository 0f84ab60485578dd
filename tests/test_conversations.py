"""The conversation of the gate and the call system, from the question before a call to what is known after it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.events_api.app import handler as events_handler
from tests.call_messages import call, deliver
from tests.calling import caller
from tests.test_gate import ATLANTA, OKLAHOMA, authorize, budget_of, codes, consent, fund, new_lead

# Yesterday at noon in Atlanta: what the call system reports has happened already.
NOON = datetime.now(UTC).replace(hour=17, minute=0, second=0, microsecond=0) - timedelta(days=1)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    member = caller(organization, "admin")
    fund(member)
    for number in (ATLANTA, OKLAHOMA):
        consent(member, number)
    return member


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "no message here is a dead letter")


def told(organization, type_: str, at: datetime, **of_the_call: Any) -> dict[str, Any]:
    return call(organization, type_, **of_the_call) | {"occurred_at": at.isoformat()}


def events(member, type_: str) -> list[dict[str, Any]]:
    return member.ask(events_handler, "GET /events", query={"type": type_}).body["items"]


def of(decision: dict[str, Any]) -> dict[str, Any]:
    return {"decision_id": decision["decision_id"], "hold_id": decision["hold_id"]}


def test_a_call_that_ends_with_an_opt_out_is_paid_and_the_next_is_denied(admin, organization):
    lead = new_lead(admin, ATLANTA)
    first = authorize(admin, None, NOON, lead_id=lead["id"])
    waiting = authorize(admin, None, NOON, lead_id=lead["id"], channel="sms")
    assert first["allowed"]
    assert waiting["allowed"]
    sent = {"id": "call-7", "lead_id": lead["id"], "to": ATLANTA, **of(first)}
    ended = {
        "cost_usd": "0.0301",
        "outcome": "not_interested",
        "opt_out": {"phrase": "never again", "confidence": 0.98},
    }
    assert deliver(told(organization, "started", NOON + timedelta(seconds=9), **sent)) == 0
    assert deliver(told(organization, "completed", NOON + timedelta(seconds=70), **sent, **ended)) == 0
    # Paid from its hold, the rest and the text's hold given back.
    assert budget_of(admin) | {"currency": ""} == {
        "available": "99.9699",
        "held": "0.00",
        "overage": "0.00",
        "currency": "",
    }
    denied = codes(authorize(admin, None, NOON + timedelta(hours=1), lead_id=lead["id"]))
    assert denied == ["calling_blocked", "consent_revoked", "on_dnc_list"]


def test_a_call_that_began_in_time_is_nobodys_concern(admin, organization):
    decision = authorize(admin, ATLANTA, NOON)
    deliver(told(organization, "started", NOON + timedelta(seconds=59), id="call-7", to=ATLANTA, **of(decision)))
    assert events(admin, "call_started_late,call_not_allowed") == []


def test_a_call_that_began_late_is_told_and_takes_its_place_over_the_cap(admin, organization):
    late = authorize(admin, OKLAHOMA, NOON)
    after = NOON + timedelta(minutes=5)
    for number in range(3):
        decision = authorize(admin, OKLAHOMA, after)
        assert decision["allowed"]
        started = told(organization, "started", after, id=f"call-{number}", to=OKLAHOMA, **of(decision))
        assert deliver(started) == 0
    started = told(organization, "started", after, id="call-late", to=OKLAHOMA, **of(late))
    deliver(started, started)
    (found,) = events(admin, "call_started_late")
    assert (found["subject_id"], found["data"]["decision_id"]) == ("call-late", late["decision_id"])
    refused = authorize(admin, OKLAHOMA, after + timedelta(hours=1))
    assert codes(refused) == ["cap_reached"]
    assert refused["reasons"][0]["detail"].startswith("4 of 3")


def test_a_call_that_was_denied_or_went_to_another_number_is_told(admin, organization):
    denied = authorize(admin, "+14045550177", NOON)
    allowed = authorize(admin, ATLANTA, NOON)
    deliver(
        told(organization, "started", NOON, id="call-7", to="+14045550177", decision_id=denied["decision_id"]),
        told(organization, "started", NOON, id="call-8", to=OKLAHOMA, **of(allowed)),
    )
    assert {event["subject_id"] for event in events(admin, "call_not_allowed")} == {"call-7", "call-8"}


def test_a_call_that_failed_before_it_rang_gives_back_money_and_place(admin, organization):
    for number in range(3):
        decision = authorize(admin, OKLAHOMA, NOON)
        sent = {"id": f"call-{number}", "to": OKLAHOMA, **of(decision)}
        deliver(
            told(organization, "failed", NOON + timedelta(seconds=3), **sent, outcome="network_error"),
            told(organization, "started", NOON + timedelta(seconds=2), **sent),
        )
    assert budget_of(admin)["available"] == "100.00"
    assert codes(authorize(admin, OKLAHOMA, NOON + timedelta(minutes=1))) == []
