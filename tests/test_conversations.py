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


@pytest.mark.parametrize(
    "said",
    [
        {"voice": "human"},  # and an artificial one was allowed
        {"decision_id": "01890000-0000-7000-8000-000000000000"},
    ],
)
def test_a_call_other_than_the_one_that_was_allowed_is_told(admin, organization, said):
    decision = authorize(admin, ATLANTA, NOON)
    deliver(told(organization, "started", NOON, **({"id": "call-7", "to": ATLANTA, **of(decision)} | said)))
    assert [event["subject_id"] for event in events(admin, "call_not_allowed")] == ["call-7"]


def test_the_word_for_a_text_allows_no_call(admin, organization):
    decision = authorize(admin, ATLANTA, NOON, channel="sms")
    deliver(told(organization, "started", NOON, id="call-7", to=ATLANTA, **of(decision)))
    assert len(events(admin, "call_not_allowed")) == 1


def test_one_decision_is_for_one_call(admin, organization):
    decision = authorize(admin, ATLANTA, NOON)
    for number in range(3):
        started = NOON + timedelta(seconds=number)
        deliver(told(organization, "started", started, id=f"call-{number}", to=ATLANTA, **of(decision)))
    assert {event["subject_id"] for event in events(admin, "call_not_allowed")} == {"call-1", "call-2"}


def test_a_call_after_an_opt_out_is_told_though_its_minute_was_not_over(admin, organization):
    decision = authorize(admin, ATLANTA, NOON)
    opt_out = {"phrase": "stop", "confidence": 1}
    deliver(told(organization, "completed", NOON + timedelta(seconds=5), id="call-1", to=ATLANTA, opt_out=opt_out))
    deliver(told(organization, "started", NOON + timedelta(seconds=30), id="call-2", to=ATLANTA, **of(decision)))
    assert [event["subject_id"] for event in events(admin, "call_after_opt_out")] == ["call-2"]


def test_a_call_reported_by_its_lead_alone_takes_its_place(admin, organization):
    lead = new_lead(admin, OKLAHOMA)
    for number in range(3):
        decision = authorize(admin, OKLAHOMA, NOON)
        deliver(told(organization, "started", NOON, id=f"call-{number}", lead_id=lead["id"], **of(decision)))
    assert codes(authorize(admin, OKLAHOMA, NOON + timedelta(hours=1))) == ["cap_reached"]
    assert events(admin, "call_not_allowed") == []


def test_a_call_over_the_cap_that_nobody_asked_for_is_told(admin, organization):
    for number in range(4):
        started = NOON + timedelta(minutes=number)
        deliver(told(organization, "started", started, id=f"call-{number}", to=OKLAHOMA))
    assert [event["subject_id"] for event in events(admin, "call_over_cap")] == ["call-3"]
