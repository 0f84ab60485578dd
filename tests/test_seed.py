"""Seeded leads are like others: they are seen by their own organization, have a history, and can be seeded again."""

import dataclasses

import pytest

from leadline import db, leads
from leadline.db import Caller, tenant_transaction
from leadline.leads import LeadQuery
from local import postgres, seed


@pytest.fixture
def seeded(server, scratch_database, monkeypatch):
    database = dataclasses.replace(server, database=scratch_database)
    postgres.prepare(database)
    seed.fill(database.dsn("superuser"), 1000)
    monkeypatch.setenv("DATABASE_URL", database.dsn("app"))
    monkeypatch.setattr("leadline.db._connection", None)
    yield database
    db._connection.close()


def test_seeded_leads_are_their_organizations_and_have_their_first_status(seeded):
    seed.fill(seeded.dsn("superuser"), 500)
    tenant, organization = seed.organization(3)
    with tenant_transaction(Caller(tenant, organization, "seed", "admin")) as tx:
        page = leads.page(tx, LeadQuery(limit=200))
        statuses = tx.execute("select count(*) as statuses from lead_status_history").fetchone()
        listed = tx.execute(
            "select count(*) as free from leads"
            " where status = 'dnc' and not is_on_dnc_list(phone_number, organization_id)"
        ).fetchone()
    assert len(page.items) == 1500 // seed.ORGANIZATIONS
    assert statuses == {"statuses": 30}
    assert listed == {"free": 0}
