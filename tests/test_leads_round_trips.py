"""Round trips: a call on one lead takes at most three, and so does a page of the list."""

import uuid

import pytest

from functions.config_api.app import handler as config
from functions.leads_api.app import handler as leads
from tests.calling import caller
from tests.leads import (
    NUMBER,
    add_tag,
    change,
    create,
    delete,
    get,
    list_number,
    of_lead,
    page,
    remove_tag,
    restore,
)

MOST = 3
OTHER, LISTED = "+14155550143", "+14155550144"

CALLS = {
    "get": get,
    "create": lambda agent, _: create(agent, phone_number="+14155550199", custom_fields={"age": 1}),
    "refuse a bad number": lambda agent, _: create(agent, phone_number="1"),
    "refuse a duplicate": lambda agent, _: create(agent),
    "refuse a listed number": lambda agent, _: create(agent, phone_number=LISTED),
    "refuse an unknown owner": lambda agent, _: create(agent, phone_number="+14155550199", user_id=str(uuid.uuid4())),
    "refuse a stale version": lambda agent, lead: change(agent, lead, version=7, first_name="Ada"),
    "change": lambda agent, lead: change(agent, lead, first_name="Ada", custom_fields={"age": 1}),
    "change the number": lambda agent, lead: change(agent, lead, phone_number="+14155550198"),
    "change the owner": lambda manager, lead: change(manager, lead, user_id=None),
    "opt out": lambda agent, lead: change(agent, lead, status="dnc"),
    "add a tag": lambda agent, lead: add_tag(agent, lead, "hot"),
    "remove a tag": lambda agent, lead: remove_tag(agent, lead, "hot"),
    "delete": delete,
    "update the duplicate": lambda agent, _: agent.ask(
        leads, "POST /leads", query={"on_duplicate": "update"}, body={"phone_number": NUMBER, "first_name": "Ada"}
    ),
    "refuse to change to a number that another lead has": lambda agent, lead: change(agent, lead, phone_number=OTHER),
    "restore": lambda agent, lead: (delete(agent, lead), restore(agent, lead))[1],
    "list": lambda agent, _: page(agent, name="ada", tags_any="x", sort="last_name", count="true"),
    "list by day": lambda agent, _: page(agent, created_from="2026-01-01"),
    "timeline": lambda agent, lead: of_lead(agent, "timeline", lead),
    "audit": lambda agent, lead: of_lead(agent, "audit", lead),
    "status history": lambda agent, lead: of_lead(agent, "status-history", lead),
}


REFUSED = {
    "refuse a bad number": "bad_phone",
    "refuse a duplicate": "duplicate_lead",
    "refuse a listed number": "on_dnc_list",
    "refuse an unknown owner": "unknown_member",
    "refuse a stale version": "version_mismatch",
    "refuse to change to a number that another lead has": "duplicate_lead",
}
# What reads a lead, tries to write it and then asks why not.
LONGER = {
    "update the duplicate": 5,
    "refuse to change to a number that another lead has": 4,
    "restore": MOST + 2,  # the delete before it
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
    assert create(agent, phone_number=OTHER).status == 201
    list_number(organization, LISTED)
    with delayed() as trips:
        page(agent)  # the connection is open
        before = trips()
        reply = CALLS[call](caller(organization, "manager") if call == "change the owner" else agent, lead)
        assert trips() - before <= LONGER.get(call, MOST)
        assert (None if reply.status < 300 else reply.code) == REFUSED.get(call)
