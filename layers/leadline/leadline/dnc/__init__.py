"""The Do-Not-Call list of an organization: who must not be contacted, since when, why, and how that ended."""

from leadline.dnc.additions import (
    AlreadyExpired,
    NewEntry,
    NotYetHappened,
    OnDncList,
    OptOutNeverExpires,
    add,
    carry,
    due_on,
    enter,
    lock_number,
    lock_numbers,
)
from leadline.dnc.checks import Check, CheckAnswer, CheckItem, check
from leadline.dnc.emails import stop_email
from leadline.dnc.entries import Entry, EntryQuery, Export, ExportQuery, export, page
from leadline.dnc.removals import Expired, Removal, WrittenConsentRequired, expired, lift, release, remove
from leadline.dnc.reports import Report, ReportQuery, report
from leadline.dnc.reviews import AlreadyReviewed, Decision, Review, WaitingOptOut, review, waiting
from leadline.dnc.uploads import Taken, TooManyRows, take

__all__ = [
    "AlreadyExpired",
    "AlreadyReviewed",
    "Check",
    "CheckAnswer",
    "CheckItem",
    "Decision",
    "Entry",
    "EntryQuery",
    "Expired",
    "Export",
    "ExportQuery",
    "NewEntry",
    "NotYetHappened",
    "OnDncList",
    "OptOutNeverExpires",
    "Removal",
    "Report",
    "ReportQuery",
    "Review",
    "Taken",
    "TooManyRows",
    "WaitingOptOut",
    "WrittenConsentRequired",
    "add",
    "carry",
    "check",
    "due_on",
    "enter",
    "expired",
    "export",
    "lift",
    "lock_number",
    "lock_numbers",
    "page",
    "release",
    "remove",
    "report",
    "review",
    "stop_email",
    "take",
    "waiting",
]
