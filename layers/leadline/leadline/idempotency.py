"""Retries: a POST with an Idempotency-Key is done once, and answered the same each time.

The answer is stored in the transaction of its effect, so a crash between the two cannot be, and a refused call stores
nothing. The claim is a statement that raises: it travels with the call's own statements and costs no round trip.
"""

import hashlib
import json
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from leadline.db import Transaction
from leadline.errors import Conflict, Refused


class IdempotencyConflict(Conflict):
    """This Idempotency-Key was used for another content or by another member; use a new key for a new call."""


class IdempotencyKeyRequired(Refused):
    """This call needs an Idempotency-Key, so that a retry is answered and not done again."""


class BadIdempotencyKey(Refused):
    """An Idempotency-Key has 1 to 200 printable characters."""


@dataclass(frozen=True)
class Key:
    """A key as one route knows it, with the hash of what was sent."""

    route: str
    key: str
    content_hash: str


@dataclass(frozen=True)
class Kept:
    """An answer as it went out."""

    status: int
    headers: dict[str, str]
    body: str


def key_of(route: str, key: str, *content: object) -> Key:
    """The key of a call; the same content in another order or spelling of its JSON has the same hash.

    Raises BadIdempotencyKey.
    """
    if not 1 <= len(key) <= 200 or not key.isprintable():
        raise BadIdempotencyKey
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return Key(route, key, hashlib.sha256(canonical.encode()).hexdigest())


def claim(tx: Transaction, key: Key) -> None:
    """Makes this transaction the one that answers the key; raises db.KeyTaken, at the latest when it commits."""
    tx.execute("select claim_idempotency_key(%(route)s, %(key)s, %(content_hash)s)", vars(key))


def keep(tx: Transaction, key: Key, answer: Kept) -> None:
    """Stores the answer of a claimed key."""
    tx.execute(
        """
        update idempotency_keys set status = %(status)s, headers = %(headers)s, body = %(body)s
        where route = %(route)s and key = %(key)s
        """,
        {**vars(key), "status": answer.status, "headers": Jsonb(answer.headers), "body": answer.body},
    )


def find(tx: Transaction, key: Key) -> Kept:
    """The answer of a key that this member has taken for this content. Raises IdempotencyConflict where he has not."""
    row = tx.execute(
        """
        select status, headers, body from idempotency_keys
        where route = %(route)s and key = %(key)s and content_hash = %(content_hash)s
            and claimed_by is not distinct from current_user_id()
        """,
        vars(key),
    ).fetchone()
    if row is None:
        raise IdempotencyConflict
    return Kept(row["status"], row["headers"], row["body"])
