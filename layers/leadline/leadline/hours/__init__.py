"""Calling hours: where a called person may be, which rules hold there, and when they allow contact."""

from leadline.hours.places import AreaCode, Place, place_of
from leadline.hours.reading import ask_areas, ask_rules
from leadline.hours.rules import Cap, Channel, Reason, Rule, Rulebook, Window, caps_of
from leadline.hours.slots import judge, next_open, open_until, rules_in_force

__all__ = [
    "AreaCode",
    "Cap",
    "Channel",
    "Place",
    "Reason",
    "Rule",
    "Rulebook",
    "Window",
    "ask_areas",
    "ask_rules",
    "caps_of",
    "judge",
    "next_open",
    "open_until",
    "place_of",
    "rules_in_force",
]
