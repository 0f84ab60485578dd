"""Letting customers in."""

import pytest
from pydantic import ValidationError

from functions.provision.app import handler as provision
from leadline import db, tenancy
from leadline.tenancy import CustomerExists, NewCustomer


@pytest.fixture
def provide(connect):
    owner = connect("owner")

    def provide(tenant: str, organization: str, subject: str) -> tenancy.Customer:
        with owner.transaction():
            return tenancy.provide(owner, NewCustomer(tenant=tenant, organization=organization, admin_subject=subject))

    return provide


def test_letting_a_customer_in_twice_makes_one(provide, connect):
    first = provide("Aria Realty", "Aria Homes", "ada")
    assert provide("ARIA realty", "aria homes ", "ada") == first
    found = connect("superuser").execute(
        "select count(*) as members from members where organization_id = %s", (first.organization_id,)
    )
    assert found.fetchone() == {"members": 1}


def test_a_second_person_with_a_customers_name_is_not_let_into_it(provide, connect):
    first = provide("Bolt Solar", "Bolt Solar", "ada")
    with pytest.raises(CustomerExists):
        provide("bolt SOLAR", "Bolt Solar", "eve")
    subjects = connect("superuser").execute(
        "select subject from members where organization_id = %s", (first.organization_id,)
    )
    assert subjects.fetchall() == [{"subject": "ada"}]


def test_an_admin_who_was_removed_does_not_come_back_this_way(provide, connect):
    first = provide("Cape Homes", "Cape Homes", "ada")
    connect("superuser").execute(
        "update members set active = false where organization_id = %s", (first.organization_id,)
    )
    with pytest.raises(CustomerExists):
        provide("Cape Homes", "Cape Homes", "ada")


def test_two_spellings_of_one_name_are_one_customer(provide):
    composed, decomposed = "Caf\u00e9", "Cafe\u0301"
    assert provide(composed, composed, "ada") == provide(decomposed, decomposed, "ada")


def test_a_tenant_may_have_several_organizations(provide):
    first = provide("Dune", "Dune Solar", "ada")
    second = provide("Dune", "Dune Homes", "ada")
    assert first.tenant_id == second.tenant_id
    assert first.organization_id != second.organization_id


def test_own_numbers_are_given_replaced_and_left_alone(connect, database):
    names = {"tenant": "Own numbers", "organization": "One", "admin_subject": "ada"}

    def given(**other) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", database.dsn("owner"))
            patch.setattr("leadline.db._connection", None)
            made = provision({**names, **other}, None)
            db._connection.close()
        rows = connect("superuser").execute(
            "select key from provider_keys where organization_id = %s order by key", [made["organization_id"]]
        )
        return [row["key"] for row in rows]

    one, two = "+14155550171", "+14155550172"
    assert given() == []
    assert given(own_numbers=[one, one]) == [one]
    assert given(own_numbers=[one, two]) == [one, two]
    assert given() == [one, two]
    assert given(own_numbers=[two]) == [two]
    assert given(own_numbers=[]) == []
    with pytest.raises(ValidationError):
        given(own_numbers=["4155550171"])
