"""Text and JSON meant to break something: never a 5xx, and what is stored reads back the same."""

import base64
import csv
import io
import json
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest

from functions.config_api.app import handler as config_handler
from functions.dnc_api.app import handler as dnc_handler
from functions.dnc_files_api.app import handler as files_handler
from functions.leads_api.app import handler as leads_handler
from local import api_document
from tests.calling import Reply, caller
from tests.leads import audit, change, create, delete, get, of_lead, page, restore
from tests.targets import LISTED, NUMBER, TARGETS, ask, handler_of

ROUTES = {key: route for key, (_, route) in api_document.routes().items() if route.roles}
LARGEST_ANSWER = 6 * 1024 * 1024  # of a function, as JSON

# What can be stored, and must come back as it went in.
STORABLE = {
    "right to left": "\u202eevil\u202c \u200f\u05e9\u05dc\u05d5\u05dd\u200e مرحبا",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈🔥",
    "outside the basic plane": "\U0001d538\U0010ffff",
    "no characters": "\ufffe\uffff\ufdd0",
    "controls": "a\x01\x07\x1b[31m\x7f\x9bz",
    "separators": "a\u2028b\u2029c\x85d",
    "lines": "a\r\nb\nc\rd",
    "zero width": "a\u200b\ufeff\u2060b",
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "not normal": "e\u0301 é ﬁ Å",
    "SQL": "'; drop table leads; -- $1 %s %(x)s {} \\",
    "markup": "<script>alert(1)</script>&lt;",
    "looks like NUL": "\\u0000 \\x00 \\0",
    "JSON": '{"a": [1e400, null]}',
    "=": "=1+1",
    "+": "+1",
    "-": "-1",
    "@": "@SUM(A1)",
    "an apostrophe before a formula": "'=1+1",
    "two of them": "''=1+1",
    "an apostrophe": "'tis",
    "quotes": '"a" ""b"" ,;\t|',
}
# What cannot: refused, by a problem.
REFUSED = {"NUL": "nul\0", "lone surrogate": "\ud800", "reversed surrogates": "\udc00\ud800", "1 MB": "x" * 1_000_000}
RAW = "@raw@"
NOT_TEXT = {
    "a float without end": "1e400",
    "its negative": "-1e400",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "4,000 digits": "9" * 4_000,
    "5,000 digits": "9" * 5_000,
    "a tiny float": "1e-400",
    "true": "true",
    "null": "null",
    "a list": "[]",
    "190 lists": "[" * 190 + "]" * 190,
    "190 objects": '{"a":' * 190 + "1" + "}" * 190,
    "100,000 lists": "[" * 100_000 + "]" * 100_000,
    "many members": json.dumps({str(number): number for number in range(2_000)}),
    "many items": json.dumps(["x"] * 100_000),
    "an object with a NUL": '{"\\u0000": "\\u0000"}',
    "an object with a long name": json.dumps({'"' * 1_900_000: 1}),
    "objects with unknown members": json.dumps([{str(number): 1 for number in range(20_000)}] * 10),
}


def judge(reply: Reply) -> Reply:
    """Fails for a 5xx, for an error that is no problem, and for an answer larger than a function can give."""
    assert reply.status < 500, reply.body
    if reply.status >= 400:
        assert reply.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "status", "code", "detail", "errors"} <= reply.body.keys()
        assert reply.body["status"] == reply.status
    assert len(json.dumps(json.dumps(reply.body, ensure_ascii=False), ensure_ascii=False).encode()) < LARGEST_ANSWER
    return reply


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


# Whole bodies --------------------------------------------------------------------------------------------------------

BODIES = {
    "nothing": b"",
    "null": b"null",
    "a text": b'"text"',
    "a number": b"1e400",
    "5,000 digits": b"9" * 5_000,
    "NaN": b"NaN",
    "a list": b"[]",
    "a list of nothing": b'[null, 1, [], {}, ""]',
    "100,000 lists": b"[" * 100_000 + b"]" * 100_000,
    "100,000 objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "100,000 lists, open": b"[" * 100_000,
    "no UTF-8": b'{"phone_number": "\xff\xfe\xed\xa0\x80"}',
    "UTF-16": '{"phone_number": "4155550142"}'.encode("utf-16"),
    "lone surrogates": b'{"\\ud800": "\\udc00"}',
    "a NUL": b'{"a\0": 1}',
    "a long name": json.dumps({'"' * 1_900_000: 1}).encode(),
    "a long name of controls": b'{"' + b"\\u0001" * 600_000 + b'": 1}',
    "many names": json.dumps({"x" * 200 + str(number): 1 for number in range(15_000)}).encode(),
    "one name often": b'{"reason": "a", ' + b'"phone_number": [], ' * 50_000 + b'"phone_number": {}}',
    "a comma too many": b'{"phone_number": "4155550142",}',
    "something after it": b'{"phone_number": "4155550142"} {}',
    "over 4 MB": b" " * (4 * 1024 * 1024 + 1),
}


# A body is read before its route is asked: what takes long is tried on one route of each function that takes a body.
LARGE = 50_000  # bytes
OF_EACH_FUNCTION = {
    function: key
    for key, (function, route) in api_document.routes().items()
    if key in ROUTES and route.body.model_fields
}
HOSTILE = [
    (key, name) for name, body in BODIES.items() for key in (ROUTES if len(body) < LARGE else OF_EACH_FUNCTION.values())
]


@pytest.mark.parametrize(("key", "name"), HOSTILE)
def test_a_hostile_body_is_never_a_fault(key, name, organization):
    target, body = TARGETS[key](organization), BODIES[name]
    member = caller(organization, target.role)
    text = base64.b64encode(body).decode()
    # With a key the body is read by routes that take none, too.
    for headers in ({}, {"idempotency-key": "a", "content-type": "text/csv"}):
        call = {"path": target.path, "query": target.query, "headers": target.headers | headers}
        judge(member.ask(handler_of(key), key, raw_body=text, base64=True, **call))


@pytest.mark.parametrize("body", ["é", "\ud800", "=", "a" * 5])
def test_what_is_no_base64_is_a_400(admin, body):
    reply = judge(admin.ask(leads_handler, "POST /leads", raw_body=body, base64=True))
    assert (reply.status, reply.code) == (400, "malformed_json")


def test_of_a_name_that_comes_twice_the_last_counts_for_the_call_and_for_its_key(admin):
    key = {"idempotency-key": "twice"}
    twice = '{"phone_number": "+14155550199", "first_name": "A", "phone_number": "+14155550142", "first_name": "B"}'
    made = admin.ask(leads_handler, "POST /leads", raw_body=twice, headers=key)
    assert (made.status, made.body["phone_number"], made.body["first_name"]) == (201, NUMBER, "B")
    once = admin.ask(leads_handler, "POST /leads", body={"phone_number": NUMBER, "first_name": "B"}, headers=key)
    assert once.body == made.body


# Every field of a body -----------------------------------------------------------------------------------------------

FIELDS = [(key, name) for key, route in ROUTES.items() for name in route.body.model_fields] + [
    ("POST /dnc/import", name) for name in ROUTES["POST /dnc"].body.model_fields
]


def with_raw(body: Any, name: str, raw: str) -> str:
    """The body with one field's JSON, as it stands."""
    changed = [{**row, name: RAW} for row in body] if isinstance(body, list) else {**body, name: RAW}
    return json.dumps(changed).replace(json.dumps(RAW), raw)


@pytest.mark.parametrize(("key", "name"), FIELDS)
def test_a_hostile_value_of_a_field_is_never_a_fault(key, name, organization):
    target = TARGETS[key](organization)
    member = caller(organization, target.role)
    values = NOT_TEXT | {about: json.dumps(text) for about, text in (STORABLE | REFUSED).items()}
    for raw in values.values():
        reply = member.ask(
            handler_of(key),
            key,
            path=target.path,
            raw_body=with_raw(target.body, name, raw),
            headers=target.headers,
        )
        judge(reply)
    if key.startswith("PATCH"):
        # What has got in can be read.
        reading = key.replace("PATCH", "GET")
        judge(member.ask(handler_of(reading), reading, path=target.path))
        judge(page(member))


CONFIG_KEYS = ["default_region", "time_zone", "custom_fields", "agents_see_own_leads_only", "cooling_off_days", "nul\0"]


@pytest.mark.parametrize("config_key", CONFIG_KEYS)
def test_a_hostile_value_of_a_key_is_never_a_fault(admin, config_key):
    values = NOT_TEXT | {about: json.dumps(text) for about, text in (STORABLE | REFUSED).items()}
    for raw in values.values():
        body = f'{{"value": {raw}}}'
        judge(admin.ask(config_handler, "PUT /config/{key}", path={"key": config_key}, raw_body=body))
        judge(admin.ask(config_handler, "GET /config/{key}", path={"key": config_key}))


@pytest.mark.parametrize("about", NOT_TEXT)
@pytest.mark.parametrize("name", ["source_metadata", "custom_fields"])
def test_a_hostile_value_in_an_object_is_refused_or_kept(admin, about, name):
    declared = [{"name": "a", "type": "number"}]
    path = {"key": "custom_fields"}
    assert admin.ask(config_handler, "PUT /config/{key}", path=path, body={"value": declared}).status == 200
    raw = f'{{"phone_number": "{NUMBER}", "{name}": {{"a": {NOT_TEXT[about]}}}}}'
    reply = judge(admin.ask(leads_handler, "POST /leads", raw_body=raw))
    if reply.status == 201:
        read = judge(get(admin, reply.body))
        assert read.body == reply.body
        judge(change(admin, read.body, notes="x"))
        judge(of_lead(admin, "timeline", reply.body))


def test_a_check_of_hostile_inputs_answers_each_in_its_place(admin):
    inputs = [*STORABLE.values(), "\0", True, None, 1e300, -0.0, 10**400]
    reply = judge(admin.ask(dnc_handler, "POST /dnc/check", body={"phone_numbers": inputs}))
    shown = [one if len(str(one)) <= 40 else str(one)[:40] for one in inputs]
    assert [item["input"] for item in reply.body["items"]] == shown
    assert {(item["error"] or {}).get("code") for item in reply.body["items"]} == {"bad_phone"}


LONG = {
    "quotes": '"' * 190,
    "controls": "\x01" * 60,
    "emoji": "🔥" * 30,
    "letters": "x" * 380,
    "digits": int("9" * 380),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_a_check_of_ten_thousand_long_inputs_has_an_answer_that_fits(admin, text):
    reply = judge(admin.ask(dnc_handler, "POST /dnc/check", body={"phone_numbers": [text] * 10_000}))
    assert len(reply.body["items"]) == 10_000


# What is stored ------------------------------------------------------------------------------------------------------

PROSE = ("notes",)
WORDS = ("first_name", "last_name", "address", "city", "state", "zip", "source", "sub_source")


@pytest.mark.parametrize("about", STORABLE)
def test_a_leads_text_reads_back_the_same(admin, about):
    text = STORABLE[about]
    given = dict.fromkeys(WORDS + PROSE, text) | {"source_metadata": {text: [text, {"x": text}]}}
    # A name is composed, with one space where there are several, so that it is found however it is spelled.
    name = " ".join(unicodedata.normalize("NFC", text).split())
    fields = given | {"first_name": name, "last_name": name}
    created = judge(create(admin, **given, change_reason=text))
    assert {name: created.body[name] for name in fields} == fields
    plain = judge(change(admin, created.body, **dict.fromkeys(WORDS + PROSE, "plain"))).body
    changed = judge(change(admin, plain, **given, change_reason=text)).body
    assert get(admin, changed).body == changed
    assert {name: changed[name] for name in fields} == fields
    newest = audit(admin, changed)[: len(WORDS + PROSE)]
    assert {(entry["old_value"], entry["new_value"], entry["change_reason"]) for entry in newest} == {
        ("plain", kept, text) for kept in (name, text)
    }
    for query in ({"name": text}, {"source": text}, {"sub_source": text}):
        if "," not in text or "name" in query:
            assert judge(page(admin, **query)).body["items"] == [changed], query
    assert judge(delete(admin, changed, **{"x-change-reason": text})).status == 204
    restored = judge(restore(admin, changed)).body
    assert {name: restored[name] for name in fields} == fields


@pytest.mark.parametrize("about", STORABLE)
def test_an_entrys_text_reads_back_the_same_by_json_and_by_csv(admin, customer, about):
    text = STORABLE[about]
    fields = {"source": text, "notes": text, "detected_phrase": text}
    added = judge(admin.ask(dnc_handler, "POST /dnc", body={**LISTED, **fields}))
    assert {name: added.body[name] for name in fields} == fields
    (listed,) = admin.ask(dnc_handler, "GET /dnc").body["items"]
    assert listed == added.body
    exported = as_csv(admin)
    (row,) = csv.DictReader(io.StringIO(exported, newline=""))
    for name in fields:
        assert row[name] == text or (row[name].startswith("'") and row[name][1:] == text)
        assert not row[name].startswith(("=", "+", "-", "@", "\t"))
    # What one organization has exported another one takes, with nothing lost.
    other = caller(customer(), "admin")
    columns = ("phone_number", "reason", *fields)
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerows([columns, [row[column] for column in columns]])
    raw = base64.b64encode(sheet.getvalue().encode()).decode()
    headers = {"content-type": "text/csv"}
    assert judge(other.ask(files_handler, "POST /dnc/import", raw_body=raw, base64=True, headers=headers)).body["added"]
    (taken,) = other.ask(dnc_handler, "GET /dnc").body["items"]
    assert {name: taken[name] for name in fields} == fields
    removed = judge(
        admin.ask(dnc_handler, "DELETE /dnc/{entry_id}", path={"entry_id": listed["id"]}, body={"reason": text})
    )
    assert removed.body["removal_reason"] == text


def as_csv(member) -> str:
    """The export as CSV, which is no JSON, so that it is asked for past `ask`."""
    seen: list[str] = []

    def keep(event, context):
        answer = files_handler(event, context)
        seen.append(answer["body"])
        return answer | {"body": ""}

    assert member.ask(keep, "GET /dnc/export", headers={"accept": "text/csv"}).status == 200
    return seen[0]


@pytest.mark.parametrize("about", STORABLE)
def test_a_decisions_reason_reads_back_the_same(organization, about):
    target = TARGETS["POST /dnc/reviews/{event_id}"](organization)
    body = {"decision": "confirm", "reason": STORABLE[about]}
    reply = ask(caller(organization, "manager"), "POST /dnc/reviews/{event_id}", target, body=body)
    assert judge(reply).body["reason"] == STORABLE[about]


@pytest.mark.parametrize("about", STORABLE)
def test_a_choice_of_a_custom_field_reads_back_the_same(admin, about):
    text = STORABLE[about]
    value = [{"name": "a", "type": "choice", "choices": [text]}, {"name": "b", "type": "text", "choices": []}]
    path = {"key": "custom_fields"}
    assert (
        judge(admin.ask(config_handler, "PUT /config/{key}", path=path, body={"value": value})).body["value"] == value
    )
    lead = judge(create(admin, custom_fields={"a": text, "b": text})).body
    assert get(admin, lead).body["custom_fields"] == {"a": text, "b": text}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_stored_is_refused_in_every_text(admin, text):
    for name in (*WORDS, *PROSE, "change_reason", "email", "time_zone", "country", "phone_number"):
        assert judge(create(admin, **{name: text})).status in (400, 422), name
    for value in ({"source_metadata": {"x": text}}, {"source_metadata": {text: 1}}, {"tags": [text]}):
        assert judge(create(admin, **value)).status in (400, 422)
    assert page(admin).body["items"] == []
    for name in ("source", "notes", "detected_phrase"):
        body = {**LISTED, name: text}
        assert judge(admin.ask(dnc_handler, "POST /dnc", body=body)).status in (400, 422)
        imported = judge(admin.ask(files_handler, "POST /dnc/import", body=[body]))
        assert imported.status == 400 or imported.body["refused_count"] == 1
    assert admin.ask(dnc_handler, "GET /dnc").body["items"] == []


# Query strings, paths and headers ------------------------------------------------------------------------------------


def _names(route) -> list[str]:
    """As they stand in the query string, and one that is unknown."""
    return [field.alias or name for name, field in route.query.model_fields.items()] + ["\ud800"]


# As long as API Gateway lets a header or a query string be.
TEXTS = {about: text for about, text in (STORABLE | REFUSED | NOT_TEXT).items() if len(text) < 10_000}
TEXTS |= {"empty": "", "long": "x" * 10_000}


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, route in ROUTES.items() for name in _names(route)])
def test_a_hostile_query_is_never_a_fault(key, name, organization):
    target = TARGETS[key](organization)
    member = caller(organization, target.role)
    for text in TEXTS.values():
        judge(ask(member, key, target, query={**target.query, name: text}))


@pytest.mark.parametrize("key", [key for key in ROUTES if "{" in key])
def test_a_hostile_path_is_never_a_fault(key, organization):
    target = TARGETS[key](organization)
    member = caller(organization, target.role)
    for text in TEXTS.values():
        for written in (text, quote(text, errors="replace")):
            for name in target.path:
                judge(ask(member, key, target, path={**target.path, name: written}))


# Several at once, where none of them can have the call refused before the others are looked at.
HEADERS = [("x-change-reason", "user-agent", "content-type", "accept", "cookie"), ("idempotency-key",), ("if-match",)]


@pytest.mark.parametrize("key", ROUTES)
@pytest.mark.parametrize("names", HEADERS, ids=lambda names: names[0])
def test_a_hostile_header_is_never_a_fault(key, names, organization):
    target = TARGETS[key](organization)
    member = caller(organization, target.role)
    for text in TEXTS.values():
        judge(ask(member, key, target, headers={**target.headers, **dict.fromkeys(names, text)}))
