"""Sequences: steps in their order, with their delays and conditions, and which leads they enroll by themselves."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from psycopg import Cursor, sql
from psycopg.rows import kwargs_row
from psycopg.types.json import Jsonb
from pydantic import Field

from leadline import config, segments
from leadline.config import Config
from leadline.consent import Channel
from leadline.db import Transaction, fetch_one
from leadline.errors import FieldError, Invalid, NotFound, PreconditionFailed, Refused
from leadline.inputs import Input, JsonObject, Name, Prose, Word
from leadline.nurture import templates
from leadline.pages import Page, PageQuery, cut, instant, position

MOST_STEPS = 50
LONGEST_DELAY = timedelta(days=366)

Trigger = Literal["lead_created", "status_changed", "score_crossed"]
Amount = Annotated[int, Field(ge=0, le=1_000_000)]


class VersionMismatch(PreconditionFailed):
    """The steps have changed since you read them; read the sequence again."""


class NoSteps(Refused):
    """A sequence without steps cannot be active."""


class Step(Input):
    """One step: how long after the one before, by which channel, what, and for whom of those who have got so far.

    `conditions` is a segment's filter; a lead that does not match it skips the step.
    """

    step: int
    delay_days: Amount = 0
    delay_hours: Amount = 0
    delay_minutes: Amount = 0
    channel: Channel
    template_id: Word
    conditions: JsonObject = Field(default_factory=dict)


class TriggerConditions(Input):
    """What enrolls a lead without anybody's doing: what has happened to it, and the filter that it then matches.

    Empty: nothing does. Once per lead, or again when so many days have passed since its last enrollment ended.
    """

    on: Annotated[list[Trigger], Field(max_length=3)] = Field(default_factory=list[Trigger])
    filter: JsonObject = Field(default_factory=dict)
    re_enroll_after_days: Annotated[int, Field(ge=1, le=3660)] | None = None


Steps = Annotated[list[Step], Field(max_length=MOST_STEPS)]


class NewSequence(Input):
    """A sequence to create; it enrolls and runs only while it is active."""

    name: Name
    description: Prose | None = None
    steps: Steps = Field(default_factory=list[Step])
    trigger_conditions: TriggerConditions = Field(default_factory=TriggerConditions)
    active: bool = False


class SequenceChange(Input):
    """What to change of a sequence: only the fields that are given. Other steps are a new version."""

    name: Name = Field(default_factory=str)
    description: Prose | None = None
    steps: Steps = Field(default_factory=list[Step])
    trigger_conditions: TriggerConditions = Field(default_factory=TriggerConditions)
    active: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence as it is stored and answered; `version` is of its steps.

    `completion_rate` is completed by all ended enrollments, 0 to 1; null while none has ended.
    """

    id: UUID
    name: str
    description: str | None
    steps: list[dict[str, Any]]
    trigger_conditions: dict[str, Any]
    active: bool
    paused_reason: Literal["failure_rate", "person"] | None
    version: int
    total_enrollments: int
    ended_enrollments: int
    completed_enrollments: int
    completion_rate: float | None
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime

    @property
    def etag(self) -> str:
        """The version of the steps as HTTP has it."""
        return f'"{self.version}"'


@dataclass(frozen=True, slots=True)
class Version:
    """The steps of a sequence as they were at one version, and how many enrollments go by them."""

    version: int
    steps: list[dict[str, Any]]
    created_by: UUID | None
    created_at: datetime
    enrollments: int


COLUMNS = sql.SQL(
    "id, name, description, steps, trigger_conditions, active, paused_reason, version, total_enrollments, "
    "ended_enrollments, completed_enrollments, completion_rate::float8 as completion_rate, created_by, created_at, "
    "updated_at"
)


# Rules --------------------------------------------------------------------------------------------------------------


def delay(step: Step) -> timedelta:
    """How long a step waits after the one before it was sent or skipped, or the first one after the enrollment."""
    return timedelta(days=step.delay_days, hours=step.delay_hours, minutes=step.delay_minutes)


def _faults(steps: list[Step], channels: dict[str, Channel], decided: Config) -> Iterator[FieldError]:
    """What is wrong with steps, each by its place; `channels` are those of the templates that there are."""
    for place, step in enumerate(steps):
        at = f"/steps/{place}"
        if step.step != place + 1:
            yield FieldError(f"{at}/step", "bad_step_number", f"Steps are numbered in order: this one is {place + 1}")
        if delay(step) > LONGEST_DELAY:
            yield FieldError(at, "bad_delay", "A step waits 366 days at most")
        if step.template_id not in channels:
            yield FieldError(f"{at}/template_id", "unknown_template", "There is no template of this name")
        elif channels[step.template_id] != step.channel:
            detail = f"This template is of the channel {channels[step.template_id]}"
            yield FieldError(f"{at}/template_id", "wrong_channel", detail)
        yield from _faults_of_filter(f"{at}/conditions", step.conditions, decided)


def _faults_of_triggers(conditions: TriggerConditions, decided: Config) -> Iterator[FieldError]:
    if not conditions.on and (conditions.filter or conditions.re_enroll_after_days):
        yield FieldError("/trigger_conditions/on", "missing", "Say what enrolls a lead")
    yield from _faults_of_filter("/trigger_conditions/filter", conditions.filter, decided)


def _faults_of_filter(at: str, raw: dict[str, Any], decided: Config) -> Iterator[FieldError]:
    """An empty filter is everybody."""
    try:
        segments.parse(raw, decided, at)
    except Invalid as refused:
        yield from refused.errors


def _triggers(conditions: TriggerConditions) -> Jsonb:
    return Jsonb(conditions.model_dump() | {"on": sorted(set(conditions.on))} if conditions.on else {})


def _steps(steps: list[Step]) -> Jsonb:
    return Jsonb([step.model_dump() for step in steps])


# Queries and commands -----------------------------------------------------------------------------------------------


def create(tx: Transaction, new: NewSequence) -> Sequence:
    """A new sequence. Raises Invalid for steps or conditions that could not be run, and NoSteps."""
    _require_sound(tx, new.steps, new.trigger_conditions)
    if new.active and not new.steps:
        raise NoSteps(field="active")
    statement = sql.SQL(
        """
        insert into nurture_sequences (name, description, steps, trigger_conditions, active)
        values (%(name)s, %(description)s, %(steps)s, %(trigger_conditions)s, %(active)s)
        returning {columns}
        """
    ).format(columns=COLUMNS)
    values = {
        "name": new.name,
        "description": new.description,
        "steps": _steps(new.steps),
        "trigger_conditions": _triggers(new.trigger_conditions),
        "active": new.active,
    }
    return _cursor(tx).execute(statement, values).fetchall()[0]


def get(tx: Transaction, sequence_id: UUID) -> Sequence:
    """The sequence with this id. Raises NotFound."""
    statement = sql.SQL("select {columns} from nurture_sequences where id = %(id)s").format(columns=COLUMNS)
    sequence = _cursor(tx).execute(statement, {"id": sequence_id}).fetchone()
    if sequence is None:
        raise NotFound
    return sequence


def page(tx: Transaction, query: PageQuery) -> Page[Sequence]:
    """Sequences, newest first. Raises BadCursor."""
    created_at, sequence_id = position(query.cursor, "sequences", (instant, UUID))
    statement = sql.SQL(
        """
        select {columns} from nurture_sequences
        where (%(id)s::uuid is null or (created_at, id) < (%(created_at)s, %(id)s))
        order by created_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=COLUMNS)
    values = {"created_at": created_at, "id": sequence_id, "limit": query.limit}
    rows = _cursor(tx).execute(statement, values).fetchall()
    return cut(rows, query.limit, "sequences", lambda one: (one.created_at, one.id))


def change(tx: Transaction, sequence_id: UUID, change: SequenceChange, version: int | None, now: datetime) -> Sequence:
    """The sequence with the given fields changed; other steps only where it still has the version that was read.

    Other steps are a new version, and those enrolled before go by theirs to the end. Made active, it resumes whom it
    had paused. Raises NotFound, VersionMismatch, Invalid and NoSteps.
    """
    given = {name: getattr(change, name) for name in change.model_fields_set}
    before = get(tx, sequence_id)
    if version not in (None, before.version):
        raise VersionMismatch
    _require_sound(tx, given.get("steps", []), given.get("trigger_conditions", TriggerConditions()))
    if given.get("active", before.active) and not given.get("steps", before.steps):
        raise NoSteps(field="active" if "active" in given else "steps")
    if given.get("active"):
        # Enrollments before their sequence, as all who change both do.
        resume_paused(tx, sequence_id, "sequence_paused", now)
    if not given:
        return before
    values: dict[str, Any] = {"id": sequence_id, "version": version, "now": now, **given}
    if "steps" in given:
        values["steps"] = _steps(given["steps"])
    if "trigger_conditions" in given:
        values["trigger_conditions"] = _triggers(given["trigger_conditions"])
    assignments: list[sql.Composable] = [
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in given
    ]
    if "active" in given:
        # Whoever stops one that was stopped already leaves the reason as it is.
        assignments.append(
            sql.SQL("paused_reason = case when %(active)s then null when active then 'person' else paused_reason end")
        )
    statement = sql.SQL(
        """
        update nurture_sequences set {assignments}, updated_at = %(now)s
        where id = %(id)s and (%(version)s::integer is null or version = %(version)s)
        returning {columns}
        """
    ).format(assignments=sql.SQL(", ").join(assignments), columns=COLUMNS)
    sequence = _cursor(tx).execute(statement, values).fetchone()
    if sequence is None:
        raise VersionMismatch
    return sequence


def _require_sound(tx: Transaction, steps: list[Step], conditions: TriggerConditions) -> None:
    decided = config.read(tx)
    channels = templates.of_channels(tx, {step.template_id for step in steps})
    errors = [*_faults(steps, channels, decided), *_faults_of_triggers(conditions, decided)]
    if errors:
        raise Invalid(errors)


def resume_paused(tx: Transaction, sequence_id: UUID, pause_reason: str, now: datetime) -> int:
    """Resumes all that wait in a sequence for one reason, each with the rest of its delay; answers how many."""
    row = fetch_one(
        tx,
        """
        with paused as (
            select id from lead_sequence_enrollments
            where sequence_id = %(sequence_id)s and status = 'paused' and pause_reason = %(pause_reason)s
            order by id
            for update
        ),
        resumed as (
            update lead_sequence_enrollments set status = 'active', updated_at = %(now)s
            where id in (select id from paused)
            returning 1
        )
        select count(*) as resumed from resumed
        """,
        {"sequence_id": sequence_id, "pause_reason": pause_reason, "now": now},
    )
    return row["resumed"]


def versions(tx: Transaction, sequence_id: UUID, query: PageQuery) -> Page[Version]:
    """The versions of a sequence's steps, newest first. Raises NotFound and BadCursor."""
    order = f"versions {sequence_id}"
    (after,) = position(query.cursor, order, (int,))
    rows = tx.cursor(row_factory=kwargs_row(Version)).execute(
        """
        select version, steps, created_by, created_at,
            (
                select count(*) from lead_sequence_enrollments as enrollment
                where enrollment.sequence_id = one.sequence_id and enrollment.sequence_version = one.version
            ) as enrollments
        from sequence_versions as one
        where sequence_id = %(sequence_id)s and (%(after)s::numeric is null or version < %(after)s::numeric)
        order by version desc
        limit %(limit)s + 1
        """,
        {"sequence_id": sequence_id, "after": after, "limit": query.limit},
    )
    get(tx, sequence_id)
    return cut(rows.fetchall(), query.limit, order, lambda one: (one.version,))


def steps_of(tx: Transaction, wanted: Collection[tuple[UUID, int]]) -> dict[tuple[UUID, int], list[Step]]:
    """The steps of versions of sequences, as they were validated when they were saved."""
    rows = tx.execute(
        """
        select one.sequence_id, one.version, one.steps
        from unnest(%(sequence_ids)s::uuid[], %(versions)s::integer[]) as wanted (sequence_id, version)
        join sequence_versions as one using (sequence_id, version)
        """,
        {"sequence_ids": [one[0] for one in wanted], "versions": [one[1] for one in wanted]},
    )
    return {
        (row["sequence_id"], row["version"]): [Step.model_construct(**step) for step in row["steps"]]
        for row in rows.fetchall()
    }


def _cursor(tx: Transaction) -> Cursor[Sequence]:
    return tx.cursor(row_factory=kwargs_row(Sequence))
