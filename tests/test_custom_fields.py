"""Custom fields of leads, as their organization declares them."""

import pytest

from functions.config_api.app import handler as config
from functions.leads_api.app import handler
from tests.calling import caller
from tests.leads import NUMBER, audit, change, create, get, page

FIELDS = [
    {"name": "nickname", "type": "text"},
    {"name": "age", "type": "number"},
    {"name": "veteran", "type": "boolean"},
    {"name": "licensed_on", "type": "date"},
    {"name": "size", "type": "choice", "choices": ["S", "M", "L"]},
]
GOOD = {"nickname": "Al", "age": 41.5, "veteran": False, "licensed_on": "2020-02-29", "size": "M"}


@pytest.fixture
def organization(customer):
    organization = customer()
    declare(organization, FIELDS)
    return organization


@pytest.fixture
def agent(organization):
    return caller(organization)


def declare(organization, fields) -> None:
    admin = caller(organization, "admin")
    reply = admin.ask(config, "PUT /config/{key}", path={"key": "custom_fields"}, body={"value": fields})
    assert reply.status == 200


def test_declared_fields_are_kept_with_their_types(agent):
    lead = create(agent, custom_fields=GOOD).body
    assert lead["custom_fields"] == GOOD
    assert get(agent, lead).body == lead
    assert page(agent).body["items"] == [lead]


def test_a_change_merges_what_it_names_and_null_removes(agent):
    lead = create(agent, custom_fields={"nickname": "Al", "age": 1, "veteran": None}).body
    assert lead["custom_fields"] == {"nickname": "Al", "age": 1}
    changed = change(agent, lead, custom_fields={"age": 2, "nickname": None, "size": "S"}).body
    assert changed["custom_fields"] == {"age": 2, "size": "S"}
    assert change(agent, changed, first_name="Ada").body["custom_fields"] == {"age": 2, "size": "S"}
    assert [entry["field_name"] for entry in audit(agent, lead)] == ["first_name", "custom_fields"]


def test_a_duplicate_that_is_updated_merges_too(agent):
    create(agent, custom_fields={"nickname": "Al", "age": 1})
    body = {"phone_number": NUMBER, "custom_fields": {"age": 2}}
    reply = agent.ask(handler, "POST /leads", query={"on_duplicate": "update"}, body=body)
    assert reply.body["custom_fields"] == {"nickname": "Al", "age": 2}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("shoe_size", 43, "unknown_field"),
        ("shoe_size", None, "unknown_field"),
        ("a/b~c", 1, "unknown_field"),
        ("nickname", 1, "wrong_type"),
        ("nickname", ["Al"], "wrong_type"),
        ("nickname", "x" * 1001, "wrong_type"),
        ("age", "41", "wrong_type"),
        ("age", True, "wrong_type"),
        ("veteran", "yes", "wrong_type"),
        ("veteran", 1, "wrong_type"),
        ("licensed_on", "2021-02-29", "wrong_type"),
        ("licensed_on", "20200229", "wrong_type"),
        ("licensed_on", "2020-02-29T00:00:00Z", "wrong_type"),
        ("licensed_on", 20200229, "wrong_type"),
        ("size", "XL", "bad_choice"),
        ("size", 1, "bad_choice"),
        ("size", ["S"], "bad_choice"),
        ("size", {}, "bad_choice"),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_by_name_at_create_and_at_change(agent, name, value, code):
    lead = create(agent).body
    fields = {"custom_fields": {name: value}}
    for reply in (create(agent, phone_number="+14155550143", **fields), change(agent, lead, **fields)):
        assert (reply.status, reply.code) == (422, code)
        pointer = "/custom_fields/" + name.replace("~", "~0").replace("/", "~1")
        assert [error["pointer"] for error in reply.body["errors"]] == [pointer]
    assert get(agent, lead).body == lead


@pytest.mark.parametrize(
    ("value", "code"),
    [([], "dict_type"), (None, "dict_type"), ({"nickname": "nul\0"}, "nul_character"), ({"age": float("nan")}, None)],
    ids=str,
)
def test_what_is_no_object_that_can_be_stored_is_refused(agent, value, code):
    reply = create(agent, custom_fields=value)
    assert reply.status == 422
    assert reply.code == (code or "not_a_json_number")


def test_every_bad_field_is_named_at_once(agent):
    reply = create(agent, custom_fields={"nickname": 1, "age": "x", "size": "M"})
    assert {error["pointer"] for error in reply.body["errors"]} == {"/custom_fields/nickname", "/custom_fields/age"}


def test_a_field_that_is_no_longer_declared_stays_and_can_no_longer_be_written(organization, agent):
    lead = create(agent, custom_fields=GOOD).body
    declare(organization, [{"name": "age", "type": "text"}])
    assert get(agent, lead).body["custom_fields"] == GOOD
    assert change(agent, lead, custom_fields={"nickname": "Bo"}).code == "unknown_field"
    assert change(agent, lead, custom_fields={"age": 3}).code == "wrong_type"
    assert change(agent, lead, custom_fields={"age": "old"}).body["custom_fields"] == GOOD | {"age": "old"}


def test_another_organizations_fields_do_not_count(organization, customer):
    for stranger in (customer(), customer(beside=organization)):
        assert create(caller(stranger), custom_fields={"age": 1}).code == "unknown_field"


def test_all_fields_together_have_a_largest_size_however_they_came(organization, agent):
    declare(organization, [{"name": f"field_{number}", "type": "text"} for number in range(20)])
    lead = create(agent, custom_fields={f"field_{number}": "x" * 1000 for number in range(15)}).body
    reply = change(agent, lead, custom_fields={"field_15": "x" * 1000, "field_16": "x" * 1000})
    assert (reply.status, reply.code) == (422, "too_large")
    assert change(agent, lead, custom_fields={"field_0": None, "field_15": "x" * 1000}).status == 200
