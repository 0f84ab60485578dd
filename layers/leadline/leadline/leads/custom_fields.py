"""Custom fields of a lead: what may be written, by what the organization has declared."""

from datetime import date
from typing import Any

from leadline.config import CustomField
from leadline.errors import FieldError, Invalid
from leadline.inputs import is_too_large

LONGEST_TEXT = 1000
MUST_BE = {
    "text": f"This is a text of at most {LONGEST_TEXT} characters",
    "number": "This is a number",
    "boolean": "This is true or false",
    "date": "This is a date, as in 2024-01-31",
}


def _is_date(value: object) -> bool:
    try:
        # The basic form (20240131) and weeks are dates to Python, and to nobody who compares the text.
        return isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_of_type(value: object, kind: str) -> bool:
    match kind:
        case "text":
            return isinstance(value, str) and len(value) <= LONGEST_TEXT
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case _:
            return _is_date(value)


def require_declared(given: dict[str, Any], declared: list[CustomField]) -> None:
    """Raises Invalid, naming each field that is not declared or has a value not of its type; null is of every type."""
    fields = {field.name: field for field in declared}
    wrong = [found for name, value in given.items() if (found := _wrong(name, value, fields.get(name)))]
    if wrong:
        raise Invalid(wrong)


def require_fitting(before: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises Invalid where all custom fields of a lead would be over what one object may have."""
    kept = {name: value for name, value in (before | given).items() if value is not None}
    if any(value is not None for value in given.values()) and is_too_large(kept):
        raise Invalid([FieldError("/custom_fields", "too_large", "All custom fields of a lead would be over 16 kB")])


def _wrong(name: str, value: object, field: CustomField | None) -> FieldError | None:
    pointer = "/custom_fields/" + name.replace("~", "~0").replace("/", "~1")
    if field is None:
        return FieldError(pointer, "unknown_field", "The organization has declared no custom field of this name")
    if value is None:
        return None
    if field.type == "choice":
        if value in field.choices:
            return None
        return FieldError(pointer, "bad_choice", "This is one of: " + ", ".join(field.choices))
    if _is_of_type(value, field.type):
        return None
    return FieldError(pointer, "wrong_type", MUST_BE[field.type])
