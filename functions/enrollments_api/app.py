"""HTTP: enrollments, and what a person does to one. Each act has its reason, and is kept as an event."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from leadline.api import PEOPLE, Answer, Api, Call, Nothing
from leadline.db import Transaction, tenant_transaction
from leadline.nurture import enrollments
from leadline.nurture.enrollments import Enrollment, EnrollmentQuery, EnrollmentWithRuns, Reason
from leadline.pages import Page

handler = Api()


@handler.route("GET /enrollments", roles=PEOPLE, query=EnrollmentQuery, answers=Page[Enrollment])
def page(call: Call[Nothing, EnrollmentQuery]) -> Answer:
    """Enrollments of a lead, of a sequence or of all, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(enrollments.page(tx, call.query))


@handler.route("GET /enrollments/{enrollment_id}", roles=PEOPLE, answers=EnrollmentWithRuns)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One enrollment, and the runs of its steps."""
    with tenant_transaction(call.caller) as tx:
        return Answer(enrollments.get(tx, call.id("enrollment_id")))


@handler.route("POST /enrollments/{enrollment_id}/pause", roles=PEOPLE, body=Reason, answers=EnrollmentWithRuns)
def pause(call: Call[Reason, Nothing]) -> Answer:
    """Stops its clock."""
    return _steer(call, enrollments.pause)


@handler.route("POST /enrollments/{enrollment_id}/resume", roles=PEOPLE, body=Reason, answers=EnrollmentWithRuns)
def resume(call: Call[Reason, Nothing]) -> Answer:
    """Lets it go on with the rest of its delay; a step whose delivery is unknown is sent again."""
    return _steer(call, enrollments.resume)


@handler.route("POST /enrollments/{enrollment_id}/skip", roles=PEOPLE, body=Reason, answers=EnrollmentWithRuns)
def skip(call: Call[Reason, Nothing]) -> Answer:
    """Goes on to the next step without sending this one."""
    return _steer(call, enrollments.skip)


@handler.route("POST /enrollments/{enrollment_id}/cancel", roles=PEOPLE, body=Reason, answers=EnrollmentWithRuns)
def cancel(call: Call[Reason, Nothing]) -> Answer:
    """Ends it for good."""
    return _steer(call, enrollments.cancel)


def _steer(
    call: Call[Reason, Nothing], act: Callable[[Transaction, UUID, Reason, datetime], EnrollmentWithRuns]
) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return Answer(act(tx, call.id("enrollment_id"), call.body, datetime.now(UTC)))
