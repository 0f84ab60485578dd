"""What a call sends to PostgreSQL, written down, so that psycopg alone can send the very same."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from leadline import db


@dataclass(frozen=True)
class Statement:
    """One statement; `fetched_after` tells how many had been sent when its answer was waited for."""

    text: str
    values: dict[str, Any]
    fetched_after: int | None = None


def sent_by(call: Callable[[], object]) -> list[Statement]:
    """Every statement that the layer sends while `call` runs, BEGIN, the context and COMMIT included."""
    script: list[Statement] = []

    class Recording(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
            self.place = len(script)
            text = query.as_string() if hasattr(query, "as_string") else query
            script.append(Statement(text, dict(params or {})))
            return super().execute(query, params, **options)

        def fetchone(self) -> Any:
            script[self.place] = replace(script[self.place], fetched_after=len(script))
            return super().fetchone()

        def fetchall(self) -> Any:
            script[self.place] = replace(script[self.place], fetched_after=len(script))
            return super().fetchall()

    with _cursors(Recording):
        call()
    return script


@contextmanager
def _cursors(factory: type[psycopg.Cursor[Any]]) -> Iterator[None]:
    conn = db._open()
    usual, conn.cursor_factory = conn.cursor_factory, factory
    yield
    conn.cursor_factory = usual


def replay(conn: psycopg.Connection[Any], script: list[Statement]) -> None:
    """Sends the same with nothing around it, in one pipeline, and waits for the same answers at the same places."""
    with conn.pipeline():
        cursors: list[psycopg.Cursor[Any]] = []
        for statement in script:
            cursors.append(conn.execute(statement.text.encode(), statement.values or None))
            for cursor, earlier in zip(cursors, script, strict=False):
                if earlier.fetched_after == len(cursors):
                    cursor.fetchall()
