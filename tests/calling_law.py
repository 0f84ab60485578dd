"""The law of calling hours typed a second time, from the table of sources, and judged by the plainest means there are.

Nothing here comes from the product: not its rules, not its holidays, not which zones a state has. What it says of an
instant is what the product has to say.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

Hours = tuple[int, int] | None
MON, TUE, THU, SAT, SUN = 0, 1, 3, 5, 6


def week(start: int, end: int, **others: Hours) -> list[Hours]:
    """Monday to Sunday, with `sat` and `sun` where they differ."""
    return [*[(start, end)] * 5, others.get("sat", (start, end)), others.get("sun", (start, end))]


FEDERAL = week(8, 21)
CALLS = {
    "FL": week(8, 20),
    "OK": week(8, 20),
    "WA": week(8, 20),
    "MD": week(8, 20),
    "TX": week(9, 21, sun=(12, 21)),
    "AL": week(8, 20, sun=None),
    "CT": week(9, 20),
    "KY": week(10, 21),
    "LA": week(8, 20, sun=None),
    "MS": week(8, 20, sun=None),
    "MA": week(8, 20),
    "MI": week(9, 21),
    "MN": week(9, 21),
    "NM": week(9, 21),
    "NV": week(9, 20),
    "RI": week(9, 18, sat=(10, 17), sun=None),
}
TEXTS = {state: CALLS[state] for state in ("FL", "OK", "WA", "MD", "TX", "CT")}
TEXAS_TEXTS_SINCE = date(2025, 9, 1)
CAPS = {  # state: channel: how many, counted over which
    "FL": {"call": (3, {"call"}), "sms": (3, {"sms"})},
    "OK": {"call": (3, {"call"}), "sms": (3, {"sms"})},
    "MD": {"call": (3, {"call", "sms"}), "sms": (3, {"call", "sms"})},
}
SECONDARY = {"OK", "WA", "MD", "TX", "AL", "CT", "KY", "LA", "MS", "MA", "MI", "MN", "NM", "NV", "RI"}

EASTERN, CENTRAL, MOUNTAIN, PACIFIC = "America/New_York", "America/Chicago", "America/Denver", "America/Los_Angeles"
ARIZONA, HAWAII, PUERTO_RICO, GUAM = "America/Phoenix", "Pacific/Honolulu", "America/Puerto_Rico", "Pacific/Guam"
STATES = {
    EASTERN: "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC TN VA VT WV",
    CENTRAL: "AL AR FL IA IL IN KS KY LA MI MN MO MS ND NE OK SD TN TX WI",
    MOUNTAIN: "AZ CO ID KS MT ND NE NM NV OR SD TX UT WY",
    PACIFIC: "CA ID NV OR WA",
    ARIZONA: "AZ",
    "America/Anchorage": "AK",
    "America/Adak": "AK",
    HAWAII: "HI AK",  # the phonenumbers library has an Alaskan exchange in Hawaii's time; the wider net is kept
    PUERTO_RICO: "PR VI",
    GUAM: "GU MP",
    "Pacific/Pago_Pago": "AS",
}
ZONES = {
    state: {zone for zone, states in STATES.items() if state in states.split()}
    for state in " ".join(STATES.values()).split()
}


def nth(year: int, month: int, weekday: int, which: int) -> date:
    """The first, second, ... such weekday of a month; -1 for the last."""
    days = [day for day in _month(year, month) if day.weekday() == weekday]
    return days[which - 1 if which > 0 else which]


def _month(year: int, month: int) -> list[date]:
    days = [date(year, month, 1) + timedelta(n) for n in range(31)]
    return [day for day in days if day.month == month]


SHROVE_TUESDAY = {2025: date(2025, 3, 4), 2026: date(2026, 2, 17), 2027: date(2027, 2, 9)}


@cache
def holidays(state: str, year: int) -> frozenset[date]:
    """Alabama's (Code 1-3-8) and Rhode Island's (Gen. Laws 25-1-1), with the days on which others observe them."""
    fixed = [date(year, *day) for day in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))]
    found = {
        *fixed,
        nth(year, 1, MON, 3),
        nth(year, 2, MON, 3),
        nth(year, 5, MON, -1),
        nth(year, 9, MON, 1),
        nth(year, 10, MON, 2),
        nth(year, 11, THU, 4),
    }
    if state == "AL":
        thanksgiving = nth(year, 11, THU, 4)
        found |= {SHROVE_TUESDAY[year], nth(year, 4, MON, 4), nth(year, 6, MON, 1), thanksgiving + timedelta(1)}
    else:
        fixed.append(date(year, 5, 4))
        found |= {date(year, 5, 4), nth(year, 8, MON, 2)}
        if year % 2 == 0:
            found.add(nth(year, 11, MON, 1) + timedelta(1))
    for day in [*fixed, date(year + 1, 1, 1)]:
        if day.weekday() == SUN:
            found.add(day + timedelta(1))
        if day.weekday() == SAT and (day.month, day.day) != (5, 4):
            found.add(day - timedelta(1))
            if state == "RI":
                found.add(day + timedelta(2))
    return frozenset(day for day in found if day.year == year)


def allowed(instant: datetime, regions: Iterable[str], zones: Iterable[str], channel: str) -> bool:
    """Whether every clock is inside the hours of every region."""
    return all(_allowed_on(instant.astimezone(_zone(zone)), region, channel) for zone in zones for region in regions)


_zone = cache(ZoneInfo)


def _allowed_on(wall: datetime, region: str, channel: str) -> bool:
    country, _, state = region.partition("-")
    if country != "US":
        return False
    rules = [FEDERAL]
    own = (CALLS if channel == "call" else TEXTS).get(state)
    if own and not (state == "TX" and channel == "sms" and wall.date() < TEXAS_TEXTS_SINCE):
        rules.append(own)
    if channel == "call" and state in ("AL", "RI") and (wall.year > 2027 or wall.date() in holidays(state, wall.year)):
        return False
    for rule in rules:
        hours = rule[wall.weekday()]
        if hours is None or not hours[0] <= wall.hour < hours[1]:
            return False
    return True


def first_allowed(start: datetime, regions: Iterable[str], zones: Iterable[str], channel: str) -> datetime:
    """Minute after minute."""
    at = start.astimezone(UTC)
    while not allowed(at, regions, zones, channel):
        at = at.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return at
