"""Enrollments: a lead's trip through a sequence, begun by a person or by what happens to the lead."""

from leadline.nurture.enrollments.automatic import MOST_TRIGGERS, enroll_triggered
from leadline.nurture.enrollments.beginning import MOST_OF_A_SEGMENT, enroll
from leadline.nurture.enrollments.shapes import (
    Enrolled,
    Enrollment,
    EnrollmentQuery,
    EnrollmentWithRuns,
    NewEnrollments,
    Reason,
    ResumeAll,
    Resumed,
    Run,
    get,
    page,
)
from leadline.nurture.enrollments.steering import NotPossibleNow, cancel, pause, resume, resume_all, skip

__all__ = [
    "MOST_OF_A_SEGMENT",
    "MOST_TRIGGERS",
    "Enrolled",
    "Enrollment",
    "EnrollmentQuery",
    "EnrollmentWithRuns",
    "NewEnrollments",
    "NotPossibleNow",
    "Reason",
    "ResumeAll",
    "Resumed",
    "Run",
    "cancel",
    "enroll",
    "enroll_triggered",
    "get",
    "page",
    "pause",
    "resume",
    "resume_all",
    "skip",
]
