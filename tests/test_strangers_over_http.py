"""Whoever brings another organization's token is told of an id what is told of one that nobody has, by every route."""

import re
import uuid
from typing import Any, get_args

import pytest
from psycopg.rows import dict_row

from leadline.inputs import Input
from local import api_document
from tests import rows
from tests.calling import caller
from tests.leads import create, page
from tests.targets import TARGETS, Target, ask, fill_lists

ROUTES = {key: route for key, (_, route) in api_document.routes().items() if route.roles}
IDS = {key: found for key in ROUTES if (found := re.findall(r"{(\w*_id)}", key))}
LISTS = [key for key, route in ROUTES.items() if key not in IDS and "cursor" in route.query.model_fields]
MEMBERS_IN_BODIES = {
    *(("POST /leads", "user_id"), ("PATCH /leads/{lead_id}", "user_id")),
    *((f"POST /budget/{what}", "user_id") for what in ("credits", "debits", "adjustments", "holds")),
}
THINGS_IN_BODIES = {
    *(("POST /budget/refunds", "transaction_id"), ("POST /calls/authorize", "lead_id")),
    *(
        ("POST /templates/{template_id}/preview", "lead_id"),
        ("POST /sequences/{sequence_id}/enrollments", "segment_id"),
    ),
}
STRANGERS = ["another tenant's", "a sister organization's"]


@pytest.fixture
def owner(customer):
    return customer()


@pytest.fixture(params=STRANGERS)
def stranger(request, customer, owner):
    return customer(beside=owner if request.param == "a sister organization's" else None)


@pytest.fixture
def all_rows(connect):
    """Tells every row that an organization has, of every table, by the table's name."""
    conn = connect("superuser", row_factory=dict_row)
    tables = [table.name for table in rows.tables(conn) if "organization_id" in table.types]

    def all_rows(organization) -> dict[str, list[str]]:
        return {
            name: [
                row["whole"]
                for row in conn.execute(
                    f"select to_jsonb(t)::text as whole from {name} as t where organization_id = %s order by 1",  # noqa: S608
                    [organization.organization_id],
                )
            ]
            for name in tables
        }

    return all_rows


def told(member, key: str, target: Target) -> dict[str, Any]:
    """All of an answer but the request's own id."""
    reply = ask(member, key, target)
    headers = {name: value for name, value in reply.headers.items() if name != "x-request-id"}
    return {"status": reply.status, "headers": headers, "body": reply.body}


def test_every_route_with_a_token_has_a_target():
    assert TARGETS.keys() == ROUTES.keys()


@pytest.mark.parametrize("key", ROUTES)
def test_the_target_of_a_route_is_a_good_call_of_it(key, owner):
    target = TARGETS[key](owner)
    assert ask(caller(owner, target.role), key, target).status in (200, 201, 204)


@pytest.mark.parametrize("key", IDS)
def test_an_id_of_another_organization_is_answered_like_one_that_nobody_has(key, owner, stranger, all_rows):
    target = TARGETS[key](owner)
    nobodys = target.with_ids(**{name: str(uuid.uuid4()) for name in IDS[key]})
    before = all_rows(owner), all_rows(stranger)
    for role in sorted(ROUTES[key].roles):
        member = caller(stranger, role)
        answer = told(member, key, target)
        assert (answer["status"], answer["body"]["code"]) == (404, "not_found")
        assert answer == told(member, key, nobodys)
    assert (all_rows(owner), all_rows(stranger)) == before
    assert ask(caller(owner, target.role), key, target).status in (200, 204), "the owner's call was a good one"


@pytest.mark.parametrize("key", IDS)
@pytest.mark.parametrize("text", ["none", "1' or '1'='1", "+14155550142", "nul\0", "\ud800", "٣" * 32])
def test_what_is_no_id_is_answered_like_one_that_nobody_has(key, text, owner):
    target = TARGETS[key](owner)
    member = caller(owner, target.role)
    nobodys = target.with_ids(**{name: str(uuid.uuid4()) for name in IDS[key]})
    assert told(member, key, target.with_ids(**dict.fromkeys(IDS[key], text))) == told(member, key, nobodys)


def test_every_id_in_a_body_is_in_the_table_above():
    found = {
        (key, name)
        for key, route in ROUTES.items()
        for name, field in _fields(route.body)
        if uuid.UUID in (field.annotation, *get_args(field.annotation))
    }
    assert found == MEMBERS_IN_BODIES | THINGS_IN_BODIES


@pytest.mark.parametrize(("key", "name"), sorted(THINGS_IN_BODIES))
def test_a_thing_of_another_organization_in_a_body_is_not_found_like_one_that_nobody_has(
    key, name, owner, stranger, all_rows
):
    target = TARGETS[key](owner)
    before = all_rows(owner), all_rows(stranger)
    for role in sorted(ROUTES[key].roles):
        member = caller(stranger, role)
        theirs = ask(member, key, target)
        nobodys = ask(member, key, target, body={**target.body, name: str(uuid.uuid4())})
        assert (theirs.status, theirs.code) == (404, "not_found")
        assert (theirs.status, theirs.body) == (nobodys.status, nobodys.body)
    assert (all_rows(owner), all_rows(stranger)) == before
    assert ask(caller(owner, target.role), key, target).status in (200, 201), "the owner's call was a good one"


def _fields(model: type[Input]):
    for name, field in model.model_fields.items():
        yield name, field
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, Input):
                yield from _fields(inner)


@pytest.mark.parametrize(("key", "name"), sorted(MEMBERS_IN_BODIES))
def test_a_member_of_another_organization_in_a_body_is_as_unknown_as_nobody(key, name, owner, stranger, all_rows):
    target = TARGETS[key](owner)
    member = caller(owner, target.role)
    before = all_rows(owner), all_rows(stranger)
    answers = []
    for someone in (*(member.id for member in stranger.members.values()), uuid.uuid4()):
        reply = ask(member, key, target, body={**target.body, name: str(someone)})
        answers.append((reply.status, reply.body))
    assert all(answer == answers[-1] for answer in answers)
    assert (answers[-1][0], answers[-1][1]["code"]) == (422, "unknown_member")
    assert (all_rows(owner), all_rows(stranger)) == before


def test_leads_of_another_organizations_member_are_none(owner, stranger):
    theirs = stranger.members["agent"].id
    lead = create(caller(stranger), user_id=str(theirs)).body
    assert page(caller(stranger), user_id=theirs).body["items"] == [lead]
    assert page(caller(owner), user_id=theirs).body["items"] == []


@pytest.mark.parametrize("key", LISTS)
def test_a_list_shows_nothing_of_another_organization(key, owner, stranger):
    fill_lists(owner)
    target = TARGETS[key](stranger)
    assert ask(caller(owner, "admin"), key, target).body["items"] != []
    assert ask(caller(stranger, "admin"), key, target).body["items"] == []
