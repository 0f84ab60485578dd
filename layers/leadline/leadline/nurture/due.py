"""What is due, read for the worker: the enrollments of a message that are still its own, locked, with all they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import DictRow, class_row

from leadline import config, dnc
from leadline.config import Config
from leadline.db import Transaction
from leadline.nurture import sequences, templates
from leadline.nurture.sequences import Step
from leadline.nurture.templates import Organization, Template


@dataclass(frozen=True, slots=True)
class Run:
    """The run that the current step has already, of this round."""

    id: UUID
    status: str
    attempts: int
    sending_until: datetime | None
    error: str | None


@dataclass(slots=True)
class Enrollment:
    """An enrollment whose step is due, with its lead and its sequence as they are now."""

    id: UUID
    lead_id: UUID
    sequence_id: UUID
    sequence_version: int
    step: int
    round: int
    due_at: datetime
    sequence_active: bool
    lead_deleted: bool
    lead: dict[str, Any]  # the columns that templates read
    run: Run | None
    steps: list[Step]

    @property
    def current(self) -> Step | None:
        """The step that is due; none after the last one."""
        return self.steps[self.step - 1] if self.step <= len(self.steps) else None

    @property
    def next_delay(self) -> timedelta | None:
        """How long the step after this one waits; none after the last one."""
        return sequences.delay(self.steps[self.step]) if self.step < len(self.steps) else None


@dataclass(frozen=True, slots=True)
class Work:
    """All that is due of one message, and what it takes to do it."""

    enrollments: list[Enrollment]
    templates: dict[str, Template]
    organization: Organization
    decided: Config


def read(tx: Transaction, enrollment_ids: Sequence[UUID], lease: datetime) -> Work:
    """The enrollments whose lease this still is, locked, and their numbers before them: in that order everybody locks.

    A message that comes twice, late or beside another finds none. Two round trips.
    """
    values: dict[str, Any] = {"ids": list(enrollment_ids), "lease": lease}
    asked = tx.execute(
        """
        select enrollment.sequence_id, enrollment.sequence_version, lead.phone_number
        from lead_sequence_enrollments as enrollment
        join leads as lead on lead.id = enrollment.lead_id
        where enrollment.id = any (%(ids)s) and enrollment.status = 'active' and enrollment.claimable_at = %(lease)s
        """,
        values,
    )
    name = tx.execute("select name from organizations where id = current_org_id()")
    decided = config.read(tx)
    rows = asked.fetchall()
    versions = {(row["sequence_id"], row["sequence_version"]) for row in rows}
    numbers = sorted({row["phone_number"] for row in rows if row["phone_number"]})
    (organization,) = name.fetchall()
    about = Organization(organization["name"], decided.postal_address)
    if not rows:
        return Work([], {}, about, decided)
    dnc.lock_numbers(tx, numbers)
    locked = _lock(tx, values)
    held = _lock_sequences(tx, versions)
    said = _templates(tx, versions)
    steps = sequences.steps_of(tx, versions)
    active = {row["id"]: row["active"] for row in held.fetchall()}
    found = [_enrollment(row, active[row["sequence_id"]], steps) for row in locked.fetchall()]
    return Work(found, {one.template_id: one for one in said.fetchall()}, about, decided)


@cache
def _lead() -> sql.Composed:
    """Of the lead what templates read, where there are other tables beside it."""
    names = [name.strip() for name in templates.LEAD_VALUES.as_string().split(",")]
    return sql.SQL(", ").join(sql.Identifier("lead", name) for name in names)


def _lock(tx: Transaction, values: dict[str, Any]) -> Cursor[DictRow]:
    statement = sql.SQL(
        """
        select
            enrollment.id as enrollment_id, enrollment.lead_id, enrollment.sequence_id, enrollment.sequence_version,
            enrollment.current_step, enrollment.round, enrollment.next_step_scheduled_at,
            lead.deleted_at is not null as lead_deleted, {lead},
            run.id as run_id, run.status as run_status, run.attempts, run.sending_until, run.error
        from lead_sequence_enrollments as enrollment
        join leads as lead on lead.id = enrollment.lead_id
        left join step_runs as run
            on run.enrollment_id = enrollment.id and run.step = enrollment.current_step and run.round = enrollment.round
        where enrollment.id = any (%(ids)s) and enrollment.status = 'active' and enrollment.claimable_at = %(lease)s
        order by enrollment.id
        for update of enrollment
        """
    )
    return tx.execute(statement.format(lead=_lead()), values)


def lock_runs(tx: Transaction, enrollments: Sequence[Enrollment]) -> None:
    """Locks the runs that there are already, before the ledger is: that comes last."""
    if known := [one.run.id for one in enrollments if one.run]:
        tx.execute("select id from step_runs where id = any (%(ids)s) order by id for update", {"ids": known})


def _lock_sequences(tx: Transaction, versions: set[tuple[UUID, int]]) -> Cursor[DictRow]:
    """Locks the sequences, which count who has ended; nobody starts or stops one of them from here on."""
    return tx.execute(
        "select id, active from nurture_sequences where id = any (%(ids)s) order by id for no key update",
        {"ids": list({sequence_id for sequence_id, _ in versions})},
    )


def _templates(tx: Transaction, versions: set[tuple[UUID, int]]) -> Cursor[Template]:
    """What all steps of these versions say."""
    statement = sql.SQL(
        """
        select {columns} from templates
        where template_id in (
            select step ->> 'template_id'
            from unnest(%(sequence_ids)s::uuid[], %(versions)s::integer[]) as wanted (sequence_id, version)
            join sequence_versions as one using (sequence_id, version)
            cross join jsonb_array_elements(one.steps) as step
        )
        """
    )
    values = {"sequence_ids": [one[0] for one in versions], "versions": [one[1] for one in versions]}
    return tx.cursor(row_factory=class_row(Template)).execute(statement.format(columns=templates.COLUMNS), values)


def _enrollment(row: dict[str, Any], active: bool, steps: dict[tuple[UUID, int], list[Step]]) -> Enrollment:
    has_run = row["run_id"] is not None
    return Enrollment(
        id=row["enrollment_id"],
        lead_id=row["lead_id"],
        sequence_id=row["sequence_id"],
        sequence_version=row["sequence_version"],
        step=row["current_step"],
        round=row["round"],
        due_at=row["next_step_scheduled_at"],
        sequence_active=active,
        lead_deleted=row["lead_deleted"],
        lead=row,
        run=Run(row["run_id"], row["run_status"], row["attempts"], row["sending_until"], row["error"])
        if has_run
        else None,
        steps=steps.get((row["sequence_id"], row["sequence_version"]), []),
    )
