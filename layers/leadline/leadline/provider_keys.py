"""By what a webhook is known to be an organization's, and those of which nobody knows whose they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg.rows import class_row

from leadline.db import Transaction

Provider = Literal["telnyx", "ses"]


@dataclass(frozen=True, slots=True)
class Owner:
    """An organization, and the key by which it was found."""

    tenant_id: UUID
    organization_id: UUID
    key: str


def remember(tx: Transaction, provider: Provider, keys: Sequence[str]) -> None:
    """Notes keys as this organization's, in one statement: ids of runs before they are sent, or of messages since."""
    if keys:
        tx.execute(
            """
            insert into provider_keys (provider, key)
            select distinct %(provider)s, key from unnest(%(keys)s::text[]) as key
            on conflict (organization_id, provider, key) do nothing
            """,
            {"provider": provider, "keys": list(keys)},
        )


def take_numbers(tx: Transaction, numbers: Sequence[str]) -> None:
    """Makes these, in E.164, the organization's own numbers and no others. Run as the owner, by an operator.

    No member may: whoever names a number gets what is written to it.
    """
    tx.execute(
        "delete from provider_keys where provider = 'telnyx' and key ^@ '+' and key <> all (%(numbers)s)",
        {"numbers": list(numbers)},
    )
    remember(tx, "telnyx", numbers)


def owners(tx: Transaction, provider: Provider, keys: Sequence[str]) -> list[Owner]:
    """Whose these keys are, over all tenants: each organization once, by the first key that is its own."""
    found = tx.cursor(row_factory=class_row(Owner)).execute(
        """
        select distinct on (tenant_id, organization_id) tenant_id, organization_id, key
        from provider_keys
        where provider = %(provider)s and key = any (%(keys)s)
        order by tenant_id, organization_id, array_position(%(keys)s::text[], key)
        """,
        {"provider": provider, "keys": list(keys)},
    )
    return found.fetchall()


def note_unmatched(tx: Transaction, provider: Provider, event_id: str, type_: str, reason: str) -> None:
    """Keeps that a webhook came which is nobody's, and nothing of what it says; once, however often it comes."""
    tx.execute(
        """
        insert into unmatched_webhooks (provider, event_id, type, reason)
        values (%(provider)s, %(event_id)s, %(type)s, %(reason)s)
        on conflict do nothing
        """,
        {"provider": provider, "event_id": event_id, "type": type_, "reason": reason},
    )
