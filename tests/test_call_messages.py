"""The models of the call system's messages, and the schema that is made from them."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from leadline import calls
from leadline.calls.messages import cost, payload
from leadline.events import PermanentFault
from local import message_schema

ROOT = Path(__file__).parent.parent
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ENVELOPE = {
    "id": "evt-1",
    "occurred_at": "2026-11-22T11:00:00Z",
    "tenant_id": "11111111-0000-7000-8000-000000000000",
    "organization_id": "11111111-0000-7000-8000-000000000100",
}
LEAD = "98025be7-5325-58dc-ae3c-5298e889cf99"
COMPLETED = {**ENVELOPE, "type": "call.completed", "call": {"id": "c", "to": "+14155550100"}}
RECEIVED = {**ENVELOPE, "type": "message.received", "message": {"id": "s", "from": "+14155550100"}}
SAMPLES = sorted((ROOT / "events" / "call_events_worker").glob("*.json"))


def with_call(**told):
    return COMPLETED | {"call": COMPLETED["call"] | told}


def reason(message, now=NOW) -> str:
    with pytest.raises(PermanentFault) as fault:
        calls.read(message if isinstance(message, str) else json.dumps(message), now)
    return fault.value.reason


def test_the_schema_is_the_one_that_the_models_make():
    assert json.loads(message_schema.SCHEMA.read_text()) == message_schema.schema(), "python -m local.message_schema"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_every_sample_is_as_the_schema_and_the_models_say(sample):
    validator = Draft202012Validator(message_schema.schema(), format_checker=FormatChecker())
    for record in json.loads(sample.read_text())["Records"]:
        validator.validate(json.loads(record["body"]))
        calls.read(record["body"], NOW)


def test_there_is_a_sample_of_every_type():
    bodies = [json.loads(record["body"]) for path in SAMPLES for record in json.loads(path.read_text())["Records"]]
    assert {body["type"] for body in bodies} == set(message_schema.schema()["discriminator"]["mapping"])


GOOD = {
    "by number": COMPLETED,
    "by lead": with_call(to=None, lead_id=LEAD),
    "inbound": with_call(to=None, **{"from": "415 555 0100"}, direction="inbound"),
    "with fields that nobody knows": COMPLETED | {"x": {"y": 1}, "call": COMPLETED["call"] | {"z": []}},
    "analyzed, of a call that others describe": {**ENVELOPE, "type": "call.analyzed", "call": {"id": "c"}},
    "an opt-out from a call that others describe": {
        **ENVELOPE,
        "type": "call.analyzed",
        "call": {"id": "c"},
        "opt_out": {"phrase": "stop"},
    },
    "five minutes ahead": COMPLETED | {"occurred_at": "2026-11-22T12:05:00+00:00"},
    "of another offset": COMPLETED | {"occurred_at": "2026-11-22T01:00:00-10:00"},
    "a script with a number": with_call(script={"id": "s", "version": 3}),
    "received, from the call's number": RECEIVED | {"message": {"id": "s"}, "call": {"from": "+14155550100"}},
}
MALFORMED = {
    "without a time": {name: value for name, value in COMPLETED.items() if name != "occurred_at"},
    "without an offset": COMPLETED | {"occurred_at": "2026-11-22T11:00:00"},
    "a time as a number": COMPLETED | {"occurred_at": 1795345200},
    "without an id": COMPLETED | {"id": ""},
    "an id too long": COMPLETED | {"id": "x" * 201},
    "a tenant that is none": COMPLETED | {"tenant_id": "harbor"},
    "without a type": {name: value for name, value in COMPLETED.items() if name != "type"},
    "without a call": COMPLETED | {"call": None},
    "without a call's id": COMPLETED | {"call": {"to": "+14155550100"}},
    "nobody named": with_call(to=None),
    "nobody named, inbound": with_call(direction="inbound"),
    "nobody named, outbound": with_call(to=None, **{"from": "+14155550100"}),
    "a lead that is none": with_call(lead_id="ada"),
    "a direction that is none": with_call(direction="sideways"),
    "a voice that is none": with_call(voice="robot"),
    "a duration below zero": with_call(duration_seconds=-1),
    "an answer over 100": COMPLETED | {"qualification": {"income": 101}},
    "an answer as text": COMPLETED | {"qualification": {"income": "50"}},
    "an answer that is no number": json.dumps(COMPLETED | {"qualification": {"income": "x"}}).replace('"x"', "NaN"),
    "a confidence over 1": COMPLETED | {"opt_out": {"confidence": 97}},
    "a NUL": with_call(outcome="a\0b"),
    "received from nobody": RECEIVED | {"message": {"id": "s", "to": "+14155550100"}},
    "a status without one": {**ENVELOPE, "type": "message.status", "message": {"id": "s"}},
    "no object": "[]",
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_message_is_read(kind):
    message = calls.read(json.dumps(GOOD[kind]), NOW)
    assert calls.organization(message) == (message.tenant_id, message.organization_id)
    Draft202012Validator(message_schema.schema()).validate(GOOD[kind])


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_message_that_is_not_as_it_should_be_is_malformed(kind):
    assert reason(MALFORMED[kind]) == "malformed"


# What no JSON schema says: that a text is storable, an answer a number and no NaN, and a time one with an offset.
UNSAID = {"a NUL", "an answer that is no number", "without an offset"}


@pytest.mark.parametrize("kind", sorted(MALFORMED.keys() - UNSAID))
def test_the_schema_refuses_what_the_models_refuse(kind):
    message = MALFORMED[kind]
    validator = Draft202012Validator(message_schema.schema(), format_checker=FormatChecker(["uuid", "date-time"]))
    assert not validator.is_valid(json.loads(message) if isinstance(message, str) else message)


@pytest.mark.parametrize("body", ["", "{", "null and void", '{"id": "\\ud800"}'])
def test_what_is_no_json_is_told_so(body):
    assert reason(body) == "malformed_json"


@pytest.mark.parametrize("type_", ["call.exploded", "", "CALL.STARTED"])
def test_an_unknown_type_is_told_so(type_):
    assert reason(COMPLETED | {"type": type_}) == "unknown_type"


BAD_MONEY = [0.0075, 1, 0, "-1", "NaN", "Infinity", "1e3", "+1", " 1", "1 ", "", ".5", "5.", "1,5", "0x1", "1" * 12]
BAD_MONEY += ["\N{ARABIC-INDIC DIGIT ONE}", True, [], "1\n"]


@pytest.mark.parametrize("written", BAD_MONEY)
def test_a_cost_that_is_no_plain_decimal_in_a_string_is_bad_money(written):
    assert reason(with_call(cost_usd=written)) == "bad_money"


@pytest.mark.parametrize(
    ("written", "booked"),
    [
        ("0", "0"),
        ("0.0075", "0.0075"),
        ("007.10", "7.1"),
        ("0.0000005", "0.000001"),
        ("0.00000049999999999999999999", "0"),
        ("1.2345675", "1.234568"),
        ("99999999999.9999999", "100000000000"),
    ],
)
def test_a_cost_is_rounded_half_up_at_six_decimals(written, booked):
    message = calls.read(json.dumps(with_call(cost_usd=written)), NOW)
    assert payload(message)["call"]["cost_usd"] == written
    assert cost(written) == Decimal(booked)


def test_a_message_from_the_future_is_told_so():
    ahead = COMPLETED | {"occurred_at": "2026-11-22T12:05:00.001Z"}
    assert reason(ahead) == "too_far_ahead"
    assert calls.read(json.dumps(ahead), NOW + timedelta(seconds=1))


def test_what_is_kept_is_what_we_know():
    sent = with_call(lead_id=LEAD, cost_usd="1.50") | {"secret": 1, "qualification": {"income": 50, "x": 1}}
    kept = payload(calls.read(json.dumps(sent), NOW))
    assert kept["call"] == {"id": "c", "to": "+14155550100", "lead_id": LEAD, "cost_usd": "1.50"}
    assert kept["qualification"] == {"income": 50}
    assert "secret" not in kept


def test_a_fault_tells_the_place_and_not_what_stands_there():
    with pytest.raises(PermanentFault) as fault:
        calls.read(json.dumps(with_call(voice="+14155550199")), NOW)
    assert fault.value.detail == "/call/voice literal_error"
