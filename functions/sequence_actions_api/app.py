"""HTTP: what is done with a sequence as it is: enrolling leads, letting those who wait go on, and its numbers."""

from datetime import UTC, datetime

from leadline.api import IDEMPOTENCY_KEY, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.nurture import enrollments, stats
from leadline.nurture.enrollments import Enrolled, NewEnrollments, ResumeAll, Resumed
from leadline.nurture.stats import Stats, StatsQuery

handler = Api()


@handler.route(
    "POST /sequences/{sequence_id}/enrollments",
    roles=PEOPLE,
    body=NewEnrollments,
    answers=Enrolled,
    headers=IDEMPOTENCY_KEY,
)
def enroll(call: Call[NewEnrollments, Nothing]) -> Answer:
    """Enrolls up to 1,000 leads by their ids, or 20,000 of a segment; `more` says that the same call goes on."""
    sequence_id, sees_all = call.id("sequence_id"), call.caller.role == "admin"
    with tenant_transaction(call.caller) as tx:
        return call.once(
            tx,
            lambda: Answer(enrollments.enroll(tx, sequence_id, call.body, datetime.now(UTC), sees_all=sees_all)),
        )


@handler.route("POST /sequences/{sequence_id}/resume", roles=MANAGERS, body=ResumeAll, answers=Resumed)
def resume(call: Call[ResumeAll, Nothing]) -> Answer:
    """Lets all enrollments go on that are paused for one reason, as after the budget was topped up."""
    with tenant_transaction(call.caller) as tx:
        return Answer(enrollments.resume_all(tx, call.id("sequence_id"), call.body, datetime.now(UTC)))


@handler.route("GET /sequences/{sequence_id}/stats", roles=PEOPLE, query=StatsQuery, answers=Stats)
def numbers(call: Call[Nothing, StatsQuery]) -> Answer:
    """How many were enrolled, and what became of them and of each step."""
    with tenant_transaction(call.caller) as tx:
        return Answer(stats.of_sequence(tx, call.id("sequence_id"), call.query))
