"""A POST with an Idempotency-Key is done once, and answered the same each time."""

import json
import uuid

import pytest

from functions.config_api.app import handler as config_handler
from functions.dnc_files_api.app import handler as files_handler
from functions.lead_actions_api.app import handler as actions_handler
from functions.leads_api.app import handler
from leadline.api import IDEMPOTENCY_KEY, PEOPLE, Answer, Api
from leadline.db import Caller, tenant_transaction
from tests.calling import Reply, caller
from tests.leads import create, get

NUMBER = "+14155550142"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


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


def test_a_key_does_not_show_an_agent_a_lead_that_is_not_his(organization, admin):
    admin.ask(config_handler, "PUT /config/{key}", path={"key": "agents_see_own_leads_only"}, body={"value": True})
    agent = caller(organization, "agent")
    made = create(admin, first_name="Ada", notes="private").body
    again = {"query": {"on_duplicate": "update"}, "body": {"phone_number": NUMBER}, "headers": {"idempotency-key": "1"}}
    admin.ask(handler, "POST /leads", **again)
    assert get(agent, made).status == 404
    assert "private" not in json.dumps(agent.ask(handler, "POST /leads", **again).body)


@pytest.mark.parametrize(
    ("handler", "route", "path"),
    [
        (actions_handler, "POST /leads/{lead_id}/restore", {"lead_id": str(uuid.uuid4())}),
        (files_handler, "POST /dnc/import", None),
    ],
)
def test_a_key_with_a_deeply_nested_body_is_no_fault_of_ours(admin, handler, route, path):
    reply = admin.ask(handler, route, path=path, raw_body="[" * 100_000, headers={"idempotency-key": "1"})
    assert reply.status < 500


def test_a_key_is_its_members_own(agent, admin):
    assert post(admin, "one").status == 201
    reply = post(agent, "one")
    assert (reply.status, reply.code) == (409, "idempotency_conflict")
    assert post(admin, "one").status == 201


def test_a_key_that_has_lapsed_is_the_next_members(agent, admin, organization, connect):
    post(admin, "one")
    connect("superuser").execute(
        "update idempotency_keys set created_at = now() - interval '31 days' where organization_id = %s",
        (organization.organization_id,),
    )
    body = {"phone_number": "4155550143"}
    assert post(agent, "one", body).status == post(agent, "one", body).status == 201
    assert post(admin, "one", body).code == "idempotency_conflict"


def test_a_key_is_of_the_object_in_the_path(agent):
    done = Api()

    @done.route("POST /things/{thing_id}/use", roles=PEOPLE, headers=IDEMPOTENCY_KEY)
    def use(call):
        with tenant_transaction(call.caller) as tx:
            return call.once(tx, lambda: Answer({"used": str(call.id("thing_id"))}))

    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    replies = [
        agent.ask(done, "POST /things/{thing_id}/use", path={"thing_id": thing}, headers={"idempotency-key": "1"})
        for thing in (first, first, second)
    ]
    assert [reply.status for reply in replies] == [200, 200, 409]
    assert replies[0].body == replies[1].body == {"used": first}


def test_a_route_that_does_not_declare_the_key_cannot_use_it(agent):
    undeclared = Api()

    @undeclared.route("POST /things", roles=PEOPLE)
    def use(call):
        with tenant_transaction(call.caller) as tx:
            return call.once(tx, lambda: Answer(None, 204))

    assert agent.ask(undeclared, "POST /things").status == 500


def test_a_key_where_nothing_is_kept_is_not_judged(agent):
    assert agent.ask(handler, "GET /leads", headers={"idempotency-key": "x" * 1000}).status == 200
