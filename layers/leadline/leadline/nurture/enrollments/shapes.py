"""What an enrollment is: the shapes that come in and go out, and reading them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.rows import kwargs_row
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from leadline.consent import Channel
from leadline.db import Transaction
from leadline.errors import NotFound
from leadline.inputs import Input, Prose
from leadline.pages import Page, PageQuery, cut, instant, position

Status = Literal["active", "paused", "completed", "cancelled", "failed"]
PauseReason = Literal[
    "replied",
    "person",
    "sequence_paused",
    "insufficient_budget",
    "delivery_unknown",
    "no_consent",
    "unknown_zone",
    "no_rule_for_region",
    "not_allowed",
]


class NewEnrollments(Input):
    """Whom to enroll: up to 1,000 leads by their ids, or those of a segment."""

    lead_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)] | None = None
    segment_id: UUID | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> "NewEnrollments":
        if (self.lead_ids is None) == (self.segment_id is None):
            raise PydanticCustomError("one_of", "Give either lead_ids or segment_id")
        return self


class EnrollmentQuery(PageQuery):
    """Which enrollments: of a lead, of a sequence, in a status."""

    lead_id: UUID | None = None
    sequence_id: UUID | None = None
    status: Status | None = None


class Reason(Input):
    """Why a person does this; it is kept."""

    reason: Annotated[Prose, Field(min_length=1, max_length=1000)]


class ResumeAll(Input):
    """Of which paused enrollments the cause is over."""

    # Each unknown delivery is for a person to look at, one by one.
    pause_reason: Literal[
        "replied",
        "person",
        "sequence_paused",
        "insufficient_budget",
        "no_consent",
        "unknown_zone",
        "no_rule_for_region",
        "not_allowed",
    ]


@dataclass(frozen=True, slots=True)
class Resumed:
    """How many enrollments go on."""

    resumed: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """How many were not enrolled, by why not."""

    already_enrolled: int = 0
    opted_out: int = 0
    lead_deleted: int = 0
    not_found: int = 0
    recruited: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one lead that was named: its enrollment, or the code of why it has none."""

    lead_id: UUID
    enrollment_id: UUID | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of a request; `more` of a segment of which some are left: the same call goes on with them."""

    enrolled: int
    skipped: Skipped
    items: list[Item]
    more: bool


@dataclass(frozen=True, slots=True)
class Enrollment:
    """An enrollment as it is stored and answered.

    `next_step_scheduled_at` is when the current step is due, later than its delay says where it is `waiting_for`
    something; of a paused one `remaining_seconds` are left. `executed_steps` are the runs that are over.
    """

    id: UUID
    lead_id: UUID
    sequence_id: UUID
    sequence_version: int
    current_step: int
    round: int
    status: Status
    enrolled_on: Literal["person", "lead_created", "status_changed", "score_crossed"]
    enrolled_by: UUID | None
    enrolled_at: datetime
    next_step_scheduled_at: datetime | None
    waiting_for: Literal["outside_hours", "cap_reached", "retry"] | None
    pause_reason: PauseReason | None
    remaining_seconds: int | None
    exit_reason: str | None
    note: str | None
    completed_at: datetime | None
    executed_steps: list[dict[str, Any]]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one step, without what it said: that stands with the lead's messages."""

    id: UUID
    step: int
    round: int
    channel: Channel
    template_id: str
    template_version: int | None
    status: str
    attempts: int
    error: str | None
    decision_id: UUID | None
    due_at: datetime
    started_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    replied_at: datetime | None
    opted_out_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class EnrollmentWithRuns:
    """An enrollment, and all that it has done."""

    enrollment: Enrollment
    runs: list[Run]


COLUMNS = sql.SQL(
    "id, lead_id, sequence_id, sequence_version, current_step, round, status, enrolled_on, enrolled_by, enrolled_at, "
    "next_step_scheduled_at, waiting_for, pause_reason, extract(epoch from remaining_delay)::bigint as "
    "remaining_seconds, exit_reason, note, completed_at, executed_steps, updated_at"
)
# Of an agent where agents see their own leads only, as leads.SEEN has it, by the lead of an enrollment.
SEEN = sql.SQL(
    "case when (select sees_only_leads_of()) is null then true else exists ("
    "select from leads where leads.id = lead_id and leads.user_id = (select sees_only_leads_of())) end"
)


def get(tx: Transaction, enrollment_id: UUID) -> EnrollmentWithRuns:
    """The enrollment with this id, and its runs. Raises NotFound."""
    values = {"id": enrollment_id}
    statement = sql.SQL("select {columns} from lead_sequence_enrollments where id = %(id)s and {seen}")
    found = tx.cursor(row_factory=kwargs_row(Enrollment)).execute(statement.format(columns=COLUMNS, seen=SEEN), values)
    runs = tx.cursor(row_factory=kwargs_row(Run)).execute(
        """
        select
            id, step, round, channel, template_id, template_version, status, attempts, error, decision_id, due_at,
            started_at, sent_at, delivered_at, replied_at, opted_out_at, ended_at
        from step_runs where enrollment_id = %(id)s
        order by step, round
        """,
        values,
    )
    enrollment = found.fetchone()
    if enrollment is None:
        raise NotFound
    return EnrollmentWithRuns(enrollment, runs.fetchall())


def page(tx: Transaction, query: EnrollmentQuery) -> Page[Enrollment]:
    """Enrollments, newest first. Raises BadCursor."""
    order = f"enrollments {query.lead_id} {query.sequence_id} {query.status}"
    enrolled_at, enrollment_id = position(query.cursor, order, (instant, UUID))
    statement = sql.SQL(
        """
        select {columns} from lead_sequence_enrollments
        where (%(lead_id)s::uuid is null or lead_id = %(lead_id)s)
            and (%(sequence_id)s::uuid is null or sequence_id = %(sequence_id)s)
            and (%(status)s::text is null or status = %(status)s)
            and (%(id)s::uuid is null or (enrolled_at, id) < (%(enrolled_at)s, %(id)s))
            and {seen}
        order by enrolled_at desc, id desc
        limit %(limit)s + 1
        """
    ).format(columns=COLUMNS, seen=SEEN)
    values = query.model_dump(exclude={"cursor"}) | {"enrolled_at": enrolled_at, "id": enrollment_id}
    rows = tx.cursor(row_factory=kwargs_row(Enrollment)).execute(statement, values).fetchall()
    return cut(rows, query.limit, order, lambda one: (one.enrolled_at, one.id))
