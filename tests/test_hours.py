"""Calling hours by the called person's own clock: where he may be, which rules forbid, until when, and when next."""

import random
import secrets
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from leadline import hours
from leadline.config import CallingHours
from leadline.hours.rules import DAY, EVERY_DAY
from tests import calling_law
from tests.calling_law import ARIZONA, CENTRAL, EASTERN, GUAM, HAWAII, MOUNTAIN, PACIFIC, PUERTO_RICO

MINUTE = timedelta(minutes=1)
ZONES = list(calling_law.STATES)
MIAMI, ATLANTA, PENSACOLA, EVANSVILLE, FLAGSTAFF = (f"+1{code}5550142" for code in (305, 404, 850, 812, 928))


@pytest.fixture(scope="module")
def conn(database):
    with psycopg.connect(database.dsn("app"), autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.fixture(scope="module")
def book(conn):
    return hours.ask_rules(conn)()


@pytest.fixture(scope="module")
def place(conn, book):
    """Where the person of a number is, with what the lead states."""

    def place(number, **lead):
        area = hours.ask_areas(conn, [number])().get(number)
        return hours.place_of(area, book.zones, **{"country": "US", **lead})

    return place


def at(zone, *moment):
    """An instant, from what a clock in the zone shows."""
    return datetime(*moment, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def us(zone, *states):
    """Somewhere in the zone: in these states, or in one without a rule of its own."""
    return hours.Place(frozenset(f"US-{state}" for state in states or ["GA"]), frozenset((zone,)))


def forbidding(reasons):
    return [reason.rule or reason.code for reason in reasons]


# Where a person is ---------------------------------------------------------------------------------------------------


def test_a_person_is_where_the_number_and_the_address_are(place):
    found = place(MIAMI, state="CA")
    assert found == hours.Place(frozenset(("US-FL", "US-CA")), frozenset((EASTERN, PACIFIC)))


def test_a_stated_zone_stands_for_the_addresss_zones_and_never_for_the_numbers(place):
    found = place(MIAMI, state="TX", time_zone=CENTRAL)
    assert found == hours.Place(frozenset(("US-FL", "US-TX")), frozenset((EASTERN, CENTRAL)))
    assert place(MIAMI, state="TX").zones == {EASTERN, CENTRAL, MOUNTAIN}
    assert place(MIAMI, time_zone=HAWAII).zones == {EASTERN, HAWAII}


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("FL", "FL"),
        ("fl", "FL"),
        ("Florida", "FL"),
        ("FLORIDA", "FL"),
        (" new  york ", "NY"),
        ("US-FL", "FL"),
        ("D.C.", "DC"),
        ("Washington", "WA"),
        ("Washington, D.C.", "DC"),
        ("District of Columbia", "DC"),
        ("Puerto Rico", "PR"),
        ("U.S. Virgin Islands", "VI"),
    ],
)
def test_a_state_is_read_as_people_write_it(place, written, state):
    assert place(ATLANTA, state=written).regions == {"US-GA", f"US-{state}"}


@pytest.mark.parametrize("state", ["ON", "Bavaria", "AE", "XX", "Floridaa", "F L", "12"])
def test_an_address_in_no_state_is_refused(place, state):
    assert place(ATLANTA, state=state).code == "unknown_zone"


@pytest.mark.parametrize("state", [None, "", "  "])
def test_without_a_state_the_number_alone_tells(place, state):
    assert place(ATLANTA, state=state) == us(EASTERN)


def test_a_zone_that_is_none_is_refused(place):
    assert place(ATLANTA, time_zone="America/Atlanta").code == "unknown_zone"
    assert hours.place_of(hours.AreaCode("US-GA", frozenset()), {}).code == "unknown_zone"


@pytest.mark.parametrize("number", ["+18005550142", "+19005550142", "+15005550142", "+442079460000", "+12005550142"])
def test_a_number_of_no_place_is_refused_whatever_the_lead_states(place, number):
    for lead in ({}, {"state": "FL"}, {"time_zone": EASTERN}, {"country": "GB"}):
        assert place(number, **lead).code == "no_rule_for_region"


@pytest.mark.parametrize("number", ["+14165550142", "+18765550142", "+18095550142", "+12425550142"])
def test_a_foreign_number_has_no_rule(place, book, number):
    for lead in ({}, {"state": "FL"}, {"country": "CA"}):
        asked = at(EASTERN, 2026, 11, 24, 12), place(number, **lead), "call", book
        assert set(forbidding(hours.judge(*asked))) == {"no_rule_for_region"}
        assert hours.next_open(*asked) is None


def test_a_person_abroad_has_no_rule_though_the_number_is_american(place, book):
    found = place(ATLANTA, country="DE", state="BY", time_zone="Europe/Berlin")
    noon = at(EASTERN, 2026, 11, 24, 12)
    assert forbidding(hours.judge(noon, found, "call", book)) == ["no_rule_for_region"]
    assert hours.next_open(noon, found, "call", book) is None


@pytest.mark.parametrize(("territory", "zone"), [("PR", PUERTO_RICO), ("GU", GUAM), ("AS", "Pacific/Pago_Pago")])
def test_a_territory_is_american_as_country_and_as_state(place, territory, zone):
    expected = hours.Place(frozenset(("US-GA", f"US-{territory}")), frozenset((EASTERN, zone)))
    assert place(ATLANTA, country=territory) == place(ATLANTA, state=territory) == expected


def test_a_place_without_regions_or_zones_is_closed(book):
    noon = at(EASTERN, 2026, 11, 24, 12)
    for nowhere, code in [
        (hours.Place(frozenset(), frozenset((EASTERN,))), "no_rule_for_region"),
        (hours.Place(frozenset(("US-GA",)), frozenset()), "unknown_zone"),
    ]:
        assert forbidding(hours.judge(noon, nowhere, "call", book)) == [code]
        assert hours.next_open(noon, nowhere, "call", book) is None
        assert hours.open_until(noon, nowhere, "call", book) is None


# Rules ---------------------------------------------------------------------------------------------------------------


def test_half_past_eight_in_the_evening_is_too_late_for_miami_and_not_for_atlanta(place, book):
    now = at(EASTERN, 2026, 11, 24, 20, 30)
    assert hours.judge(now, place(MIAMI), "call", book) == [
        hours.Reason("outside_hours", "us-fl.call", 1, "Tue 20:30 in America/New_York; allowed 8:00-20:00")
    ]
    assert hours.next_open(now, place(MIAMI), "call", book) == at(EASTERN, 2026, 11, 25, 8)
    assert hours.judge(now, place(ATLANTA), "call", book) == []
    assert hours.open_until(now, place(ATLANTA), "call", book) == at(EASTERN, 2026, 11, 24, 21)


@pytest.mark.parametrize(
    ("number", "opens", "closes"),
    [
        (PENSACOLA, at(CENTRAL, 2026, 7, 7, 8), at(EASTERN, 2026, 7, 7, 20)),
        (EVANSVILLE, at(CENTRAL, 2026, 7, 7, 8), at(EASTERN, 2026, 7, 7, 21)),
        (FLAGSTAFF, at(ARIZONA, 2026, 7, 7, 8), at(MOUNTAIN, 2026, 7, 7, 21)),
        (FLAGSTAFF, at(ARIZONA, 2026, 1, 7, 8), at(MOUNTAIN, 2026, 1, 7, 21)),
    ],
)
def test_where_an_area_has_two_clocks_both_must_allow(place, book, number, opens, closes):
    where = place(number)
    for moment, is_open in [(opens - MINUTE, False), (opens, True), (closes - MINUTE, True), (closes, False)]:
        assert (hours.judge(moment, where, "call", book) == []) is is_open
    assert hours.next_open(opens - timedelta(hours=6), where, "call", book) == opens
    assert hours.open_until(opens, where, "call", book) == closes


def test_every_rule_that_forbids_is_named_once(place, book):
    late = at(PACIFIC, 2026, 11, 24, 21, 30)
    reasons = hours.judge(late, place("+12065550142"), "call", book)
    assert forbidding(reasons) == ["us-wa.call", "us.federal.call"]
    both = hours.judge(at(EASTERN, 2026, 11, 24, 23), place(PENSACOLA, state="TX"), "call", book)
    assert forbidding(both) == ["us-fl.call", "us-tx.call", "us.federal.call"]
    assert both[0].detail == (
        "Tue 22:00 in America/Chicago; allowed 8:00-20:00. Tue 21:00 in America/Denver; allowed 8:00-20:00. "
        "Tue 23:00 in America/New_York; allowed 8:00-20:00"
    )


def test_of_several_regions_the_stricter_hours_count(place, book):
    where = place(MIAMI, state="CT", time_zone=EASTERN)
    assert hours.next_open(at(EASTERN, 2026, 11, 24), where, "call", book) == at(EASTERN, 2026, 11, 24, 9)
    assert hours.open_until(at(EASTERN, 2026, 11, 24, 12), where, "call", book) == at(EASTERN, 2026, 11, 24, 20)


def test_texas_sleeps_in_on_sundays(book):
    sunday = (2026, 11, 29)
    for channel in ("call", "sms"):
        assert forbidding(hours.judge(at(CENTRAL, *sunday, 11, 59), us(CENTRAL, "TX"), channel, book)) == [
            f"us-tx.{channel}"
        ]
        assert hours.judge(at(CENTRAL, *sunday, 12), us(CENTRAL, "TX"), channel, book) == []
        assert hours.next_open(at(CENTRAL, *sunday), us(CENTRAL, "TX"), channel, book) == at(CENTRAL, *sunday, 12)


def test_rhode_island_has_short_saturdays_and_no_sundays(book):
    island = us(EASTERN, "RI")
    for moment, is_open in [
        ((2026, 11, 27, 17, 59), True),
        ((2026, 11, 27, 18, 0), False),
        ((2026, 11, 28, 9, 59), False),
        ((2026, 11, 28, 10, 0), True),
        ((2026, 11, 28, 16, 59), True),
        ((2026, 11, 28, 17, 0), False),
        ((2026, 11, 29, 12, 0), False),
        ((2026, 11, 30, 9, 0), True),
    ]:
        assert (hours.judge(at(EASTERN, *moment), island, "call", book) == []) is is_open, moment
    (reason,) = hours.judge(at(EASTERN, 2026, 11, 29, 12), island, "call", book)
    assert reason.detail == "Sun 12:00 in America/New_York; closed on Sundays"


@pytest.mark.parametrize("day", [(2026, 11, 26), (2026, 7, 3), (2026, 7, 4), (2027, 4, 26), (2027, 6, 7), (2027, 2, 9)])
def test_alabama_is_closed_on_its_holidays(book, day):
    assert forbidding(hours.judge(at(CENTRAL, *day, 12), us(CENTRAL, "AL"), "call", book)) == ["us-al.call"]
    assert hours.judge(at(CENTRAL, *day, 12), us(CENTRAL, "MO"), "call", book) == []
    assert hours.judge(at(CENTRAL, *day, 12), us(CENTRAL, "AL"), "sms", book) == []


def test_a_closed_day_says_why_and_the_next_open_day_is_found(book):
    thanksgiving = at(CENTRAL, 2026, 11, 26, 12)
    asked = thanksgiving, us(CENTRAL, "AL"), "call", book
    assert [reason.detail for reason in hours.judge(*asked)] == [
        "Thu 12:00 in America/Chicago; closed on Thanksgiving Day",
    ]
    assert hours.next_open(*asked) == at(CENTRAL, 2026, 11, 28, 8)


def test_a_year_without_holidays_is_closed_where_they_matter_and_nowhere_else(book):
    new_year = at(CENTRAL, 2028, 1, 4, 12)
    (reason,) = hours.judge(new_year, us(CENTRAL, "AL"), "call", book)
    assert reason.detail == "Tue 12:00 in America/Chicago; closed, since no holidays are known for 2028"
    assert forbidding(hours.judge(new_year, us(EASTERN, "RI"), "call", book)) == ["us-ri.call"]
    assert hours.judge(new_year, us(EASTERN), "call", book) == []
    assert hours.next_open(at(CENTRAL, 2027, 12, 30, 21), us(CENTRAL, "AL"), "call", book) is None
    # The day before New Year's that a later year's row puts into this one does not make this one known.
    some = {
        region: {day: name for day, name in days.items() if day.month == 12} for region, days in book.holidays.items()
    }
    december = at(CENTRAL, 2026, 12, 1, 12)
    assert hours.judge(december, us(CENTRAL, "AL"), "call", book) == []
    assert forbidding(hours.judge(december, us(CENTRAL, "AL"), "call", replace(book, holidays=some))) == ["us-al.call"]


def test_texts_follow_their_own_rows(book):
    assert hours.judge(at(CENTRAL, 2026, 11, 29, 8), us(CENTRAL, "AL"), "sms", book) == []
    assert forbidding(hours.judge(at(EASTERN, 2026, 11, 24, 20, 30), us(EASTERN, "MD"), "sms", book)) == ["us-md.sms"]
    assert forbidding(hours.judge(at(EASTERN, 2026, 11, 24, 7), us(EASTERN, "RI"), "sms", book)) == ["us.federal.sms"]


def test_every_boundary_minute_of_every_rule(book):
    for rule in book.rules:
        if rule.region == "US":
            continue
        state = rule.region.removeprefix("US-")
        where = us(min(calling_law.ZONES[state]), state)
        (zone,) = where.zones
        table = (calling_law.CALLS if rule.channel == "call" else calling_law.TEXTS)[state]
        for weekday in range(7):
            day = date(2026, 9, 21) + timedelta(weekday)  # a week without holidays
            opens, closes = table[weekday] or (None, None)
            minutes = [time(hour, minute) for hour in range(24) for minute in (0, 1, 59)]
            for minute in minutes:
                now = datetime.combine(day, minute, ZoneInfo(zone))
                is_open = opens is not None and max(opens, 8) <= minute.hour < min(closes, 21)
                assert (hours.judge(now, where, rule.channel, book) == []) is is_open, (rule.id, now)


def test_seconds_count_within_their_minute(book):
    last = at(EASTERN, 2026, 11, 24, 20, 59) + timedelta(seconds=59, microseconds=999_999)
    assert hours.judge(last, us(EASTERN), "call", book) == []
    assert hours.open_until(last, us(EASTERN), "call", book) == at(EASTERN, 2026, 11, 24, 21)
    assert hours.next_open(last, us(EASTERN), "call", book) == last
    early = at(EASTERN, 2026, 11, 24, 7, 59) + timedelta(seconds=59)
    assert hours.next_open(early, us(EASTERN), "call", book) == at(EASTERN, 2026, 11, 24, 8)


def test_caps_and_waits_are_those_of_the_rules_in_force(book):
    now = at(EASTERN, 2026, 11, 24, 12)
    in_force = hours.rules_in_force(now, us(EASTERN, "FL", "MD", "WA"), "call", book)
    assert [rule.id for rule in in_force] == ["us-fl.call", "us-md.call", "us-wa.call", "us.federal.call"]
    assert hours.caps_of(in_force) == [
        hours.Cap("us-fl.call", 1, 3, 24, ("call",)),
        hours.Cap("us-md.call", 1, 3, 24, ("call", "sms")),
    ]
    assert {rule.id: rule.days_after_refusal for rule in in_force if rule.days_after_refusal} == {"us-wa.call": 366}
    before = at(CENTRAL, 2025, 8, 31, 12)
    assert [rule.id for rule in hours.rules_in_force(before, us(CENTRAL, "TX"), "sms", book)] == ["us.federal.sms"]


# Clocks --------------------------------------------------------------------------------------------------------------


def springs_and_autumns(zone):
    """The instants of 2026 and 2027 at which the zone's clock is set."""
    hourly = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(2 * 365 * 24)]
    shown = [(instant, instant.astimezone(ZoneInfo(zone)).utcoffset()) for instant in hourly]
    return [instant for (_, before), (instant, after) in pairwise(shown) if before != after]


def test_the_zones_that_set_their_clocks_do_so_twice_a_year():
    assert {zone for zone in ZONES if springs_and_autumns(zone)} == {
        *(EASTERN, CENTRAL, MOUNTAIN, PACIFIC, "America/Anchorage", "America/Adak")
    }
    assert len(springs_and_autumns(EASTERN)) == 4


@pytest.mark.parametrize("zone", ZONES)
def test_on_days_when_clocks_are_set_every_minute_is_judged_by_its_own_time(book, zone):
    where = us(zone)
    moments = springs_and_autumns(zone) or [at(zone, 2026, 3, 8, 2), at(zone, 2026, 11, 1, 2)]
    for change in moments:
        for minutes in range(-26 * 60, 26 * 60):
            now = change + timedelta(minutes=minutes)
            is_open = 8 <= now.astimezone(ZoneInfo(zone)).hour < 21
            assert (hours.judge(now, where, "call", book) == []) is is_open, now
        day = change.astimezone(ZoneInfo(zone)).date()
        midnight = datetime.combine(day, time.min, ZoneInfo(zone)).astimezone(UTC)
        opens, closes = (datetime.combine(day, time(hour), ZoneInfo(zone)).astimezone(UTC) for hour in (8, 21))
        assert hours.next_open(midnight, where, "call", book) == opens
        assert hours.open_until(opens, where, "call", book) == closes


@pytest.mark.storm
def test_over_a_year_no_clock_of_a_place_is_ever_outside_when_contact_is_allowed(book):
    everywhere = [us(zone) for zone in ZONES]
    for quarter in range(365 * 24 * 4):
        now = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(minutes=15 * quarter)
        for where in everywhere:
            (zone,) = where.zones
            assert (hours.judge(now, where, "call", book) == []) is (8 <= now.astimezone(ZoneInfo(zone)).hour < 21)


def test_arizona_hawaii_puerto_rico_and_guam_keep_their_time(book):
    for zone, summer, winter in [(ARIZONA, 15, 15), (HAWAII, 18, 18), (PUERTO_RICO, 12, 12), (GUAM, 22, 22)]:
        for month, hour in ((7, summer), (12, winter)):
            start = datetime(2026, month, 7, 12 if zone != PUERTO_RICO else 11, tzinfo=UTC)
            assert hours.next_open(start, us(zone), "call", book) == datetime(2026, month, 7, hour, tzinfo=UTC)


def by_hand(*windows, **others):
    """A book of one federal rule with these windows."""
    rule = hours.Rule("us.federal.call", 1, "US", "call", windows, **others)
    return hours.Rulebook((rule,), {}, {})


def test_a_slot_in_the_hour_that_spring_skips_moves_to_the_next_valid_instant():
    spring = by_hand(hours.Window(EVERY_DAY, 2 * 60 + 30, 5 * 60))
    three = at(EASTERN, 2026, 3, 8, 3)
    assert hours.next_open(at(EASTERN, 2026, 3, 8), us(EASTERN), "call", spring) == three
    assert hours.judge(three, us(EASTERN), "call", spring) == []
    assert hours.judge(three - MINUTE, us(EASTERN), "call", spring) != []
    inside = by_hand(hours.Window(EVERY_DAY, 2 * 60 + 10, 2 * 60 + 50))
    assert hours.next_open(at(EASTERN, 2026, 3, 8), us(EASTERN), "call", inside) == at(EASTERN, 2026, 3, 9, 2, 10)


def test_an_hour_that_autumn_repeats_is_judged_each_time_by_what_the_clock_shows():
    autumn = by_hand(hours.Window(EVERY_DAY, 30, 60 + 30))
    first = at(EASTERN, 2026, 11, 1, 0, 30)
    assert hours.open_until(first, us(EASTERN), "call", autumn) == first + timedelta(hours=1)
    again = hours.next_open(first + timedelta(hours=1), us(EASTERN), "call", autumn)
    assert again == first + timedelta(hours=1, minutes=30)  # 1:00, for the second time
    assert hours.open_until(again, us(EASTERN), "call", autumn) == again + timedelta(minutes=30)


def test_a_window_may_reach_over_midnight():
    night = by_hand(hours.Window(frozenset((6,)), 22 * 60, 2 * 60))  # opens on Saturdays
    saturday = at(EASTERN, 2026, 11, 28, 22)
    assert hours.next_open(at(EASTERN, 2026, 11, 27, 23), us(EASTERN), "call", night) == saturday
    for now, is_open in [
        (saturday - MINUTE, False),
        (saturday, True),
        (at(EASTERN, 2026, 11, 29, 1, 59), True),
        (at(EASTERN, 2026, 11, 29, 2), False),
        (at(EASTERN, 2026, 11, 28, 1), False),
        (at(EASTERN, 2026, 11, 29, 22), False),
    ]:
        assert (hours.judge(now, us(EASTERN), "call", night) == []) is is_open
    assert hours.open_until(at(EASTERN, 2026, 11, 28, 23, 30), us(EASTERN), "call", night) == at(
        EASTERN, 2026, 11, 29, 2
    )


def test_a_window_of_sunday_night_reaches_into_monday():
    night = by_hand(hours.Window(frozenset((7,)), 22 * 60, 2 * 60))
    assert hours.judge(at(EASTERN, 2026, 11, 30, 1, 59), us(EASTERN), "call", night) == []
    assert hours.judge(at(EASTERN, 2026, 11, 29, 1, 59), us(EASTERN), "call", night) != []


def test_a_holiday_closes_the_night_before_at_midnight_and_does_not_open_its_own():
    night = by_hand(hours.Window(EVERY_DAY, 22 * 60, 2 * 60), closed_on_holidays=True)
    calendar = {"US": {date(2026, 1, 1): "New Year's Day", date(2026, 11, 26): "Thanksgiving Day"}}
    closed = replace(night, holidays=calendar)
    for now, is_open in [
        (at(EASTERN, 2026, 11, 25, 23, 59), True),
        (at(EASTERN, 2026, 11, 26, 0), False),
        (at(EASTERN, 2026, 11, 26, 23), False),
        (at(EASTERN, 2026, 11, 27, 1), False),
        (at(EASTERN, 2026, 11, 27, 22), True),
    ]:
        assert (hours.judge(now, us(EASTERN), "call", closed) == []) is is_open


# Hours that are anybody's, in zones that set their clocks at any hour: minute by minute against the wall.

WINDOWS = st.tuples(st.integers(0, DAY - 1), st.integers(0, DAY - 1)).filter(lambda pair: pair[0] != pair[1])
ODD_ZONES = ["America/Havana", "America/Asuncion", "Asia/Beirut", "Australia/Lord_Howe", "Africa/Cairo", EASTERN]
CHANGES = {zone: springs_and_autumns(zone) for zone in ODD_ZONES}


def wall_inside(instant, zone, pairs):
    wall = instant.astimezone(ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    return any(start <= minute < end if start < end else minute >= start or minute < end for start, end in pairs)


@settings(max_examples=400, deadline=None)
@given(
    pairs=st.lists(WINDOWS, min_size=1, max_size=2),
    zone=st.sampled_from(ODD_ZONES),
    which=st.integers(0, 3),
    minutes=st.integers(-36 * 60, 24 * 60),
)
def test_openings_are_those_that_the_wall_shows_minute_by_minute(pairs, zone, which, minutes):
    windows = [hours.Window(EVERY_DAY, start, end) for start, end in pairs]
    odd = by_hand(*windows)
    changes = CHANGES[zone] or CHANGES[EASTERN]
    start = changes[which % len(changes)] + timedelta(minutes=minutes)
    where = us(zone)
    expected = start
    while not wall_inside(expected, zone, pairs):
        expected += MINUTE
    assert hours.next_open(start, where, "call", odd) == expected
    assert (hours.judge(start, where, "call", odd) == []) is (expected == start)
    closes = hours.open_until(start, where, "call", odd)
    if expected > start:
        assert closes is None
    else:
        assert closes > start
        within = min(int((closes - start) / MINUTE), 60)
        assert all(wall_inside(start + n * MINUTE, zone, pairs) for n in range(within))
        if within < 60:
            assert not wall_inside(closes, zone, pairs)


@pytest.mark.parametrize(
    "pairs", [[(0, 1)], [(0, 30)], [(23 * 60, 0)], [(23 * 60 + 30, 30)], [(23 * 60 + 1, 23 * 60 + 2)]]
)
def test_a_clock_set_back_over_midnight_shows_both_days_twice(pairs):
    """At one minute past midnight, back to the evening before: as Newfoundland did until 2011."""
    odd = by_hand(*(hours.Window(EVERY_DAY, start, end) for start, end in pairs))
    zone, change = "America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC)
    assert (change - MINUTE).astimezone(ZoneInfo(zone)).day == 7
    assert change.astimezone(ZoneInfo(zone)).day == 6
    for minutes in range(-150, 150):
        start = change + timedelta(minutes=minutes)
        inside = wall_inside(start, zone, pairs)
        expected = start
        while not wall_inside(expected, zone, pairs):
            expected += MINUTE
        assert (hours.judge(start, us(zone), "call", odd) == []) is inside
        assert hours.next_open(start, us(zone), "call", odd) == expected
        closes = hours.open_until(start, us(zone), "call", odd)
        if inside:
            ends = start
            while wall_inside(ends, zone, pairs):
                ends += MINUTE
            assert closes == ends
        else:
            assert closes is None


# What an organization adds -------------------------------------------------------------------------------------------

NARROW = CallingHours.model_validate(
    {"call": {"start": "09:30", "end": "17:00", "weekdays": ["mon", "tue", "wed", "thu"]}, "cap": 2}
)
WIDE = CallingHours.model_validate(
    {"call": {"start": "00:00", "end": "23:59"}, "sms": {"start": "06:00", "end": "05:59"}}
)


def test_an_organization_may_tighten_hours_in_every_zone(book):
    own = book.tightened(NARROW)
    where = hours.Place(frozenset(("US-GA",)), frozenset((EASTERN, PACIFIC)))
    assert hours.next_open(at(EASTERN, 2026, 11, 24), where, "call", own) == at(PACIFIC, 2026, 11, 24, 9, 30)
    assert hours.open_until(at(EASTERN, 2026, 11, 24, 15), where, "call", own) == at(EASTERN, 2026, 11, 24, 17)
    (reason,) = hours.judge(at(EASTERN, 2026, 11, 24, 9), us(EASTERN), "call", own)
    assert (reason.rule, reason.rule_version) == ("organization", 1)
    friday = at(EASTERN, 2026, 11, 27, 12)
    assert forbidding(hours.judge(friday, us(EASTERN), "call", own)) == ["organization"]
    assert hours.judge(friday, us(EASTERN), "sms", own) == []


def test_an_organization_never_loosens_hours(book):
    own = book.tightened(WIDE)
    for hour in range(24):
        now = at(EASTERN, 2026, 11, 24, hour, 30)
        for channel in ("call", "sms"):
            for where in (us(EASTERN, "FL"), us(EASTERN), us(EASTERN, "RI")):
                if hours.judge(now, where, channel, book):
                    assert hours.judge(now, where, channel, own)


def test_an_organizations_cap_stands_beside_the_laws(book):
    now = at(EASTERN, 2026, 11, 24, 12)
    for channel in ("call", "sms"):
        in_force = hours.rules_in_force(now, us(EASTERN, "FL"), channel, book.tightened(NARROW))
        assert hours.caps_of(in_force) == [
            hours.Cap(f"us-fl.{channel}", 1, 3, 24, (channel,)),
            hours.Cap("organization", 1, 2, 24, ("call", "sms")),
        ]


def test_an_organization_that_has_decided_nothing_changes_nothing(book):
    assert book.tightened(CallingHours()) == book


def test_an_organizations_rule_does_not_stand_for_the_law(book):
    own = book.tightened(WIDE)
    canada = hours.Place(frozenset(("CA-ON",)), frozenset(("America/Toronto",)))
    assert forbidding(hours.judge(at(EASTERN, 2026, 11, 24, 12), canada, "call", own)) == ["no_rule_for_region"]


# Against the law typed a second time ---------------------------------------------------------------------------------

EDGES = [time(hour, minute) for hour in (7, 8, 9, 10, 11, 12, 16, 17, 19, 20, 21) for minute in (0, 59)]
FIRST, LAST = datetime(2025, 1, 3, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)
SET_CLOCKS = [change.date() for zone in (EASTERN, PACIFIC) for change in springs_and_autumns(zone)]
HOLIDAYS = sorted(
    day for state in ("AL", "RI") for year in (2025, 2026, 2027) for day in calling_law.holidays(state, year)
)


@pytest.fixture(scope="module")
def area_codes(conn):
    return conn.execute("select area_code, region, time_zones from area_codes order by area_code").fetchall()


def some_instant(chance, zones):
    """Half of them at the edges of hours on some clock, a good part on holidays and days when clocks are set."""
    day = chance.choice(
        [
            (FIRST + timedelta(days=chance.randrange((LAST - FIRST).days))).date(),
            (FIRST + timedelta(days=chance.randrange((LAST - FIRST).days))).date(),
            chance.choice(SET_CLOCKS),
            max(chance.choice(HOLIDAYS), FIRST.date()),
        ]
    )
    if chance.random() < 0.5:
        return datetime.combine(day, chance.choice(EDGES), ZoneInfo(chance.choice(zones))).astimezone(UTC)
    return datetime.combine(day, time.min, UTC) + timedelta(seconds=chance.randrange(DAY * 60))


def some_case(chance, area_codes):
    """What a number and a lead may state, and by hand: the regions and zones that follow."""
    area = chance.choice(area_codes)
    state = chance.choice([None, None, *calling_law.ZONES])
    time_zone = chance.choice([None, None, *ZONES])
    zones = set(area["time_zones"]) | ({time_zone} if time_zone else calling_law.ZONES.get(state, set()))
    regions = {area["region"], *([f"US-{state}"] if state else [])}
    return area, state, time_zone, regions, sorted(zones)


def disagreements(book, area_codes, seed, cases):
    chance = random.Random(seed)  # noqa: S311 - cases, not secrets
    areas = {row["area_code"]: hours.AreaCode(row["region"], frozenset(row["time_zones"])) for row in area_codes}
    allowed = 0
    for _ in range(cases):
        area, state, time_zone, regions, zones = some_case(chance, area_codes)
        now, channel = some_instant(chance, zones), chance.choice(("call", "sms"))
        where = hours.place_of(areas[area["area_code"]], book.zones, time_zone=time_zone, state=state, country="US")
        expected = calling_law.allowed(now, regions, zones, channel)
        allowed += expected
        if (hours.judge(now, where, channel, book) == []) != expected:
            yield now.isoformat(), area["area_code"], state, time_zone, channel, expected
    # Of both there have to be many, or agreement says little.
    assert cases * 0.1 < allowed < cases * 0.6


def test_the_law_typed_a_second_time_agrees(book, area_codes):
    seed = secrets.randbelow(10**9)
    assert (seed, list(disagreements(book, area_codes, seed, 20_000))) == (seed, [])


@pytest.mark.storm
def test_the_law_typed_a_second_time_agrees_on_a_million_cases(book, area_codes):
    seed = secrets.randbelow(10**9)
    assert (seed, list(disagreements(book, area_codes, seed, 1_000_000))) == (seed, [])


def check_openings(book, area_codes, cases):
    seed = secrets.randbelow(10**9)
    chance = random.Random(seed)  # noqa: S311 - cases, not secrets
    american = [row for row in area_codes if row["region"].startswith("US-")]
    for _ in range(cases):
        _, _, _, regions, zones = some_case(chance, american)
        start = min(some_instant(chance, zones), datetime(2027, 12, 1, tzinfo=UTC))
        channel = chance.choice(("call", "sms"))
        where = hours.Place(frozenset(regions), frozenset(zones))
        opens = hours.next_open(start, where, channel, book)
        # Some have no hour in common at all, as Guam and New York at the strictest: an answer within days is then None.
        if opens is None:
            assert not any(
                calling_law.allowed(start + timedelta(minutes=15 * n), regions, zones, channel) for n in range(800)
            ), (seed, start, regions, zones)
            continue
        assert opens == calling_law.first_allowed(start, regions, zones, channel), (seed, start, regions, zones)
        closes = hours.open_until(opens, where, channel, book)
        last = closes - timedelta(microseconds=1)
        assert calling_law.allowed(last, regions, zones, channel), (seed, opens, closes, regions, zones)
        assert not calling_law.allowed(closes, regions, zones, channel), (seed, opens, closes, regions, zones)


def test_openings_and_closings_are_those_of_the_law_minute_by_minute(book, area_codes):
    check_openings(book, area_codes, 150)


@pytest.mark.storm
def test_many_openings_and_closings_are_those_of_the_law_minute_by_minute(book, area_codes):
    check_openings(book, area_codes, 3_000)
