"""A listed number cannot become callable: by any route, in any order, under races, by whoever forgets to ask."""

import contextlib
import threading
import time
from collections.abc import Callable
from itertools import product

import psycopg
import pytest

from functions.dnc_api.app import handler as dnc_handler
from functions.dnc_files_api.app import handler as files_handler
from functions.dnc_reviews_api.app import handler as reviews_handler
from functions.leads_api.app import handler as leads_handler
from tests.calling import caller
from tests.leads import change
from tests.test_dnc_api import NUMBER, OTHER, add, check, entries, lead, read, remove

ROUNDS = 6


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


def callable_though_listed(connect, organization) -> list[str]:
    """Numbers of live leads that may be called while they are on the list."""
    rows = connect("superuser").execute(
        """
        select leads.phone_number from leads
        join dnc_list as entry using (organization_id, phone_number)
        where leads.organization_id = %s and leads.deleted_at is null
            and not (leads.status = 'dnc' and leads.calling_blocked)
            and entry.removed_at is null and (entry.expires_at is null or entry.expires_at > now())
        """,
        [organization.organization_id],
    )
    return [row["phone_number"] for row in rows]


# Two at once ----------------------------------------------------------------------------------------------------------


def test_two_additions_at_once_make_one_entry_and_keep_both(organization, admin, in_processes, connect):
    for attempt in range(ROUNDS):
        number = f"+1415555{attempt + 100:04d}"
        statuses = in_processes(
            add_elsewhere, (organization, number, "admin_added"), (organization, number, "lead_requested")
        )
        assert sorted(statuses) == [200, 201]
    assert {entry["reason"] for entry in entries(admin)} == {"lead_requested"}
    assert len(entries(admin)) == ROUNDS
    (kept,) = connect("superuser").execute(
        "select count(*) from dnc_additions where organization_id = %s", [organization.organization_id]
    )
    assert kept["count"] == 2 * ROUNDS


def add_elsewhere(organization, number, reason="complaint", late=0.0) -> int:
    time.sleep(late)
    return add(caller(organization, "admin"), number, reason).status


@pytest.mark.parametrize("route", ["create", "change number", "leave dnc", "restore", "remove", "import"])
def test_an_addition_that_races_another_route_leaves_no_callable_lead(
    organization, admin, in_processes, connect, route
):
    for attempt in range(ROUNDS):
        number, spare = f"+1415555{attempt + 100:04d}", f"+1212555{attempt + 100:04d}"
        prepared = prepare(admin, route, number, spare)
        late = (attempt % 3) * 0.002
        in_processes(ask_elsewhere, (organization, route, number, prepared), (organization, "add", number, late))
        (item,) = check(admin, number)
        # Only a removal may come after the addition and end it.
        assert item["listed"] or route == "remove"
        assert callable_though_listed(connect, organization) == []


def prepare(admin, route, number, spare) -> dict:
    match route:
        case "create" | "import":
            return {}
        case "change number":
            return lead(admin, spare)
        case "remove":
            lead(admin, number)
            return add(admin, number).body
        case "leave dnc":
            one = lead(admin, number)
            entry = add(admin, number, "cooling_off").body
            remove(admin, entry["id"], reason="over")
            return one | {"version": 3}
        case _:
            one = lead(admin, number)
            headers = {"if-match": f'"{one["version"]}"'}
            admin.ask(leads_handler, "DELETE /leads/{lead_id}", path={"lead_id": one["id"]}, headers=headers)
            return one


def ask_elsewhere(organization, route, number, prepared) -> int:
    admin = caller(organization, "admin")
    path = {"lead_id": prepared["id"]} if isinstance(prepared, dict) and "id" in prepared else None
    match route:
        case "add":
            time.sleep(prepared)
            return add(admin, number, "admin_added").status
        case "create":
            return admin.ask(leads_handler, "POST /leads", body={"phone_number": number}).status
        case "import":
            body = [{"phone_number": number, "reason": "complaint"}]
            return admin.ask(files_handler, "POST /dnc/import", body=body).status
        case "remove":
            return remove(admin, prepared["id"], reason="by mistake").status
        case "restore":
            return restore(admin, path)
        case _:
            headers = {"if-match": f'"{prepared["version"]}"'}
            body = {"phone_number": number} if route == "change number" else {"status": "hot"}
            return admin.ask(leads_handler, "PATCH /leads/{lead_id}", path=path, headers=headers, body=body).status


def restore(admin, path) -> int:
    key = "POST /leads/{lead_id}/restore"
    from functions.lead_actions_api.app import handler as actions_handler  # noqa: PLC0415

    chosen = next(handler for handler in (leads_handler, actions_handler) if key in handler.routes)
    return admin.ask(chosen, key, path=path).status


def test_a_removal_and_an_opt_out_at_once_end_listed_or_fully_lifted(organization, admin, in_processes):
    for attempt in range(ROUNDS):
        number = f"+1415555{attempt + 100:04d}"
        one = lead(admin, number)
        entry = add(admin, number).body
        removed, added = in_processes(
            ask_elsewhere, (organization, "remove", number, entry), (organization, "add", number, 0.001 * attempt)
        )
        assert removed == 200
        assert added in (200, 201)
        (item,) = check(admin, number)
        after = admin.ask(leads_handler, "GET /leads/{lead_id}", path={"lead_id": one["id"]}).body
        assert after["calling_blocked"] == item["listed"]


def test_a_rejection_that_races_a_change_of_number_leaves_no_lead_blocked_by_it(organization, admin, in_processes):
    for attempt in range(ROUNDS):
        number, spare = f"+1415555{attempt + 100:04d}", f"+1212555{attempt + 100:04d}"
        one = lead(admin, number)
        doubted = {"phone_number": number, "reason": "ai_detected", "confidence": 0.4}
        assert admin.ask(dnc_handler, "POST /dnc", body=doubted).status == 201
        (event,) = admin.ask(reviews_handler, "GET /dnc/reviews").body["items"]
        in_processes(
            reject_elsewhere,
            (organization, event["id"], attempt * 0.001),
            (organization, None, (read(admin, one), spare)),
        )
        assert not any(item["listed"] for item in check(admin, number, spare))
        assert read(admin, one)["calling_blocked"] is False


def reject_elsewhere(organization, event_id, prepared) -> None:
    admin = caller(organization, "admin")
    if event_id is None:
        current, number = prepared
        assert change(admin, current, phone_number=number).status in (200, 412)  # the release raises the version
        return
    time.sleep(prepared)
    body = {"decision": "reject", "reason": "she asked about bus stops"}
    path = {"event_id": event_id}
    assert admin.ask(reviews_handler, "POST /dnc/reviews/{event_id}", path=path, body=body).status == 200


# The last line of defence ---------------------------------------------------------------------------------------------


def forgetful(conn: psycopg.Connection, organization) -> None:
    conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])


WAYS: dict[str, str] = {
    "insert": "insert into leads (phone_number) values (%(number)s)",
    "insert with the status alone": "insert into leads (phone_number, status) values (%(number)s, 'dnc')",
    "change of number": "update leads set phone_number = %(number)s where phone_number = '+12125550100'",
    "restore": "update leads set deleted_at = null, calling_blocked = false where phone_number = %(number)s",
    "leaving dnc": "update leads set status = 'hot' where phone_number = %(number)s and deleted_at is null",
    "unblocking": "update leads set calling_blocked = false where phone_number = %(number)s and deleted_at is null",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_statement_that_forgets_to_ask_is_refused(organization, admin, connect, way):
    lead(admin, "+12125550100")
    if way in ("leaving dnc", "unblocking", "restore"):
        lead(admin, "+14155550142")
    add(admin, "+14155550142")
    conn = connect()
    if way == "restore":
        with conn.transaction():
            forgetful(conn, organization)
            conn.execute("update leads set deleted_at = now() where phone_number = '+14155550142'")
    with pytest.raises(psycopg.errors.CheckViolation) as refused, conn.transaction():
        forgetful(conn, organization)
        conn.execute(WAYS[way], {"number": "+14155550142"})
    assert refused.value.diag.constraint_name == "a_listed_number_is_not_callable"
    assert "555" not in str(refused.value)


def test_a_statement_for_many_leads_is_refused_as_a_whole(organization, admin, connect):
    add(admin, "+14152000777")
    conn = connect()
    statement = "insert into leads (phone_number) select '+1415' || n from generate_series(2000000, 2000000 + %s) as n"
    with pytest.raises(psycopg.errors.CheckViolation), conn.transaction():
        forgetful(conn, organization)
        conn.execute(statement, [1_000])
    with conn.transaction():
        forgetful(conn, organization)
        conn.execute(statement, [700])


@pytest.mark.parametrize("many", [1, 600])
def test_a_statement_that_locks_nothing_gives_way_to_whoever_works_on_the_number(organization, connect, many):
    holder, careless = connect(), connect()
    with holder.transaction():
        forgetful(holder, organization)
        holder.execute("select lock_number('+14152000000')")
        began = time.perf_counter()
        with pytest.raises(psycopg.errors.LockNotAvailable), careless.transaction():
            forgetful(careless, organization)
            careless.execute(
                "insert into leads (phone_number) select '+1415' || 2000000 + n from generate_series(0, %s - 1) as n",
                [many],
            )
        assert time.perf_counter() - began < 1  # it never waits, so it closes no circle


def test_what_changes_nothing_about_being_callable_takes_no_lock(organization, admin, connect):
    lead(admin, "+14155550142")
    holder, other = connect(), connect()
    with holder.transaction():
        forgetful(holder, organization)
        holder.execute("select lock_all_numbers()")
        with other.transaction():
            forgetful(other, organization)
            assert other.execute("update leads set lead_score = 50, status = 'hot'").rowcount == 1


# Locks on many --------------------------------------------------------------------------------------------------------


def in_threads(*works: Callable[[], None]) -> list[Exception]:
    failed: list[Exception] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except psycopg.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


@pytest.mark.parametrize("sizes", list(product([3, 600], repeat=2)))
def test_locks_of_many_numbers_in_any_order_close_no_circle(organization, connect, sizes):
    numbers = [f"+1415{2_000_000 + place}" for place in range(600)]

    def work(conn: psycopg.Connection, mine: list[str]) -> Callable[[], None]:
        def run() -> None:
            for _ in range(10):
                with conn.transaction():
                    forgetful(conn, organization)
                    conn.execute("select lock_numbers(%s)", [mine])

        return run

    first, second = numbers[: sizes[0]], numbers[: sizes[1]][::-1]
    assert in_threads(work(connect(), first), work(connect(), second)) == []


def test_an_import_races_additions_and_creates_and_leaves_no_callable_lead(organization, admin, in_processes, connect):
    rows = [{"phone_number": f"+1415555{place:04d}", "reason": "complaint"} for place in range(100, 200)]
    rows += [{"phone_number": f"+1212555{place:04d}", "reason": "complaint"} for place in range(100, 200)]
    rows += [{"phone_number": f"+1617{2_000_000 + 131 * place}", "reason": "complaint"} for place in range(400)]
    in_processes(
        work_elsewhere,
        (organization, "import", rows),
        (organization, "create", rows[:40]),
        (organization, "add", rows[20:60]),
        (organization, "create", rows[100:140][::-1]),
    )
    assert callable_though_listed(connect, organization) == []
    assert all(item["listed"] for item in check(admin, *[row["phone_number"] for row in rows[:200]]))


def work_elsewhere(organization, route, rows) -> None:
    admin = caller(organization, "admin")
    if route == "import":
        assert admin.ask(files_handler, "POST /dnc/import", body=rows).status == 200
        return
    for row in rows:
        if route == "add":
            assert admin.ask(dnc_handler, "POST /dnc", body=row).status in (200, 201)
        else:
            reply = admin.ask(leads_handler, "POST /leads", body={"phone_number": row["phone_number"]})
            assert reply.status == 201 or reply.code == "on_dnc_list"


# Past the layer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_application(connect, organization):
    """Runs statements in one transaction of the application's role, past the layer."""
    app = connect()

    def run(*statements: str) -> None:
        with app.transaction():
            app.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
            for statement in statements:
                app.execute(statement)

    return run


@pytest.mark.parametrize(
    "statement",
    [
        "insert into dnc_list (phone_number, reason) values ('+14155550142', 'complaint')",
        "update dnc_list set removed_at = null, removal_reason = null where phone_number = '+14155550142'",
        "update dnc_list set phone_number = '+14155550142' where phone_number = '+14155550143'",
    ],
)
def test_a_number_listed_past_the_layer_leaves_no_callable_lead(
    organization, admin, connect, as_application, statement
):
    remove(admin, add(admin).body["id"], reason="by mistake")
    add(admin, OTHER)
    lead(admin)
    with contextlib.suppress(psycopg.Error):  # refused is as good as honoured
        as_application(statement)
    assert callable_though_listed(connect, organization) == []


def test_an_entry_cannot_be_ended_for_a_moment_to_make_its_lead_callable(organization, admin, connect, as_application):
    lead(admin)
    add(admin, reason="complaint")
    with contextlib.suppress(psycopg.Error):
        as_application(
            "update dnc_list set removed_at = now(), removal_reason = 'x'",
            "update leads set status = 'new', calling_blocked = false",
            "update dnc_list set removed_at = null, removal_reason = null",
        )
    assert callable_though_listed(connect, organization) == []


@pytest.mark.parametrize(
    "statement",
    [
        "update dnc_list set phone_number = '+14155550143'",
        "update dnc_list set added_at = '2000-01-01'",
        "update dnc_list set added_by = null",
    ],
)
def test_the_application_cannot_rewrite_of_an_entry_what_the_layer_never_does(admin, as_application, statement):
    add(admin, reason="complaint")
    with pytest.raises(psycopg.Error):
        as_application(statement)


def test_a_statement_that_lists_gives_way_to_whoever_works_on_the_number(organization, connect, as_application):
    holder = connect()
    with holder.transaction():
        forgetful(holder, organization)
        holder.execute("select lock_number(%s)", [NUMBER])
        holder.execute("insert into leads (phone_number) values (%s)", [NUMBER])
        with pytest.raises(psycopg.errors.LockNotAvailable):
            as_application("insert into dnc_list (phone_number, reason) values ('+14155550142', 'complaint')")


def test_an_expired_entry_that_is_prolonged_stops_calls_again(organization, admin, connect, as_application):
    one = lead(admin)
    add(admin, reason="cooling_off")
    as_application("update dnc_list set expires_at = now()", "update leads set status = 'hot', calling_blocked = false")
    assert read(admin, one)["calling_blocked"] is False
    as_application("update dnc_list set expires_at = now() + interval '1 day'")
    assert callable_though_listed(connect, organization) == []


def test_what_is_listed_in_one_organization_stops_no_calls_in_another(organization, admin, customer, connect):
    other = customer(beside=organization)
    theirs = caller(other, "admin")
    mine, yours = lead(admin), lead(theirs, OTHER)
    values = [(mine, organization, OTHER), (yours, other, NUMBER)]
    connect("superuser").execute(
        """
        insert into dnc_list (tenant_id, organization_id, phone_number, reason)
        values (%s, %s, %s, 'complaint'), (%s, %s, %s, 'complaint')
        """,
        [part for _, of, number in values for part in (of.tenant_id, of.organization_id, number)],
    )
    assert [read(admin, mine)["status"], read(theirs, yours)["status"]] == ["new", "new"]


def test_many_numbers_listed_by_one_statement_stop_all_their_leads(organization, connect, as_application):
    as_application(
        "insert into leads (phone_number) select '+1415' || n from generate_series(2000000, 2002000) as n",
        "insert into dnc_list (phone_number, reason) select phone_number, 'complaint' from leads",
    )
    assert callable_though_listed(connect, organization) == []
