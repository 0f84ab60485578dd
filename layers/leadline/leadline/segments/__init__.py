"""Segments: filters over leads, tried, saved and shared; the same filters say whom a sequence takes."""

from leadline.segments.conditions import condition
from leadline.segments.found import (
    Count,
    Counted,
    CountQuery,
    NotCounted,
    Recount,
    SegmentTooSlow,
    Sought,
    count,
    leads_of,
    matching,
    preview,
    recount,
)
from leadline.segments.language import Filter, parse, require_fitting
from leadline.segments.saved import (
    MayNotChangeSegment,
    NewSegment,
    Segment,
    SegmentChange,
    change,
    create,
    delete,
    get,
    page,
)

__all__ = [
    "Count",
    "CountQuery",
    "Counted",
    "Filter",
    "MayNotChangeSegment",
    "NewSegment",
    "NotCounted",
    "Recount",
    "Segment",
    "SegmentChange",
    "SegmentTooSlow",
    "Sought",
    "change",
    "condition",
    "count",
    "create",
    "delete",
    "get",
    "leads_of",
    "matching",
    "page",
    "parse",
    "preview",
    "recount",
    "require_fitting",
]
