"""The filter language: what it finds, as a second evaluator has it, and what it refuses, with the place."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from leadline import segments
from leadline.config import Config, CustomField
from leadline.errors import Invalid
from leadline.segments import Filter, found
from tests.segment_oracle import Oracle

ZONES = ["America/New_York", "UTC", "Pacific/Auckland", "America/Santiago", "Asia/Kathmandu"]
NOW = datetime(2026, 11, 4, 12, 30, tzinfo=UTC)
CUSTOM_TYPES = {"note": "text", "age": "number", "member": "boolean", "born": "date", "plan": "choice"}
DECIDED = Config(
    custom_fields=[
        CustomField(name=name, type=kind, choices=["basic", "gold"] if kind == "choice" else [])
        for name, kind in CUSTOM_TYPES.items()
    ]
)


def deciding(zone: str) -> Config:
    return DECIDED.model_copy(update={"time_zone": zone})


# Draws ---------------------------------------------------------------------------------------------------------------
# Few values of each kind, so that leads and filters meet; and those at whose edges things go wrong.

TEXTS = [
    "a",
    "A",
    "ab",
    "a%",
    "a_",
    "_",
    "%",
    "\\",
    "a\\b",
    "a'b",
    '"',
    "é",
    "e\u0301",
    "Ünal",
    "ŁÓDŹ",
    "🔥",
    "مريم",
    "{}",
    "%(x)s",
]
NAMES = [*TEXTS, "Ana Ann", "ana"]
PREFIXES = [*TEXTS, "Ana ", "an"]
TAGS = ["hot", "a_b", "été", "x y", "राम"]
PHONES = [f"+1415555{number:04}" for number in range(100, 112)]
DAYS = [date(2026, 3, 8), date(2026, 11, 1), date(2026, 9, 6), date(2026, 9, 27)]  # each of some zone's odd ones
EMAILS = ["a@b.co", "a_b@b.co", "é@b.co"]


def instants_of(zone: str) -> list[datetime]:
    """The edges of those days in the zone, and of what is relative to now, each with its neighbours."""
    edges = [
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        for first in DAYS
        for day in (first, first + timedelta(days=1))
    ]
    edges += [NOW - timedelta(days=7), NOW - timedelta(hours=36), NOW]
    return [edge + timedelta(microseconds=step) for edge in edges for step in (-1, 0, 1)]


texts = st.sampled_from(TEXTS)
periods = st.sampled_from(["7d", "36h", "1w", "2160m", "1m", "36500d", "400w"])
day_texts = st.sampled_from(DAYS).map(date.isoformat)
numbers = st.sampled_from([-1, 0, 0.1, 1, 70, 70.0, 2**40, 1e20, 0.30000000000000004])


@st.composite
def leads(draw, members, instants):
    """A lead as its row is; now and then with a custom field that was written when it was declared otherwise."""
    odd = st.sampled_from(["x", "2024-1-1", 7, True, ["a"], {"a": 1}])
    custom = {
        "note": st.one_of(texts, st.just("")),
        "age": numbers,
        "member": st.booleans(),
        "born": day_texts,
        "plan": st.sampled_from(["basic", "gold", "retired"]),
    }
    given_names = draw(st.sets(st.sampled_from(sorted(custom))))
    maybe_text = st.none() | texts
    return {
        "user_id": draw(st.sampled_from([None, *members])),
        "first_name": draw(st.none() | st.sampled_from(NAMES)),
        "last_name": draw(st.none() | st.sampled_from(NAMES)),
        "email": draw(st.none() | st.sampled_from(EMAILS)),
        "city": draw(maybe_text),
        "state": draw(maybe_text),
        "zip": draw(maybe_text),
        "country": draw(st.sampled_from(["US", "CA"])),
        "time_zone": draw(maybe_text),
        "status": draw(st.sampled_from(["new", "contacted", "hot"])),
        "lead_score": draw(st.sampled_from([0, 69, 70, 71, 100])),
        "source": draw(maybe_text),
        "sub_source": draw(maybe_text),
        "tags": draw(st.lists(st.sampled_from(TAGS), unique=True, max_size=3)),
        "last_contact_date": draw(st.none() | instants),
        "interaction_count": draw(st.integers(0, 3)),
        "calling_blocked": draw(st.booleans()),
        "custom_fields": {name: draw(st.one_of(custom[name], custom[name], odd)) for name in sorted(given_names)},
        "created_at": draw(instants),
        "updated_at": draw(instants),
    }


def asked_of(values, *, order=False, prefixes=None, period=None):
    """Every operator of a type, several of them now and then, and the bare forms."""
    lists = st.lists(values, min_size=1, max_size=3)
    of = {"eq": values, "ne": values, "in": lists, "exists": st.booleans()}
    if order:
        of |= dict.fromkeys(("gt", "gte", "lt", "lte"), values) | {"between": st.lists(values, min_size=2, max_size=2)}
    if prefixes is not None:
        of["starts_with"] = prefixes
    if period is not None:
        of |= {"within_last": period, "older_than": period}
    operators = st.sets(st.sampled_from(sorted(of)), min_size=1, max_size=2)
    named = operators.flatmap(lambda names: st.fixed_dictionaries({n: of[n] for n in names}))
    return st.one_of(values, lists, named, named, named, named)


def conditions(members, instants):
    """The field of a condition, and what can be asked of it."""
    text = asked_of(texts, prefixes=texts)
    name = asked_of(st.sampled_from(NAMES), prefixes=st.sampled_from(PREFIXES))
    times = st.one_of(
        day_texts,
        instants.map(datetime.isoformat),
        instants.map(lambda t: t.astimezone(ZoneInfo("Asia/Kathmandu")).isoformat()),
    )
    time = asked_of(times, order=True, period=periods)
    some_tags = st.lists(st.sampled_from([*TAGS, "HOT "]), min_size=1, max_size=3)
    tag_tests = {f"contains_{how}": some_tags for how in ("any", "all", "none")} | {"exists": st.booleans()}
    score = asked_of(st.sampled_from([0, 69, 70, 71, 100, 2**31 - 1]), order=True)
    return {
        **dict.fromkeys(("city", "state", "zip", "time_zone", "source", "sub_source"), text),
        **dict.fromkeys(("first_name", "last_name", "full_name"), name),
        **dict.fromkeys(("created_at", "updated_at", "last_contact", "last_contact_date"), time),
        **dict.fromkeys(("lead_score", "interaction_count"), score),
        "status": asked_of(st.sampled_from(["new", "contacted", "hot", "dnc"])),
        "country": asked_of(st.sampled_from(["US", "CA", "GB"])),
        "email": asked_of(st.sampled_from(["A@b.co", *EMAILS]), prefixes=st.sampled_from(["a", "A_", "é", "%"])),
        "phone_number": asked_of(st.sampled_from(PHONES), prefixes=st.sampled_from(["+1415555010", "+", "1", "%"])),
        "user_id": asked_of(st.sampled_from([str(one) for one in [*members, uuid.UUID(int=7)]])),
        "calling_blocked": st.one_of(st.booleans(), st.fixed_dictionaries({"ne": st.booleans()})),
        "tags": st.one_of(
            st.sampled_from(TAGS), some_tags, *(st.fixed_dictionaries({how: v}) for how, v in tag_tests.items())
        ),
        "custom_fields.note": asked_of(st.one_of(texts, st.just("")), prefixes=texts),
        "custom_fields.age": asked_of(numbers, order=True),
        "custom_fields.member": st.one_of(st.booleans(), st.fixed_dictionaries({"ne": st.booleans()})),
        "custom_fields.born": asked_of(day_texts, order=True, period=st.sampled_from(["7d", "1w", "36500d"])),
        "custom_fields.plan": asked_of(st.sampled_from(["basic", "gold"])),
    }


# Fields that are asked alike share a turn; what is hardest to get right has two.
TURNS = [
    *(["city", "state", "zip", "time_zone", "source", "sub_source"], ["first_name", "last_name"], ["full_name"]),
    *([["created_at", "updated_at"], ["last_contact", "last_contact_date"]] * 2),
    *(["lead_score", "interaction_count"], ["status", "country", "user_id"], ["email"], ["phone_number"], ["tags"]),
    *(["calling_blocked", "custom_fields.member"], ["custom_fields.note"], ["custom_fields.plan"]),
    *(["custom_fields.age"], ["custom_fields.born"]),
]


def filters(members, instants):
    of = conditions(members, instants)
    assert sorted(of) == sorted({name for turn in TURNS for name in turn})
    names = st.sampled_from(TURNS).flatmap(st.sampled_from)
    one = names.flatmap(lambda name: of[name].map(lambda asked: {name: asked}))
    several = st.lists(one, max_size=3).map(lambda each: {k: v for part in each for k, v in part.items()})

    def deeper(inner):
        lists = st.lists(inner, min_size=1, max_size=3)
        return st.one_of(
            *(st.fixed_dictionaries({word: lists}) for word in ("and", "or")),
            st.fixed_dictionaries({"not": inner}),
            st.tuples(several, st.fixed_dictionaries({"not": inner})).map(lambda both: both[0] | both[1]),
        )

    # A condition of every field is as likely as any nesting.
    nested = one
    for _ in range(4):
        nested = st.one_of(one, one, several, deeper(nested))
    return st.one_of(one, nested)


# The two evaluators --------------------------------------------------------------------------------------------------


COLUMNS = """
    user_id, first_name, last_name, phone_number, email, city, state, zip, country, time_zone, status, lead_score,
    source, sub_source, tags, last_contact_date, interaction_count, calling_blocked, custom_fields, created_at,
    updated_at
"""


WHOLE = {"country": "US", "status": "new", "lead_score": 0, "tags": [], "interaction_count": 0} | {
    "calling_blocked": False,
    "custom_fields": {},
    "created_at": NOW,
    "updated_at": NOW,
}


def insert(tx, rows) -> list[uuid.UUID]:
    """Leads with these columns, in one statement; a number each."""
    rows = [{"phone_number": PHONES[place], **row} for place, row in enumerate(rows)]
    statement = sql.SQL(
        "insert into leads ({columns}) select {columns} from jsonb_populate_recordset(null::leads, %s) returning id"
    ).format(columns=sql.SQL(COLUMNS))
    found = tx.execute(statement, [json.dumps(rows, default=str)])
    return [row["id"] for row in found.fetchall()]


@pytest.fixture(scope="module")
def world(customer, database):
    """An organization's transaction, for leads that are taken back."""
    organization = customer()
    with psycopg.connect(database.dsn("app"), autocommit=True, row_factory=dict_row) as conn:
        yield organization, conn


@cache
def drawn(members, zone):
    """Leads and filters in a zone; made once, which takes longer than drawing from them."""
    instants = st.sampled_from(instants_of(zone))
    return leads(members, instants), filters(members, instants)


def agree(world, data, most_leads):
    organization, conn = world
    zone = data.draw(st.sampled_from(ZONES), label="zone")
    some_leads, some_filters = drawn(tuple(member.id for member in organization.members.values()), zone)
    rows = data.draw(st.lists(some_leads, min_size=3, max_size=most_leads), label="leads")
    asked = data.draw(st.lists(some_filters, min_size=10, max_size=15), label="filters")
    decided, oracle = deciding(zone), Oracle(CUSTOM_TYPES, ZoneInfo(zone), NOW)
    with conn.transaction(force_rollback=True):
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        ids = insert(conn, rows)
        stored = conn.execute("select * from leads where id = any (%s)", [ids]).fetchall()
        for place, raw in enumerate(asked):
            filter_ = segments.parse(raw, decided)
            expected = {row["id"] for row in stored if oracle.holds(raw, row)}
            assert segments.matching(conn, filter_, decided, NOW, ids) == expected, raw
            if place % 4:
                continue
            condition, values = segments.condition(filter_, decided, NOW, "x")
            assert conn.execute(found.count_of(condition), {**values, "cap": None}).fetchall()[0]["count"] == len(
                expected
            ), raw


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_second_evaluator_finds_the_same_leads(world, data):
    agree(world, data, 6)


# What is refused -----------------------------------------------------------------------------------------------------


def nested(depth: int) -> dict:
    return {"status": "new"} if depth == 1 else {"not": nested(depth - 1)}


REFUSED = {
    "an unknown field": ({"colour": "red"}, "/colour", "unknown_field"),
    "a column that is none of the language": ({"tenant_id": "x"}, "/tenant_id", "unknown_field"),
    "a field with slash and tilde": ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    "a custom field that is not declared": ({"custom_fields.x": 1}, "/custom_fields.x", "unknown_field"),
    "custom fields as one": ({"custom_fields": {"age": 1}}, "/custom_fields", "unknown_field"),
    "an unknown operator": ({"status": {"like": "n%"}}, "/status/like", "unknown_operator"),
    "an operator that does not fit": ({"status": {"gte": "new"}}, "/status/gte", "operator_does_not_fit"),
    "a tag with eq": ({"tags": {"eq": "hot"}}, "/tags/eq", "operator_does_not_fit"),
    "a list for a boolean": ({"calling_blocked": [True]}, "/calling_blocked", "operator_does_not_fit"),
    "a custom operator that does not fit": (
        {"custom_fields.plan": {"gt": "gold"}}, "/custom_fields.plan/gt", "operator_does_not_fit",
    ),
    "no operator": ({"lead_score": {}}, "/lead_score", "missing_operator"),
    "null": ({"city": None}, "/city", "null_value"),
    "null under an operator": ({"city": {"ne": None}}, "/city/ne", "null_value"),
    "null in a list": ({"city": ["a", None]}, "/city/1", "string_type"),
    "no such status": ({"status": "old"}, "/status", "literal_error"),
    "no such status in a list": ({"status": ["new", "old"]}, "/status/1", "literal_error"),
    "a text for a number": ({"lead_score": {"gte": "70"}}, "/lead_score/gte", "int_type"),
    "true for a number": ({"lead_score": True}, "/lead_score", "int_type"),
    "a fraction of a score": ({"lead_score": {"in": [1, 1.5]}}, "/lead_score/in/1", "int_type"),
    "a score over any": ({"lead_score": 2**31}, "/lead_score", "less_than"),
    "a number for a text": ({"city": 7}, "/city", "string_type"),
    "a blank": ({"city": " "}, "/city", "string_too_short"),
    "NUL": ({"city": "a\0"}, "/city", "nul_character"),
    "NUL in a prefix": ({"city": {"starts_with": "\0"}}, "/city/starts_with", "nul_character"),
    "an empty prefix": ({"city": {"starts_with": ""}}, "/city/starts_with", "too_short"),
    "a text for a boolean": ({"calling_blocked": "true"}, "/calling_blocked", "bool_type"),
    "1 for a boolean": ({"custom_fields.member": 1}, "/custom_fields.member", "bool_type"),
    "a text for exists": ({"city": {"exists": "yes"}}, "/city/exists", "bool_type"),
    "no id": ({"user_id": "me"}, "/user_id", "uuid_parsing"),
    "no country": ({"country": "Narnia"}, "/country", "bad_country"),
    "no tag": ({"tags": ["hot", "a/b"]}, "/tags/1", "bad_tag"),
    "no tag, alone": ({"tags": "a/b"}, "/tags", "bad_tag"),
    "no number to call": ({"phone_number": {"in": ["+14155550142", "12"]}}, "/phone_number/in/1", "bad_phone"),
    "an instant without offset": ({"created_at": "2026-01-01T00:00:00"}, "/created_at", "bad_instant"),
    "no day of the calendar": ({"created_at": {"lte": "2026-02-30"}}, "/created_at/lte", "bad_instant"),
    "a period without unit": ({"created_at": {"within_last": "7"}}, "/created_at/within_last", "bad_period"),
    "a period over a century": ({"created_at": {"older_than": "36501d"}}, "/created_at/older_than", "bad_period"),
    "hours of a date": ({"custom_fields.born": {"within_last": "7h"}}, "/custom_fields.born/within_last", "bad_period"),
    "a custom date in basic form": ({"custom_fields.born": "20260101"}, "/custom_fields.born", "date_type"),
    "a custom number as text": ({"custom_fields.age": "7"}, "/custom_fields.age", "number_type"),
    "an absurd number": ({"custom_fields.age": 1e31}, "/custom_fields.age", "number_type"),
    "no number at all": ({"custom_fields.age": float("nan")}, "/custom_fields.age", "number_type"),
    "no such choice": ({"custom_fields.plan": ["gold", "tin"]}, "/custom_fields.plan/1", "bad_choice"),
    "between three": ({"lead_score": {"between": [1, 2, 3]}}, "/lead_score/between", "too_long"),
    "in nothing": ({"city": []}, "/city", "too_short"),
    "a list over a thousand": ({"lead_score": {"in": [7] * 1001}}, "/lead_score/in", "too_long"),
    "a bare list over a thousand": ({"city": ["a" * 60] * 1001}, "/city", "too_long"),
    "a list over a thousand of a custom field": (
        {"custom_fields.age": {"in": [7] * 1001}}, "/custom_fields.age/in", "too_long",
    ),
    "lists over 45 kB together": ({"city": ["x" * 60] * 800}, "", "too_large"),
    "or of nothing": ({"or": []}, "/or", "filter_list_type"),
    "and of an object": ({"and": {"status": "new"}}, "/and", "filter_list_type"),
    "not of a list": ({"not": [{"status": "new"}]}, "/not", "filter_type"),
    "or of a text": ({"or": [{}, "x"]}, "/or/1", "filter_type"),
    "six deep": (nested(6), "/not/not/not/not/not", "too_deep"),
    "deep in a list": ({"and": [{"or": [{"not": {"colour": 1}}]}]}, "/and/0/or/0/not/colour", "unknown_field"),
    "over 200 conditions": ({"or": [{"lead_score": 1}] * 201}, "/or/200/lead_score", "too_many_conditions"),
    "over 200 that ask nothing": ({"or": [{}] * 201}, "/or/200", "too_many_conditions"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_filter_is_refused_with_its_place(case):
    raw, place, code = REFUSED[case]
    with pytest.raises(Invalid) as refused:
        segments.parse(raw, DECIDED, "/filter")
    assert [(error.pointer, error.code) for error in refused.value.errors] == [(f"/filter{place}", code)]


def test_every_fault_is_named():
    with pytest.raises(Invalid) as refused:
        segments.parse({"colour": 1, "not": {"status": {"gte": 1, "like": 2}}, "city": [1, 2]}, DECIDED)
    places = [error.pointer for error in refused.value.errors]
    assert places == ["/colour", "/not/status/like", "/city/0", "/city/1"]


@pytest.mark.parametrize(
    "raw",
    [
        {},
        nested(5),
        {"lead_score": [7] * 1000},
        {"user_id": [str(uuid.UUID(int=number)) for number in range(1000)]},
        {"or": [{"lead_score": 1}] * 200},
        {"not": {}},
        {"custom_fields.plan": {"ne": "gold"}, "custom_fields.age": {"between": [1, 2.5]}},
        {"last_contact": {"lte": "2024-01-01"}, "last_contact_date": {"exists": True}},
    ],
    ids=[
        "nothing",
        "five deep",
        "a thousand",
        "a thousand ids",
        "200 conditions",
        "not nothing",
        "custom",
        "two names",
    ],
)
def test_a_filter_comes_back_as_it_was_sent(raw):
    stored = json.loads(json.dumps(segments.parse(raw, DECIDED).model_dump(mode="json")))
    assert stored == raw
    assert Filter.model_validate(stored) == segments.parse(stored, DECIDED)


def test_a_custom_field_that_is_no_longer_declared_is_named_at_use():
    stored = Filter.model_validate({"custom_fields.age": {"gte": 7}})
    with pytest.raises(Invalid) as refused:
        segments.condition(stored, Config(), NOW)
    assert refused.value.errors[0].pointer == "/custom_fields.age"


def test_no_value_is_in_the_text_of_the_statement():
    raw = {"or": [{"city": "x'; drop"}, {"custom_fields.note": {"starts_with": "x'; drop"}}, {"full_name": "x'; drop"}]}
    text, values = segments.condition(segments.parse(raw, DECIDED), DECIDED, NOW, "first")
    assert "drop" not in text.as_string(None)
    assert sorted(values) == ["first_0", "first_1", "first_2"]


# Days ----------------------------------------------------------------------------------------------------------------

DAY_OF_23_HOURS = (datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 9, 4, tzinfo=UTC))
DAY_OF_25_HOURS = (datetime(2026, 11, 1, 4, tzinfo=UTC), datetime(2026, 11, 2, 5, tzinfo=UTC))
INSIDE, BEFORE, AFTER = {1, 2}, {0}, {3}


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", DAY_OF_23_HOURS), ("2026-11-01", DAY_OF_25_HOURS)])
@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("eq", INSIDE),
        ("ne", BEFORE | AFTER | {4}),
        ("gt", AFTER),
        ("gte", INSIDE | AFTER),
        ("lt", BEFORE),
        ("lte", BEFORE | INSIDE),
        ("in", INSIDE),
        ("between", INSIDE),
    ],
)
def test_a_bare_date_is_a_day_of_the_organizations_zone(world, day, hours, operator, expected):
    organization, conn = world
    step = timedelta(microseconds=1)
    contacts = [hours[0] - step, hours[0], hours[1] - step, hours[1], None]
    value = {"in": [day], "between": [day, day]}.get(operator, day)
    with conn.transaction(force_rollback=True):
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        ids = insert(conn, [WHOLE | {"last_contact_date": contact} for contact in contacts])
        decided = deciding("America/New_York")
        filter_ = segments.parse({"last_contact": {operator: value}}, decided)
        assert segments.matching(conn, filter_, decided, NOW, ids) == {ids[number] for number in expected}


def test_deleted_leads_and_those_not_asked_about_are_not_found(world):
    organization, conn = world
    with conn.transaction(force_rollback=True):
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        ids = insert(conn, [WHOLE] * 3)
        conn.execute("update leads set deleted_at = now() where id = %s", [ids[1]])
        assert segments.matching(conn, Filter({}), DECIDED, NOW, ids[:2]) == {ids[0]}


@pytest.mark.storm
@settings(max_examples=1_000, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_second_evaluator_finds_the_same_leads_in_a_great_many_cases(world, data):
    agree(world, data, 12)
