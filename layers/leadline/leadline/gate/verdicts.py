"""The rules of the gate: what is known of a person in, every reason against a contact out. Nothing here asks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from leadline import consent, hours, phone
from leadline.config import Config
from leadline.gate.facts import Facts, Lead, Number, Times
from leadline.gate.shapes import Ask, Code, Reason

VERSION = 1  # of the rules that are written here; those of regions are rows with versions of their own
LONGEST_VALID = timedelta(seconds=60)
HELPED_BY_TIME: frozenset[Code] = frozenset({"outside_hours", "cap_reached"})
# These pass with the entry that they come from, where it is a temporary one.
OF_AN_ENTRY: frozenset[Code] = frozenset({"on_dnc_list", "calling_blocked"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Every reason against it; without one, until when it is good, and where only time is against it, until when."""

    reasons: list[Reason]
    valid_until: datetime | None
    next_allowed_at: datetime | None
    lead: Lead | None
    inputs: dict[str, Any]  # what it rests on, for whoever asks later; ids, regions and times, and no person's data


def judge(ask: Ask, facts: Facts, decided: Config) -> Verdict:
    """Whether this may be done at `facts.now`, but for its money. Whatever is unknown denies."""
    lead = facts.leads.get(ask.lead_id) if ask.lead_id else facts.lead_of_number.get(ask.phone_number or "")
    known = facts.numbers[ask.phone_number] if ask.phone_number else Number()
    inputs: dict[str, Any] = {
        "lead_status": lead and lead.status,
        "dnc_entry_id": known.listed and str(known.listed["id"]),
    }
    reasons = [*_of_the_lead(ask, lead, known), *_of_the_number(ask), *_of_the_list(ask, known, decided)]
    listed_until: datetime | None = known.listed["expires_at"] if known.listed else None
    helped_by_time = HELPED_BY_TIME | OF_AN_ENTRY if listed_until else HELPED_BY_TIME
    if ask.channel == "email":
        reasons += _of_email(lead, known, facts, decided)
        passes = reasons and all(reason.code in helped_by_time for reason in reasons)
        return Verdict(reasons, facts.now + LONGEST_VALID, listed_until if passes else None, lead, inputs)
    ground, refused = _ground(ask, known, facts, inputs)
    reasons += refused
    place = _place(ask, lead, facts)
    if isinstance(place, hours.Reason):
        return Verdict([*reasons, _told(place)], None, None, lead, inputs)
    times = _times(place, ask.channel, facts, decided)
    full = list(_full(times.rules, known, facts.now))
    inputs |= {**times.inputs, **_looked_at(known)}
    reasons += times.reasons
    reasons += [reason for reason, _ in full]
    closes = opens = None
    if not reasons:
        closes = times.closes
    elif ground and all(reason.code in helped_by_time for reason in reasons):
        free = max([facts.now, *(over for _, over in full), *filter(None, [listed_until])])
        opens = _before(ground, hours.next_open(free, place, ask.channel, facts.book))
    return Verdict(reasons, closes and _sooner(closes, facts.now + LONGEST_VALID, ground), opens, lead, inputs)


def _times(place: hours.Place, channel: hours.Channel, facts: Facts, decided: Config) -> Times:
    """What the hours say of a place now, looked up once for everybody who may be there."""
    if (place, channel) not in facts.times:
        rules = hours.rules_in_force(facts.now, place, channel, facts.book)
        reasons = [_told(reason) for reason in hours.judge(facts.now, place, channel, facts.book)]
        inputs = {
            "regions": sorted(place.regions),
            "zones": sorted(place.zones),
            "rules": {rule.id: rule.version for rule in rules},
            "own_hours": decided.calling_hours.model_dump(exclude_none=True),
        }
        closes = None if reasons else hours.open_until(facts.now, place, channel, facts.book)
        facts.times[place, channel] = Times(rules, reasons, closes, inputs)
    return facts.times[place, channel]


def _sooner(closes: datetime, longest: datetime, ground: consent.Given | None) -> datetime:
    """When what is allowed ends: with the window, the minute or the consent."""
    ends = ground and ground.expires_at
    return min(closes, longest, ends) if ends else min(closes, longest)


def _before(ground: consent.Given, opens: datetime | None) -> datetime | None:
    """None where the consent ends before it opens: then no time helps."""
    return None if opens and ground.expires_at and opens >= ground.expires_at else opens


def _looked_at(known: Number) -> dict[str, Any]:
    return {
        "contacts": [[one.channel, one.at.isoformat()] for one in known.contacts],
        "refused_at": known.refused_at and known.refused_at.isoformat(),
    }


def _ours(code: Code, rule: str, detail: str) -> Reason:
    return Reason(code, rule, VERSION, detail)


def _told(reason: hours.Reason) -> Reason:
    return Reason(reason.code, reason.rule or "region", reason.rule_version or VERSION, reason.detail or "")


def _of_the_lead(ask: Ask, lead: Lead | None, known: Number) -> Iterator[Reason]:
    if lead and lead.deleted:
        yield _ours("lead_deleted", "lead.deleted", "The lead is deleted.")
    # A block that has expired is over at the instant, though the clock lifts it later.
    blocked = lead and (lead.calling_blocked or lead.status == "dnc") and not known.block_is_over
    if blocked and ask.channel != "email":
        yield _ours("calling_blocked", "lead.calling_blocked", "Calling this lead is blocked.")


def _of_the_number(ask: Ask) -> Iterator[Reason]:
    if ask.channel == "email":
        return
    if not ask.phone_number or not phone.is_valid(ask.phone_number):
        yield _ours("bad_number", "number.valid", "The lead has no number that can be called.")


def _of_the_list(ask: Ask, known: Number, decided: Config) -> Iterator[Reason]:
    if known.listed and (ask.channel != "email" or decided.phone_opt_out_stops_email):
        detail = f"The number is on the Do-Not-Call list: {known.listed['reason']}."
        yield _ours("on_dnc_list", "dnc_list", detail)


def _of_email(lead: Lead | None, known: Number, facts: Facts, decided: Config) -> Iterator[Reason]:
    """No consent is asked for, but an address, ours in the message, and that the person has not opted out."""
    address = (lead and lead.email) or ""
    revoked_at = max(filter(None, (_revoked_at(one, "email") for one in (known, facts.numbers[address]))), default=None)
    if not address:
        yield _ours("bad_number", "email.address", "No email address is known.")
    if revoked_at:
        yield _ours("consent_revoked", "email.opt_out", f"Email was opted out of at {revoked_at:%Y-%m-%d %H:%M} UTC.")
    if not decided.postal_address:
        detail = "Each email carries a postal address, and the organization has none (PUT /config/postal_address)."
        yield _ours("no_consent", "email.postal_address", detail)


def _ground(ask: Ask, known: Number, facts: Facts, inputs: dict[str, Any]) -> tuple[consent.Given | None, list[Reason]]:
    """The consent on which the contact may rest, or why there is none."""
    revoked_at = _revoked_at(known, ask.channel)
    ground = consent.ground(known.consents, revoked_at, ask.channel, ask.voice, facts.real_now)
    inputs["revoked_at"] = revoked_at and revoked_at.isoformat()
    if not isinstance(ground, str):
        inputs["consent_id"] = str(ground.id)
        return ground, []
    needed = " or ".join(consent.GROUNDS[ask.channel, ask.voice])
    by = f"call by {ask.voice} voice" if ask.channel == "call" else "text"
    detail = f"A {by} needs consent: {needed}."
    if ground == "consent_revoked":
        detail += f" It was taken back at {revoked_at:%Y-%m-%d %H:%M} UTC."
    return None, [_ours(ground, ".".join(filter(None, ("consent", ask.channel, ask.voice))), detail)]


def _revoked_at(known: Number, channel: str) -> datetime | None:
    """When it was last taken back; who opts out by phone or text does so for both."""
    covering = {channel} if channel == "email" else {channel, "phone"}
    return max((at for revoked, at in known.revocations if revoked in covering), default=None)


def _place(ask: Ask, lead: Lead | None, facts: Facts) -> hours.Place | hours.Reason:
    area = facts.areas.get(ask.phone_number or "")
    if lead is None:
        return hours.place_of(area, facts.book.zones)
    return hours.place_of(area, facts.book.zones, time_zone=lead.time_zone, state=lead.state, country=lead.country)


def _full(rules: list[hours.Rule], known: Number, now: datetime) -> Iterator[tuple[Reason, datetime]]:
    """Caps that are reached, and waits that are not over, each with the instant from which it forbids no more."""
    for cap in hours.caps_of(rules):
        window = timedelta(hours=cap.hours)
        # When each gives its place back, those that count in order.
        frees = sorted(one.until or one.at + window for one in known.contacts if one.channel in cap.channels)
        counted = [free for free in frees if free > now]
        if len(counted) >= cap.limit:
            detail = f"{len(counted)} of {cap.limit} contacts in {cap.hours} hours ({', '.join(cap.channels)})."
            yield Reason("cap_reached", cap.rule, cap.rule_version, detail), counted[-cap.limit]
    for rule in rules:
        if rule.days_after_refusal and known.refused_at:
            over = known.refused_at + timedelta(days=rule.days_after_refusal)
            if over > now:
                detail = f"The person refused at {known.refused_at:%Y-%m-%d %H:%M} UTC."
                yield Reason("cap_reached", rule.id, rule.version, detail), over
