"""Plans of the application role at 100,000 leads: what an index is for, it serves behind the policies."""

import dataclasses
from datetime import UTC, datetime

import pytest
from psycopg import sql

from leadline import db, migrations, segments
from leadline.calls import effects, inbox
from leadline.config import Config
from leadline.db import Caller, tenant_transaction
from leadline.leads import listing
from leadline.segments import found
from local import postgres, seed

pytestmark = pytest.mark.storm


@pytest.fixture(scope="module")
def at_size(server):
    """A tenant's transaction in a database with 100,000 leads, 2,000 of them its own."""
    database = dataclasses.replace(server, database="plans_at_size")
    migrations.bootstrap(server.dsn("superuser"), database.database, server.password("owner"))
    postgres.prepare(database)
    seed.fill(database.dsn("superuser"), 100_000)
    tenant, organization = seed.organization(7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", database.dsn("app"))
        patch.setattr("leadline.db._connection", None)
        with tenant_transaction(Caller(tenant, organization, "seed", "admin")) as tx:
            yield tx
        db._connection.close()
    with db.psycopg.connect(server.dsn("superuser", "postgres"), autocommit=True) as conn:
        conn.execute("drop database plans_at_size with (force)")


def explained(tx, statement, values=None) -> str:
    rows = tx.execute(sql.SQL("explain {}").format(statement), values or {}).fetchall()
    return "\n".join(row["QUERY PLAN"] for row in rows)


@pytest.mark.parametrize(
    ("sort", "filters", "index"),
    [
        ("-created_at", {}, "leads_newest"),
        ("-lead_score", {}, "leads_by_score"),
        ("-last_contact_date", {}, "leads_by_last_contact"),
        ("last_name", {}, "leads_by_last_name"),
        ("-lead_score", {"status": ["hot"]}, "leads_by_status_and_score"),
    ],
)
def test_each_order_is_read_from_its_index_where_the_page_goes_on(at_size, sort, filters, index):
    order = listing.ORDERS[sort]
    values = {"limit": 50, **listing._values(filters, None)}
    lead = listing.cursor(at_size).execute(listing.page_of(filters, order), values).fetchall()[-1]
    values |= {f"after_{place}": part for place, part in enumerate(order.key(lead))}
    plan = explained(at_size, listing.page_of(filters, order, goes_on=True), values)
    assert f"using {index} on leads" in plan, plan
    assert "Sort" not in plan, plan
    assert "ROW(" in plan.split("Index Cond:")[1].splitlines()[0], plan


@pytest.mark.parametrize("sort", listing.ORDERS)
@pytest.mark.parametrize(
    ("filters", "index"), [({"tags_all": ["rare"]}, "leads_by_tag"), ({"name": "ferbelson"}, "leads_by_name")]
)
def test_tags_and_names_are_found_by_their_index_and_only_the_page_is_read_again(at_size, filters, index, sort):
    values = {"limit": 50, "cap": 10_000, **listing._values(filters, None)}
    page = explained(at_size, listing.page_of(filters, listing.ORDERS[sort]), values)
    assert f"Bitmap Index Scan on {index}" in page, page
    assert "Limit" in page.split("InitPlan 3")[1].split("->")[1], page
    assert "Index Scan using leads_pkey on leads " in page, page
    count = explained(at_size, listing.count_of(filters), values)
    assert f"Bitmap Index Scan on {index}" in count, count


SEGMENTS = {
    "a tag": ({"tags": "rare"}, {"leads_by_tag"}),
    "tags and a city": ({"tags": {"contains_all": ["rare", "tag1"]}, "city": {"starts_with": "a"}}, {"leads_by_tag"}),
    "the start of a name": ({"full_name": {"starts_with": "ferbel"}}, {"leads_by_name"}),
    "a name": ({"full_name": "Ferbel Ferbel"}, {"leads_by_name"}),
    "a status and a score": ({"status": "hot", "lead_score": {"gte": 99}}, {"leads_by_status_and_score"}),
    "a status and a score of several": (
        {"status": ["hot", "cold"], "lead_score": {"gte": 99}},
        {"leads_by_status_and_score", "leads_by_score"},
    ),
    "a number": ({"phone_number": "+12012000007"}, {"leads_one_per_number"}),
    "a day": ({"created_at": "2026-03-10"}, {"leads_newest"}),
}


@pytest.mark.parametrize("case", SEGMENTS)
def test_a_segment_is_found_by_the_index_of_what_it_asks(at_size, case):
    raw, indexes = SEGMENTS[case]
    decided = Config()
    asked, values = segments.condition(segments.parse(raw, decided), decided, datetime(2026, 11, 24, tzinfo=UTC))
    values |= {"limit": 50, "cap": 10_000}
    page = explained(at_size, found.page_of(asked), values)
    assert "Index Scan using leads_pkey on leads " in page, page
    for plan in (page, explained(at_size, found.count_of(asked), values)):
        assert "Seq Scan" not in plan, plan
        assert any(f" {index}" in plan for index in indexes), plan


def test_the_leads_that_are_judged_by_a_filter_are_read_by_key(at_size):
    rows = at_size.execute("select id from leads order by id limit 100").fetchall()
    recorder = Recorder()
    filter_ = segments.Filter({"not": {"city": "a"}, "status": ["new", "hot"]})
    segments.matching(recorder, filter_, Config(), datetime.now(UTC), [row["id"] for row in rows])
    plan = explained(at_size, *recorder.said)
    assert "leads_pkey on leads" in plan, plan


def test_a_number_is_found_by_its_index(at_size):
    plan = explained(
        at_size, sql.SQL("select id from leads where phone_number = '+12012000007' and deleted_at is null")
    )
    assert "using leads_one_per_number" in plan, plan


class Recorder:
    """Stands for a transaction, and keeps the statement that it is given; no row answers it."""

    def cursor(self, **_):
        return self

    def execute(self, query, values):
        self.said = query, values
        return self

    def fetchall(self):
        return []


BY_KEY = {
    "the leads of a batch": (
        effects.lock_leads,
        {"leads_pkey", "leads_one_per_number"},
    ),
    "what their calls asked for": (
        lambda tx, ids, numbers: effects.standing(tx, ids, numbers, ["call-1"]),
        {"leads_pkey", "leads_one_per_number", "calls_by_lead", "lead_status_history_by_lead"},
    ),
    "the messages of their calls": (
        lambda tx, _, numbers: inbox.kept(tx, numbers, numbers),
        {"inbox_messages_by_call", "inbox_messages_by_text_message"},
    ),
}


@pytest.fixture(scope="module")
def with_calls(at_size, server):
    """The same with a call of each lead, and a message about it."""
    superuser = dataclasses.replace(server, database="plans_at_size").dsn("superuser")
    with db.psycopg.connect(superuser, autocommit=True) as conn:
        conn.execute(
            """
            insert into calls (tenant_id, organization_id, lead_id, call_id, occurred_at, placed_at, phone_number)
            select tenant_id, organization_id, id, id::text, created_at, created_at, phone_number from leads
            """
        )
        conn.execute(
            """
            insert into inbox_messages (tenant_id, organization_id, message_id, type, call_id, occurred_at, payload)
            select tenant_id, organization_id, call_id, 'call.started', call_id, occurred_at, '{}' from calls
            """
        )
        conn.execute("analyze calls, inbox_messages")
    return at_size


@pytest.mark.parametrize("what", BY_KEY)
def test_a_batch_of_messages_reads_by_key(with_calls, what):
    at_size = with_calls
    read, indexes = BY_KEY[what]
    recorder = Recorder()
    rows = at_size.execute("select id, phone_number from leads order by id limit 100").fetchall()
    read(recorder, [row["id"] for row in rows], [row["phone_number"] for row in rows])
    query, values = recorder.said
    plan = explained(at_size, sql.SQL(query), values)
    assert "Seq Scan" not in plan, plan
    for index in indexes:
        assert index in plan, plan
