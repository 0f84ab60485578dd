"""What is to be done with a step that is due: rules only. Exits go before pauses, and pauses before waiting."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from leadline.config import Config
from leadline.gate import Decision
from leadline.nurture.due import Enrollment

# What has been done of a step, one way or the other.
OVER = frozenset({"sent", "delivered", "replied", "bounced", "failed", "skipped"})
EXITS = {
    "on_dnc_list": ("cancelled", "opted_out"),
    "calling_blocked": ("cancelled", "calling_blocked"),
    "lead_deleted": ("cancelled", "lead_deleted"),
    "bad_number": ("failed", "no_address"),
}
PAUSES = ("no_consent", "no_rule_for_region", "unknown_zone", "insufficient_budget")
TIMES = frozenset({"outside_hours", "cap_reached"})

Status = Literal["active", "paused", "completed", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class End:
    """The enrollment leaves: by itself (cancelled), or since the step cannot be done (failed)."""

    status: Literal["cancelled", "failed"]
    reason: str


@dataclass(frozen=True, slots=True)
class Pause:
    """It waits for a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It waits for a time; held time is not late, and no delay."""

    until: datetime
    waiting_for: str


@dataclass(frozen=True, slots=True)
class Skip:
    """The step is not for this person; the next one follows after its own delay."""

    why: str


@dataclass(frozen=True, slots=True)
class Advance:
    """The step is done already, so the next one follows; after the last one the sequence is completed."""


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Somebody is sending it, and has until then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """It was being sent by somebody who has not said what came of it: nobody knows, and a person is to look."""

    then: End | None  # where the enrollment leaves anyway


Fate = End | Pause | Wait | Skip | Advance | LeaveAlone | Lost


def before_the_gate(enrollment: Enrollment, decided: Config, now: datetime) -> Fate | None:
    """What follows without asking the gate; None where it is to be asked."""
    run = enrollment.run
    exit_ = _exit(enrollment, decided)
    if run and run.status == "sending" and run.sending_until:
        return LeaveAlone(run.sending_until) if now < run.sending_until else Lost(exit_)
    if exit_:
        return exit_
    if pause := _pause(enrollment, decided):
        return pause
    return Advance() if enrollment.current is None or (run and run.status in OVER) else None


def _pause(enrollment: Enrollment, decided: Config) -> Pause | None:
    if not enrollment.sequence_active:
        return Pause("sequence_paused")
    status = enrollment.run and enrollment.run.status
    if status == "unknown":
        return Pause("delivery_unknown")
    step = enrollment.current
    unsent = step and step.channel == "email" and status not in OVER
    return Pause("not_allowed") if unsent and not decided.email_from else None


def _exit(enrollment: Enrollment, decided: Config) -> End | None:
    status = enrollment.lead["status"]
    if enrollment.lead_deleted:
        return End("cancelled", "lead_deleted")
    if status == "recruited":
        return End("cancelled", "recruited")
    step = enrollment.current
    # Who has opted out by phone still gets email where the organization has decided so.
    still_emailed = step and step.channel == "email" and not decided.phone_opt_out_stops_email
    return End("cancelled", "opted_out") if status == "dnc" and not still_emailed else None


def after_the_gate(decision: Decision) -> Fate | None:
    """What a denial means for the enrollment, by its strongest reason; None where the step is allowed."""
    if decision.allowed:
        return None
    codes: dict[str, Any] = dict.fromkeys(reason.code for reason in decision.reasons)
    for code, (status, reason) in EXITS.items():
        if code in codes:
            return End("cancelled" if status == "cancelled" else "failed", reason)
    if "consent_revoked" in codes:
        return Skip("consent_revoked")
    for code in PAUSES:
        if code in codes:
            return Pause(code)
    if decision.next_allowed_at and codes.keys() <= TIMES:
        return Wait(decision.next_allowed_at, "outside_hours" if "outside_hours" in codes else "cap_reached")
    return Pause("not_allowed")
