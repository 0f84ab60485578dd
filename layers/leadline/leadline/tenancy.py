"""Customers: a tenant, its organizations and their members."""

import unicodedata
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid5

from pydantic import Field, StringConstraints

from leadline.db import Transaction
from leadline.errors import Conflict
from leadline.inputs import Input, Word

# Ids follow from names, so that providing a customer twice, or from two places at once, makes one.
CUSTOMERS = UUID("6c1f0f5e-4f0b-5d0e-9a53-1b7f6f0c2a11")


OwnNumber = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]


class NewCustomer(Input):
    """A customer to let in: the names, and who its first admin is to the identity provider.

    `own_numbers` are all numbers, in E.164, at which it gets what people write; absent, they stay as they are.
    """

    tenant: Word
    organization: Word
    admin_subject: Word
    admin_name: Word | None = None
    admin_email: Word | None = None
    own_numbers: Annotated[list[OwnNumber], Field(max_length=1000)] | None = None


class CustomerExists(Conflict):
    """This organization is there already, with another admin; nothing was changed."""


@dataclass(frozen=True)
class Customer:
    """What a token of the first admin must carry: the claims custom:tenant_id and custom:organization_id, and sub."""

    tenant_id: UUID
    organization_id: UUID
    admin_subject: str


def provide(tx: Transaction, new: NewCustomer) -> Customer:
    """Lets a customer in: tenant, organization, first admin; the same again changes nothing. Run as the owner.

    Raises CustomerExists for an organization in which the admin is not an active one already: a second person with a
    customer's name is not let into it.
    """
    tenant_id = uuid5(CUSTOMERS, _folded(new.tenant))
    organization_id = uuid5(tenant_id, _folded(new.organization))
    values = {"tenant_id": tenant_id, "organization_id": organization_id, **new.model_dump()}
    # Row-level security binds the owner too: it can make only what is of the context.
    tx.execute(
        """
        select set_config('app.current_tenant_id', %(tenant_id)s::text, true),
            set_config('app.current_org_id', %(organization_id)s::text, true)
        """,
        values,
    )
    tx.execute("insert into tenants (id, name) values (%(tenant_id)s, %(tenant)s) on conflict do nothing", values)
    made = tx.execute(
        """
        insert into organizations (id, name) values (%(organization_id)s, %(organization)s)
        on conflict do nothing returning id
        """,
        values,
    ).fetchone()
    if made:
        tx.execute(
            """
            insert into members (subject, name, email, role)
            values (%(admin_subject)s, %(admin_name)s, %(admin_email)s, 'admin')
            """,
            values,
        )
    elif not tx.execute(
        "select from members where subject = %(admin_subject)s and role = 'admin' and active", values
    ).fetchall():
        raise CustomerExists
    return Customer(tenant_id, organization_id, new.admin_subject)


def _folded(name: str) -> str:
    """One spelling for all that look the same."""
    return unicodedata.normalize("NFKC", name).casefold()
