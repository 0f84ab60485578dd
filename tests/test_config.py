"""What an organization decides for itself, over HTTP; and agents who see their own leads only."""

import uuid

import pytest

from functions.config_api.app import handler as config_api
from functions.leads_api.app import handler
from leadline import config
from leadline.config import CALL_OUTCOMES, CallingHours, Config
from leadline.db import tenant_transaction
from tests.calling import caller
from tests.leads import NUMBER, add_tag, change, create, delete, get, of_lead, page, remove_tag, restore


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


def put(member, key, value):
    return member.ask(config_api, "PUT /config/{key}", path={"key": key}, body={"value": value})


def read(member, key):
    return member.ask(config_api, "GET /config/{key}", path={"key": key})


# Keys ----------------------------------------------------------------------------------------------------------------

DEFAULTS = {
    "default_region": "US",
    "time_zone": "America/New_York",
    "custom_fields": [],
    "agents_see_own_leads_only": False,
    "cooling_off_days": 30,
    "call_outcomes": CALL_OUTCOMES,
    "currency": "USD",
    "budget_alerts": ["100", "20"],
    "calling_hours": {"call": None, "sms": None, "cap": None},
    "call_max_cost": "1.00",
    "sms_max_cost": "0.05",
    "postal_address": None,
    "phone_opt_out_stops_email": True,
    "email_from": None,
    "sms_from": None,
    "opt_out_confirmation": "You are unsubscribed and will get no more calls or texts from {{organization.name}}.",
    "nurture_failure_limit": {"rate": 0.3, "minimum": 50, "days": 7},
}


@pytest.mark.parametrize("key", Config.model_fields)
def test_a_key_that_nobody_has_decided_has_its_default(admin, key):
    reply = read(admin, key)
    assert reply.status == 200
    assert reply.body == {"key": key, "value": DEFAULTS[key], "updated_by": None, "updated_at": None}


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("default_region", "gb", "GB"),
        ("time_zone", "Europe/Paris", "Europe/Paris"),
        (
            "custom_fields",
            [{"name": "size", "type": "choice", "choices": ["S", "M"]}, {"name": "age", "type": "number"}],
            [
                {"name": "size", "type": "choice", "choices": ["S", "M"]},
                {"name": "age", "type": "number", "choices": []},
            ],
        ),
        ("agents_see_own_leads_only", True, True),
        ("cooling_off_days", 365, 365),
        ("call_outcomes", {"demo booked": "hot", "interested": None}, {"demo booked": "hot", "interested": None}),
        ("currency", "EUR", "EUR"),
        ("budget_alerts", ["0.0001", "50.00"], ["0.0001", "50.00"]),
        ("budget_alerts", [], []),
        (
            "calling_hours",
            {"call": {"start": "09:30", "end": "17:00", "weekdays": ["mon", "fri"]}, "cap": 2},
            {"call": {"start": "09:30", "end": "17:00", "weekdays": ["mon", "fri"]}, "sms": None, "cap": 2},
        ),
        (
            "calling_hours",
            {"sms": {"start": "22:00", "end": "06:00"}},
            {
                "call": None,
                "sms": {
                    "start": "22:00",
                    "end": "06:00",
                    "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
                },
                "cap": None,
            },
        ),
    ],
)
def test_a_key_is_decided_and_decided_again(organization, admin, key, value, kept):
    for decided, found in ((value, kept), (DEFAULTS[key], DEFAULTS[key])):
        reply = put(admin, key, decided)
        assert reply.status == 200
        assert (reply.body["value"], reply.body["updated_by"]) == (found, str(organization.members["admin"].id))
        assert read(caller(organization, "manager"), key).body == reply.body


def test_calling_hours_are_read_as_they_were_decided(organization, admin):
    with tenant_transaction(organization.caller()) as tx:
        assert config.read(tx).calling_hours == CallingHours()
    put(admin, "calling_hours", {"call": {"start": "09:30", "end": "17:00"}, "cap": 2})
    with tenant_transaction(organization.caller()) as tx:
        decided = config.read(tx).calling_hours
    assert (decided.call.start, decided.call.end, len(decided.call.weekdays)) == ("09:30", "17:00", 7)
    assert (decided.sms, decided.cap) == (None, 2)


def test_another_organization_decides_for_itself(admin, organization, customer):
    put(admin, "cooling_off_days", 7)
    for stranger in (customer(), customer(beside=organization)):
        assert read(caller(stranger, "admin"), "cooling_off_days").body["value"] == 30


@pytest.mark.parametrize(
    ("key", "value", "code", "pointer"),
    [
        ("default_region", "XX", "bad_country", "/value"),
        ("default_region", None, "string_type", "/value"),
        ("time_zone", "EST5EDT4", "bad_time_zone", "/value"),
        ("time_zone", "../../etc/passwd", "bad_time_zone", "/value"),
        ("time_zone", "nul\0", "nul_character", "/value"),
        ("cooling_off_days", 0, "greater_than_equal", "/value"),
        ("cooling_off_days", 366, "less_than_equal", "/value"),
        ("cooling_off_days", "30", "int_type", "/value"),
        ("cooling_off_days", 1.5, "int_type", "/value"),
        ("call_outcomes", {"asked us to stop": "dnc"}, "literal_error", "/value/asked us to stop"),
        ("agents_see_own_leads_only", 1, "bool_type", "/value"),
        ("agents_see_own_leads_only", "true", "bool_type", "/value"),
        ("currency", "usd", "string_pattern_mismatch", "/value"),
        ("budget_alerts", ["50", "0"], "bad_amount", "/value/1"),
        ("budget_alerts", [50], "string_type", "/value/0"),
        ("budget_alerts", ["1"] * 21, "too_long", "/value"),
        ("calling_hours", [], "model_type", "/value"),
        ("calling_hours", {"email": None}, "unknown_field", "/value/email"),
        ("calling_hours", {"cap": 0}, "greater_than_equal", "/value/cap"),
        ("calling_hours", {"cap": "3"}, "int_type", "/value/cap"),
        ("calling_hours", {"call": {"start": "09:00", "end": "09:00"}}, "no_length", "/value/call"),
        ("calling_hours", {"call": {"start": "09:00"}}, "missing", "/value/call/end"),
        ("calling_hours", {"call": {"start": "9:00", "end": "20:00"}}, "string_pattern_mismatch", "/value/call/start"),
        ("calling_hours", {"call": {"start": "09:00", "end": "24:00"}}, "string_pattern_mismatch", "/value/call/end"),
        (
            "calling_hours",
            {"sms": {"start": "09:00", "end": "20:00", "weekdays": []}},
            "too_short",
            "/value/sms/weekdays",
        ),
        (
            "calling_hours",
            {"sms": {"start": "09:00", "end": "20:00", "weekdays": ["Monday"]}},
            "literal_error",
            "/value/sms/weekdays/0",
        ),
        ("custom_fields", {}, "list_type", "/value"),
        ("custom_fields", [{"name": "x", "type": "text"}] * 2, "repeated_name", "/value"),
        ("custom_fields", [{"name": "X", "type": "text"}], "string_pattern_mismatch", "/value/0/name"),
        ("custom_fields", [{"name": "x" * 51, "type": "text"}], "string_pattern_mismatch", "/value/0/name"),
        ("custom_fields", [{"name": "x", "type": "money"}], "literal_error", "/value/0/type"),
        ("custom_fields", [{"name": "x", "type": "text", "label": "X"}], "unknown_field", "/value/0/label"),
        ("custom_fields", [{"name": "x", "type": "choice"}], "bad_choices", "/value/0"),
        ("custom_fields", [{"name": "x", "type": "text", "choices": ["a"]}], "bad_choices", "/value/0"),
        ("custom_fields", [{"name": f"x{n}", "type": "text"} for n in range(101)], "too_long", "/value"),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_where_it_stands_and_nothing_is_decided(admin, key, value, code, pointer):
    reply = put(admin, key, value)
    assert (reply.status, reply.code) == (422, code)
    assert reply.body["errors"][0]["pointer"] == pointer
    assert read(admin, key).body["value"] == DEFAULTS[key]


def test_a_value_must_be_given(admin):
    reply = admin.ask(config_api, "PUT /config/{key}", path={"key": "time_zone"}, body={})
    assert (reply.status, reply.code) == (422, "missing")


@pytest.mark.parametrize("key", ["nonsense", "", "Time_zone", "model_config", "../time_zone", "' or true --"])
def test_a_key_that_there_is_not_is_not_found(admin, key):
    for reply in (read(admin, key), put(admin, key, True)):
        assert (reply.status, reply.code) == (404, "not_found")


def test_only_an_admin_decides_and_an_agent_does_not_even_read(organization):
    assert put(caller(organization, "manager"), "cooling_off_days", 1).code == "forbidden"
    assert read(caller(organization, "agent"), "cooling_off_days").code == "forbidden"


# Agents who see their own leads only ---------------------------------------------------------------------------------


@pytest.fixture
def closed(organization, admin):
    """An organization that has decided so, with a lead of its agent and one of nobody."""
    assert put(admin, "agents_see_own_leads_only", True).status == 200
    return organization


def test_an_agent_sees_changes_lists_and_times_his_own_leads_only(closed):
    manager, agent = caller(closed, "manager"), caller(closed)
    mine = create(manager, user_id=str(closed.members["agent"].id), first_name="Ada", tags=["t"]).body
    others = [
        create(manager, phone_number="+14155550143", first_name="Ada", tags=["t"]).body,
        create(
            manager,
            phone_number="+14155550144",
            user_id=str(closed.members["manager"].id),
            first_name="Ada",
            tags=["t"],
        ).body,
    ]
    gone = create(manager, phone_number="+14155550145").body
    delete(manager, gone)
    for query in ({}, {"tags_any": "t"}, {"name": "ada"}, {"sort": "last_name"}):
        assert [lead["id"] for lead in page(agent, **query).body["items"]] == [mine["id"]]
        assert len(page(manager, **query).body["items"]) == 3
    assert page(agent, count="true").body["count"] == 1
    assert page(agent, user_id=closed.members["manager"].id).body["items"] == []
    for lead in [*others, gone]:
        for reply in (
            get(agent, lead),
            change(agent, lead, first_name="Eve"),
            delete(agent, lead),
            restore(agent, lead),
            add_tag(agent, lead, "x"),
            remove_tag(agent, lead, "t"),
            *(of_lead(agent, what, lead) for what in ("audit", "status-history", "timeline")),
        ):
            assert (reply.status, reply.code) == (404, "not_found")
    for what in ("audit", "status-history", "timeline"):
        assert of_lead(agent, what, mine).status == 200
    assert add_tag(agent, mine, "x").status == 200
    assert change(agent, mine, 2, first_name="Eve").status == 200
    assert delete(agent, mine, 3).status == 204
    assert restore(agent, mine).status == 200


def test_an_agent_there_owns_what_he_creates_whoever_he_names(closed):
    agent, owner = caller(closed), str(closed.members["agent"].id)
    assert create(agent).body["user_id"] == owner
    other = str(closed.members["manager"].id)
    assert create(agent, phone_number="+14155550143", user_id=other).body["user_id"] == owner
    manager = caller(closed, "manager")
    assert create(manager, phone_number="+14155550144", user_id=other).body["user_id"] == other


def test_a_duplicate_that_an_agent_does_not_see_is_refused_and_not_updated(closed):
    lead = create(caller(closed, "manager"), first_name="Ada").body
    reply = caller(closed).ask(
        handler,
        "POST /leads",
        query={"on_duplicate": "update"},
        body={"phone_number": NUMBER, "first_name": "Eve"},
    )
    assert (reply.status, reply.code, reply.body["lead_id"]) == (409, "duplicate_lead", lead["id"])
    assert get(caller(closed, "manager"), lead).body == lead


def test_a_lead_that_is_taken_from_an_agent_is_gone_for_him(closed):
    agent, manager = caller(closed), caller(closed, "manager")
    lead = create(agent).body
    assert change(agent, lead, user_id=str(closed.members["manager"].id)).code == "may_not_assign"
    assert change(manager, lead, user_id=str(closed.members["manager"].id)).status == 200
    assert get(agent, lead).code == "not_found"
    assert get(manager, lead).status == 200


def test_where_it_is_not_decided_so_agents_see_all(organization, admin):
    lead = create(caller(organization, "manager")).body
    for decided in (False, True, False):
        put(admin, "agents_see_own_leads_only", decided)
        assert get(caller(organization), lead).status == (404 if decided else 200)


def test_an_opt_out_by_a_manager_stops_calls_to_the_lead_of_an_agent(closed):
    agent = caller(closed)
    lead = create(agent).body
    assert change(caller(closed, "manager"), lead, status="dnc").status == 200
    assert get(agent, lead).body["calling_blocked"] is True
    assert change(agent, lead, 2, status="new").code == "on_dnc_list"
    assert uuid.UUID(lead["user_id"]) == closed.members["agent"].id
