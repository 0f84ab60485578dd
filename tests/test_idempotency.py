"""A POST with an Idempotency-Key is done once, and answered the same each time."""

import json

import pytest

from functions.leads_api.app import handler
from leadline.db import Caller, tenant_transaction
from tests.calling import Reply, caller

NUMBER = "+14155550142"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


def post(member, key, body=None, **options) -> Reply:
    headers = {"idempotency-key": key}
    return member.ask(handler, "POST /leads", body=body or {"phone_number": NUMBER}, headers=headers, **options)


def leads_of(member) -> int:
    return len(member.ask(handler, "GET /leads").body["items"])


def test_a_retry_is_answered_as_the_first_call_was(agent):
    first = post(agent, "one")
    again = post(agent, "one")
    assert (again.status, again.body, again.headers["etag"]) == (201, first.body, first.headers["etag"])
    assert again.headers["location"] == first.headers["location"]
    assert leads_of(agent) == 1


def test_the_same_content_in_other_words_is_the_same(agent):
    first = post(agent, "one", {"phone_number": NUMBER, "first_name": "Ada"})
    again = agent.ask(
        handler,
        "POST /leads",
        headers={"idempotency-key": "one"},
        raw_body=f'{{ "first_name" : "A\\u0064a", "phone_number":"{NUMBER}"}}',
    )
    assert again.body == first.body


@pytest.mark.parametrize("other", [{"body": {"phone_number": "4155550143"}}, {"query": {"on_duplicate": "update"}}])
def test_another_content_under_the_same_key_is_a_conflict(agent, other):
    post(agent, "one")
    reply = post(agent, "one", **other)
    assert (reply.status, reply.code) == (409, "idempotency_conflict")
    assert leads_of(agent) == 1


def test_a_refused_call_leaves_nothing_so_its_key_can_be_used_again(agent):
    assert post(agent, "one", {"phone_number": "555"}).status == 422
    assert post(agent, "one").status == 201


def test_another_organizations_keys_are_its_own(agent, customer):
    post(agent, "one")
    assert post(caller(customer()), "one").status == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "tab\there"])
def test_a_key_that_is_none_is_refused(agent, key):
    reply = post(agent, key)
    assert (reply.status, reply.code) == (422, "bad_idempotency_key")


def test_of_two_calls_in_flight_the_second_waits_and_is_answered_as_the_first(organization, in_processes):
    for attempt in range(10):
        number = f"+1415555{attempt + 100:04d}"
        replies = in_processes(post_elsewhere, (organization, number), (organization, number))
        assert replies[0] == replies[1]
        assert replies[0][0] == 201


def post_elsewhere(organization, number) -> tuple[int, str]:
    reply = post(caller(organization), number, {"phone_number": number})
    return reply.status, json.dumps(reply.body)


def test_a_key_lives_for_thirty_days(agent, organization, connect):
    post(agent, "one")
    connect("superuser").execute(
        "update idempotency_keys set created_at = now() - interval '31 days' where organization_id = %s",
        (organization.organization_id,),
    )
    assert post(agent, "one").code == "duplicate_lead"  # done anew, and judged anew


def test_a_new_key_takes_expired_ones_away(agent, organization, connect):
    post(agent, "old")
    connect("superuser").execute(
        "update idempotency_keys set created_at = now() - interval '31 days' where organization_id = %s",
        (organization.organization_id,),
    )
    post(agent, "new", {"phone_number": "4155550143"})
    with tenant_transaction(Caller(organization.tenant_id, organization.organization_id)) as tx:
        assert tx.execute("select key from idempotency_keys").fetchall() == [{"key": "new"}]


def test_a_key_costs_no_round_trip(agent, delayed):
    with delayed() as trips:
        leads_of(agent)
        before = trips()
        post(agent, "one")
        assert trips() - before <= 3
