"""Segments: filters over leads, compiled to SQL."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from leadline.config import Config
from leadline.db import Transaction
from leadline.errors import FieldError, Invalid

Filter = dict[str, Any]


def parse(raw: dict[str, Any], decided: Config) -> Filter:
    """The filter. Raises Invalid."""
    del decided
    unknown = [FieldError(f"/{name}", "unknown_field", "There is no such field") for name in raw if name != "status"]
    if unknown:
        raise Invalid(unknown)
    return raw


def condition(wanted: Filter, decided: Config, now: datetime) -> tuple[sql.Composable, dict[str, Any]]:
    """What a lead must fulfil."""
    del decided, now
    if not wanted:
        return sql.SQL("true"), {}
    return sql.SQL("leads.status = any (%(filter_status)s)"), {"filter_status": wanted["status"]}


def matching(tx: Transaction, wanted: Filter, decided: Config, now: datetime, among: Collection[UUID]) -> set[UUID]:
    """Those among the leads that match."""
    what, params = condition(wanted, decided, now)
    statement = sql.SQL("select id from leads where id = any (%(among)s) and {}").format(what)
    return {row["id"] for row in tx.execute(statement, params | {"among": list(among)}).fetchall()}
