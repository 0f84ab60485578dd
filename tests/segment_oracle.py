"""What a filter means, said a second time: slowly, lead by lead, in plain Python, and from nothing of the layer.

A lead is a row of its table as a dict, with `custom_fields` as one in it. A comparison with what is absent is false.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from unicodedata import normalize
from zoneinfo import ZoneInfo

INSTANTS = {"created_at", "updated_at", "last_contact_date"}
UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
JSON_TYPES = {"text": str, "choice": str, "date": str, "boolean": bool, "number": (int, float)}
ORDERS = {
    "eq": lambda value, given: value == given,
    "gt": lambda value, given: value > given,
    "gte": lambda value, given: value >= given,
    "lt": lambda value, given: value < given,
    "lte": lambda value, given: value <= given,
}


@dataclass(frozen=True)
class Oracle:
    """Judges leads of an organization: the types of its custom fields, its time zone, and what time it is."""

    custom_types: dict[str, str]
    zone: ZoneInfo
    now: datetime

    def holds(self, filter_: dict, lead: dict) -> bool:
        return all(self._part(key, asked, lead) for key, asked in filter_.items())

    def _part(self, key: str, asked, lead: dict) -> bool:
        if key == "and":
            return all(self.holds(one, lead) for one in asked)
        if key == "or":
            return any(self.holds(one, lead) for one in asked)
        if key == "not":
            return not self.holds(asked, lead)
        column = "last_contact_date" if key == "last_contact" else key
        if not isinstance(asked, dict):
            several = asked if isinstance(asked, list) else [asked]
            asked = {"contains_any": several} if column == "tags" else {"in": several}
        value, kind = self._stored(column, lead)
        return all(self._answers(value, kind, operator, given) for operator, given in asked.items())

    def _stored(self, column: str, lead: dict) -> tuple[object, str]:
        """What the lead has there, None where it has nothing of the field's type; and how it compares."""
        if not column.startswith("custom_fields."):
            return (lead[column] or None if column in ("tags", "full_name") else lead[column]), column
        name = column.split(".", 1)[1]
        value, kind = lead["custom_fields"].get(name), self.custom_types[name]
        of_type = isinstance(value, JSON_TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")
        if kind == "date" and of_type:
            of_type = [len(part) for part in value.split("-") if part.isdigit()] == [4, 2, 2]
        return (value if of_type else None), f"custom {kind}"

    def _answers(self, value, kind: str, operator: str, given) -> bool:
        if operator == "exists":
            return (value is not None) == given
        if operator == "ne":
            return not self._answers(value, kind, "eq", given)
        if operator == "in":
            return any(self._answers(value, kind, "eq", one) for one in given)
        if operator == "contains_none":
            return not set(value or ()) & tags(given)
        return value is not None and self._compares(value, kind, operator, given)

    def _compares(self, value, kind: str, operator: str, given) -> bool:
        if operator == "between":
            return self._compares(value, kind, "gte", given[0]) and self._compares(value, kind, "lte", given[1])
        if operator in ("contains_any", "contains_all"):
            return bool(set(value) & tags(given)) if operator == "contains_any" else set(value) >= tags(given)
        if operator == "starts_with":
            start = spelled(given, kind, trimmed=False)
            return value[: len(start)] == start
        if operator in ("within_last", "older_than"):
            return self._aged(value, kind, operator, timedelta(seconds=int(given[:-1]) * UNITS[given[-1]]))
        return ORDERS[operator](*self._alike(value, kind, given))

    def _aged(self, value, kind: str, operator: str, most: timedelta) -> bool:
        if kind in INSTANTS:
            return (value >= self.now - most) == (operator == "within_last")
        days = (self.now.astimezone(self.zone).date() - date.fromisoformat(value)).days
        return 0 <= days <= most.days if operator == "within_last" else days > most.days

    def _alike(self, value, kind: str, given):
        """Both sides as they compare: of a day and an instant, the day on which the zone's calendar has the instant."""
        if kind in INSTANTS:
            if len(given) == 10:
                return value.astimezone(self.zone).date(), date.fromisoformat(given)
            return value, datetime.fromisoformat(given).astimezone(UTC)
        if kind == "user_id":
            return str(value), given.lower()
        return value, spelled(given, kind) if isinstance(given, str) else given


def spelled(text: str, kind: str, *, trimmed: bool = True) -> str:
    """As the house stores it: texts trimmed, names composed with single spaces, addresses and full names small."""
    if kind.startswith("custom"):
        return text
    if trimmed:
        text = text.strip()
        if kind.endswith("_name"):
            text = " ".join(text.split())
    if kind in ("email", "full_name"):
        text = text.lower()
    return text if kind == "email" or (trimmed and not kind.endswith("_name")) else normalize("NFC", text)


def tags(given: list[str]) -> set[str]:
    return {normalize("NFC", tag.strip()).lower() for tag in given}
