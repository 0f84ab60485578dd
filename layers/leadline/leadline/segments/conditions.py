"""A filter as a condition in SQL: its text is fixed by the fields and operators, and every value is a parameter.

Logic is two-valued: what compares an absent value does not hold. A comparison in SQL that is null counts as false in a
`where`, through any number of `and` and `or`; only a `not` would make it true, so each negation is `is not true` (or
`is distinct from`). What is not negated keeps the form that an index serves.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import sql

from leadline.config import Config
from leadline.segments.fields import AskedField
from leadline.segments.language import Asked, Filter, Group, Node, Not, read

MICROSECOND = timedelta(microseconds=1)
COMPARISONS = {"eq": sql.SQL("="), "gt": sql.SQL(">"), "gte": sql.SQL(">="), "lt": sql.SQL("<"), "lte": sql.SQL("<=")}
TAGS = {
    "contains_any": sql.SQL("tags && {}::text []"),
    "contains_all": sql.SQL("tags @> {}::text []"),
    "contains_none": sql.SQL("not (tags && {}::text [])"),
}
# A custom field as its type has it; one that was written while it was declared otherwise is absent.
CUSTOM: Mapping[str, sql.SQL] = {
    "custom_text": sql.SQL("case when jsonb_typeof(custom_fields -> {0}) = 'string' then custom_fields ->> {0} end"),
    "number": sql.SQL(
        "case when jsonb_typeof(custom_fields -> {0}) = 'number' then (custom_fields ->> {0})::numeric end"
    ),
    "boolean": sql.SQL(
        "case when jsonb_typeof(custom_fields -> {0}) = 'boolean' then (custom_fields ->> {0})::boolean end"
    ),
    "date": sql.SQL(
        "case when custom_fields ->> {0} ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$' then custom_fields ->> {0} end"
        ' collate "C"'
    ),
}


def condition(
    filter_: Filter, decided: Config, now: datetime, name: str = "filter"
) -> tuple[sql.Composable, dict[str, Any]]:
    """A condition over the columns of `lead_candidates`, or of `leads`, and its parameters; null counts as false.

    Asked of `lead_candidates` it reaches the indexes of tags and names: `id = any (array(select id from lead_candidates
    where ...))`; asked of `leads` it is a filter over leads that are found already. Parameters begin with `name`, which
    tells two conditions of one statement apart. Of whom an agent may not see, it knows nothing: see leads.SEEN.
    Raises Invalid.
    """
    tree = read(filter_, decided)
    compiler = _Compiler(ZoneInfo(decided.time_zone), now, name)
    return compiler.of(tree), compiler.values


class _Compiler:
    """Collects the parameters of one condition."""

    def __init__(self, zone: ZoneInfo, now: datetime, name: str) -> None:
        self._zone = zone
        self._now = now
        self._name = name
        self.values: dict[str, Any] = {}

    def of(self, node: Node) -> sql.Composable:
        match node:
            case Not():
                return sql.SQL("({}) is not true").format(self.of(node.part))
            case Group(parts=()):
                return sql.SQL("true")
            case Group(parts=(only,)):
                return self.of(only)
            case Group():
                word = sql.SQL(" and ") if node.word == "and" else sql.SQL(" or ")
                return sql.SQL("({})").format(word.join(map(self.of, node.parts)))
            case Asked():
                return self._asked(node.field, node.operator, node.value)

    def _value(self, value: Any) -> sql.Placeholder:
        name = f"{self._name}_{len(self.values)}"
        self.values[name] = value
        return sql.Placeholder(name)

    def _asked(self, field: AskedField, operator: str, value: Any) -> sql.Composable:
        if operator == "exists":
            return self._exists(field, exists=value)
        if operator == "ne":
            return self._differs(field, value)
        match field.kind:
            case "tags":
                return TAGS[operator].format(self._value(value))
            case "full_name":
                return self._full_name(operator, value)
            case "instant":
                return self._instant(self._of(field), operator, value)
            case _:
                return self._compared(field, operator, value)

    def _differs(self, field: AskedField, value: Any) -> sql.Composable:
        """What is absent differs from every value."""
        if field.kind in ("instant", "full_name"):
            return sql.SQL("({}) is not true").format(self._asked(field, "eq", value))
        return sql.SQL("{} is distinct from {}").format(self._of(field), self._value(value))

    def _of(self, field: AskedField) -> sql.Composable:
        if not field.is_custom:
            return sql.Identifier(field.name)
        form = CUSTOM["custom_text" if field.kind == "choice" else field.kind]
        # The name is one that the organization has declared: a letter, and letters, digits and _ after it.
        return sql.SQL("({})").format(form.format(sql.Literal(field.name)))

    def _exists(self, field: AskedField, *, exists: bool) -> sql.Composable:
        if field.kind in ("tags", "full_name"):  # never null, and nothing when empty
            form = sql.SQL("{} <> {}") if exists else sql.SQL("{} = {}")
            return form.format(self._of(field), sql.Literal("{}" if field.kind == "tags" else ""))
        return (sql.SQL("{} is not null") if exists else sql.SQL("{} is null")).format(self._of(field))

    def _compared(self, field: AskedField, operator: str, value: Any) -> sql.Composable:
        column = self._of(field)
        match operator:
            case "in":
                # Of one value, the index (status, score) is also in the order of the score.
                form = sql.SQL("{} = {}") if len(value) == 1 else sql.SQL("{} = any ({})")
                return form.format(column, self._value(value[0] if len(value) == 1 else value))
            case "between":
                return sql.SQL("{} between {} and {}").format(column, *map(self._value, value))
            case "starts_with":
                return sql.SQL("{} ^@ {}").format(column, self._value(value))
            case "within_last":  # of a date: a day of the organization's, and not one to come
                today = self._now.astimezone(self._zone).date()
                days = (_ago(today, value), today.isoformat())
                return sql.SQL("{} between {} and {}").format(column, *map(self._value, days))
            case "older_than":
                today = self._now.astimezone(self._zone).date()
                return sql.SQL("{} < {}").format(column, self._value(_ago(today, value)))
            case _:
                return sql.SQL("{} {} {}").format(column, COMPARISONS[operator], self._value(value))

    def _full_name(self, operator: str, value: Any) -> sql.Composable:
        """The column is in lower case as the database makes it, so the database makes the value so too."""
        if operator == "starts_with":
            # Not ^@, which the index of parts of names does not know.
            pattern = re.sub(r"([\\%_])", r"\\\1", value) + "%"
            return sql.SQL("full_name like lower({})").format(self._value(pattern))
        if operator == "in":
            return sql.SQL("full_name = any (array(select lower(one) from unnest({}::text []) as one))").format(
                self._value(value)
            )
        return sql.SQL("full_name = lower({})").format(self._value(value))

    def _instant(self, column: sql.Composable, operator: str, value: Any) -> sql.Composable:
        """An instant is asked of as a span: a bare date is a day of the zone, and what is no date one microsecond."""
        if operator == "in" and len(value) > 1:
            spans = zip(*map(self._span, value), strict=True)
            return sql.SQL(
                "exists (select from unnest({}::timestamptz [], {}::timestamptz []) as span (starts, ends)"
                " where {column} >= span.starts and {column} < span.ends)"
            ).format(*(self._value(list(edges)) for edges in spans), column=column)
        start, end = self._edges(operator, value[0] if operator == "in" else value)
        conditions: list[sql.Composable] = []
        if start is not None:
            conditions.append(sql.SQL("{} >= {}").format(column, self._value(start)))
        if end is not None:
            conditions.append(sql.SQL("{} < {}").format(column, self._value(end)))
        return sql.SQL("({})").format(sql.SQL(" and ").join(conditions))

    def _edges(self, operator: str, value: Any) -> tuple[datetime | None, datetime | None]:
        """From which instant on, and before which one."""
        if operator == "within_last":
            return self._now - value, None
        if operator == "older_than":
            return None, self._now - value
        if operator == "between":
            return self._span(value[0])[0], self._span(value[1])[1]
        start, end = self._span(value)
        # Of a day, "after" it begins when it has ended, and "to" it includes all of it.
        edges = {"gt": (end, None), "gte": (start, None), "lt": (None, start), "lte": (None, end)}
        return edges.get(operator, (start, end))

    def _span(self, value: date) -> tuple[datetime, datetime]:
        """From its first instant to the first one after it."""
        if isinstance(value, datetime):
            return value, value + MICROSECOND
        return self._midnight(value), self._midnight(value + timedelta(days=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self._zone).astimezone(UTC)


def _ago(today: date, period: timedelta) -> str:
    return max(today - period, date.min).isoformat() if today.toordinal() > period.days else date.min.isoformat()
