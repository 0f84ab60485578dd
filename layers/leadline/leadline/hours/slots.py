"""Whether contact is allowed at an instant, until when, and when next: in every zone, under every rule.

Rules hold on the wall clock of the slot's own date. An instant is allowed when its wall time is inside: a window that
opens in the hour that spring skips opens at its end, and of an hour that autumn repeats both readings count.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from leadline.hours.places import Place
from leadline.hours.rules import Applying, Channel, Reason, Rule, Rulebook, Span, is_open

SEARCHED = timedelta(days=370)
AHEAD = timedelta(hours=1)
ONE_DAY = timedelta(days=1)

Interval = tuple[datetime, datetime]  # from, to before: instants in UTC


def judge(now: datetime, place: Place, channel: Channel, book: Rulebook) -> list[Reason]:
    """Every rule that forbids contact now, in a zone at least; none forbids what is allowed."""
    if not place.zones:
        return [Reason("unknown_zone", detail="No time zone is known")]
    applying = book.applying(place.regions, channel)
    clocks = [(zone, now.astimezone(_zone(zone))) for zone in place.zones]
    if all(is_open(book.open_on(local.date(), applying), local) for _, local in clocks):
        return []
    days = {local.date() for _, local in clocks}
    missing = {country for day in days for country in applying.ungoverned(day)}
    reasons = [_no_rule(country, channel) for country in sorted(missing)]
    if not place.regions:
        reasons.append(_no_rule("an unknown region", channel))
    for rule in applying.rules:
        closed = [
            (zone, local)
            for zone, local in clocks
            if rule.in_force(day := local.date()) and not is_open(book.spans(rule, day), local)
        ]
        if closed:
            details = [_detail(rule, zone, local, book) for zone, local in sorted(closed)]
            reasons.append(Reason("outside_hours", rule.id, rule.version, ". ".join(details)))
    return reasons


def rules_in_force(now: datetime, place: Place, channel: Channel, book: Rulebook) -> list[Rule]:
    """The rules whose caps and waits count now: in force by the date of a zone at least."""
    days = {now.astimezone(_zone(zone)).date() for zone in place.zones}
    return [rule for rule in book.applying(place.regions, channel).rules if any(map(rule.in_force, days))]


def open_until(now: datetime, place: Place, channel: Channel, book: Rulebook) -> datetime | None:
    """The end, not included, of what is open now in every zone; None when something is closed.

    It is the true end when it comes within an hour; one further off may be midnight, with the next day open too.
    """
    applying = book.applying(place.regions, channel)
    ends: list[datetime] = []
    for zone in place.zones:
        end = now
        for opens, closes in _intervals(zone, now, applying, book):
            if opens > end:
                break
            end = closes
            if end >= now + AHEAD:
                break
        if end == now:
            return None
        ends.append(end)
    return min(ends, default=None)


def next_open(start: datetime, place: Place, channel: Channel, book: Rulebook) -> datetime | None:
    """The first instant from `start` on that is open in every zone; None when there is none within 370 days."""
    applying = book.applying(place.regions, channel)
    if not place.zones or not place.regions or not all(applying.countries.values()):
        return None
    at, end = start.astimezone(UTC), start + SEARCHED
    while at < end:
        # Each zone's first opening from here on; where one is later than here, all are asked again from there.
        openings = [_first(zone, at, applying, book) for zone in place.zones]
        latest = max((opening for opening in openings if opening), default=at)
        if None in openings:
            return None
        if latest == at:
            return at
        at = latest
    return None


def _first(zone: str, at: datetime, applying: Applying, book: Rulebook) -> datetime | None:
    for opens, _ in _intervals(zone, at, applying, book):
        return max(opens, at)
    return None


def _intervals(zone: str, start: datetime, applying: Applying, book: Rulebook) -> Iterator[Interval]:
    """When the zone's clock is inside all rules, in order, from what ends after `start`; each within one local day."""
    day = start.astimezone(_zone(zone)).date()
    last = day + SEARCHED
    if _offsets(zone, day)[1]:
        day -= ONE_DAY
    while day < last:
        # A clock that is set back over midnight shows both days twice: such days are put in order together.
        days = [day]
        while _offsets(zone, days[-1])[1]:
            days.append(days[-1] + ONE_DAY)
        found = [
            interval for one in days for span in book.open_on(one, applying) for interval in _instants(zone, one, span)
        ]
        yield from (interval for interval in sorted(found) if interval[1] > start)
        day = days[-1] + ONE_DAY


def _instants(zone: str, day: date, span: Span) -> Iterator[Interval]:
    """The instants of a local day whose wall time is in the span: two intervals where the clock is set in between."""
    midnight = datetime.combine(day, time.min, UTC)
    start, end = (midnight + timedelta(minutes=minute) for minute in span)
    before, change, after = _offsets(zone, day)
    if change is None:
        yield start - before, end - before
        return
    if start - before < min(end - before, change):
        yield start - before, min(end - before, change)
    if max(start - after, change) < end - after:
        yield max(start - after, change), end - after


@lru_cache(maxsize=10_000)
def _offsets(zone: str, day: date) -> tuple[timedelta, datetime | None, timedelta]:
    """A zone's offset from UTC as the day begins, the instant of the day at which it changes, and the one after."""
    midnight, next_midnight = (datetime.combine(one, time.min, _zone(zone)) for one in (day, day + ONE_DAY))
    before = _offset(midnight)
    # A midnight that is skipped is the next day's; one that is shown twice ends the day the second time.
    after = min(_offset(next_midnight), _offset(next_midnight.replace(fold=1)))
    if before == after:
        return before, None, after
    low = datetime.combine(day, time.min, UTC) - before
    seconds = int((datetime.combine(day + ONE_DAY, time.min, UTC) - after - low).total_seconds())
    first, last = 0, seconds
    while first < last:
        middle = (first + last) // 2
        if _offset((low + timedelta(seconds=middle)).astimezone(_zone(zone))) == before:
            first = middle + 1
        else:
            last = middle
    return before, low + timedelta(seconds=first), after


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    if offset is None:
        raise ValueError("a time without a zone has no offset")
    return offset


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _no_rule(region: str, channel: Channel) -> Reason:
    return Reason("no_rule_for_region", detail=f"No rule for {channel} is in force in {region}")


def _detail(rule: Rule, zone: str, local: datetime, book: Rulebook) -> str:
    """As in: Sun 20:30 in America/New_York; allowed 8:00-20:00."""
    spans = book.spans(rule, local.date())
    allowed = "allowed " + ", ".join(f"{_clock(start)}-{_clock(end)}" for start, end in spans)
    if not spans:
        allowed = book.closed_for(rule, local.date()) or f"closed on {local:%A}s"
    return f"{local:%a} {_clock(local.hour * 60 + local.minute)} in {zone}; {allowed}"


def _clock(minute: int) -> str:
    return f"{minute // 60}:{minute % 60:02}"
