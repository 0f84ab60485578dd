"""Leads: the people to recruit or sell to."""

from leadline.leads.changes import (
    BadTag,
    DuplicateLead,
    TooManyTags,
    UnknownMember,
    VersionMismatch,
    add_tag,
    change,
    create,
    delete,
    get,
    remove_tag,
    restore,
)
from leadline.leads.history import AuditEntry, StatusChange, TimelineItem, audit, status_history, timeline
from leadline.leads.listing import CountedPage, LeadQuery, page
from leadline.leads.shapes import SEEN, CreateQuery, Lead, LeadChange, NewLead, Status

__all__ = [
    "SEEN",
    "AuditEntry",
    "BadTag",
    "CountedPage",
    "CreateQuery",
    "DuplicateLead",
    "Lead",
    "LeadChange",
    "LeadQuery",
    "NewLead",
    "Status",
    "StatusChange",
    "TimelineItem",
    "TooManyTags",
    "UnknownMember",
    "VersionMismatch",
    "add_tag",
    "audit",
    "change",
    "create",
    "delete",
    "get",
    "page",
    "remove_tag",
    "restore",
    "status_history",
    "timeline",
]
