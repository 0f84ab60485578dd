"""A person's opt-out: kept as an event, in force at once, reviewed where uncertain, lifted by nobody's mistake."""

import json
import uuid
from datetime import date, datetime
from zoneinfo import ZoneInfo

import boto3
import pytest
from moto import mock_aws
from psycopg.errors import InsufficientPrivilege

from functions.dnc_files_api.app import handler as files_handler
from functions.dnc_lift_dispatch import app as dispatch_app
from functions.dnc_lift_worker import app as worker_app
from functions.dnc_reviews_api.app import handler
from leadline import db, dnc
from leadline import events as events_module
from leadline.db import system_transaction, tenant_transaction
from leadline.dnc.additions import due_on
from tests.calling import Reply, caller
from tests.leads import change, delete, of_lead, restore
from tests.test_dnc_api import NUMBER, OTHER, add, check, entries, expire, lead, read, remove, upload


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


def events(organization) -> list[dict]:
    with tenant_transaction(organization.caller(None)) as tx:
        return tx.execute("select * from opt_out_events order by honoured_at, id").fetchall()


def waiting(member, **query) -> list[dict]:
    return member.ask(handler, "GET /dnc/reviews", query=query).body["items"]


def decide(member, event_id, decision="reject", reason="she asked about bus stops") -> Reply:
    body = {"decision": decision, "reason": reason}
    return member.ask(handler, "POST /dnc/reviews/{event_id}", path={"event_id": str(event_id)}, body=body)


def guess(member, number=NUMBER, confidence=0.4, **fields) -> Reply:
    return add(member, number, "ai_detected", confidence=confidence, detected_phrase="stop by my office", **fields)


# Events ---------------------------------------------------------------------------------------------------------------


def test_every_opt_out_of_a_person_is_kept_as_an_event_with_its_words(admin, organization):
    add(admin, reason="lead_requested", source="letter", channel="mail", detected_phrase="Leave me alone!")
    add(admin, reason="complaint")
    add(admin, OTHER, reason="admin_added")
    first, second = events(organization)
    assert (first["address"], first["channel"], first["words"], first["source"]) == (
        NUMBER,
        "mail",
        "Leave me alone!",
        "letter",
    )
    assert (first["verdict"], first["recorded_by"]) == ("certain", organization.members["admin"].id)
    assert (second["address"], second["reason"]) == (NUMBER, "complaint")


def test_setting_a_lead_to_dnc_is_an_event_too(admin, organization):
    one = lead(admin)
    with tenant_transaction(organization.caller("agent")) as tx:
        dnc.lock_number(tx, NUMBER)
        dnc.add(tx, NUMBER, reason="lead_requested", source="lead_status")
    (event,) = events(organization)
    assert (event["address"], event["source"]) == (NUMBER, "lead_status")
    assert read(admin, one)["status"] == "dnc"


@pytest.mark.parametrize(
    ("occurred", "due"),
    [
        ("2026-11-23T12:00+00:00", date(2026, 12, 7)),  # Monday
        ("2026-11-27T23:59+00:00", date(2026, 12, 11)),  # Friday
        ("2026-11-28T12:00+00:00", date(2026, 12, 11)),  # Saturday
        ("2026-11-27T23:59-05:00", date(2026, 12, 11)),  # Saturday in UTC
    ],
)
def test_an_opt_out_is_due_ten_business_days_on(occurred, due):
    assert due_on(datetime.fromisoformat(occurred)) == due


@pytest.mark.parametrize("table", ["opt_out_events", "opt_out_reviews", "dnc_additions"])
@pytest.mark.parametrize("verb", ["update {} set reason = 'complaint'", "delete from {}", "truncate {}"])
def test_nothing_takes_from_what_is_kept(connect, organization, table, verb):
    app = connect()
    with pytest.raises(InsufficientPrivilege), app.transaction():
        app.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        app.execute(verb.format(table))


# Reviews --------------------------------------------------------------------------------------------------------------


def test_an_uncertain_opt_out_suppresses_at_once_and_waits(admin, manager, organization):
    one = lead(admin)
    guess(admin, channel="call")
    assert check(admin, NUMBER)[0]["listed"] is True
    assert read(admin, one)["calling_blocked"] is True
    (event,) = waiting(manager)
    assert (event["phone_number"], event["detected_phrase"], event["confidence"]) == (NUMBER, "stop by my office", 0.4)
    assert event["id"] == str(events(organization)[0]["id"])


@pytest.mark.parametrize(("reason", "confidence"), [("ai_detected", 0.8), ("ai_detected", None), ("complaint", 0.1)])
def test_what_nobody_doubts_does_not_wait(admin, reason, confidence):
    add(admin, reason=reason, confidence=confidence)
    assert waiting(admin) == []


def test_what_waits_longest_comes_first_and_pages_go_on(admin, manager):
    for place in range(3):
        guess(admin, f"415555010{place}")
    first = manager.ask(handler, "GET /dnc/reviews", query={"limit": "2"}).body
    rest = manager.ask(handler, "GET /dnc/reviews", query={"cursor": first["next_cursor"]}).body
    numbers = [event["phone_number"] for event in first["items"] + rest["items"]]
    assert numbers == [f"+1415555010{place}" for place in range(3)]


def test_a_rejected_opt_out_is_lifted_and_the_decision_kept(admin, manager, connect):
    one = lead(admin)
    guess(admin)
    (event,) = waiting(manager)
    reply = decide(manager, event["id"])
    assert (reply.status, reply.body["listed"], reply.body["decision"]) == (200, False, "reject")
    assert check(admin, NUMBER)[0]["listed"] is False
    assert (read(admin, one)["status"], read(admin, one)["calling_blocked"]) == ("new", False)
    assert waiting(manager) == []
    (kept,) = connect("superuser").execute(
        "select decision, reason from opt_out_reviews where event_id = %s", [event["id"]]
    )
    assert kept == {"decision": "reject", "reason": "she asked about bus stops"}


def test_a_confirmed_opt_out_stays_and_the_decision_is_kept(admin, manager):
    guess(admin)
    (event,) = waiting(manager)
    assert decide(manager, event["id"], "confirm").body["listed"] is True
    assert check(admin, NUMBER)[0]["listed"] is True
    assert waiting(manager) == []


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("reason", ["admin_added", "legal_requirement", "lead_requested", "complaint"])
def test_a_rejection_lifts_nothing_that_something_else_holds(admin, manager, order, reason):
    if order == "before":
        add(admin, reason=reason, source="other")
    guess(admin)
    if order == "after":
        add(admin, reason=reason, source="other")
    (event,) = waiting(manager)
    assert decide(manager, event["id"]).body["listed"] is True
    (item,) = check(admin, NUMBER)
    assert (item["listed"], item["reason"], item["source"]) == (True, reason, "other")


def test_a_rejection_gives_a_temporary_entry_its_end_back(admin, manager):
    temporary = add(admin, reason="cooling_off").body
    assert guess(admin).body["expires_at"] is None
    (event,) = waiting(manager)
    decide(manager, event["id"])
    (entry,) = entries(admin)
    assert (entry["id"], entry["reason"], entry["expires_at"]) == (
        temporary["id"],
        "cooling_off",
        temporary["expires_at"],
    )


def test_of_two_uncertain_opt_outs_the_one_not_rejected_holds(admin, manager):
    guess(admin)
    guess(admin)
    first, second = waiting(manager)
    assert decide(manager, first["id"]).body["listed"] is True
    assert decide(manager, second["id"]).body["listed"] is False


def test_a_rejection_leaves_alone_an_entry_that_does_not_say_what_it_rests_on(admin, manager, organization):
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("insert into dnc_list (phone_number, reason) values (%s, 'legal_requirement')", [NUMBER])
    guess(admin)
    (event,) = waiting(manager)
    assert decide(manager, event["id"]).body["listed"] is True
    assert check(admin, NUMBER)[0]["listed"] is True


def test_a_decision_stands(admin, manager):
    guess(admin)
    (event,) = waiting(manager)
    decide(manager, event["id"], "confirm")
    reply = decide(manager, event["id"], "reject")
    assert (reply.status, reply.code) == (409, "already_reviewed")
    assert check(admin, NUMBER)[0]["listed"] is True


@pytest.mark.parametrize("what", ["confirm", "reject", "remove"])
def test_a_decision_takes_three_round_trips(admin, delayed, what):
    lead(admin)
    entry = (add(admin) if what == "remove" else guess(admin)).body
    (event,) = waiting(admin) or [{"id": None}]
    with delayed() as trips:
        check(admin, OTHER)  # connects
        before = trips()
        reply = remove(admin, entry["id"], reason="over") if what == "remove" else decide(admin, event["id"], what)
        assert reply.status == 200
        assert trips() - before <= 3


def test_what_nobody_doubted_is_not_there_to_review(admin, organization):
    add(admin, reason="complaint")
    (certain,) = events(organization)
    assert decide(admin, certain["id"]).code == "not_found"
    assert check(admin, NUMBER)[0]["listed"] is True


def test_agents_review_nothing(organization, admin):
    guess(admin)
    agent = caller(organization)
    assert agent.ask(handler, "GET /dnc/reviews").status == 403
    assert decide(agent, events(organization)[0]["id"]).status == 403


# The clock ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def lift(database, monkeypatch):
    """One tick of the hourly schedule: from the dispatcher, as its own role, through SQS to the worker."""

    def lift() -> dict:
        with mock_aws():
            monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            sqs = boto3.client("sqs")
            url = sqs.create_queue(QueueName="lift")["QueueUrl"]
            monkeypatch.setenv("LIFT_QUEUE_URL", url)
            connection = db._connection
            with monkeypatch.context() as patch:
                patch.setenv("DATABASE_URL", database.dsn("dispatch"))
                patch.setattr("leadline.db._connection", None)
                dispatch_app.handler({}, None)
                db._connection.close()
            assert db._connection is connection
            records = []
            while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                records += [record(message["MessageId"], message["Body"]) for message in messages]
        return worker_app.handler({"Records": records}, None) if records else {"batchItemFailures": []}

    return lift


def record(message_id: str, body: str) -> dict:
    return {"messageId": message_id, "body": body, "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs"}


def test_every_hour_expired_entries_are_lifted_in_every_organization(admin, organization, customer, lift, connect):
    other = customer(beside=organization)
    theirs, them = caller(other, "admin"), other
    mine, kept, yours = lead(admin), lead(admin, OTHER), lead(theirs)
    expire(organization, add(admin, reason="cooling_off").body)
    add(admin, OTHER, reason="cooling_off")
    expire(them, add(theirs, reason="cooling_off").body)
    assert read(admin, mine)["calling_blocked"] is True
    assert lift() == {"batchItemFailures": []}
    for member, one in ((admin, mine), (theirs, yours)):
        assert (read(member, one)["status"], read(member, one)["calling_blocked"]) == ("new", False)
    assert read(admin, kept)["calling_blocked"] is True
    (ended,) = entries(admin, active="false")
    assert ended["removal_reason"] == "expired"
    rows = connect("superuser").execute(
        "select to_status, trigger_type, user_id from lead_status_history where lead_id = %s order by changed_at",
        [mine["id"]],
    )
    assert list(rows)[-1] == {"to_status": "new", "trigger_type": "automation", "user_id": None}


def test_a_lift_delivered_twice_or_too_late_changes_nothing(admin, organization):
    one = lead(admin)
    entry = add(admin, reason="cooling_off").body
    expire(organization, entry)
    message = {
        "tenant_id": str(organization.tenant_id),
        "organization_id": str(organization.organization_id),
        "entry_ids": [entry["id"], str(uuid.uuid4())],
    }
    add(admin, reason="cooling_off")  # renewed before the message comes
    batch = {"Records": [record("1", json.dumps(message)), record("2", json.dumps(message))]}
    assert worker_app.handler(batch, None) == {"batchItemFailures": []}
    assert read(admin, one)["calling_blocked"] is True


def test_a_message_that_fails_comes_again_alone_and_its_text_is_not_logged(admin, organization, customer, logged):
    one = lead(admin)
    entry = add(admin, reason="cooling_off").body
    expire(organization, entry)
    good = {"tenant_id": str(organization.tenant_id), "organization_id": str(organization.organization_id)}
    stranger = {**good, "tenant_id": str(customer().tenant_id), "entry_ids": [entry["id"]]}
    records = [
        record("malformed", '{"phone_number": "+14155550142"}'),
        record("stranger", json.dumps(stranger)),
        record("good", json.dumps({**good, "entry_ids": [entry["id"]]})),
    ]
    failures = worker_app.handler({"Records": records}, None)["batchItemFailures"]
    assert [failure["itemIdentifier"] for failure in failures] == ["malformed", "stranger"]
    assert read(admin, one)["calling_blocked"] is False
    assert "5550142" not in logged()
    assert logged().count("message failed") == 2


def test_many_entries_are_handed_over_in_parts_of_five_hundred_and_ten_messages(monkeypatch):
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="lift")["QueueUrl"]
        ids = [uuid.uuid4() for _ in range(dnc.removals.HANDED_OVER_AT_ONCE)]
        parts = [dnc.Expired(tenant_id=ids[0], organization_id=ids[0], entry_ids=ids) for _ in range(23)]
        events_module.hand_over(url, parts)
        waiting_there = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting_there["Attributes"]["ApproximateNumberOfMessages"] == "23"


def test_more_than_five_hundred_expired_entries_are_several_messages(admin, organization, lift):
    rows = [{"phone_number": f"+1415{2_000_000 + 131 * number}", "reason": "cooling_off"} for number in range(620)]
    added = upload(admin, rows).body["added"]
    assert added > 500
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("update dnc_list set expires_at = now()")
    lift()
    ended = admin.ask(files_handler, "GET /dnc/export", query={"active": "false"}).body["items"]
    assert {entry["removal_reason"] for entry in ended} == {"expired"}
    assert len(ended) == added


def test_another_organization_cannot_lift_an_entry(admin, organization, customer):
    entry = add(admin, reason="cooling_off").body
    expire(organization, entry)
    stranger = customer()
    message = {
        "tenant_id": str(stranger.tenant_id),
        "organization_id": str(stranger.organization_id),
        "entry_ids": [entry["id"]],
    }
    assert worker_app.handler({"Records": [record("1", json.dumps(message))]}, None) == {"batchItemFailures": []}
    assert entries(admin, active="false")[0]["removed_at"] is None


def test_the_dispatcher_sees_ids_and_times_of_what_expires_and_nothing_else(connect, admin, database, monkeypatch):
    add(admin, reason="complaint")
    temporary = add(admin, OTHER, reason="cooling_off").body
    conn = connect("dispatch")
    ids = {str(row["id"]) for row in conn.execute("select id from dnc_list")}
    assert temporary["id"] in ids
    assert entries(admin, reason="complaint")[0]["id"] not in ids
    for statement in (
        *("select phone_number from dnc_list", "select reason from dnc_list"),
        *("update dnc_list set removed_at = now()", "select * from leads"),
    ):
        with pytest.raises(InsufficientPrivilege):
            conn.execute(statement)
    monkeypatch.setenv("DATABASE_URL", database.dsn("dispatch"))
    monkeypatch.setattr("leadline.db._connection", None)
    with system_transaction() as tx:
        assert all(len(one.entry_ids) <= 500 for one in dnc.expired(tx))
    db._connection.close()


def test_the_status_before_dnc_is_the_last_one_however_often_a_number_was_listed(admin):
    one = lead(admin)
    for reason in ("cooling_off", "admin_added"):
        entry = add(admin, reason=reason).body
        assert read(admin, one)["status"] == "dnc"
        assert remove(admin, entry["id"], reason="over").status == 200
        assert read(admin, one)["status"] == "new"


# A lead in dnc that changes its number --------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["cooling_off", "admin_added", "legal_requirement"])
def test_a_change_of_number_makes_no_opt_out_that_no_person_made(organization, admin, reason):
    one = lead(admin)
    add(admin, reason=reason)
    change(admin, read(admin, one), phone_number=OTHER)
    assert events(organization) == []


def test_a_temporary_entry_stays_temporary_when_its_lead_changes_its_number(admin):
    one = lead(admin)
    add(admin, reason="cooling_off")
    change(admin, read(admin, one), phone_number=OTHER)
    (found,) = check(admin, OTHER)
    assert found["expires_at"] is not None


def test_a_rejected_opt_out_is_lifted_from_the_lead_also_where_its_number_has_changed(admin):
    one = lead(admin)
    guess(admin)
    moved = change(admin, read(admin, one), phone_number=OTHER).body
    decide(admin, waiting(admin)[0]["id"])
    assert read(admin, moved)["calling_blocked"] is False


def test_a_lead_in_dnc_does_not_become_callable_by_changing_number_and_status_at_once(admin):
    opted_out = change(admin, lead(admin), status="dnc").body
    change(admin, opted_out, status="new", phone_number=OTHER)
    assert read(admin, opted_out)["calling_blocked"] is True


def test_the_new_number_of_a_lead_in_dnc_is_listed_as_the_old_one_was(admin):
    one = lead(admin)
    add(admin, reason="complaint", source="letter", detected_phrase="no more", notes="page 2")
    moved = change(admin, read(admin, one), phone_number=OTHER)
    assert (moved.status, moved.body["status"], moved.body["calling_blocked"]) == (200, "dnc", True)
    new, old = entries(admin)
    told = ("reason", "source", "detected_phrase", "notes", "expires_at")
    assert (new["phone_number"], old["phone_number"]) == (OTHER, NUMBER)
    assert [new[name] for name in told] == [old[name] for name in told]


def test_a_number_that_was_listed_past_the_layer_is_carried_along_as_such(admin, organization):
    one = lead(admin)
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("insert into dnc_list (phone_number, reason) values (%s, 'legal_requirement')", [NUMBER])
    guess(admin)
    moved = change(admin, read(admin, one), phone_number=OTHER).body
    decide(admin, waiting(admin)[0]["id"])
    assert {item["listed"] for item in check(admin, NUMBER, OTHER)} == {True}
    assert read(admin, moved)["calling_blocked"] is True


def test_a_rejection_takes_what_was_carried_along_back_to_what_else_it_rests_on(admin):
    one = lead(admin)
    add(admin, reason="legal_requirement", source="registry")
    guess(admin)
    third = "+14155550144"
    moved = change(admin, read(admin, one), phone_number=OTHER).body
    change(admin, moved, phone_number=third)
    decide(admin, waiting(admin)[0]["id"])
    found = check(admin, NUMBER, OTHER, third)
    assert {(item["listed"], item["reason"], item["source"]) for item in found} == {
        (True, "legal_requirement", "registry")
    }


def test_a_lead_whose_entry_has_expired_is_released_when_it_changes_its_number(admin, organization):
    one = lead(admin)
    expire(organization, add(admin, reason="cooling_off").body)
    moved = change(admin, read(admin, one), phone_number=OTHER).body
    assert (moved["status"], moved["calling_blocked"]) == ("new", False)
    assert change(admin, moved, first_name="Ada").status == 200  # the version is the newest
    assert check(admin, OTHER)[0]["listed"] is False


def test_a_refused_change_of_number_carries_nothing_along(admin):
    one = lead(admin)
    lead(admin, OTHER)
    add(admin)
    assert change(admin, read(admin, one), phone_number=OTHER).code == "duplicate_lead"
    assert check(admin, OTHER)[0]["listed"] is False


def test_a_lead_in_dnc_changes_its_number_in_three_round_trips(admin, delayed):
    one = lead(admin)
    add(admin)
    current = read(admin, one)
    with delayed() as trips:
        read(admin, one)
        before = trips()
        assert change(admin, current, phone_number=OTHER).status == 200
        assert trips() - before <= 3


# Deleted leads --------------------------------------------------------------------------------------------------------


def test_a_restored_lead_whose_number_is_listed_no_more_is_not_left_in_dnc(admin):
    one = lead(admin)
    entry = add(admin).body
    delete(admin, read(admin, one))
    remove(admin, entry["id"], reason="by mistake")
    restored = restore(admin, one).body
    assert (restored["status"], restored["calling_blocked"]) == ("new", False)


def test_an_opt_out_cancels_the_enrollments_of_a_deleted_lead_too(organization, admin):
    one = lead(admin)
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("insert into nurture_sequences (name) values ('welcome')")
        tx.execute(
            "insert into lead_sequence_enrollments (lead_id, sequence_id) select %(lead)s, id from nurture_sequences",
            {"lead": one["id"]},
        )
    delete(admin, one)
    entry = add(admin).body
    remove(admin, entry["id"], reason="by mistake")
    restore(admin, one)
    with tenant_transaction(organization.caller(None)) as tx:
        (enrollment,) = tx.execute("select status from lead_sequence_enrollments").fetchall()
    assert enrollment["status"] == "cancelled"


# History in the order in which things happened ------------------------------------------------------------------------


def late_addition(connect, organization, meanwhile) -> None:
    """An addition whose transaction began before others that got the number's lock first."""
    app = connect()
    with app.transaction():
        app.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        meanwhile()
        dnc.lock_number(app, NUMBER)
        dnc.add(app, NUMBER, reason="admin_added", source="import")


def test_the_newest_status_in_the_history_is_the_leads(organization, admin, connect):
    one = lead(admin)
    late_addition(connect, organization, lambda: change(admin, one, status="hot"))
    newest = of_lead(admin, "status-history", one).body["items"][0]
    assert newest["to_status"] == read(admin, one)["status"] == "dnc"


def test_the_status_that_returns_is_the_one_before_the_last_listing(organization, admin, connect):
    one = lead(admin)

    def meanwhile() -> None:
        remove(admin, add(admin).body["id"], reason="by mistake")
        assert change(admin, read(admin, one), status="hot").status == 200

    late_addition(connect, organization, meanwhile)
    remove(admin, entries(admin)[0]["id"], reason="by mistake")
    assert read(admin, one)["status"] == "hot"


def test_a_lead_that_is_listed_has_the_entrys_reason_in_its_history(admin):
    one, other = lead(admin), lead(admin, OTHER)
    add(admin, reason="legal_requirement")
    change(admin, other, status="dnc", change_reason="she rang")
    told = [of_lead(admin, "status-history", lead).body["items"][0]["reason"] for lead in (one, other)]
    assert told == ["legal_requirement", "she rang"]


# Dates and withdrawals ------------------------------------------------------------------------------------------------


def test_the_due_date_is_never_later_than_ten_business_days_after_the_persons_own_day():
    monday_evening = datetime.fromisoformat("2026-11-30T20:00:00-05:00")  # Tuesday 01:00 in UTC
    assert due_on(monday_evening) <= date(2026, 12, 14)


def test_a_rejected_opt_out_is_no_documented_withdrawal(organization, admin, connect):
    add(admin)
    guess(admin)
    decide(admin, waiting(admin)[0]["id"])
    (entry,) = connect("superuser").execute(
        "select reason, consent_withdrawal_documented as documented from dnc_list where organization_id = %s",
        [organization.organization_id],
    )
    assert entry == {"reason": "admin_added", "documented": False}


@pytest.mark.parametrize(
    ("occurred", "zone", "due"),
    [
        ("2026-12-01T01:00+00:00", "America/New_York", date(2026, 12, 14)),  # still Monday there
        ("2026-12-01T01:00+00:00", "Europe/Berlin", date(2026, 12, 15)),
        ("2026-12-01T11:59+00:00", None, date(2026, 12, 14)),  # somewhere still Monday
        ("2026-12-01T12:00+00:00", None, date(2026, 12, 15)),
        ("2026-12-01T08:00+13:00", "Pacific/Auckland", date(2026, 12, 15)),  # Monday in UTC
    ],
)
def test_a_due_date_counts_from_the_earlier_of_the_days_that_it_may_have_been(occurred, zone, due):
    assert due_on(datetime.fromisoformat(occurred), zone and ZoneInfo(zone)) == due


def test_the_offset_that_a_person_has_given_decides_the_day(admin, organization):
    add(admin, reason="lead_requested", occurred_at="2026-10-26T20:00:00-10:00")  # Monday in Honolulu
    (event,) = events(organization)
    assert event["due_on"] == date(2026, 11, 9)
    assert event["occurred_at"] == datetime.fromisoformat("2026-10-27T06:00:00+00:00")
