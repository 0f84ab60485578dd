"""Round trips: a call on one lead takes at most three, and so does a page of the list."""

import pytest

from functions.config_api.app import handler as config
from tests.calling import caller
from tests.leads import add_tag, change, create, delete, get, of_lead, page, remove_tag, restore

MOST = 3

CALLS = {
    "get": get,
    "create": lambda agent, _: create(agent, phone_number="+14155550199", custom_fields={"age": 1}),
    "refuse a bad number": lambda agent, _: create(agent, phone_number="1"),
    "change": lambda agent, lead: change(agent, lead, first_name="Ada", custom_fields={"age": 1}),
    "change the number": lambda agent, lead: change(agent, lead, phone_number="+14155550198"),
    "change the owner": lambda manager, lead: change(manager, lead, user_id=None),
    "opt out": lambda agent, lead: change(agent, lead, status="dnc"),
    "add a tag": lambda agent, lead: add_tag(agent, lead, "hot"),
    "remove a tag": lambda agent, lead: remove_tag(agent, lead, "hot"),
    "delete": delete,
    "restore": lambda agent, lead: (delete(agent, lead), restore(agent, lead))[1],
    "list": lambda agent, _: page(agent, name="ada", tags_any="x", sort="last_name", count="true"),
    "list by day": lambda agent, _: page(agent, created_from="2026-01-01"),
    "timeline": lambda agent, lead: of_lead(agent, "timeline", lead),
    "audit": lambda agent, lead: of_lead(agent, "audit", lead),
    "status history": lambda agent, lead: of_lead(agent, "status-history", lead),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_on_one_lead_is_at_most_three_round_trips(customer, delayed, call):
    organization = customer()
    admin, agent = caller(organization, "admin"), caller(organization)
    for key, value in (
        ("custom_fields", [{"name": "age", "type": "number"}]),
        ("agents_see_own_leads_only", True),  # decided on entering: it costs no trip of its own
    ):
        assert admin.ask(config, "PUT /config/{key}", path={"key": key}, body={"value": value}).status == 200
    lead = create(agent).body
    most = MOST + (2 if call == "restore" else 0)  # the delete before it
    with delayed() as trips:
        page(agent)  # the connection is open
        before = trips()
        reply = CALLS[call](caller(organization, "manager") if call == "change the owner" else agent, lead)
        assert reply.status < 300 or reply.code == "bad_phone"
        assert trips() - before <= most
