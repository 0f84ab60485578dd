"""Segments over HTTP: kept, shared, tried, read and counted, by whom they may be."""

import json
import uuid
from datetime import datetime, timedelta

import pytest

from functions.config_api.app import handler as config
from functions.segment_leads_api.app import handler as leads_handler
from functions.segments_api.app import handler as segments_handler
from leadline import segments
from leadline.db import tenant_transaction
from leadline.segments import found
from tests.calling import caller
from tests.leads import change, create, delete
from tests.test_leads_list import insert

HOT = {"tags": "hot"}
BAD = {"or": [{"status": "new"}, {"lead_score": {"gte": "70"}}]}
ID = "{segment_id}"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


@pytest.fixture
def agent(organization):
    return caller(organization, "agent")


def keep(member, filter_=HOT, **fields):
    return member.ask(segments_handler, "POST /segments", body={"name": "Hot ones", "filter": filter_, **fields})


def made(member, filter_=HOT, **fields) -> dict:
    reply = keep(member, filter_, **fields)
    assert reply.status == 201, reply.body
    return reply.body


def of(segment) -> dict:
    return {"segment_id": segment["id"]}


def ask(member, method, segment, **parts):
    return member.ask(segments_handler, f"{method} /segments/{ID}", path=of(segment), **parts)


def listed(member, **query) -> list[str]:
    reply = member.ask(segments_handler, "GET /segments", query=query)
    assert reply.status == 200, reply.body
    return [segment["id"] for segment in reply.body["items"]]


def preview(member, filter_, **query):
    query = {name: str(value) for name, value in query.items()}
    return member.ask(leads_handler, "POST /segments/preview", body={"filter": filter_}, query=query)


def leads_of(member, segment, **query):
    return member.ask(leads_handler, f"GET /segments/{ID}/leads", path=of(segment), query=query)


def count(member, segment, **query):
    return member.ask(leads_handler, f"GET /segments/{ID}/count", path=of(segment), query=query)


def recount(member) -> dict:
    reply = member.ask(leads_handler, "POST /segments/recount")
    assert reply.status == 200, reply.body
    return reply.body


def ids(reply) -> list[str]:
    assert reply.status == 200, reply.body
    return [lead["id"] for lead in reply.body["items"]]


# Kept ----------------------------------------------------------------------------------------------------------------


def test_a_segment_is_kept_as_it_was_sent(agent, organization):
    filter_ = {"status": ["new", "contacted"], "not": {"tags": {"contains_any": ["hot"]}}}
    reply = keep(agent, filter_, description=" of spring ", is_public=True)
    assert reply.status == 201
    assert reply.headers["location"] == f"/segments/{reply.body['id']}"
    shown = {name: reply.body[name] for name in ("name", "description", "filter", "is_public", "owner_id")}
    assert shown == {
        "name": "Hot ones",
        "description": "of spring",
        "filter": filter_,
        "is_public": True,
        "owner_id": str(organization.members["agent"].id),
    }
    assert reply.body["lead_count"] is reply.body["last_calculated_at"] is None
    assert ask(agent, "GET", reply.body).body == reply.body


def test_a_retry_makes_no_second_segment(agent):
    key = {"idempotency-key": "one"}
    body = {"name": "Hot ones", "filter": HOT}
    replies = [agent.ask(segments_handler, "POST /segments", body=body, headers=key) for _ in range(2)]
    assert replies[0].body == replies[1].body
    assert listed(agent) == [replies[0].body["id"]]


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"filter": HOT}, "/name", "missing"),
        ({"name": "x"}, "/filter", "missing"),
        ({"name": "x", "filter": []}, "/filter", "dict_type"),
        ({"name": "x", "filter": None}, "/filter", "dict_type"),
        ({"name": "x", "filter": BAD}, "/filter/or/1/lead_score/gte", "int_type"),
        ({"name": "x", "filter": {"custom_fields.age": 7}}, "/filter/custom_fields.age", "unknown_field"),
        ({"name": "x", "filter": {"a~/b": 7}}, "/filter/a~0~1b", "unknown_field"),
        ({"name": "x", "filter": HOT, "lead_count": 7}, "/lead_count", "unknown_field"),
    ],
    ids=str,
)
def test_what_is_no_segment_is_refused_with_the_place(agent, body, pointer, code):
    reply = agent.ask(segments_handler, "POST /segments", body=body)
    assert (reply.status, reply.code) == (422, code)
    assert [error["pointer"] for error in reply.body["errors"]] == [pointer]
    assert listed(agent) == []


def test_a_change_and_a_preview_name_the_place_too(agent):
    segment = made(agent)
    for reply in (ask(agent, "PATCH", segment, body={"filter": BAD}), preview(agent, BAD)):
        assert reply.status == 422
        assert [error["pointer"] for error in reply.body["errors"]] == ["/filter/or/1/lead_score/gte"]
    undeclared = preview(agent, {"not": {"custom_fields.age": {"gte": 7}}})
    assert [error["pointer"] for error in undeclared.body["errors"]] == ["/filter/not/custom_fields.age"]


def test_a_change_leaves_what_is_not_given(agent):
    segment = made(agent, description="of spring")
    changed = ask(agent, "PATCH", segment, body={"name": "Others"})
    assert changed.status == 200
    assert changed.body == segment | {"name": "Others", "updated_at": changed.body["updated_at"]}
    assert ask(agent, "PATCH", segment, body={"description": None}).body["description"] is None
    assert ask(agent, "PATCH", segment, body={}).body["name"] == "Others"


def test_another_filter_has_no_count_yet_and_another_name_has(agent):
    segment = made(agent)
    assert count(agent, segment).status == 200
    assert ask(agent, "PATCH", segment, body={"name": "Others", "filter": HOT}).body["lead_count"] == 0
    assert ask(agent, "PATCH", segment, body={"filter": {}}).body["lead_count"] is None


def test_a_deleted_segment_is_gone_and_its_leads_are_not(agent):
    segment = made(agent)
    lead = create(agent, tags=["hot"]).body
    assert ask(agent, "DELETE", segment).status == 204
    assert {ask(agent, method, segment, body={}).status for method in ("GET", "PATCH", "DELETE")} == {404}
    assert ids(preview(agent, HOT)) == [lead["id"]]


# Whose ---------------------------------------------------------------------------------------------------------------


def test_a_private_segment_is_its_makers_and_the_admins(agent, manager, admin):
    segment = made(agent)
    for asked in (leads_of, count):
        assert {asked(member, segment).status for member in (agent, admin)} == {200}
        assert asked(manager, segment).code == "not_found"
    assert ask(manager, "GET", segment).code == "not_found"
    assert ask(manager, "PATCH", segment, body={"name": "Mine"}).code == "not_found"
    assert ask(manager, "DELETE", segment).code == "not_found"
    assert (listed(agent), listed(manager), listed(admin)) == ([segment["id"]], [], [segment["id"]])
    assert recount(manager)["counted"] == []


def test_a_public_segment_is_everybodys_to_read_and_its_makers_and_the_admins_to_change(agent, manager, admin):
    segment = made(agent, is_public=True)
    assert listed(manager) == [segment["id"]]
    assert {asked(manager, segment).status for asked in (leads_of, count)} == {200}
    for method in ("PATCH", "DELETE"):
        assert ask(manager, method, segment, body={"is_public": False}).code == "may_not_change_segment"
    assert ask(admin, "PATCH", segment, body={"is_public": False}).status == 200
    assert listed(manager) == []
    assert ask(admin, "DELETE", segment).status == 204


def test_segments_are_listed_newest_first_page_by_page(agent):
    segments_ = [made(agent, name=str(number))["id"] for number in range(3)]
    first = agent.ask(segments_handler, "GET /segments", query={"limit": "2"}).body
    second = agent.ask(segments_handler, "GET /segments", query={"limit": "2", "cursor": first["next_cursor"]}).body
    assert [segment["id"] for segment in first["items"] + second["items"]] == segments_[::-1]
    assert second["next_cursor"] is None


def test_a_segment_finds_no_lead_of_another_organization(agent, organization, customer):
    stranger = caller(customer(beside=organization))
    lead = create(stranger, tags=["hot"]).body
    assert ids(preview(agent, {})) == []
    assert ids(preview(agent, {"phone_number": lead["phone_number"]})) == []
    with tenant_transaction(organization.caller(None)) as tx:
        decided = found.config.read(tx)
        assert segments.matching(tx, segments.Filter({}), decided, datetime.now().astimezone(), [lead["id"]]) == set()


# Found and counted ---------------------------------------------------------------------------------------------------


def test_a_page_of_a_segment_goes_on_where_the_last_ended(agent, organization):
    wanted = insert(organization, *[{"tags": ["hot"]}] * 3)
    insert(organization, {"tags": ["cold"]}, {}, first=10)
    segment = made(agent)
    for asked in (lambda **query: leads_of(agent, segment, **query), lambda **query: preview(agent, HOT, **query)):
        first = asked(limit="2")
        second = asked(limit="2", cursor=first.body["next_cursor"])
        assert set(ids(first) + ids(second)) == set(wanted)
        assert [len(ids(first)), len(ids(second))] == [2, 1]
        assert second.body["next_cursor"] is None
    other = preview(agent, {"tags": "cold"}, cursor=first.body["next_cursor"])
    assert other.code == "bad_cursor"


def test_a_preview_counts_up_to_a_cap(agent, organization, monkeypatch):
    insert(organization, *[{"tags": ["hot"]}] * 3)
    reply = preview(agent, HOT, limit=1)
    assert (len(reply.body["items"]), reply.body["count"], reply.body["count_capped"]) == (1, 3, False)
    monkeypatch.setattr(found, "COUNT_CAP", 2)
    reply = preview(agent, HOT)
    assert (reply.body["count"], reply.body["count_capped"]) == (2, True)


def test_a_segment_is_evaluated_anew_at_each_use(agent):
    segment = made(agent)
    lead = create(agent, tags=["hot"]).body
    assert ids(leads_of(agent, segment)) == [lead["id"]]
    after = change(agent, lead, tags=[]).body
    assert ids(leads_of(agent, segment)) == []
    assert change(agent, after, tags=["hot"]).status == 200
    assert count(agent, segment).body["lead_count"] == 1
    assert delete(agent, lead, version=3).status == 204
    assert count(agent, segment).body["lead_count"] == 0


def test_a_count_is_stored_with_its_age(agent, organization):
    segment = made(agent)
    insert(organization, {"tags": ["hot"]}, {})
    first = count(agent, segment).body
    assert (first["lead_count"], first["age_seconds"]) == (1, 0)
    shown = ask(agent, "GET", segment).body
    assert (shown["lead_count"], shown["last_calculated_at"]) == (1, first["last_calculated_at"])
    assert shown["updated_at"] == segment["updated_at"]
    insert(organization, {"tags": ["hot"]}, first=10)
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("update segments set last_calculated_at = last_calculated_at - interval '1 hour'")
    cached = count(agent, segment, cached="true").body
    assert cached["lead_count"] == 1
    assert 3600 <= cached["age_seconds"] < 3660
    assert count(agent, segment).body["lead_count"] == 2


def test_a_count_that_there_is_none_of_is_made_where_the_cached_one_is_asked_for(agent):
    assert count(agent, made(agent), cached="true").body["lead_count"] == 0


def test_all_counts_are_made_anew(agent, admin, organization):
    insert(organization, {"tags": ["hot"]}, {})
    made_ = {made(agent)["id"]: 1, made(admin, {}, is_public=True)["id"]: 2}
    mine = recount(agent)
    assert {one["segment_id"]: one["lead_count"] for one in mine["counted"]} == made_
    assert (mine["not_counted"], mine["waiting"]) == ([], 0)
    assert ask(admin, "GET", {"id": next(iter(made_))}).body["lead_count"] == 1


def test_a_recount_says_which_segments_cannot_be_counted_and_counts_the_others(admin, agent):
    declare = {"value": [{"name": "age", "type": "number"}]}
    key = {"key": "custom_fields"}
    assert admin.ask(config, "PUT /config/{key}", path=key, body=declare).status == 200
    gone, good = made(agent, {"custom_fields.age": {"gte": 7}}), made(agent)
    assert admin.ask(config, "PUT /config/{key}", path=key, body={"value": []}).status == 200
    done = recount(agent)
    assert done["not_counted"] == [{"segment_id": gone["id"], "code": "unknown_field"}]
    assert [one["segment_id"] for one in done["counted"]] == [good["id"]]
    refused = leads_of(agent, gone)
    assert (refused.status, refused.code) == (422, "unknown_field")


# Agents who see their own leads only ---------------------------------------------------------------------------------


def test_an_agent_who_sees_his_own_leads_only_finds_and_counts_no_other(admin, agent, organization):
    agent_id = organization.members["agent"].id
    mine, _ = insert(organization, {"tags": ["hot"], "user_id": agent_id}, {"tags": ["hot"]})
    segment = made(admin, is_public=True)
    assert count(admin, segment).body["lead_count"] == 2
    key = {"key": "agents_see_own_leads_only"}
    assert admin.ask(config, "PUT /config/{key}", path=key, body={"value": True}).status == 200
    assert ids(leads_of(agent, segment)) == ids(preview(agent, {})) == [mine]
    assert preview(agent, HOT).body["count"] == 1
    for query in ({}, {"cached": "true"}):
        assert count(agent, segment, **query).body["lead_count"] == 1
    assert [one["lead_count"] for one in recount(agent)["counted"]] == [1]
    shown = ask(agent, "GET", segment).body
    assert shown["lead_count"] is shown["last_calculated_at"] is None
    assert ask(admin, "GET", segment).body["lead_count"] == 2, "what the agent counted is not stored"


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow(monkeypatch, organization):
    """A filter on a city takes as long as the test has patience for, and a statement may take a tenth of that."""
    insert(organization, {"tags": ["hot"]})
    condition = found.condition

    def slower(filter_, *others):
        text, values = condition(filter_, *others)
        if "city" in json.dumps(filter_.root):
            text = found.sql.SQL("{} and (select pg_sleep(2) is not null)").format(text)
        return text, values

    monkeypatch.setattr(found, "condition", slower)
    monkeypatch.setattr(found, "LONGEST", timedelta(seconds=0.1))
    monkeypatch.setattr(found, "LONGEST_OF_MANY", timedelta(seconds=0.1))
    return {"city": {"exists": False}}


def test_a_filter_that_takes_too_long_is_refused(agent, slow):
    segment = made(agent, slow)
    for reply in (preview(agent, slow), leads_of(agent, segment), count(agent, segment)):
        assert (reply.status, reply.code) == (422, "segment_too_slow")
    assert preview(agent, HOT).status == 200, "the connection goes on"


def test_a_segment_that_takes_too_long_loses_no_others_count(agent, slow):
    long, short = made(agent, slow), made(agent)
    done = recount(agent)
    assert done["not_counted"] == [{"segment_id": long["id"], "code": "segment_too_slow"}]
    assert done["counted"] == [{"segment_id": short["id"], "lead_count": 1}]


def test_a_recount_ends_in_time_and_the_next_one_begins_where_it_ended(agent, slow, monkeypatch):
    long, short = made(agent, slow), made(agent)
    monkeypatch.setattr(found, "LONGEST_RECOUNT", timedelta(seconds=0.05))
    first = recount(agent)
    assert (first["not_counted"][0]["segment_id"], first["counted"], first["waiting"]) == (long["id"], [], 1)
    second = recount(agent)
    assert [one["segment_id"] for one in second["counted"]] == [short["id"]]


def test_the_limit_of_time_is_the_transactions_alone(agent, organization):
    assert preview(agent, HOT).status == 200
    with tenant_transaction(organization.caller()) as tx:
        assert tx.execute("show statement_timeout").fetchall()[0]["statement_timeout"] == "20s"


def test_an_id_that_nobody_has_is_not_found(agent):
    nobodys = {"id": str(uuid.uuid4())}
    assert {asked(agent, nobodys).code for asked in (leads_of, count)} == {"not_found"}
