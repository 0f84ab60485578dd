"""What the README says of ids is so."""

import dataclasses
import re
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from local import postgres, sample

README = (Path(__file__).parent.parent / "README.md").read_text()


@pytest.fixture
def superuser(server, scratch_database):
    database = dataclasses.replace(server, database=scratch_database)
    postgres.prepare(database)
    sample.load(database.dsn("owner"))
    sample.load(database.dsn("owner"))  # twice is as good as once
    with psycopg.connect(database.dsn("superuser"), row_factory=dict_row) as conn:
        yield conn


def test_the_ids_of_the_sample_data_are_those_of_the_readme(superuser):
    rows = superuser.execute("select id::text, status, organization_id::text from leads").fetchall()
    status = {row["id"]: row["status"] for row in rows}
    listed = re.findall(r"^\| (\w+) \| `([0-9a-f-]{36})` \| `([0-9a-f-]{36})` \|$", README, re.MULTILINE)
    assert {name for name, *_ in listed} == {row["status"] for row in rows}
    for name, *ids in listed:
        assert [status[lead_id] for lead_id in ids] == [name, name]
    for organization in sample.ORGANIZATIONS:
        assert f"{organization.tenant} `{organization.tenant_id}`" in README
        leads = sum(row["organization_id"] == str(organization.id) for row in rows)
        assert f"{organization.name} `{organization.id}` | {leads} |" in README


def test_the_sample_has_every_role_status_and_six_sources(superuser):
    for organization in sample.ORGANIZATIONS:
        scope = [organization.id]
        roles = superuser.execute("select role, id from members where organization_id = %s", scope).fetchall()
        assert {row["role"]: row["id"] for row in roles} == {role: organization.member(role) for role in sample.ROLES}
        found = superuser.execute(
            "select count(distinct status) as statuses, count(distinct source) as sources from leads"
            " where organization_id = %s",
            scope,
        ).fetchone()
        assert found == {"statuses": 8, "sources": 6}
        history = superuser.execute(
            "select count(distinct date_trunc('month', changed_at)) as months from lead_status_history"
            " where organization_id = %s",
            scope,
        ).fetchone()
        assert history["months"] > 2


def test_the_sample_tells_each_assignment_once(superuser):
    (told,) = superuser.execute("select count(*) as rows, count(distinct lead_id) as leads from lead_assignments")
    assert told["rows"] == told["leads"] > 0
