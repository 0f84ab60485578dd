"""Where area codes are: against the exchanges that the phonenumbers library knows, and facts that it lacks."""

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import psycopg
import pytest
from phonenumbers.geodata import GEOCODE_DATA
from phonenumbers.tzdata import TIMEZONE_DATA
from psycopg import sql
from psycopg.rows import dict_row

from leadline import hours
from leadline.hours.places import STATES
from leadline.inputs import time_zones
from tests import calling_law

# Of each area code the zones of its exchanges, as the library guesses them.
GUESSED: dict[str, set[str]] = {}
for prefix, zones in TIMEZONE_DATA.items():
    if prefix.startswith("1") and len(prefix) >= 4:
        GUESSED.setdefault(prefix[1:4], set()).update(zones)

EASTERN, CENTRAL, MOUNTAIN, PACIFIC = (
    calling_law.EASTERN,
    calling_law.CENTRAL,
    calling_law.MOUNTAIN,
    calling_law.PACIFIC,
)
# Codes whose area has two clocks; an overlay has those of the code that it overlays.
TWO_CLOCKS = {
    area_code: zones
    for area_codes, zones in [
        ("219 270 364 423 448 574 606 729 812 850 906 930", {EASTERN, CENTRAL}),
        ("308 402 531 605 620 701 785", {CENTRAL, MOUNTAIN}),
        ("208 458 541 775 986", {MOUNTAIN, PACIFIC}),
        ("928", {MOUNTAIN, calling_law.ARIZONA}),
        ("907", {"America/Anchorage", "America/Adak", calling_law.HAWAII}),
        ("689", {EASTERN, CENTRAL}),  # Orlando; the library has all of it in Central time, and the wider net is kept
    ]
    for area_code in area_codes.split()
}
NEWER = ["357", "436", "457", "471", "483", "621", "624", "679", "729", "837", "861", "924"]
OF_NO_PLACE = {
    "toll-free": "800 833 844 855 866 877 888 822 880 881 882 889",
    "personal": "500 521 522 523 524 525 526 527 528 529 532 533 544 566 577 588",
    "premium and special": "900 700 710 600 622 633 211 411 911 555",
    "not assigned": "200 299 370 960 999",
}


@pytest.fixture(scope="module")
def rows(database):
    with psycopg.connect(database.dsn("app"), row_factory=dict_row) as conn:
        return {row["area_code"]: row for row in conn.execute("select * from area_codes").fetchall()}


@cache
def clock(zone: str) -> tuple[timedelta | None, ...]:
    """What the zone's clock shows in every hour of 2026 and 2027."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return tuple((start + timedelta(hours=n)).astimezone(ZoneInfo(zone)).utcoffset() for n in range(2 * 365 * 24))


def test_every_area_code_that_the_library_places_is_listed_and_no_other_but_the_newer(rows):
    assert len(GUESSED) > 440
    assert sorted(rows) == sorted([*GUESSED, *NEWER])


def test_every_clock_of_every_exchange_is_covered(rows):
    for area_code, guessed in GUESSED.items():
        covered = {clock(zone) for zone in rows[area_code]["time_zones"]}
        assert {zone for zone in guessed if clock(zone) not in covered} == set(), area_code


def test_every_zone_is_one_of_the_pinned_database_and_no_clock_is_listed_twice(rows):
    for area_code, row in rows.items():
        assert set(row["time_zones"]) <= time_zones(), area_code
        if row["country"] == "US":
            assert len({clock(zone) for zone in row["time_zones"]}) == len(row["time_zones"]), area_code


def test_a_code_whose_area_has_two_clocks_has_both_and_no_other_code_has(rows):
    found = {
        area_code: set(row["time_zones"])
        for area_code, row in rows.items()
        if row["country"] == "US" and len(row["time_zones"]) > 1
    }
    assert found == TWO_CLOCKS


def test_an_american_code_is_in_the_state_that_the_library_names(rows):
    named = 0
    for area_code, row in rows.items():
        name = GEOCODE_DATA.get(f"1{area_code}", {}).get("en", "")
        name = name.removesuffix(" State").replace("D.C.", "DC").lower()
        state = STATES.get(name) or name[-2:].upper()
        if row["country"] == "US" and name:
            named += 1
            assert row["region"] == f"US-{state}", area_code
    assert named > 300


@pytest.mark.parametrize(
    ("area_code", "region"),
    {
        "203": "US-CT",
        "310": "US-CA",
        "713": "US-TX",
        "718": "US-NY",
        "787": "US-PR",
        "939": "US-PR",
        "340": "US-VI",
        "671": "US-GU",
        "684": "US-AS",
        "670": "US-MP",
        "202": "US-DC",
        "471": "US-MS",
        "436": "US-OH",
        "924": "US-MN",
        "416": "CA-ON",
        "876": "JM",
        "809": "DO",
        "242": "BS",
        "441": "BM",
        "721": "SX",
    }.items(),
)
def test_a_code_that_the_library_does_not_name_is_where_it_is_known_to_be(rows, area_code, region):
    assert rows[area_code]["region"] == region


def test_every_state_and_territory_has_all_its_clocks(database):
    with psycopg.connect(database.dsn("app"), row_factory=dict_row) as conn:
        zones = hours.ask_rules(conn)().zones
    assert {region.removeprefix("US-"): set(found) for region, found in zones.items()} == calling_law.ZONES
    assert len(zones) == 50 + 1 + 5


@pytest.mark.parametrize("kind", OF_NO_PLACE)
def test_a_code_of_no_place_is_not_listed(rows, kind):
    assert set(OF_NO_PLACE[kind].split()) & set(rows) == set()


@pytest.mark.parametrize("number", ["+3055550142", "+1305555014", "+130555501420", "13055550142", "+11055550142", ""])
def test_a_number_that_is_not_of_country_code_one_and_ten_digits_has_no_area(connect, number):
    assert hours.ask_areas(connect(), [number])() == {}


def test_areas_of_many_numbers_are_read_at_once(connect):
    numbers = ["+18505550142", "+18005550142", "+442079460000", "+18505550142", "+18765550142"]
    found = hours.ask_areas(connect(), numbers)()
    assert found == {
        "+18505550142": hours.AreaCode("US-FL", frozenset((EASTERN, CENTRAL))),
        "+18765550142": hours.AreaCode("JM", frozenset(("America/Jamaica",))),
    }


@pytest.mark.parametrize(
    "change",
    [
        "time_zones = '{}'",
        "time_zones = array[null]",
        "region = 'Florida'",
        "country = 'CA'",
        "area_code = '1305'",
        "area_code = '105'",
        "source = ''",
    ],
)
def test_a_row_that_could_not_be_judged_by_is_refused(connect, change):
    owner = connect("owner")
    with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
        owner.execute(sql.SQL("update area_codes set {} where area_code = '305'").format(sql.SQL(change)))
