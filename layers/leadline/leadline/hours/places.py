"""Where a called person may be: the regions whose rules, and the zones whose clocks, must all allow."""

from collections.abc import Mapping
from dataclasses import dataclass

from leadline.hours.rules import Reason
from leadline.inputs import time_zones

TERRITORIES = frozenset(("AS", "GU", "MP", "PR", "VI"))  # countries of ISO 3166-1 under the law of the United States

# Written without points and commas, in lower case.
STATES = {
    "alabama": "AL",
    "alaska": "AK",
    "american samoa": "AS",
    "arizona": "AZ",
    "arkansas": "AR",
    "california": "CA",
    "colorado": "CO",
    "connecticut": "CT",
    "delaware": "DE",
    "district of columbia": "DC",
    "florida": "FL",
    "georgia": "GA",
    "guam": "GU",
    "hawaii": "HI",
    "idaho": "ID",
    "illinois": "IL",
    "indiana": "IN",
    "iowa": "IA",
    "kansas": "KS",
    "kentucky": "KY",
    "louisiana": "LA",
    "maine": "ME",
    "maryland": "MD",
    "massachusetts": "MA",
    "michigan": "MI",
    "minnesota": "MN",
    "mississippi": "MS",
    "missouri": "MO",
    "montana": "MT",
    "nebraska": "NE",
    "nevada": "NV",
    "new hampshire": "NH",
    "new jersey": "NJ",
    "new mexico": "NM",
    "new york": "NY",
    "north carolina": "NC",
    "north dakota": "ND",
    "northern mariana islands": "MP",
    "ohio": "OH",
    "oklahoma": "OK",
    "oregon": "OR",
    "pennsylvania": "PA",
    "puerto rico": "PR",
    "rhode island": "RI",
    "south carolina": "SC",
    "south dakota": "SD",
    "tennessee": "TN",
    "texas": "TX",
    "us virgin islands": "VI",
    "utah": "UT",
    "vermont": "VT",
    "virgin islands": "VI",
    "virginia": "VA",
    "washington": "WA",
    "washington dc": "DC",
    "west virginia": "WV",
    "wisconsin": "WI",
    "wyoming": "WY",
}
CODES = {STATES[name] for name in STATES}


@dataclass(frozen=True, slots=True)
class AreaCode:
    """The region of an area code, as in US-FL, and every time zone that its area touches."""

    region: str
    time_zones: frozenset[str]


@dataclass(frozen=True, slots=True)
class Place:
    """All must allow: the rules of every region, on the clock of every zone."""

    regions: frozenset[str]
    zones: frozenset[str]


def place_of(
    area: AreaCode | None,
    zones: Mapping[str, frozenset[str]],
    *,
    time_zone: str | None = None,
    state: str | None = None,
    country: str | None = None,
) -> Place | Reason:
    """Where the person is, by the number's area and by what the lead states; a Reason where that is not known.

    `area` is None for a number outside of country code +1, a toll-free and an unlisted one. `zones` are those of each
    region (`Rulebook.zones`): a state's count where the lead states no zone of its own. `country` is ISO 3166-1; one
    without a rule is left for `judge` to refuse.
    """
    if area is None:
        return Reason("no_rule_for_region", detail="No calling rule is known for where the number belongs")
    stated: frozenset[str] = frozenset()
    if country in TERRITORIES:
        stated = frozenset((f"US-{country}",))
    elif country not in (None, "US"):
        stated = frozenset((country,))
    elif state and state.strip():
        code = _state(state)
        if code is None:
            return Reason("unknown_zone", detail="The address's state is none of the United States")
        stated = frozenset((f"US-{code}",))
    if time_zone is None:
        found = area.time_zones.union(*(zones.get(region, frozenset[str]()) for region in stated))
    elif time_zone in time_zones():
        found = area.time_zones | {time_zone}
    else:
        return Reason("unknown_zone", detail="The stated time zone is not known")
    if not found:
        return Reason("unknown_zone", detail="No time zone is known for the number")
    return Place(stated | {area.region}, found)


def _state(written: str) -> str | None:
    """Two letters from FL, US-FL, Florida, or washington d.c."""
    plain = " ".join(written.replace(".", "").replace(",", " ").lower().removeprefix("us-").split())
    return STATES.get(plain) or (plain.upper() if plain.upper() in CODES else None)
