"""The worker's side of nurture: what is due is decided and marked in one transaction, sent, and recorded in another."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import formataddr
from uuid import UUID

from leadline import gate, links, provider_keys, segments, settings
from leadline.db import Transaction
from leadline.errors import Invalid
from leadline.gate import Ask, Decision
from leadline.inputs import folded
from leadline.nurture import due, runs, steps, templates
from leadline.nurture.channels import Outgoing
from leadline.nurture.dispatch import DueSteps
from leadline.nurture.due import Enrollment, Work
from leadline.nurture.rendering import ValueMissing
from leadline.nurture.runs import Move, NewRun
from leadline.nurture.steps import End, Fate, Pause, Skip
from leadline.nurture.templates import Message, MessageTooLong, PostalAddressRequired, Template

# Longer than a worker lives (its time limit in template.yaml): whoever has begun has ended when the lease does.
TO_WORK = timedelta(minutes=6)
AT_ONCE = 500  # enrollments in a transaction: up to so many numbers are locked one by one, and not all of them


@dataclass(frozen=True, slots=True)
class Ready:
    """A step that the gate is to be asked about, as it would go out."""

    enrollment: Enrollment
    template: Template
    message: Message | None  # none of an email without a postal address, which the gate denies
    unsubscribe_url: str | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is marked as sending and has to be sent now; `counts` tells what became of the others."""

    outgoing: list[Outgoing]
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of a message while it is worked on, and what is to be done of it; `began` is by the monotonic clock."""

    message: DueSteps
    work: Work
    now: datetime
    began: float
    fates: list[tuple[Enrollment, Fate]] = field(default_factory=list[tuple[Enrollment, Fate]])
    marked: list[NewRun] = field(default_factory=list[NewRun])
    outgoing: list[Outgoing] = field(default_factory=list[Outgoing])

    def senders(self) -> dict[str, str | None]:
        """Who a message is from, by channel."""
        decided, name = self.work.decided, " ".join(self.work.organization.name.split())
        email = formataddr((name, decided.email_from)) if decided.email_from else None
        return {"email": email, "sms": decided.sms_from, "call": None}


def parts(message: DueSteps) -> list[Sequence[UUID]]:
    """The ids of a message, as many as one transaction takes."""
    ids = message.enrollment_ids
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


def prepare(tx: Transaction, message: DueSteps, enrollment_ids: Sequence[UUID], now: datetime) -> Prepared:
    """Decides what is due, and marks what is to be sent: once this transaction has ended, it has to be sent.

    Raises Busy where the database has no time; nothing has happened then, and the message may come again.
    """
    if now > message.lease - TO_WORK:
        return Prepared([], {})  # too late to begin: it is claimed anew when the lease ends
    began = time.monotonic()
    batch = Batch(message, due.read(tx, enrollment_ids, message.lease), now, began)
    due.lock_runs(tx, batch.work.enrollments)
    ready: list[Ready] = []
    for enrollment in _meeting_conditions(tx, batch, _to_be_done(batch)):
        made = _made(enrollment, batch)
        if isinstance(made, Ready):
            ready.append(made)
        else:
            batch.fates.append((enrollment, made))
    _ask_the_gate(tx, batch, ready)
    return _write(tx, batch)


def _to_be_done(batch: Batch) -> list[Enrollment]:
    """Those about whom nothing is decided by what is known already."""
    undecided: list[Enrollment] = []
    for enrollment in batch.work.enrollments:
        fate = steps.before_the_gate(enrollment, batch.work.decided, batch.now)
        if fate is None:
            undecided.append(enrollment)
        else:
            batch.fates.append((enrollment, fate))
    return undecided


def _meeting_conditions(tx: Transaction, batch: Batch, enrollments: list[Enrollment]) -> list[Enrollment]:
    """Those whose lead meets the conditions of the step; the others skip it."""
    by_step: dict[tuple[UUID, int, int], list[Enrollment]] = {}
    for one in enrollments:
        if one.current and one.current.conditions:
            by_step.setdefault((one.sequence_id, one.sequence_version, one.step), []).append(one)
    fates: dict[UUID, Fate] = {}
    for those in by_step.values():
        met = _meeting(tx, batch, those)
        unmet: Fate = Pause("not_allowed") if met is None else Skip("conditions")
        fates |= {one.id: unmet for one in those if met is None or one.lead_id not in met}
    batch.fates.extend((one, fates[one.id]) for one in enrollments if one.id in fates)
    return [one for one in enrollments if one.id not in fates] if fates else enrollments


def _meeting(tx: Transaction, batch: Batch, those: Sequence[Enrollment]) -> set[UUID] | None:
    """Which leads meet the conditions of their step, one for all; None where they ask what leads no longer have."""
    step, decided = those[0].current, batch.work.decided
    try:
        conditions = segments.parse(step.conditions if step else {}, decided)
    except Invalid:
        return None
    return segments.matching(tx, conditions, decided, batch.now, [one.lead_id for one in those])


def _made(enrollment: Enrollment, batch: Batch) -> Ready | Fate:
    """The step as it would go out, or why it cannot."""
    step = enrollment.current
    template = batch.work.templates.get(step.template_id) if step else None
    if template is None:
        return Pause("not_allowed")
    url = None
    if template.channel == "email":
        address = enrollment.lead["email"] or ""
        url = links.unsubscribe_url(batch.message.tenant_id, batch.message.organization_id, address)
    values = templates.values_of(enrollment.lead, batch.work.organization, url)
    try:
        return Ready(enrollment, template, templates.compose(template, values), url)
    except MessageTooLong:
        return End("failed", "message_too_long")
    except ValueMissing:
        return Pause("not_allowed")
    except PostalAddressRequired:
        return Ready(enrollment, template, None, url)


def _ask_the_gate(tx: Transaction, batch: Batch, ready: Sequence[Ready]) -> None:
    """What is allowed is marked, and goes out; what is not is decided by the strongest reason."""
    decided = batch.work.decided
    costs = {name: gate.usual_cost(decided, name) for name in ("sms", "email", "call")}
    asks = [
        Ask(
            lead_id=one.enrollment.lead_id,
            phone_number=one.enrollment.lead["phone_number"],
            channel=one.template.channel,
            voice=one.template.voice,
            max_cost=costs[one.template.channel],
        )
        for one in ready
    ]
    decisions = gate.decide(tx, asks, decided, batch.now if settings.takes_request_clock() else None)
    senders = batch.senders()
    for one, decision in zip(ready, decisions, strict=True):
        if fate := steps.after_the_gate(decision):
            batch.fates.append((one.enrollment, fate))
        elif one.message and decision.valid_until:
            run = _marked(one, one.message, decision, batch.message.lease)
            batch.marked.append(run)
            batch.outgoing.append(_outgoing(batch, one, run, decision.valid_until, senders[run.channel]))
        else:
            batch.fates.append((one.enrollment, Pause("not_allowed")))  # allowed, but there is nothing to say


def _marked(one: Ready, said: Message, decision: Decision, lease: datetime) -> NewRun:
    run = runs.run_of(one.enrollment, "sending")
    run.template_version = one.template.version
    run.sending_until = lease
    lead = one.enrollment.lead
    run.address = folded(lead["email"]) if run.channel == "email" else lead["phone_number"]
    run.subject, run.body = said.subject, said.body
    run.decision_id, run.hold_id = decision.decision_id, decision.hold_id
    return run


def _outgoing(batch: Batch, one: Ready, run: NewRun, valid_until: datetime, sender: str | None) -> Outgoing:
    script = one.template.script or {}
    if run.decision_id is None or run.address is None or run.body is None:
        raise LookupError("a run that is sent has its decision, its address and its text")
    return Outgoing(
        run_id=run.id,
        attempts=run.attempts,
        enrollment_id=run.enrollment_id,
        tenant_id=batch.message.tenant_id,
        organization_id=batch.message.organization_id,
        lead_id=run.lead_id,
        channel=one.template.channel,
        to=one.enrollment.lead["email"] if run.channel == "email" else run.address,
        sender=sender,
        subject=run.subject,
        text=run.body,
        html=one.message and one.message.html,
        unsubscribe_url=one.unsubscribe_url,
        voice=one.template.voice,
        script_id=script.get("id"),
        script_version=script.get("version"),
        decision_id=run.decision_id,
        hold_id=run.hold_id,
        valid_until=valid_until,
        good_until=batch.began + (valid_until - batch.now).total_seconds(),
        occurred_at=batch.now,
        next_delay=one.enrollment.next_delay,
    )


def _write(tx: Transaction, batch: Batch) -> Prepared:
    written = list(batch.marked)
    # What is sent stays claimed until the lease ends; by then it has been recorded, or is unknown.
    moves: list[Move] = []
    counts: Counter[str] = Counter()
    for enrollment, fate in batch.fates:
        run = runs.run_after(enrollment, fate)
        if run:
            written.append(run)
        goes = runs.move(enrollment, fate, run, batch.now)
        moves.append(goes)
        counts[goes.reason or goes.waiting_for or (run.status if run else goes.status)] += 1
    runs.write(tx, written, moves, batch.now)
    # Before they are sent: what SES tells of one may come before it is recorded.
    provider_keys.remember(tx, "ses", [str(run.id) for run in batch.marked if run.channel == "email"])
    return Prepared(batch.outgoing, dict(counts))
