"""The gate: no contact without a lawful ground, inside the hours and the caps, and with its money set aside."""

from leadline.gate.decisions import ClockNotYours, authorize, decide, usual_cost
from leadline.gate.findings import note as note_findings
from leadline.gate.shapes import Ask, Authorize, Decision, Reason

__all__ = [
    "Ask",
    "Authorize",
    "ClockNotYours",
    "Decision",
    "Reason",
    "authorize",
    "decide",
    "note_findings",
    "usual_cost",
]
