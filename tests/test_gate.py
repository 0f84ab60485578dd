"""The gate: each reason against a contact, all of them told, decided once, and its money held."""

import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from functions.budget_api.app import handler as budget_handler
from functions.config_api.app import handler as config_handler
from functions.consents_api.app import handler as consents_handler
from functions.dnc_api.app import handler as dnc_handler
from functions.gate_api.app import handler
from functions.leads_api.app import handler as leads_handler
from leadline import budget, config, gate
from leadline.db import tenant_transaction
from leadline.gate import Ask
from tests.calling import Reply, caller

MIAMI, ATLANTA, OKLAHOMA, MARYLAND, TOLL_FREE = (
    *("+13055550142", "+14045550142", "+14055550142", "+14105550142"),
    "+18005550142",
)
PENSACOLA, EVANSVILLE, FLAGSTAFF, SEATTLE = "+18505550142", "+18125550142", "+19285550142", "+12065550142"
NEW_YORK = ZoneInfo("America/New_York")


def local(clock: str, day: str = "2026-07-15", zone: str = "America/New_York") -> datetime:
    """An instant by its wall clock; the day is a Wednesday."""
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=ZoneInfo(zone))


NOON = local("12:00")


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


@pytest.fixture(autouse=True)
def _clock_of_the_request(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")


@pytest.fixture
def dialer(organization):
    return caller(organization, "service")


_keys = iter(range(10**9))


def ask(member, number: str | None = None, clock: datetime | None = NOON, key: str | None = None, **fields) -> Reply:
    body = {"channel": "call", "max_cost": "0.50"} | fields
    if number:
        body["phone_number"] = number
    if clock:
        body.setdefault("at", clock.isoformat())
    headers = {"idempotency-key": key or f"ask {next(_keys)}"}
    return member.ask(handler, "POST /calls/authorize", body=body, headers=headers)


def authorize(member, number: str | None = None, clock: datetime | None = NOON, **fields: Any) -> dict[str, Any]:
    reply = ask(member, number, clock, **fields)
    assert reply.status == 200, reply.body
    return reply.body


def codes(decision: dict[str, Any]) -> list[str]:
    assert decision["allowed"] == (not decision["reasons"])
    return sorted({reason["code"] for reason in decision["reasons"]})


def consent(member, number: str, **fields: Any) -> None:
    body = {
        "phone_number": number,
        "kind": "prior_express_written",
        "channels": ["call", "sms"],
        "voice_modes": ["human", "artificial"],
        "disclosure_text": "You may call me, with an artificial voice too.",
        "disclosure_version": "1",
        "method": "web_form",
        "captured_at": "2026-01-01T12:00:00Z",
    }
    reply = member.ask(consents_handler, "POST /consents", body=body | fields)
    assert reply.status == 201, reply.body


def fund(member, amount: str = "100") -> None:
    assert member.ask(budget_handler, "POST /budget/credits", body={"amount": amount}).status == 201


def budget_of(member) -> dict[str, str]:
    return member.ask(budget_handler, "GET /budget").body


def new_lead(member, number: str, **fields: Any) -> dict[str, Any]:
    reply = member.ask(leads_handler, "POST /leads", body={"phone_number": number} | fields)
    assert reply.status == 201, reply.body
    return reply.body


def decide_config(member, key: str, value: Any) -> None:
    reply = member.ask(config_handler, "PUT /config/{key}", path={"key": key}, body={"value": value})
    assert reply.status == 200, reply.body


@pytest.fixture
def call_row(organization, connect):
    """Makes a call as the messages of the call system leave it."""
    conn = connect()

    def call_row(number: str, at: datetime, **fields: Any) -> None:
        row = {"direction": "outbound", "rang": True, "decision_id": None, "refused_at": None} | fields
        with conn.transaction():
            conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
            conn.execute(
                """
                insert into calls (
                    call_id, phone_number, occurred_at, placed_at, status, decision_id, direction, rang, refused_at
                )
                values (
                    %(call_id)s, %(number)s, %(at)s, %(at)s, 'started', %(decision_id)s, %(direction)s, %(rang)s,
                    %(refused_at)s
                )
                """,
                row | {"call_id": f"call {next(_keys)}", "number": number, "at": at},
            )

    return call_row


@pytest.fixture
def place_call(ready, call_row):
    """Has a call authorized and started."""

    def place_call(number: str, at: datetime, **fields: Any) -> None:
        decision = authorize(ready, number, at)
        assert decision["allowed"], decision["reasons"]
        call_row(number, at, decision_id=decision["decision_id"], **fields)

    return place_call


def list_number(member, number: str, **fields: Any) -> None:
    body = {"phone_number": number, "reason": "lead_requested"} | fields
    assert member.ask(dnc_handler, "POST /dnc", body=body).status == 201


@pytest.fixture
def ready(admin):
    """An organization with money, and consent from everybody whom the tests call."""
    fund(admin)
    for number in (MIAMI, ATLANTA, OKLAHOMA, MARYLAND, PENSACOLA, EVANSVILLE, FLAGSTAFF, SEATTLE, TOLL_FREE):
        consent(admin, number)
    return admin


# What is allowed -----------------------------------------------------------------------------------------------------


def test_what_nothing_forbids_is_allowed_for_a_minute_with_its_money_held(ready, dialer):
    decision = authorize(dialer, ATLANTA, max_cost="1.25")
    assert decision["allowed"]
    assert decision["reasons"] == []
    assert datetime.fromisoformat(decision["valid_until"]) == NOON + timedelta(seconds=60)
    assert decision["next_allowed_at"] is None
    assert decision["hold_id"]
    assert budget_of(ready) | {"currency": ""} == {
        "available": "98.75",
        "held": "1.25",
        "overage": "0.00",
        "currency": "",
    }


def test_a_decision_never_outlives_the_window(ready):
    decision = authorize(ready, MIAMI, local("19:59:40"))
    assert datetime.fromisoformat(decision["valid_until"]) == local("20:00")


def test_without_a_cost_the_usual_one_of_the_channel_is_held(ready):
    decide_config(ready, "call_max_cost", "0.75")
    decide_config(ready, "sms_max_cost", "0.02")
    authorize(ready, ATLANTA, max_cost=None)
    assert budget_of(ready)["held"] == "0.75"
    authorize(ready, ATLANTA, channel="sms", max_cost=None)
    assert budget_of(ready)["held"] == "0.77"


def test_a_call_is_by_an_artificial_voice_unless_it_is_said_otherwise(admin):
    fund(admin)
    consent(admin, ATLANTA, kind="express")
    assert codes(authorize(admin, ATLANTA)) == ["no_consent"]
    assert codes(authorize(admin, ATLANTA, voice="artificial")) == ["no_consent"]
    assert codes(authorize(admin, ATLANTA, voice="human")) == []


def test_every_decision_is_kept_with_what_it_rested_on(ready, organization, connect):
    lead = new_lead(ready, MIAMI, first_name="Ana", state="FL")
    decision = authorize(ready, clock=local("20:30"), lead_id=lead["id"])
    conn = connect()
    with conn.transaction():
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        row = conn.execute("select * from gate_decisions where id = %s", [decision["decision_id"]]).fetchone()
    assert row is not None
    assert (str(row["lead_id"]), row["phone_number"], row["allowed"]) == (lead["id"], MIAMI, False)
    assert row["decided_at"] == local("20:30")
    assert row["reasons"] == decision["reasons"]
    assert row["inputs"]["rules"] == {"us.federal.call": 1, "us-fl.call": 1}
    assert row["inputs"]["zones"] == ["America/Chicago", "America/New_York"]  # all of Florida's
    assert row["inputs"]["consent_id"]
    assert "Ana" not in json.dumps(row, default=str)


# Reasons -------------------------------------------------------------------------------------------------------------


def test_an_artificial_voice_needs_a_written_consent(admin):
    fund(admin)
    assert codes(authorize(admin, ATLANTA, voice="artificial")) == ["no_consent"]
    consent(admin, ATLANTA)
    assert codes(authorize(admin, ATLANTA, voice="artificial")) == []


def test_a_revocation_denies_until_a_later_written_consent(ready):
    revoked = ready.ask(consents_handler, "POST /consents/revocations", body={"phone_number": ATLANTA})
    assert revoked.status == 201
    assert codes(authorize(ready, ATLANTA)) == ["consent_revoked"]
    assert authorize(ready, ATLANTA)["next_allowed_at"] is None
    consent(ready, ATLANTA, captured_at=datetime.now(UTC).isoformat())
    assert codes(authorize(ready, ATLANTA)) == []


def test_an_opt_out_voids_consent_even_when_its_entry_is_gone(ready):
    body = {"phone_number": ATLANTA, "reason": "lead_requested"}
    entry = ready.ask(dnc_handler, "POST /dnc", body=body).body
    assert codes(authorize(ready, ATLANTA)) == ["consent_revoked", "on_dnc_list"]
    later = {"captured_at": datetime.now(UTC).isoformat(), "disclosure_text": "Call me again.", "method": "web_form"}
    removed = ready.ask(
        dnc_handler,
        "DELETE /dnc/{entry_id}",
        path={"entry_id": entry["id"]},
        body={"reason": "asked to be called again", "consent": later},
    )
    assert removed.status == 200, removed.body
    assert codes(authorize(ready, ATLANTA)) == ["consent_revoked"]
    consent(ready, ATLANTA, captured_at=datetime.now(UTC).isoformat())
    assert codes(authorize(ready, ATLANTA)) == []


def test_a_listed_number_is_denied_and_so_is_its_lead(ready):
    lead = new_lead(ready, ATLANTA)
    list_number(ready, ATLANTA, reason="admin_added")
    assert codes(authorize(ready, ATLANTA)) == ["calling_blocked", "on_dnc_list"]
    assert codes(authorize(ready, lead_id=lead["id"])) == ["calling_blocked", "on_dnc_list"]
    assert authorize(ready, ATLANTA)["next_allowed_at"] is None


def test_half_past_eight_in_the_evening_is_too_late_in_miami_and_not_in_atlanta(ready):
    miami = authorize(ready, MIAMI, local("20:30"))
    assert codes(miami) == ["outside_hours"]
    assert miami["reasons"][0]["rule"] == "us-fl.call"
    assert datetime.fromisoformat(miami["next_allowed_at"]) == local("08:00", "2026-07-16")
    assert codes(authorize(ready, ATLANTA, local("20:30"))) == []


@pytest.mark.parametrize(
    ("number", "first", "last"),
    [
        (
            PENSACOLA,
            local("09:00"),
            local("20:00"),
        ),  # Florida's hours, from eight in Chicago's time to eight in New York's
        (EVANSVILLE, local("09:00"), local("21:00")),
        (FLAGSTAFF, local("11:00"), local("23:00")),  # in July Phoenix is an hour behind Denver: eight there, nine here
    ],
)
def test_an_area_of_two_zones_waits_for_both(ready, number, first, last):
    minute = timedelta(minutes=1)
    assert codes(authorize(ready, number, first - minute)) == ["outside_hours"]
    assert codes(authorize(ready, number, first)) == []
    assert codes(authorize(ready, number, last - minute)) == []
    assert codes(authorize(ready, number, last)) == ["outside_hours"]


def test_a_toll_free_a_foreign_and_a_canadian_number_have_no_rule(ready):
    for number in (TOLL_FREE, "+442079460018", "+14165550142"):
        consent(ready, number)
        assert codes(authorize(ready, number)) == ["no_rule_for_region"]
        assert authorize(ready, number)["next_allowed_at"] is None


def test_the_strictest_of_where_a_lead_lives_and_where_its_number_is_from(ready):
    lead = new_lead(ready, ATLANTA, state="Florida", time_zone="America/Chicago")
    assert codes(authorize(ready, clock=local("20:30"), lead_id=lead["id"])) == ["outside_hours"]
    assert codes(authorize(ready, ATLANTA, local("08:30"))) == [
        "outside_hours"
    ]  # the number's lead is in Chicago's time


def test_a_state_that_is_none_denies(ready):
    lead = new_lead(ready, ATLANTA, state="Old Georgia")
    assert codes(authorize(ready, lead_id=lead["id"])) == ["unknown_zone"]


def test_a_deleted_lead_is_denied_and_an_unknown_one_not_found(ready, customer):
    lead = new_lead(ready, ATLANTA)
    ready.ask(leads_handler, "DELETE /leads/{lead_id}", path={"lead_id": lead["id"]}, headers={"if-match": '"1"'})
    assert codes(authorize(ready, lead_id=lead["id"])) == ["lead_deleted"]
    stranger = caller(customer(), "admin")
    assert ask(stranger, lead_id=lead["id"]).status == 404


def test_without_money_there_is_no_call(admin):
    consent(admin, ATLANTA)
    assert codes(authorize(admin, ATLANTA)) == ["insufficient_budget"]
    fund(admin, "0.49")
    assert codes(authorize(admin, ATLANTA)) == ["insufficient_budget"]
    fund(admin, "0.01")
    assert codes(authorize(admin, ATLANTA)) == []
    assert codes(authorize(admin, ATLANTA)) == ["insufficient_budget"]


def test_all_reasons_are_told_and_not_only_the_first(admin):
    lead = new_lead(admin, MIAMI)
    list_number(admin, MIAMI)
    found = codes(authorize(admin, clock=local("23:00"), lead_id=lead["id"]))
    assert found == ["calling_blocked", "consent_revoked", "insufficient_budget", "on_dnc_list", "outside_hours"]


def test_an_organization_may_be_stricter_and_not_laxer(ready):
    decide_config(ready, "calling_hours", {"call": {"start": "10:00", "end": "23:00"}})
    early = authorize(ready, ATLANTA, local("09:30"))
    assert (codes(early), early["reasons"][0]["rule"]) == (["outside_hours"], "organization")
    assert codes(authorize(ready, ATLANTA, local("22:00"))) == ["outside_hours"]
    assert codes(authorize(ready, ATLANTA, local("11:00"))) == []


# Caps ----------------------------------------------------------------------------------------------------------------


def test_the_fourth_call_in_a_day_to_an_oklahoma_number_is_refused_whatever_lead(ready, place_call):
    lead = new_lead(ready, OKLAHOMA)
    start = local("12:00", zone="America/Chicago")
    for number in range(3):
        place_call(OKLAHOMA, start + timedelta(minutes=number))
    refused = authorize(ready, clock=start + timedelta(minutes=10), lead_id=lead["id"])
    assert (codes(refused), refused["reasons"][0]["rule"]) == (["cap_reached"], "us-ok.call")
    again = datetime.fromisoformat(refused["next_allowed_at"])
    assert again == start + timedelta(days=1)
    assert codes(authorize(ready, OKLAHOMA, again - timedelta(minutes=1))) == ["cap_reached"]
    assert codes(authorize(ready, OKLAHOMA, again)) == []


def test_maryland_counts_calls_and_texts_together(ready):
    for number in range(3):
        authorize(ready, MARYLAND, NOON + timedelta(seconds=number), channel="sms")
    assert codes(authorize(ready, MARYLAND, NOON + timedelta(minutes=10))) == ["cap_reached"]


def test_what_was_allowed_and_never_started_frees_its_place(ready):
    for _ in range(3):
        authorize(ready, OKLAHOMA, NOON)
    assert codes(authorize(ready, OKLAHOMA, NOON + timedelta(seconds=59))) == ["cap_reached"]
    assert codes(authorize(ready, OKLAHOMA, NOON + timedelta(seconds=61))) == []


def authorize_in_process(organization, number, at=NOON):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEADLINE_REQUEST_CLOCK", "1")
        return ask(caller(organization, "service"), number, at, key=uuid4().hex).body


def test_two_dialers_at_once_do_not_pass_a_cap(place_call, in_processes, organization):
    for number in range(2):
        place_call(OKLAHOMA, NOON + timedelta(seconds=number))
    for round_ in range(10):
        at = NOON + timedelta(hours=1, minutes=2 * round_)
        replies = in_processes(authorize_in_process, *[(organization, OKLAHOMA, at)] * 4)
        assert sum(reply["allowed"] for reply in replies) == 1


def test_a_call_that_never_rang_frees_its_place_and_an_inbound_one_takes_none(ready, place_call):
    for number in range(3):
        place_call(OKLAHOMA, NOON + timedelta(minutes=2 * number), rang=False)
        place_call(OKLAHOMA, NOON + timedelta(minutes=2 * number, seconds=30), direction="inbound")
    assert codes(authorize(ready, OKLAHOMA, NOON + timedelta(minutes=30))) == []


def test_a_call_that_starts_late_takes_its_place_again(ready, call_row):
    decisions = [authorize(ready, OKLAHOMA, NOON + timedelta(seconds=number)) for number in range(3)]
    later = NOON + timedelta(minutes=5)
    assert codes(authorize(ready, OKLAHOMA, later)) == []
    for decision in decisions:
        call_row(OKLAHOMA, later, decision_id=decision["decision_id"])
    assert codes(authorize(ready, OKLAHOMA, later + timedelta(minutes=2))) == ["cap_reached"]


def test_a_call_reported_without_a_decision_takes_a_place(ready, call_row):
    for number in range(3):
        call_row(OKLAHOMA, NOON + timedelta(seconds=number))
    assert codes(authorize(ready, OKLAHOMA, NOON + timedelta(minutes=1))) == ["cap_reached"]


def test_what_another_organization_did_takes_no_place(call_row, customer, organization):
    for number in range(3):
        call_row(OKLAHOMA, NOON + timedelta(seconds=number))
    sister = caller(customer(beside=organization), "admin")
    fund(sister)
    consent(sister, OKLAHOMA)
    assert codes(authorize(sister, OKLAHOMA, NOON + timedelta(minutes=1))) == []
    first = caller(organization, "admin")
    fund(first)
    consent(first, OKLAHOMA)
    assert codes(authorize(first, OKLAHOMA, NOON + timedelta(minutes=1))) == ["cap_reached"]


def test_in_washington_who_refused_is_left_alone_for_a_year(ready, call_row):
    call_row(SEATTLE, NOON, refused_at=NOON)
    refused = authorize(ready, SEATTLE, NOON + timedelta(days=365))
    assert (codes(refused), refused["reasons"][0]["rule"]) == (["cap_reached"], "us-wa.call")
    assert datetime.fromisoformat(refused["next_allowed_at"]) == NOON + timedelta(days=366)
    assert codes(authorize(ready, SEATTLE, NOON + timedelta(days=366))) == []


def test_an_organization_may_cap_contacts_itself(ready):
    decide_config(ready, "calling_hours", {"cap": 1})
    authorize(ready, ATLANTA, channel="sms")
    refused = authorize(ready, ATLANTA)
    assert (codes(refused), refused["reasons"][0]["rule"]) == (["cap_reached"], "organization")


def test_what_waits_gives_its_place_back_when_its_minute_is_over(ready):
    for _ in range(3):
        authorize(ready, OKLAHOMA, NOON)
    refused = authorize(ready, OKLAHOMA, NOON + timedelta(seconds=1))
    assert datetime.fromisoformat(refused["next_allowed_at"]) == NOON + timedelta(seconds=60)


# What ends ----------------------------------------------------------------------------------------------------------


def test_no_time_helps_after_the_consent_has_ended(admin):
    fund(admin)
    soon = datetime.now(UTC) + timedelta(minutes=30)
    consent(admin, MIAMI, expires_at=soon.isoformat())
    evening = datetime.now(NEW_YORK).replace(hour=23, minute=0)
    decision = authorize(admin, MIAMI, evening)
    assert (codes(decision), decision["next_allowed_at"]) == (["outside_hours"], None)


def test_a_decision_does_not_outlive_its_consent(admin):
    fund(admin)
    ends = datetime.now(UTC) + timedelta(seconds=20)
    # Somewhere in the country it is day.
    allowed = []
    for number in (ATLANTA, SEATTLE, "+18085550142", "+16715550142", "+13405550142"):
        consent(admin, number, expires_at=ends.isoformat())
        allowed.append(authorize(admin, number, None))
    until = [datetime.fromisoformat(one["valid_until"]) for one in allowed if one["allowed"]]
    assert until
    assert max(until) <= ends


def test_an_entry_that_has_expired_denies_no_more_though_the_clock_has_not_lifted_it(ready):
    lead = new_lead(ready, ATLANTA)
    soon = datetime.now(UTC) + timedelta(seconds=1)
    list_number(ready, ATLANTA, reason="cooling_off", expires_at=soon.isoformat())
    assert codes(authorize(ready, lead_id=lead["id"])) == ["calling_blocked", "on_dnc_list"]
    time.sleep(max(0, (soon - datetime.now(UTC)).total_seconds()) + 0.05)
    assert codes(authorize(ready, lead_id=lead["id"])) == []


def test_a_temporary_entry_says_when_it_is_over_and_a_lasting_one_says_nothing(ready):
    ends = datetime.now(UTC) + timedelta(days=9)
    new_lead(ready, ATLANTA)
    list_number(ready, ATLANTA, reason="cooling_off", expires_at=ends.isoformat())
    list_number(ready, OKLAHOMA, reason="admin_added")
    until = datetime.fromisoformat(authorize(ready, ATLANTA)["next_allowed_at"])
    in_atlanta = until.astimezone(NEW_YORK)
    assert until >= ends
    # Where it ends at night, the morning after it.
    assert until == ends or (in_atlanta.hour, in_atlanta.minute) == (8, 0)
    assert authorize(ready, OKLAHOMA)["next_allowed_at"] is None


def test_a_temporary_entry_that_stops_email_too_says_when_it_is_over(ready):
    ends = datetime.now(UTC) + timedelta(days=9)
    lead = new_lead(ready, ATLANTA, email="ada@example.org")
    decide_config(ready, "postal_address", "1 Main Street, Atlanta, GA 30303")
    list_number(ready, ATLANTA, reason="cooling_off", expires_at=ends.isoformat())
    decision = authorize(ready, lead_id=lead["id"], channel="email")
    assert (codes(decision), datetime.fromisoformat(decision["next_allowed_at"])) == (["on_dnc_list"], ends)


def test_an_opt_out_that_a_lead_took_along_voids_what_the_new_number_had_agreed_to(ready):
    lead = new_lead(ready, OKLAHOMA)
    list_number(ready, OKLAHOMA)
    path = {"lead_id": lead["id"]}
    version = ready.ask(leads_handler, "GET /leads/{lead_id}", path=path).headers["etag"]
    moved = ready.ask(
        leads_handler,
        "PATCH /leads/{lead_id}",
        path=path,
        headers={"if-match": version},
        body={"phone_number": ATLANTA},
    )
    assert moved.status == 200, moved.body
    assert codes(authorize(ready, ATLANTA)) == ["calling_blocked", "consent_revoked", "on_dnc_list"]


def test_money_held_for_a_number_comes_back_with_its_revocation(ready):
    assert authorize(ready, ATLANTA)["allowed"]
    ready.ask(consents_handler, "POST /consents/revocations", body={"phone_number": ATLANTA})
    assert budget_of(ready)["held"] == "0.00"


# Texts and emails ----------------------------------------------------------------------------------------------------


def test_a_text_needs_a_written_consent_and_heeds_its_own_hours(ready):
    assert codes(authorize(ready, MIAMI, local("20:30"), channel="sms")) == ["outside_hours"]
    assert codes(authorize(ready, MIAMI, channel="sms")) == []
    assert codes(authorize(ready, "+14045550199", channel="sms")) == ["no_consent"]


def test_an_email_needs_an_address_of_both(admin):
    lead = new_lead(admin, ATLANTA)
    found = codes(authorize(admin, lead_id=lead["id"], channel="email", max_cost=None))
    assert found == ["bad_number", "no_consent"]
    decide_config(admin, "postal_address", "1 Main Street, Atlanta, GA 30303")
    other = new_lead(admin, MIAMI, email="Ana@example.com")
    decision = authorize(admin, clock=local("23:00"), lead_id=other["id"], channel="email", max_cost=None)
    assert codes(decision) == []
    assert decision["hold_id"] is None


def test_a_phone_opt_out_stops_email_unless_the_organization_decides_otherwise(admin):
    decide_config(admin, "postal_address", "1 Main Street, Atlanta, GA 30303")
    lead = new_lead(admin, MIAMI, email="ana@example.com")
    fields = {"lead_id": lead["id"], "channel": "email", "max_cost": None}
    list_number(admin, MIAMI)
    assert codes(authorize(admin, **fields)) == ["on_dnc_list"]
    decide_config(admin, "phone_opt_out_stops_email", False)
    assert codes(authorize(admin, **fields)) == []


def test_an_email_opt_out_of_the_person_stops_email_and_calls_go_on(ready):
    decide_config(ready, "postal_address", "1 Main Street, Atlanta, GA 30303")
    lead = new_lead(ready, ATLANTA, email="ana@example.com")
    revoked = {"phone_number": ATLANTA, "channels": ["email"]}
    assert ready.ask(consents_handler, "POST /consents/revocations", body=revoked).status == 201
    assert codes(authorize(ready, lead_id=lead["id"], channel="email", max_cost=None)) == ["consent_revoked"]
    assert codes(authorize(ready, lead_id=lead["id"])) == []


# Asked twice, and wrongly --------------------------------------------------------------------------------------------


def test_a_retry_answers_the_same_decision_hold_and_place(ready):
    first, second = (ask(ready, OKLAHOMA, key="call 17") for _ in range(2))
    assert first.body == second.body
    assert budget_of(ready)["held"] == "0.50"
    for _ in range(2):
        assert authorize(ready, OKLAHOMA)["allowed"]
    assert codes(authorize(ready, OKLAHOMA)) == ["cap_reached"]
    assert ask(ready, OKLAHOMA, key="call 17").body == first.body


def test_the_same_key_for_another_question_is_a_conflict(ready):
    ask(ready, OKLAHOMA, key="call 17")
    assert ask(ready, ATLANTA, key="call 17").body["code"] == "idempotency_conflict"


def test_a_key_is_required(ready):
    reply = ready.ask(handler, "POST /calls/authorize", body={"phone_number": ATLANTA, "channel": "call"})
    assert (reply.status, reply.body["code"]) == (422, "idempotency_key_required")


def test_the_time_is_not_for_the_caller_to_say(ready, monkeypatch):
    monkeypatch.delenv("LEADLINE_REQUEST_CLOCK")
    reply = ask(ready, ATLANTA)
    assert (reply.status, reply.body["code"], reply.body["errors"][0]["pointer"]) == (422, "clock_not_yours", "/at")
    assert ask(ready, ATLANTA, clock=None).status == 200


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "one_of"),
        ({"phone_number": ATLANTA, "lead_id": str(uuid4())}, "one_of"),
        ({"phone_number": "911"}, "bad_phone"),
        ({"phone_number": ATLANTA, "channel": "fax"}, "literal_error"),
        ({"phone_number": ATLANTA, "voice": "robot"}, "literal_error"),
        ({"phone_number": ATLANTA, "max_cost": 1}, "bad_amount"),
        ({"phone_number": ATLANTA, "max_cost": "0"}, "bad_amount"),
        ({"phone_number": ATLANTA, "max_cost": "-1"}, "bad_amount"),
        ({"phone_number": ATLANTA, "max_cost": "1e3"}, "bad_amount"),
        ({"phone_number": ATLANTA, "at": "2026-07-15T12:00:00"}, "timezone_aware"),
        ({"phone_number": ATLANTA, "tenant_id": str(uuid4())}, "unknown_field"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_field(ready, fields, code):
    reply = ask(ready, **fields)
    assert (reply.status, reply.body["code"]) == (422, code)
    assert budget_of(ready)["held"] == "0.00"


def test_the_missing_money_is_told_beside_the_hour_and_then_no_time_helps(admin):
    consent(admin, MIAMI)
    refused = authorize(admin, MIAMI, local("23:00"))
    assert (codes(refused), refused["next_allowed_at"]) == (["insufficient_budget", "outside_hours"], None)


def test_an_agent_who_sees_own_leads_only_asks_for_no_other(ready, organization):
    decide_config(ready, "agents_see_own_leads_only", True)
    lead = new_lead(ready, ATLANTA, user_id=str(organization.members["manager"].id))
    agent = caller(organization, "agent")
    assert [ask(agent, ATLANTA).status, ask(agent, lead_id=lead["id"]).status] == [404, 404]
    assert ask(agent, MIAMI).body["allowed"]


# Several at once -----------------------------------------------------------------------------------------------------


def test_many_are_decided_as_one_after_the_other(ready, organization):
    asks = [Ask(None, OKLAHOMA, "call", "artificial", Decimal("0.50"))] * 4
    asks += [Ask(None, number, "call", "artificial", Decimal(40)) for number in (ATLANTA, MIAMI, PENSACOLA, SEATTLE)]
    with tenant_transaction(organization.caller(None)) as tx:
        decisions = gate.decide(tx, asks, config.read(tx), NOON)
    assert [[reason.code for reason in one.reasons] for one in decisions] == [
        *([], [], [], ["cap_reached"]),
        *([], [], ["insufficient_budget"], ["insufficient_budget"]),
    ]
    assert budget_of(ready)["held"] == "81.50"


def test_a_members_cap_is_heeded(ready, organization):
    agent = organization.members["agent"].id
    lead = new_lead(ready, ATLANTA, user_id=str(agent))
    with tenant_transaction(organization.caller("admin")) as tx:
        budget.cap(tx, agent, budget.NewCap(monthly_amount="0.75"))
    assert codes(authorize(ready, lead_id=lead["id"])) == []
    refused = authorize(ready, lead_id=lead["id"])
    assert (codes(refused), refused["reasons"][0]["rule"]) == (["insufficient_budget"], "budget.cap")
    assert codes(authorize(ready, MIAMI)) == []


def test_an_authorization_takes_three_round_trips(ready, dialer, delayed):
    lead = new_lead(ready, ATLANTA)
    ask(dialer, lead_id=lead["id"])
    with delayed() as trips:
        ask(dialer, lead_id=lead["id"])  # opens the connection
        before = trips()
        assert ask(dialer, lead_id=lead["id"]).body["allowed"]
        assert trips() - before <= 3


def opt_out_in_process(organization, number):
    list_number(caller(organization, "agent"), number)


def either(what, organization, number):
    return (opt_out_in_process if what == "opt out" else authorize_in_process)(organization, number)


def test_an_opt_out_and_an_authorization_at_once_leave_no_call_allowed_after_it(ready, organization, in_processes):
    for round_ in range(10):
        number = f"+1404555{2000 + round_}"
        consent(ready, number)
        _, *replies = in_processes(either, ("opt out", organization, number), *[("ask", organization, number)] * 3)
        assert all(reply["allowed"] or "on_dnc_list" in codes(reply) for reply in replies)
        assert "on_dnc_list" in codes(authorize(ready, number))
    # What was allowed just before has had its money back from the opt-out.
    assert budget_of(ready)["held"] == "0.00"
