"""Calling rules as data, and what they say of one day: versions in force, windows, holidays, caps."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from leadline.config import CallingHours

Channel = Literal["call", "sms"]
Code = Literal["outside_hours", "no_rule_for_region", "unknown_zone"]
Span = tuple[int, int]  # from, to before: minutes after local midnight

DAY = 24 * 60
EVERY_DAY = frozenset((1, 2, 3, 4, 5, 6, 7))
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CHANNELS: tuple[Channel, ...] = ("call", "sms")
ORGANIZATION = "organization"  # the id of the rules that an organization has made for itself


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there may be no contact; `rule` is null where no rule is known."""

    code: Code
    rule: str | None = None
    rule_version: int | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Open from one minute after local midnight to before another; when that is not later, into the next day.

    `days` are the ISO weekdays (1 is Monday) on which it opens.
    """

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` contacts with a number in `hours` rolling hours, counted over `channels`."""

    rule: str
    rule_version: int
    limit: int
    hours: int
    channels: tuple[Channel, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of one rule. Dates are the called person's; both ends are in force."""

    id: str
    version: int
    region: str
    channel: Channel
    windows: tuple[Window, ...]
    closed_on_holidays: bool = False
    cap: int | None = None
    cap_hours: int = 24
    cap_channels: tuple[Channel, ...] = ()
    days_after_refusal: int | None = None
    valid_from: date = date.min
    valid_to: date | None = None

    def in_force(self, day: date) -> bool:
        return self.valid_from <= day and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True, slots=True)
class Applying:
    """The rules of some regions on one channel, all versions; of each country those that it cannot do without."""

    rules: tuple[Rule, ...]
    countries: Mapping[str, tuple[Rule, ...]]
    days: dict[date, list[Span]] = field(default_factory=dict[date, list[Span]])  # worked out so far

    def ungoverned(self, day: date) -> list[str]:
        """The countries of which no rule is in force that day."""
        return [country for country, rules in self.countries.items() if not any(rule.in_force(day) for rule in rules)]


@dataclass(frozen=True, slots=True)
class Rulebook:
    """All rules and holidays there are, the zones of each region, and what the organization adds."""

    rules: tuple[Rule, ...]
    holidays: Mapping[str, Mapping[date, str]]
    zones: Mapping[str, frozenset[str]]
    own: tuple[Rule, ...] = ()
    _applying: dict[tuple[frozenset[str], Channel], Applying] = field(
        default_factory=dict[tuple[frozenset[str], Channel], Applying], init=False, repr=False, compare=False
    )

    def applying(self, regions: frozenset[str], channel: Channel) -> Applying:
        """Of a state its own rules and its country's, which stands before the hyphen."""
        found = self._applying.get((regions, channel))
        if found is None:
            countries = {region.partition("-")[0] for region in regions}
            rules = [rule for rule in self.rules if rule.channel == channel and rule.region in regions | countries]
            found = Applying(
                rules=(*rules, *(rule for rule in self.own if rule.channel == channel)),
                countries={
                    country: tuple(rule for rule in rules if rule.region == country) for country in sorted(countries)
                },
            )
            self._applying[regions, channel] = found
        return found

    def open_on(self, day: date, applying: Applying) -> list[Span]:
        """When all the rules in force on a day are open; never without those of each country."""
        spans = applying.days.get(day)
        if spans is None:
            spans = [(0, DAY)] if applying.countries and not applying.ungoverned(day) else []
            for rule in applying.rules:
                if spans and rule.in_force(day):
                    spans = _both(spans, self.spans(rule, day))
            applying.days[day] = spans
        return spans

    def tightened(self, decided: CallingHours) -> "Rulebook":
        """With the organization's own rules, which must allow as well: so they can only tighten."""
        return replace(self, own=_own_rules(decided))

    def closed_for(self, rule: Rule, day: date) -> str | None:
        """Why a rule that heeds holidays is closed all that day; a year without a New Year's Day is not known."""
        if not rule.closed_on_holidays:
            return None
        holidays = self.holidays.get(rule.region, {})
        if date(day.year, 1, 1) not in holidays:
            return f"closed, since no holidays are known for {day.year}"
        return f"closed on {holidays[day]}" if day in holidays else None

    def spans(self, rule: Rule, day: date) -> list[Span]:
        """When the rule is open that day, in order and apart; a window of the evening before may reach into it."""
        if rule.closed_on_holidays and self.closed_for(rule, day):
            return []
        weekday = day.isoweekday()
        found: list[Span] = []
        for window in rule.windows:
            if weekday in window.days:
                found.append((window.opens, window.closes if window.closes > window.opens else DAY))
            if 0 < window.closes <= window.opens and (weekday - 1 or 7) in window.days:
                before = date.fromordinal(day.toordinal() - 1)
                if not self.closed_for(rule, before):
                    found.append((0, window.closes))
        return found if len(found) < 2 else _apart(found)


def is_open(spans: list[Span], local: datetime) -> bool:
    """Whether an instant is inside, by its own wall time: in the hour that autumn repeats, each time anew."""
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in spans)


def _both(some: list[Span], others: list[Span]) -> list[Span]:
    """Where both are open; each is in order and apart, and so is what they share."""
    shared = [
        (max(start, other_start), min(end, other_end)) for start, end in some for other_start, other_end in others
    ]
    return [(start, end) for start, end in shared if start < end]


def _apart(spans: list[Span]) -> list[Span]:
    """In order, with those that overlap or touch put together."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def caps_of(rules: list[Rule]) -> list[Cap]:
    """What has to be counted before another contact; the counting is the gate's."""
    return [Cap(rule.id, rule.version, rule.cap, rule.cap_hours, rule.cap_channels) for rule in rules if rule.cap]


def _own_rules(decided: CallingHours) -> tuple[Rule, ...]:
    rules: list[Rule] = []
    for channel in CHANNELS:
        hours = decided.call if channel == "call" else decided.sms
        if hours or decided.cap:
            window = Window(EVERY_DAY, 0, DAY)
            if hours:
                days = frozenset(WEEKDAYS.index(day) + 1 for day in hours.weekdays)
                window = Window(days, _minute(hours.start), _minute(hours.end))
            rules.append(
                Rule(
                    id=ORGANIZATION,
                    version=1,
                    region=ORGANIZATION,
                    channel=channel,
                    windows=(window,),
                    cap=decided.cap,
                    cap_channels=CHANNELS if decided.cap else (),
                )
            )
    return tuple(rules)


def _minute(time: str) -> int:
    hours, _, minutes = time.partition(":")
    return int(hours) * 60 + int(minutes)
