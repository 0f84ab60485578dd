"""The list of leads: filters, orders and pages of it."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import sql
from pydantic import BeforeValidator, Field

from leadline import config
from leadline.db import Transaction
from leadline.inputs import Name, Word
from leadline.leads.shapes import LEAD_COLUMNS, SEEN, Lead, Status, Tags, cursor
from leadline.pages import KeyPart, Page, PageQuery, cut, instant, position
from leadline.periods import Instant, as_instants, has_days

COUNT_CAP = 10_000


# Query string -------------------------------------------------------------------------------------------------------


def _separated(text: object) -> object:
    return text.split(",") if isinstance(text, str) else text


Statuses = Annotated[list[Status], BeforeValidator(_separated)]
Words = Annotated[list[Word], Field(max_length=100), BeforeValidator(_separated)]
Ids = Annotated[list[UUID], Field(max_length=100), BeforeValidator(_separated)]
SeveralTags = Annotated[Tags, BeforeValidator(_separated)]
Score = Annotated[int, Field(ge=0, le=100)]


class LeadQuery(PageQuery):
    """The query string of the list of leads; several values are separated by commas, and any of them will do.

    Ranges include both their ends; a bare date is that whole day in the organization's time zone.
    """

    sort: Literal["-created_at", "-lead_score", "-last_contact_date", "last_name"] = "-created_at"
    status: Statuses | None = None
    tags_any: SeveralTags | None = None
    tags_all: SeveralTags | None = None
    source: Words | None = None
    sub_source: Words | None = None
    user_id: Ids | None = None
    score_min: Score | None = None
    score_max: Score | None = None
    created_from: Instant | None = None
    created_to: Instant | None = None
    last_contact_from: Instant | None = None
    last_contact_to: Instant | None = None
    name: Name | None = None
    count: bool = False


@dataclass(frozen=True)
class CountedPage(Page[Lead]):
    """A page that says how many there are in all, up to a cap."""

    count: int
    count_capped: bool


# Orders -------------------------------------------------------------------------------------------------------------


def _contact(text: str) -> str | datetime:
    return text if text == "-infinity" else instant(text)


def _flag(text: str) -> int:
    if text not in ("0", "1"):
        raise ValueError
    return int(text)


def _text(text: str) -> str:
    """As PostgreSQL can take it. Raises ValueError."""
    if "\0" in text:
        raise ValueError
    return text.encode().decode()


@dataclass(frozen=True)
class Order:
    """A sort: the key by which rows follow each other, as an index has it, and what of a lead is its place in it.

    No part of a key is null, since a comparison with null would lose the row: what is absent stands last.
    """

    by: sql.SQL
    after: sql.SQL
    parts: tuple[KeyPart, ...]
    key: Callable[[Lead], tuple[Any, ...]]


ORDERS = {
    "-created_at": Order(
        sql.SQL("created_at desc, id desc"),
        sql.SQL("(created_at, id) < (%(after_0)s::timestamptz, %(after_1)s::uuid)"),
        (instant, UUID),
        lambda lead: (lead.created_at, lead.id),
    ),
    "-lead_score": Order(
        sql.SQL("lead_score desc, id desc"),
        sql.SQL("(lead_score, id) < (%(after_0)s, %(after_1)s::uuid)"),
        (int, UUID),
        lambda lead: (lead.lead_score, lead.id),
    ),
    "-last_contact_date": Order(
        sql.SQL("greatest(last_contact_date, '-infinity') desc, id desc"),
        sql.SQL("(greatest(last_contact_date, '-infinity'), id) < (%(after_0)s::timestamptz, %(after_1)s::uuid)"),
        (_contact, UUID),
        lambda lead: (lead.last_contact_date or "-infinity", lead.id),
    ),
    "last_name": Order(
        sql.SQL("case when last_name is null then 1 else 0 end, greatest(last_name, ''), id"),
        sql.SQL(
            "(case when last_name is null then 1 else 0 end, greatest(last_name, ''), id)"
            " > (%(after_0)s::integer, %(after_1)s::text, %(after_2)s)"
        ),
        (_flag, _text, UUID),
        lambda lead: (1 if lead.last_name is None else 0, lead.last_name or "", lead.id),
    ),
}


# Filters ------------------------------------------------------------------------------------------------------------

SEVERAL = ("status", "source", "sub_source", "user_id")
FILTERS = {
    "score_min": sql.SQL("lead_score >= %(score_min)s"),
    "score_max": sql.SQL("lead_score <= %(score_max)s"),
    "created_from": sql.SQL("created_at >= %(created_from)s"),
    "created_to": sql.SQL("created_at <= %(created_to)s"),
    "last_contact_from": sql.SQL("last_contact_date >= %(last_contact_from)s"),
    "last_contact_to": sql.SQL("last_contact_date <= %(last_contact_to)s"),
    "tags_any": sql.SQL("tags && %(tags_any)s"),
    "tags_all": sql.SQL("tags @> %(tags_all)s"),
    "name": sql.SQL("full_name like '%%' || lower(%(name)s) || '%%'"),
}
# What row-level security keeps from its index on the table: this is asked of the view, which has every column that is
# filtered or sorted by.
OF_CANDIDATES = {"tags_any", "tags_all", "name"}


def _among(given: dict[str, Any]) -> sql.Composed:
    """The table or the view, and the conditions of the filters that are given, and of no others."""
    conditions: list[sql.Composable] = [sql.SQL("deleted_at is null")]
    conditions += [_one_of(name, given[name]) for name in SEVERAL if name in given]
    conditions += [condition for name, condition in FILTERS.items() if name in given]
    conditions.append(SEEN)  # last: of equal cost, conditions are tried as they stand, and few rows get that far
    source = sql.SQL("lead_candidates") if given.keys() & OF_CANDIDATES else sql.SQL("leads")
    return sql.SQL("{} where {}").format(source, sql.SQL(" and ").join(conditions))


def _one_of(column: LiteralString, values: list[Any]) -> sql.Composed:
    # Only of one value is the index (status, score) also in the order of the score.
    form = sql.SQL("{} = {}") if len(values) == 1 else sql.SQL("{} = any ({})")
    return form.format(sql.Identifier(column), sql.Placeholder(column))


def _values(given: dict[str, Any], zone: ZoneInfo | None) -> dict[str, Any]:
    """The filters' values as the statement takes them."""
    values = given | {name: given[name][0] for name in SEVERAL if len(given.get(name, ())) == 1}
    if "name" in values:
        values["name"] = re.sub(r"([\\%_])", r"\\\1", values["name"])
    return as_instants(values, zone)


# Query --------------------------------------------------------------------------------------------------------------


def page_of(given: dict[str, Any], order: Order, *, goes_on: bool = False) -> sql.Composed:
    """The statement that reads a page and one lead more, from the start or after a cursor's place."""
    in_view = bool(given.keys() & OF_CANDIDATES)
    page = sql.SQL("select {columns} from {among} and {after} order by {by} limit %(limit)s + 1").format(
        columns=sql.SQL("id") if in_view else LEAD_COLUMNS,
        among=_among(given),
        after=order.after if goes_on else sql.SQL("true"),
        by=order.by,
    )
    if not in_view:
        return page
    # The page is cut in the view, and no more than that is read again under row-level security.
    return sql.SQL("select {columns} from leads where id = any (array({ids})) order by {by}").format(
        columns=LEAD_COLUMNS, ids=page, by=order.by
    )


def count_of(given: dict[str, Any]) -> sql.Composed:
    """The statement that counts, up to one more than the cap."""
    return sql.SQL("select count(*) from (select from {among} limit %(cap)s + 1) as found").format(among=_among(given))


def page(tx: Transaction, query: LeadQuery) -> Page[Lead]:
    """Leads by the query's filters, in its order; a CountedPage where it asks for a count. Raises BadCursor.

    What is null in the order's column comes last.
    """
    given = query.model_dump(exclude={"limit", "cursor", "sort", "count"}, exclude_none=True)
    order = ORDERS[query.sort]
    # A cursor is good for these filters only: its position means nothing in another list.
    filters = hashlib.sha256(repr(sorted(given.items())).encode()).hexdigest()[:16]
    name = f"leads {query.sort} {filters}"
    after = position(query.cursor, name, order.parts)
    zone = ZoneInfo(config.read(tx).time_zone) if has_days(given) else None
    values = {"limit": query.limit, "cap": COUNT_CAP, **_values(given, zone)}
    values |= {f"after_{place}": part for place, part in enumerate(after)}
    found = cursor(tx).execute(page_of(given, order, goes_on=query.cursor is not None), values)
    counted = tx.execute(count_of(given), values) if query.count else None
    leads = cut(found.fetchall(), query.limit, name, order.key)
    if counted is None:
        return leads
    count = counted.fetchall()[0]["count"]
    return CountedPage(leads.items, leads.next_cursor, min(count, COUNT_CAP), count > COUNT_CAP)
