"""The worker's side of nurture: what is due is decided and marked in one transaction, sent, and recorded in another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr
from uuid import UUID

from leadline import gate, links, segments, settings
from leadline.db import Transaction
from leadline.gate import Ask, Decision
from leadline.nurture import due, runs, steps, templates
from leadline.nurture.channels import Outgoing
from leadline.nurture.dispatch import DueSteps
from leadline.nurture.due import Enrollment, Work
from leadline.nurture.rendering import ValueMissing
from leadline.nurture.runs import SENDING_FOR, Move, NewRun
from leadline.nurture.steps import End, Fate, Pause, Skip
from leadline.nurture.templates import Message, MessageTooLong, PostalAddressRequired, Template

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


def parts(message: DueSteps) -> list[Sequence[UUID]]:
    """The ids of a message, as many as one transaction takes."""
    ids = message.enrollment_ids
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]


def prepare(tx: Transaction, message: DueSteps, enrollment_ids: Sequence[UUID], now: datetime) -> Prepared:
    """Decides what is due, and marks what is to be sent: once this transaction has ended, it has to be sent.

    Raises Busy where the database has no time; nothing has happened then, and the message may come again.
    """
    work = due.read(tx, enrollment_ids, message.lease)
    fates: list[tuple[Enrollment, Fate]] = []
    open_: list[Enrollment] = []
    for enrollment in work.enrollments:
        fate = steps.before_the_gate(enrollment, work.decided, now)
        if fate is None:
            open_.append(enrollment)
        else:
            fates.append((enrollment, fate))
    ready: list[Ready] = []
    for enrollment in _meeting_conditions(tx, open_, work, fates, now):
        made = _made(enrollment, work, message)
        if isinstance(made, Ready):
            ready.append(made)
        else:
            fates.append((enrollment, made))
    sending, marked = _through_the_gate(tx, ready, work, fates, message, now)
    return _written(tx, fates, marked, sending, now)


def _meeting_conditions(
    tx: Transaction, open_: Sequence[Enrollment], work: Work, fates: list[tuple[Enrollment, Fate]], now: datetime
) -> list[Enrollment]:
    """Those whose lead meets the conditions of the step; the others skip it."""
    by_step: dict[tuple[UUID, int, int], list[Enrollment]] = {}
    for one in open_:
        if one.current and one.current.conditions:
            by_step.setdefault((one.sequence_id, one.sequence_version, one.step), []).append(one)
    unmet: set[UUID] = set()
    for those in by_step.values():
        step = those[0].current
        if step:
            conditions = segments.parse(step.conditions, work.decided)
            leads = [one.lead_id for one in those]
            met = segments.matching(tx, conditions, work.decided, now, leads)
            unmet |= {one.id for one in those if one.lead_id not in met}
    fates += [(one, Skip("conditions")) for one in open_ if one.id in unmet]
    return [one for one in open_ if one.id not in unmet] if unmet else list(open_)


def _made(enrollment: Enrollment, work: Work, message: DueSteps) -> Ready | Fate:
    """The step as it would go out, or why it cannot."""
    step = enrollment.current
    template = work.templates.get(step.template_id) if step else None
    if template is None:
        return Pause("not_allowed")
    url = None
    if template.channel == "email":
        address = (enrollment.lead["email"] or "").lower()
        url = links.unsubscribe_url(message.tenant_id, message.organization_id, address)
    values = templates.values_of(enrollment.lead, work.organization, url)
    try:
        said = templates.compose(template, values)
    except MessageTooLong:
        return End("failed", "message_too_long")
    except ValueMissing:
        return Pause("not_allowed")
    except PostalAddressRequired:
        said = None
    return Ready(enrollment, template, said, url)


def _through_the_gate(
    tx: Transaction,
    ready: Sequence[Ready],
    work: Work,
    fates: list[tuple[Enrollment, Fate]],
    message: DueSteps,
    now: datetime,
) -> tuple[list[Outgoing], list[NewRun]]:
    """What is allowed, as it goes out and as it is marked; what is not goes to the fates."""
    costs = {name: gate.usual_cost(work.decided, name) for name in ("sms", "email", "call")}
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
    decisions = gate.decide(tx, asks, work.decided, now if settings.takes_request_clock() else None)
    outgoing: list[Outgoing] = []
    marked: list[NewRun] = []
    senders = _senders(work)
    for one, decision in zip(ready, decisions, strict=True):
        fate = steps.after_the_gate(decision)
        if fate:
            fates.append((one.enrollment, fate))
        elif one.message and decision.valid_until:
            run = _marked(one, one.message, decision, now)
            marked.append(run)
            outgoing.append(_outgoing(one, one.message, run, decision, decision.valid_until, message, senders, now))
    return outgoing, marked


def _senders(work: Work) -> dict[str, str | None]:
    """Who a message is from, by channel."""
    decided = work.decided
    name = " ".join(work.organization.name.split())
    return {
        "email": formataddr((name, decided.email_from)) if decided.email_from else None,
        "sms": decided.sms_from,
        "call": None,
    }


def _marked(one: Ready, said: Message, decision: Decision, now: datetime) -> NewRun:
    run = runs.run_of(one.enrollment, "sending")
    run.template_version = one.template.version
    run.sending_until = now + SENDING_FOR
    run.address = one.enrollment.lead["email" if one.template.channel == "email" else "phone_number"]
    run.subject, run.body = said.subject, said.body
    run.decision_id, run.hold_id = decision.decision_id, decision.hold_id
    return run


def _outgoing(
    one: Ready,
    said: Message,
    run: NewRun,
    decision: Decision,
    valid_until: datetime,
    message: DueSteps,
    senders: dict[str, str | None],
    now: datetime,
) -> Outgoing:
    script = one.template.script or {}
    return Outgoing(
        run_id=run.id,
        attempts=run.attempts,
        enrollment_id=run.enrollment_id,
        tenant_id=message.tenant_id,
        organization_id=message.organization_id,
        lead_id=run.lead_id,
        channel=one.template.channel,
        to=run.address or "",
        sender=senders[run.channel],
        subject=said.subject,
        text=said.body,
        html=said.html,
        unsubscribe_url=one.unsubscribe_url,
        voice=one.template.voice,
        script_id=script.get("id"),
        script_version=script.get("version"),
        decision_id=decision.decision_id,
        hold_id=decision.hold_id,
        valid_until=valid_until,
        occurred_at=now,
        next_delay=one.enrollment.next_delay,
    )


def _written(
    tx: Transaction,
    fates: Sequence[tuple[Enrollment, Fate]],
    marked: Sequence[NewRun],
    outgoing: list[Outgoing],
    now: datetime,
) -> Prepared:
    written = list(marked)
    moves = [Move(run.enrollment_id, "active", None, run.step, None, run.sending_until, None, None) for run in marked]
    counts: dict[str, int] = {}
    for enrollment, fate in fates:
        run = runs.run_after(enrollment, fate)
        if run:
            written.append(run)
        goes = runs.move(enrollment, fate, run, now)
        moves.append(goes)
        told = goes.reason or goes.waiting_for or (run.status if run else goes.status)
        counts[told] = counts.get(told, 0) + 1
    runs.write(tx, written, moves, now)
    return Prepared(outgoing, counts)
