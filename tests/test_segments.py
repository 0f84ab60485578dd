"""The filter language: what it finds, as a second evaluator has it, and what it refuses, with the place."""

import json
import uuid
from datetime import UTC, date, datetime, timedelta
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
DAYS = [date(2026, 3, 8), date(2026, 11, 1), date(2026, 11, 2), date(2026, 9, 6), date(2026, 4, 5), date(2026, 9, 27)]
EMAILS = ["a@b.co", "a_b@b.co", "é@b.co"]
# The edges of those days in every zone, and of what is relative to now.
EDGES = sorted(
    {
        datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(days=later)
        for zone in ZONES
        for day in DAYS
        for later in (0, 1)
    }
    | {NOW - timedelta(days=7), NOW - timedelta(hours=36), NOW}
)
INSTANTS = [edge + timedelta(microseconds=step) for edge in EDGES for step in (-1, 0, 1)]

texts = st.sampled_from(TEXTS)
instants = st.sampled_from(INSTANTS)
periods = st.sampled_from(["7d", "36h", "1w", "2160m", "1m", "36500d", "400w"])
day_texts = st.sampled_from(DAYS).map(date.isoformat)
numbers = st.sampled_from([-1, 0, 0.1, 1, 70, 70.0, 2**40, 1e20, 0.30000000000000004])


@st.composite
def leads(draw, members):
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
    return st.one_of(values, lists, operators.flatmap(lambda names: st.fixed_dictionaries({n: of[n] for n in names})))


def conditions(members):
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


def filters(members):
    of = conditions(members)
    one = st.sampled_from(sorted(of)).flatmap(lambda name: of[name].map(lambda asked: {name: asked}))
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


def agree(world, data, examples_of_leads):
    organization, conn = world
    members = [member.id for member in organization.members.values()]
    rows = data.draw(st.lists(leads(members), min_size=1, max_size=examples_of_leads), label="leads")
    zone = data.draw(st.sampled_from(ZONES), label="zone")
    asked = data.draw(st.lists(filters(members), min_size=4, max_size=8), label="filters")
    decided, oracle = deciding(zone), Oracle(CUSTOM_TYPES, ZoneInfo(zone), NOW)
    with conn.transaction(force_rollback=True):
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        ids = insert(conn, rows)
        stored = conn.execute("select * from leads where id = any (%s)", [ids]).fetchall()
        for raw in asked:
            filter_ = segments.parse(raw, decided)
            expected = {row["id"] for row in stored if oracle.holds(raw, row)}
            assert segments.matching(conn, filter_, decided, NOW, ids) == expected, raw
            condition, values = segments.condition(filter_, decided, NOW, "x")
            assert conn.execute(found.count_of(condition), {**values, "cap": None}).fetchall()[0]["count"] == len(
                expected
            ), raw


@settings(max_examples=120, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_second_evaluator_finds_the_same_leads(world, data):
    agree(world, data, 6)


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.storm
@settings(max_examples=1_000, deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_a_second_evaluator_finds_the_same_leads_in_a_great_many_cases(world, data):
    agree(world, data, 12)
