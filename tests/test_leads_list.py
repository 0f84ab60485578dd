"""The list of leads over HTTP: filters, orders, counts and pages."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from functions.config_api.app import handler as config
from leadline.db import tenant_transaction
from leadline.leads import listing
from tests.calling import LARGEST_ANSWER, caller
from tests.leads import change, create, delete, get, of_lead, page

SORTS = ["-created_at", "-lead_score", "-last_contact_date", "last_name"]
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


def insert(organization, *leads, first=0) -> list[str]:
    """Commits leads with these columns, and answers their ids."""
    with tenant_transaction(organization.caller(None)) as tx:
        return [
            str(tx.execute(*_insert({"phone_number": f"+1415{2_000_000 + first + number}", **lead})).fetchone()["id"])
            for number, lead in enumerate(leads)
        ]


def _insert(columns):
    statement = sql.SQL("insert into leads ({}) values ({}) returning id").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(map(sql.Placeholder, columns))
    )
    return statement, columns


def found(member, **query) -> list[str]:
    reply = page(member, **query)
    assert reply.status == 200, reply.body
    return [lead["id"] for lead in reply.body["items"]]


# Filters -------------------------------------------------------------------------------------------------------------

LEADS = [
    {"first_name": "Ana", "last_name": "Adler", "status": "new", "source": "facebook", "sub_source": "spring"},
    {"status": "contacted", "lead_score": 50, "source": "facebook", "sub_source": "autumn", "tags": ["a", "b"]},
    {"status": "hot", "lead_score": 80, "source": "referral", "tags": ["b", "c"]},
    {"status": "hot", "lead_score": 100, "tags": ["c"]},
]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "hot"}, {2, 3}),
        ({"status": "new,contacted"}, {0, 1}),
        ({"status": "dnc"}, set()),
        ({"source": "facebook"}, {0, 1}),
        ({"source": "facebook, referral"}, {0, 1, 2}),
        ({"source": "face"}, set()),
        ({"sub_source": "spring"}, {0}),
        ({"source": "facebook", "sub_source": "spring,autumn", "status": "contacted"}, {1}),
        ({"tags_any": "a,c"}, {1, 2, 3}),
        ({"tags_all": "b,c"}, {2}),
        ({"tags_any": "B"}, {1, 2}),
        ({"tags_any": "a", "tags_all": "c"}, set()),
        ({"tags_all": "c", "status": "hot", "score_max": "99"}, {2}),
        ({"score_min": "50"}, {1, 2, 3}),
        ({"score_min": "50", "score_max": "80"}, {1, 2}),
        ({"score_min": "90", "score_max": "10"}, set()),
        ({"name": "ana a"}, {0}),
        ({"name": "DLE"}, {0}),
        ({"name": "adler ana"}, set()),
        ({"name": "ana", "tags_any": "a"}, set()),
        ({}, {0, 1, 2, 3}),
    ],
    ids=str,
)
def test_a_filter_finds_the_leads_it_names_in_every_order(agent, organization, query, expected):
    ids = insert(organization, *LEADS)
    for sort in SORTS:
        assert set(found(agent, sort=sort, **query)) == {ids[number] for number in expected}


def test_leads_are_found_by_their_owners(agent, organization):
    owners = [organization.members[role].id for role in ("agent", "manager")]
    ids = insert(organization, {"user_id": owners[0]}, {"user_id": owners[1]}, {})
    assert found(agent, user_id=owners[0]) == [ids[0]]
    assert set(found(agent, user_id=f"{owners[0]},{owners[1]}")) == set(ids[:2])


@pytest.mark.parametrize(
    "name",
    ["%", "_", "\\", "100%", "a_b", "a\\b", "O'Neil", '"Q"', "{x}", "🔥", "مريم", "\u202eEve", "Ünal", "--", "$1"],
)
def test_a_hostile_part_of_a_name_finds_just_the_names_that_have_it(agent, organization, name):
    ids = insert(organization, {"first_name": f"x{name}", "last_name": "y"}, {"first_name": "xab", "last_name": "100"})
    assert found(agent, name=name) == [ids[0]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"from": "2026-03-10T12:00:00Z"}, {1, 2}),
        ({"from": "2026-03-10T12:00:00.000001Z"}, {2}),
        ({"to": "2026-03-10T12:00:00Z"}, {0, 1}),
        ({"to": "2026-03-10T13:59:59+02:00"}, {0}),
        ({"from": "2026-03-10T14:00:00+02:00", "to": "2026-03-10T08:00:00-04:00"}, {1}),
        ({"from": "2026-03-10"}, {1, 2}),
        ({"to": "2026-03-09"}, {0}),
        ({"from": "2026-03-10", "to": "2026-03-10"}, {1}),
        ({"from": "2026-03-11", "to": "2026-03-11"}, {2}),
    ],
    ids=str,
)
@pytest.mark.parametrize("column", ["created", "last_contact"])
def test_a_range_of_time_includes_its_ends_and_a_bare_date_is_the_organizations_day(
    agent, organization, column, query, expected
):
    # In New York, that is March 9th at 23:59:59, March 10th at 8:00, and March 11th at midnight.
    times = [datetime(2026, 3, 10, 3, 59, 59, 999999, UTC), NOON, datetime(2026, 3, 11, 4, tzinfo=UTC)]
    name = "created_at" if column == "created" else "last_contact_date"
    ids = insert(organization, *[{name: moment} for moment in times])
    assert set(found(agent, **{f"{column}_{end}": text for end, text in query.items()})) == {
        ids[number] for number in expected
    }


def test_a_day_on_which_the_clock_goes_back_has_25_hours(agent, organization):
    start = datetime(2026, 11, 1, 4, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in (-0.001, 0, 24.999, 25)]
    ids = insert(organization, *[{"created_at": hour} for hour in hours])
    assert set(found(agent, created_from="2026-11-01", created_to="2026-11-01")) == set(ids[1:3])


def test_a_day_whose_last_hour_comes_twice_has_both(agent, organization):
    ids = insert(organization, *[{"created_at": datetime(2023, 3, 26, *time, tzinfo=UTC)} for time in ((3, 30), (4,))])
    admin = caller(organization, "admin")
    path = {"key": "time_zone"}  # where clocks went from midnight back to 23:00
    assert admin.ask(config, "PUT /config/{key}", path=path, body={"value": "America/Asuncion"}).status == 200
    assert found(agent, created_to="2023-03-25") == ids[:1]
    assert found(agent, created_from="2023-03-26") == ids[1:]


def test_a_day_is_in_the_time_zone_that_the_organization_has_decided(agent, organization):
    (lead,) = insert(organization, {"created_at": datetime(2026, 3, 10, 20, tzinfo=UTC)})
    assert found(agent, created_from="2026-03-11") == []
    admin = caller(organization, "admin")
    assert admin.ask(config, "PUT /config/{key}", path={"key": "time_zone"}, body={"value": "Asia/Tokyo"}).status == 200
    assert found(agent, created_from="2026-03-11") == [lead]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sort": "created_at"}, "literal_error"),
        ({"sort": "id; drop table leads"}, "literal_error"),
        ({"status": "lukewarm"}, "literal_error"),
        ({"status": ""}, "literal_error"),
        ({"status": "new,,hot"}, "literal_error"),
        ({"tags_any": "🔥"}, "bad_tag"),
        ({"tags_all": ","}, "string_too_short"),
        ({"source": "nul\0"}, "nul_character"),
        ({"sub_source": "x" * 201}, "string_too_long"),
        ({"source": ",".join("x" * 101)}, "too_long"),
        ({"user_id": "me"}, "uuid_parsing"),
        ({"score_min": "-1"}, "greater_than_equal"),
        ({"score_max": "101"}, "less_than_equal"),
        ({"score_max": "hot"}, "int_parsing"),
        ({"created_from": "2026-02-30"}, "bad_instant"),
        ({"created_from": "2026-03-10T12:00:00"}, "bad_instant"),
        ({"created_to": "2026-03-10T12:00:00 02:00"}, "bad_instant"),
        ({"created_to": "1700000000"}, "bad_instant"),
        ({"last_contact_from": "yesterday"}, "bad_instant"),
        ({"last_contact_to": "9999-12-31"}, "bad_instant"),
        ({"last_contact_to": "0001-01-01"}, "bad_instant"),
        ({"name": " "}, "string_too_short"),
        ({"name": "nul\0"}, "nul_character"),
        ({"count": "perhaps"}, "bool_parsing"),
        ({"colour": "blue"}, "unknown_field"),
        ({"organization_id": "x"}, "unknown_field"),
    ],
    ids=str,
)
def test_a_bad_filter_is_refused_by_name(agent, query, code):
    reply = page(agent, **query)
    assert (reply.status, reply.code) == (422, code)
    assert reply.body["errors"][0]["pointer"].split("/")[1] == next(iter(query))


WORDS = st.sampled_from(["ann", "bo", "annbo"])
HOURS = st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours))
TAGS = st.lists(st.sampled_from("abc"), unique=True)
LEAD = {
    "first_name": st.none() | WORDS | WORDS.map(str.upper),
    "last_name": st.none() | st.just("") | WORDS,
    "status": st.sampled_from(["new", "hot", "cold"]),
    "source": st.none() | st.sampled_from(["facebook", "referral"]),
    "sub_source": st.none() | st.sampled_from(["spring", "autumn"]),
    "user_id": st.sampled_from([None, "agent", "manager"]),
    "lead_score": st.integers(0, 3),
    "tags": TAGS,
    "created_at": HOURS,
    "last_contact_date": st.none() | HOURS,
    "deleted_at": st.sampled_from([None, None, None, NOON]),
}
FILTERS = {
    "tags_any": (TAGS.filter(bool), lambda lead, tags: set(lead["tags"]) & set(tags)),
    "tags_all": (TAGS.filter(bool), lambda lead, tags: set(lead["tags"]) >= set(tags)),
    "name": (
        st.sampled_from(["ann", "NN", "o a", "b"]),
        lambda lead, part: part.lower() in f"{lead['first_name'] or ''} {lead['last_name'] or ''}".strip().lower(),
    ),
    "status": (st.just(["new", "hot"]) | st.just(["hot"]), lambda lead, those: lead["status"] in those),
    "source": (st.just(["facebook"]), lambda lead, those: lead["source"] in those),
    "sub_source": (st.just(["spring", "autumn"]), lambda lead, those: lead["sub_source"] in those),
    "user_id": (st.just(["agent"]), lambda lead, those: lead["user_id"] in those),
    "score_min": (st.integers(0, 3), lambda lead, least: lead["lead_score"] >= least),
    "score_max": (st.integers(0, 3), lambda lead, most: lead["lead_score"] <= most),
    "created_from": (HOURS, lambda lead, first: lead["created_at"] >= first),
    "created_to": (HOURS, lambda lead, last: lead["created_at"] <= last),
    "last_contact_from": (HOURS, lambda lead, first: (lead["last_contact_date"] or NOON - timedelta(1)) >= first),
    "last_contact_to": (HOURS, lambda lead, last: (lead["last_contact_date"] or NOON + timedelta(1)) <= last),
}
PLACES = {
    "-created_at": lambda lead: (lead["created_at"], lead["id"]),
    "-lead_score": lambda lead: (lead["lead_score"], lead["id"]),
    "-last_contact_date": lambda lead: (lead["last_contact_date"] or NOON - timedelta(1), lead["id"]),
    "last_name": lambda lead: (lead["last_name"] is None, lead["last_name"] or "", lead["id"]),
}


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("candidates", ["tags_any", "tags_all", "name", None])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_list_by_any_filters_is_what_python_would_have_picked_sorted_and_counted(customer, candidates, sort, data):
    organization = customer()
    whole = {"key": "agents_see_own_leads_only"}
    assert (
        caller(organization, "admin").ask(config, "PUT /config/{key}", path=whole, body={"value": True}).status == 200
    )
    ids = {role: organization.members[role].id for role in ("agent", "manager")}
    leads = data.draw(st.lists(st.fixed_dictionaries(LEAD), max_size=12))
    made = insert(organization, *[lead | {"user_id": ids.get(lead["user_id"])} for lead in leads])
    leads = [lead | {"id": lead_id} for lead, lead_id in zip(leads, made, strict=True)]
    names = data.draw(st.sets(st.sampled_from(sorted(FILTERS)), max_size=3)) | {candidates}
    filters = {name: data.draw(FILTERS[name][0]) for name in sorted(names - {None})}
    role = data.draw(st.sampled_from(["agent", "manager"]))
    expected = [
        lead["id"]
        for lead in sorted(leads, key=PLACES[sort], reverse=sort.startswith("-"))
        if lead["deleted_at"] is None
        and (role == "manager" or lead["user_id"] == "agent")
        and all(FILTERS[name][1](lead, value) for name, value in filters.items())
    ]
    query = {name: _written(value, ids) for name, value in filters.items()}
    assert through(caller(organization, role), sort=sort, limit=data.draw(st.integers(1, 4)), **query) == expected
    assert page(caller(organization, role), sort=sort, count="true", **query).body["count"] == len(expected)


def _written(value, ids) -> str:
    """As a query string has it."""
    if isinstance(value, list):
        return ",".join(str(ids.get(one, one)) for one in value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


# Counting ------------------------------------------------------------------------------------------------------------


def test_a_count_is_given_where_it_is_asked_for(agent, organization):
    insert(organization, *LEADS)
    assert set(page(agent).body) == set(page(agent, count="false").body) == {"items", "next_cursor"}
    body = page(agent, count="true", limit=1, status="hot").body
    assert (len(body["items"]), body["count"], body["count_capped"]) == (1, 2, False)


def test_a_count_stops_at_its_cap(agent, organization, monkeypatch):
    insert(organization, *LEADS)
    assert listing.COUNT_CAP == 10_000
    for cap, capped in ((4, False), (3, True)):
        monkeypatch.setattr(listing, "COUNT_CAP", cap)
        body = page(agent, count="true").body
        assert (body["count"], body["count_capped"]) == (cap, capped)


# Orders and pages ----------------------------------------------------------------------------------------------------


def through(member, **query) -> list[str]:
    """All pages, one after the other."""
    seen, cursor = [], {}
    while cursor is not None:
        body = page(member, **query, **cursor).body
        seen += [lead["id"] for lead in body["items"]]
        cursor = body["next_cursor"] and {"cursor": body["next_cursor"]}
    return seen


@pytest.mark.parametrize(
    ("sort", "column", "values", "order"),
    [
        ("-created_at", "created_at", [NOON, NOON - timedelta(days=1), NOON + timedelta(days=1)], [2, 0, 1]),
        ("-lead_score", "lead_score", [50, 0, 100, 51], [2, 3, 0, 1]),
        ("-last_contact_date", "last_contact_date", [None, NOON, NOON + timedelta(days=1)], [2, 1, 0]),
        ("last_name", "last_name", ["Brooks", None, "Adler", "Evans"], [2, 0, 3, 1]),
    ],
)
def test_each_order_is_the_one_it_is_named_for_with_what_is_absent_last(organization, sort, column, values, order):
    agent = caller(organization)
    ids = insert(organization, *[{column: value} for value in values])
    assert found(agent, sort=sort) == through(agent, sort=sort, limit=1) == [ids[number] for number in order]


VALUES = {
    "-created_at": ("created_at", st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours))),
    "-lead_score": ("lead_score", st.integers(0, 3)),
    "-last_contact_date": (
        "last_contact_date",
        st.none() | st.integers(0, 2).map(lambda hours: NOON + timedelta(hours=hours)),
    ),
    "last_name": ("last_name", st.none() | st.sampled_from(["", "a", "A", "ä", "😀", "z'", "😀" * 200, "\x01" * 200])),
}


HAPPENINGS = ["come", "touch", "delete", "leave", "return", "move"]


@pytest.mark.parametrize("sort", SORTS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_row_that_stays_appears_exactly_once_and_in_its_place_while_others_come_go_and_move(customer, sort, data):
    """A row present from the first page to the last, whose value in the order did not change; others tie with it."""
    organization = customer()
    agent = caller(organization, "manager")
    column, values = VALUES[sort]
    all_rows = insert(organization, *[{column: value} for value in data.draw(st.lists(values, max_size=10))])
    staying = set(all_rows)
    query = {"sort": sort, "limit": data.draw(st.integers(1, 3)), "status": "new,hot"}
    seen, cursor, turns = [], {}, 0
    while cursor is not None:
        reply = page(agent, **query, **cursor)
        assert reply.status == 200, reply.body
        seen += [lead["id"] for lead in reply.body["items"]]
        cursor = reply.body["next_cursor"] and {"cursor": reply.body["next_cursor"]}
        turns += 1
        if turns > 10:
            continue  # rows that come in behind the cursor for ever would never let it end
        for happening in data.draw(st.lists(st.sampled_from(HAPPENINGS), max_size=4)):
            if happening == "come" or not all_rows:
                all_rows += insert(organization, {column: data.draw(values)}, first=100 + len(all_rows))
                continue
            lead = data.draw(st.sampled_from(all_rows))
            if happening != "touch":
                staying.discard(lead)
            _disturb(organization, lead, happening, column, data.draw(values))
    at_once = through(agent, **query | {"limit": 200})
    assert [lead for lead in seen if lead in staying] == [lead for lead in at_once if lead in staying]
    assert staying <= set(at_once)


def _disturb(organization, lead, happening, column, value) -> None:
    to = {
        "touch": {"notes": "called", "status": "hot"},  # of which neither the order nor the filter takes notice
        "delete": {"deleted_at": NOON},
        "leave": {"status": "cold"},
        "return": {"status": "new", "deleted_at": None},
        "move": {column: value},
    }[happening]
    statement = sql.SQL("update leads set {} where id = %s").format(
        sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in to)
    )
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute(statement, (*to.values(), lead))


def test_a_cursor_of_another_order_filter_or_list_is_refused(agent, organization):
    insert(organization, *LEADS, {"status": "hot"})
    cursor = page(agent, limit=1, status="hot").body["next_cursor"]
    assert page(agent, limit=2, status="hot", cursor=cursor).status == 200
    for query in (
        {"status": "new"},
        {},
        {"status": "hot", "sort": "-lead_score"},
        {"status": "hot", "tags_any": "c"},
        {"status": "hot", "name": "a"},
        {"status": "hot", "score_min": 1},
    ):
        reply = page(agent, cursor=cursor, **query)
        assert (reply.status, reply.code) == (422, "bad_cursor"), query


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("-created_at", ["2026-01-01T00:00:00+23:59", "00000000-0000-7000-8000-000000000000"]),
        ("-created_at", ["0001-01-01T00:00:00+23:59", "00000000-0000-7000-8000-000000000000"]),
        ("-created_at", ["infinity", "00000000-0000-7000-8000-000000000000"]),
        ("-created_at", [None, None]),
        ("-lead_score", ["9" * 5000, "00000000-0000-7000-8000-000000000000"]),
        ("-lead_score", ["9" * 4000, "00000000-0000-7000-8000-000000000000"]),
        ("-lead_score", ["1 or true", "00000000-0000-7000-8000-000000000000"]),
        ("-lead_score", [{}, []]),
        ("-lead_score", [float("inf"), "00000000-0000-7000-8000-000000000000"]),
        ("-lead_score", [float("nan"), "00000000-0000-7000-8000-000000000000"]),
        ("-lead_score", [10**30, "00000000-0000-7000-8000-000000000000"]),
        ("-last_contact_date", ["infinity", "00000000-0000-7000-8000-000000000000"]),
        ("last_name", ["0", "nul\0", "00000000-0000-7000-8000-000000000000"]),
        ("last_name", ["0", "\ud800", "00000000-0000-7000-8000-000000000000"]),
        ("last_name", ["False", "x", "00000000-0000-7000-8000-000000000000"]),
        ("last_name", [0, 1, 2]),
        ("last_name", ["0", "x"]),
    ],
)
def test_a_forged_cursor_is_refused_or_is_just_a_place(agent, organization, sort, key):
    insert(organization, {}, {})
    name = json.loads(base64.urlsafe_b64decode(page(agent, sort=sort, limit=1).body["next_cursor"] + "=="))[0]
    forged = base64.urlsafe_b64encode(json.dumps([name, *key]).encode()).decode().rstrip("=")
    reply = page(agent, sort=sort, cursor=forged)
    assert reply.status == 200 or (reply.status, reply.code) == (422, "bad_cursor")


def test_a_cursor_of_another_organization_shows_nothing_of_it(agent, organization, customer):
    theirs = customer()
    insert(theirs, {}, {}, {})
    (mine,) = insert(organization, {"created_at": NOON})
    cursor = page(caller(theirs), limit=1).body["next_cursor"]
    assert found(agent, cursor=cursor) == [mine]


@pytest.mark.parametrize("character", ["\U0001f525", '"', "\x01"], ids=ascii)
def test_a_page_of_the_usual_length_fits_whatever_the_leads_hold(agent, organization, character):
    insert(organization, *[{"notes": character * 10_000, "address": character * 200}] * 51)
    reply = page(agent)
    assert len(reply.body["items"]) == 50
    assert reply.size <= LARGEST_ANSWER


def test_what_a_function_cannot_answer_is_a_refusal_that_says_so(agent, organization, monkeypatch):
    insert(organization, *[{}] * 9)
    monkeypatch.setattr("leadline.api.LARGEST_ANSWER", 5_000)
    assert page(agent, limit=1).status == 200
    refused = page(agent, limit=9)
    assert (refused.status, refused.code) == (422, "answer_too_large")


def test_a_deleted_lead_is_in_no_list(agent):
    lead = create(agent, first_name="Ada", tags=["hot"]).body
    delete(agent, lead)
    assert get(agent, lead).status == 404
    for query in ({}, {"tags_any": "hot"}, {"name": "ada"}, *({"sort": sort} for sort in SORTS)):
        assert found(agent, **query) == []
    assert page(agent, count="true").body["count"] == 0


# Long rows ------------------------------------------------------------------------------------------------------------


def test_a_page_by_last_name_goes_on_after_a_long_name_of_any_script(agent):
    for place in range(2):
        create(agent, phone_number=f"415555010{place}", last_name="Ш" * 150)
    first = page(agent, sort="last_name", limit=1).body
    assert page(agent, sort="last_name", limit=1, cursor=first["next_cursor"]).status == 200


def test_a_page_of_long_leads_is_shorter_and_the_next_goes_on(organization, agent):
    notes = "\N{GRINNING FACE}" * 10_000  # as long as notes may be
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute(
            "insert into leads (phone_number, notes)"
            " select '+1415555' || number, %(notes)s from generate_series(1000, 1199) as number",
            {"notes": notes},
        )
    seen, cursor = [], None
    while cursor is not None or not seen:
        reply = page(agent, limit=200, count=True, **({"cursor": cursor} if cursor else {}))
        assert (reply.status, reply.body["count"]) == (200, 200)
        assert reply.size <= LARGEST_ANSWER
        assert len(reply.body["items"]) > 100 or not reply.body["next_cursor"]
        seen += [lead["id"] for lead in reply.body["items"]]
        cursor = reply.body["next_cursor"]
    assert len(seen) == len(set(seen)) == 200


@pytest.mark.parametrize("what", ["audit", "timeline"])
def test_a_page_of_long_history_is_shorter(agent, what):
    lead = create(agent, notes="").body
    for place in range(110):
        lead = change(agent, lead, notes=str(place) + '"' * 9_990).body
    reply = of_lead(agent, what, lead, limit=200)
    assert reply.size <= LARGEST_ANSWER
    assert len(reply.body["items"]) > 50
    rest = of_lead(agent, what, lead, limit=200, cursor=reply.body["next_cursor"])
    assert rest.body["next_cursor"] is None


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("Jose\u0301", "Jos\u00e9"),
        ("Jos\u00e9", "jose\u0301"),
        ("Mary  \t Ann", "mary ann"),
        ("Mary Ann", "mary\u00a0\u2003ann"),
    ],
)
def test_a_name_is_found_however_it_is_spelled_in_unicode(agent, written, searched):
    lead = create(agent, first_name=written).body
    assert [found["id"] for found in page(agent, name=searched).body["items"]] == [lead["id"]]
