"""The Do-Not-Call list over HTTP: checked, added to, listed, removed from, imported, exported, reported on."""

import base64
import csv
import io
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from functions.dnc_api import app as dnc_app
from functions.dnc_files_api import app as files_app
from functions.dnc_reviews_api import app as reviews_app
from functions.leads_api.app import handler as leads_handler
from leadline import dnc
from leadline.db import tenant_transaction
from leadline.dnc import Check
from tests.calling import LARGEST_ANSWER, Reply, caller

NUMBER, OTHER = "+14155550142", "+14155550143"
NOW = datetime.now(UTC)


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


def add(member, number=NUMBER, reason="admin_added", **fields) -> Reply:
    return member.ask(dnc_app.handler, "POST /dnc", body={"phone_number": number, "reason": reason, **fields})


def check(member, *numbers) -> list[dict]:
    reply = member.ask(dnc_app.handler, "POST /dnc/check", body={"phone_numbers": list(numbers)})
    assert reply.status == 200
    return reply.body["items"]


def entries(member, **query) -> list[dict]:
    return member.ask(dnc_app.handler, "GET /dnc", query=query).body["items"]


def remove(member, entry_id, **body) -> Reply:
    return member.ask(dnc_app.handler, "DELETE /dnc/{entry_id}", path={"entry_id": str(entry_id)}, body=body)


def lead(member, number=NUMBER, **fields) -> dict:
    reply = member.ask(leads_handler, "POST /leads", body={"phone_number": number, **fields})
    assert reply.status == 201, reply.body
    return reply.body


def read(member, lead) -> dict:
    return member.ask(leads_handler, "GET /leads/{lead_id}", path={"lead_id": lead["id"]}).body


def upload(member, rows) -> Reply:
    return member.ask(files_app.handler, "POST /dnc/import", body=rows)


def upload_csv(member, text: str | bytes) -> Reply:
    raw = text if isinstance(text, bytes) else text.encode()
    encoded = base64.b64encode(raw).decode()
    headers = {"content-type": "text/csv; charset=utf-8"}
    return member.ask(files_app.handler, "POST /dnc/import", raw_body=encoded, base64=True, headers=headers)


def download(member, **query) -> Any:
    """The export as CSV: its text and headers, unparsed."""
    event = {
        "routeKey": "GET /dnc/export",
        "headers": {"accept": "text/csv", "user-agent": "tests"},
        "queryStringParameters": query,
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "http": {"method": "GET", "sourceIp": "203.0.113.7"},
            "authorizer": {"jwt": {"claims": member.claims}},
        },
    }
    answer = files_app.handler(event, None)
    assert answer["statusCode"] == 200
    return SimpleNamespace(text=answer["body"], headers=answer["headers"])


def days(count: float) -> str:
    return (NOW + timedelta(days=count)).isoformat()


# Checking -------------------------------------------------------------------------------------------------------------


def test_a_check_answers_each_input_in_order_and_a_bad_one_by_its_error(admin):
    add(admin, source="old list")
    good, bad, listed, number = check(admin, OTHER, "12", "(415) 555-0142", 4155550142)
    assert set(good) == {
        *("input", "phone_number", "listed", "reason", "source", "added_at", "expires_at", "error"),
    }
    assert (good["input"], good["phone_number"], good["listed"], good["error"]) == (OTHER, OTHER, False, None)
    assert (bad["input"], bad["phone_number"], bad["listed"]) == ("12", None, None)
    assert bad["error"]["code"] == "bad_phone"
    assert (listed["phone_number"], listed["listed"], listed["reason"]) == (NUMBER, True, "admin_added")
    assert (listed["source"], listed["expires_at"], listed["error"]) == ("old list", None, None)
    assert listed["added_at"]
    assert (number["input"], number["error"]["code"]) == (4155550142, "bad_phone")


def test_one_number_may_be_checked_alone(admin):
    reply = admin.ask(dnc_app.handler, "POST /dnc/check", body={"phone_number": NUMBER})
    assert [item["listed"] for item in reply.body["items"]] == [False]


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "a" * 1_000_000, "\u202e5550142", "+1415555014\uff12x", "'; drop table"]
)
def test_hostile_text_is_a_bad_number_and_no_failure(admin, text):
    (item, fine) = check(admin, text, NUMBER)
    assert item["error"]["code"] == "bad_phone"
    assert fine["listed"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "one_or_many"),
        ({"phone_number": NUMBER, "phone_numbers": [NUMBER]}, "one_or_many"),
        ({"phone_numbers": []}, "too_short"),
        ({"phone_numbers": [NUMBER] * 10_001}, "too_long"),
        ({"numbers": [NUMBER]}, "unknown_field"),
    ],
)
def test_a_check_of_nothing_or_too_much_is_refused(admin, body, code):
    reply = admin.ask(dnc_app.handler, "POST /dnc/check", body=body)
    assert (reply.status, reply.code) == (422, code)


def test_a_lone_surrogate_is_malformed(admin):
    reply = admin.ask(dnc_app.handler, "POST /dnc/check", raw_body='{"phone_number": "\\ud800"}')
    assert reply.status in (200, 400)
    assert reply.status == 400 or reply.body["items"][0]["error"]


def test_ten_thousand_numbers_are_checked_in_one_statement(organization, admin, monkeypatch):
    add(admin, "+14155550100")
    numbers = [f"+1415{2_000_000 + 97 * place}" for place in range(9_999)] + ["+14155550100"]
    statements = []
    with tenant_transaction(organization.caller("agent")) as tx:
        execute = tx.execute

        def execute_and_tell(query, *values):
            statements.append(query)
            return execute(query, *values)

        monkeypatch.setattr(tx, "execute", execute_and_tell)
        items = dnc.check(tx, Check(phone_numbers=numbers)).items
        monkeypatch.undo()
    assert [item.listed for item in items[-2:]] == [False, True]
    assert len(items) == 10_000
    assert len([query for query in statements if "dnc_list" in query]) == 1
    assert len(statements) == 2  # and what the organization has decided


def test_an_expiry_is_judged_at_the_instant(admin):
    add(admin, reason="cooling_off", expires_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat())
    (before,) = check(admin, NUMBER)
    assert before["listed"] is True
    time.sleep(1.1)
    (after,) = check(admin, NUMBER)
    assert (after["listed"], after["reason"]) == (False, None)
    assert entries(admin) == []
    assert lead(admin)["calling_blocked"] is False


def test_another_organizations_list_does_not_count(admin, customer):
    add(caller(customer(), "admin"))
    assert check(admin, NUMBER)[0]["listed"] is False


# Adding ---------------------------------------------------------------------------------------------------------------


def test_an_added_number_is_answered_as_its_entry(admin):
    reply = add(admin, "(415) 555-0142", source="letter", notes="see file", detected_phrase="no more")
    assert reply.status == 201
    assert {name: reply.body[name] for name in ("phone_number", "reason", "source", "detected_phrase", "notes")} == {
        "phone_number": NUMBER,
        "reason": "admin_added",
        "source": "letter",
        "detected_phrase": "no more",
        "notes": "see file",
    }
    assert reply.body["expires_at"] is None
    assert entries(admin) == [reply.body]


def test_an_addition_blocks_the_lead_and_cancels_its_enrollments_at_once(admin, organization, connect):
    blocked, other = lead(admin), lead(admin, OTHER)
    conn = connect("owner")
    with conn.transaction():
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        for one in (blocked, other):
            conn.execute(
                """
                with sequence as (insert into nurture_sequences (name) values ('a') returning id)
                insert into lead_sequence_enrollments (lead_id, sequence_id, next_step_scheduled_at)
                select %s, id, now() from sequence
                """,
                [one["id"]],
            )
    add(admin)
    assert [(one["status"], one["calling_blocked"]) for one in (read(admin, blocked), read(admin, other))] == [
        ("dnc", True),
        ("new", False),
    ]
    with conn.transaction():
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        rows = conn.execute("select lead_id, status, exit_reason from lead_sequence_enrollments").fetchall()
    assert {str(row["lead_id"]): (row["status"], row["exit_reason"]) for row in rows} == {
        blocked["id"]: ("cancelled", "opted_out"),
        other["id"]: ("active", None),
    }


@pytest.mark.parametrize(
    ("first", "second", "reason", "expires"),
    [
        (("cooling_off", 5), ("cooling_off", 9), "cooling_off", 9),
        (("cooling_off", 9), ("cooling_off", 5), "cooling_off", 9),
        (("cooling_off", 9), ("admin_added", None), "admin_added", None),
        (("admin_added", None), ("cooling_off", 9), "admin_added", None),
        (("legal_requirement", 9), ("admin_added", 5), "legal_requirement", 9),
        (("admin_added", None), ("lead_requested", None), "lead_requested", None),
        (("complaint", None), ("legal_requirement", 9), "complaint", None),
    ],
)
def test_a_second_addition_answers_the_entry_with_the_stricter_of_both(admin, first, second, reason, expires):
    made = add(admin, reason=first[0], expires_at=first[1] and days(first[1]), source="first")
    again = add(admin, reason=second[0], expires_at=second[1] and days(second[1]), notes="second")
    assert (made.status, again.status) == (201, 200)
    assert (again.body["id"], again.body["added_at"]) == (made.body["id"], made.body["added_at"])
    assert again.body["reason"] == reason
    assert (again.body["expires_at"] and again.body["expires_at"][:10]) == (expires and days(expires)[:10])
    assert len(entries(admin)) == 1


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"reason": "lead_requested", "expires_at": days(9)}, "opt_out_never_expires", "/expires_at"),
        ({"reason": "complaint", "expires_at": days(9)}, "opt_out_never_expires", "/expires_at"),
        ({"reason": "ai_detected", "expires_at": days(9)}, "opt_out_never_expires", "/expires_at"),
        ({"reason": "cooling_off", "expires_at": days(-1)}, "already_expired", "/expires_at"),
        ({"reason": "cooling_off", "expires_at": "9999-12-31T23:59:59-12:00"}, "bad_time", "/expires_at"),
        ({"reason": "cooling_off", "expires_at": "2030-01-01T00:00:00"}, "timezone_aware", "/expires_at"),
        ({"reason": "lead_requested", "occurred_at": days(9)}, "not_yet_happened", "/occurred_at"),
        ({"reason": "whim"}, "literal_error", "/reason"),
        ({"reason": "admin_added", "phone_number": "12"}, "bad_phone", "/phone_number"),
        ({"reason": "admin_added", "notes": "a\0b"}, "nul_character", "/notes"),
        ({"reason": "ai_detected", "confidence": 1.1}, "less_than_equal", "/confidence"),
        ({"reason": "admin_added", "added_at": days(0)}, "unknown_field", "/added_at"),
    ],
)
def test_an_addition_that_cannot_be_is_refused_by_name(admin, fields, code, pointer):
    reply = add(admin, **fields) if "phone_number" not in fields else add(admin, fields["phone_number"])
    assert (reply.status, reply.code) == (422, code)
    assert reply.body["errors"][0]["pointer"] == pointer
    assert entries(admin) == []


@pytest.mark.parametrize("decided", [None, 7])
def test_a_cooling_off_lasts_thirty_days_unless_the_organization_has_decided(admin, organization, decided):
    if decided:
        with tenant_transaction(organization.caller(None)) as tx:
            tx.execute("insert into system_config (config_key, config_value) values ('cooling_off_days', '7')")
    entry = add(admin, reason="cooling_off").body
    lasts = datetime.fromisoformat(entry["expires_at"]) - datetime.fromisoformat(entry["added_at"])
    assert abs(lasts - timedelta(days=decided or 30)) < timedelta(minutes=1)


def test_a_number_whose_entry_has_expired_gets_a_new_one(admin, organization):
    first = add(admin, reason="cooling_off").body
    expire(organization, first)
    again = add(admin)
    assert (again.status, again.body["reason"]) == (201, "admin_added")
    assert again.body["id"] != first["id"]
    (ended,) = entries(admin, active="false")
    assert (ended["id"], ended["removal_reason"]) == (first["id"], "expired")


def expire(organization, entry) -> None:
    """Lets an entry have expired a second ago."""
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("update dnc_list set expires_at = now() - interval '1 second' where id = %s", [entry["id"]])


def test_an_addition_takes_three_round_trips(admin, delayed):
    add(admin, OTHER)
    with delayed() as trips:
        add(admin, OTHER)  # connects
        before = trips()
        assert add(admin).status == 201
        assert trips() - before <= 3


def test_an_addition_with_an_idempotency_key_is_done_once(admin):
    body = {"phone_number": NUMBER, "reason": "complaint"}
    replies = [
        admin.ask(dnc_app.handler, "POST /dnc", body=body, headers={"idempotency-key": "letter-7"}) for _ in range(2)
    ]
    assert [reply.status for reply in replies] == [201, 201]
    assert replies[0].body == replies[1].body


# Listing --------------------------------------------------------------------------------------------------------------


def test_pages_go_through_all_entries_newest_first(admin):
    made = [add(admin, f"415555{number:04d}").body["id"] for number in range(100, 105)]
    seen, cursor = [], None
    while True:
        reply = admin.ask(dnc_app.handler, "GET /dnc", query={"limit": "2", **({"cursor": cursor} if cursor else {})})
        seen += [entry["id"] for entry in reply.body["items"]]
        cursor = reply.body["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_entries_are_filtered_by_reason_source_and_whether_they_hold(admin):
    one = add(admin, "4155550101", reason="complaint", source="a").body
    two = add(admin, "4155550102", reason="legal_requirement", source="b").body
    gone = add(admin, "4155550103").body
    remove(admin, gone["id"], reason="by mistake")
    assert [entry["id"] for entry in entries(admin, reason="complaint")] == [one["id"]]
    assert [entry["id"] for entry in entries(admin, reason="complaint,legal_requirement")] == [two["id"], one["id"]]
    assert [entry["id"] for entry in entries(admin, source="a,c")] == [one["id"]]
    assert [entry["id"] for entry in entries(admin, active="false")] == [gone["id"]]
    assert admin.ask(dnc_app.handler, "GET /dnc", query={"reason": "whim"}).code == "literal_error"
    assert admin.ask(dnc_app.handler, "GET /dnc", query={"phone_number": NUMBER}).code == "unknown_field"


# Removing -------------------------------------------------------------------------------------------------------------


def test_a_removal_is_kept_and_gives_the_lead_its_status_back_as_a_transition(admin, connect):
    one = lead(admin)
    path, headers = {"lead_id": one["id"]}, {"if-match": '"1"'}
    admin.ask(leads_handler, "PATCH /leads/{lead_id}", path=path, headers=headers, body={"status": "hot"})
    entry = add(admin).body
    assert read(admin, one)["status"] == "dnc"
    reply = remove(admin, entry["id"], reason="listed by mistake")
    assert (reply.status, reply.body["removal_reason"]) == (200, "listed by mistake")
    assert (read(admin, one)["status"], read(admin, one)["calling_blocked"]) == ("hot", False)
    rows = connect("superuser").execute(
        "select from_status, to_status, reason from lead_status_history where lead_id = %s order by changed_at",
        [one["id"]],
    )
    assert list(rows)[-1] == {"from_status": "dnc", "to_status": "hot", "reason": "listed by mistake"}
    assert [gone["id"] for gone in entries(admin, active="false")] == [entry["id"]]
    assert check(admin, NUMBER)[0]["listed"] is False
    assert remove(admin, entry["id"], reason="again").code == "not_found"


def test_a_removal_needs_a_reason(admin):
    entry = add(admin).body
    assert remove(admin, entry["id"]).code == "missing"
    assert remove(admin, entry["id"], reason=" ").status == 422
    assert check(admin, NUMBER)[0]["listed"] is True


def consent(captured_at: str) -> dict:
    return {"captured_at": captured_at, "disclosure_text": "I agree to be called again", "method": "web_form"}


@pytest.mark.parametrize("reason", ["lead_requested", "complaint", "ai_detected"])
def test_a_persons_opt_out_is_removed_only_with_a_later_written_consent(admin, connect, reason):
    entry = add(admin, reason=reason).body
    for given in ({}, {"consent": consent(days(-1))}, {"consent": consent(days(1))}):
        reply = remove(admin, entry["id"], reason="wants calls", **given)
        assert (reply.status, reply.code) == (422, "written_consent_required")
    assert check(admin, NUMBER)[0]["listed"] is True
    now = datetime.now(UTC).isoformat()
    assert remove(admin, entry["id"], reason="wants calls", consent=consent(now)).status == 200
    (row,) = connect("superuser").execute("select removal_consent from dnc_list where id = %s", [entry["id"]])
    assert row["removal_consent"]["disclosure_text"] == "I agree to be called again"
    assert check(admin, NUMBER)[0]["listed"] is False


def test_a_consent_given_between_two_opt_outs_counts_for_nothing(admin):
    entry = add(admin, reason="lead_requested").body
    between = datetime.now(UTC).isoformat()
    add(admin, reason="lead_requested")
    reply = remove(admin, entry["id"], reason="wants calls", consent=consent(between))
    assert reply.code == "written_consent_required"


def test_an_opt_out_that_joined_another_entry_needs_consent_too(admin):
    entry = add(admin, reason="cooling_off").body
    add(admin, reason="complaint")
    assert remove(admin, entry["id"], reason="over").code == "written_consent_required"


def test_who_may_do_what(organization):
    agent, manager = caller(organization), caller(organization, "manager")
    entry = add(agent).body
    assert check(agent, NUMBER)[0]["listed"]
    assert agent.ask(dnc_app.handler, "GET /dnc").status == 403
    assert remove(manager, entry["id"], reason="a").status == 403
    assert upload(manager, []).status == 403
    assert add(caller(organization, "service")).status == 403


# Importing ------------------------------------------------------------------------------------------------------------


def test_an_import_takes_good_rows_and_tells_the_bad_ones(admin):
    one = lead(admin)
    reply = upload(
        admin,
        [
            {"phone_number": NUMBER, "reason": "admin_added", "source": "old list"},
            {"phone_number": "12", "reason": "admin_added"},
            {"phone_number": OTHER, "reason": "lead_requested", "expires_at": days(9)},
            {"phone_number": OTHER, "reason": "whim"},
            {"phone_number": OTHER, "reason": "admin_added", "colour": "red"},
            "no row",
            {"phone_number": "a\0", "reason": "admin_added"},
            {"phone_number": "415 555 0142", "reason": "complaint"},
        ],
    )
    assert reply.status == 200
    counts = {name: reply.body[name] for name in ("rows", "added", "listed_already", "refused_count")}
    assert counts == {"rows": 8, "added": 1, "listed_already": 1, "refused_count": 6}
    assert [(row["row"], row["field"], row["code"]) for row in reply.body["refused"]] == [
        (2, "phone_number", "bad_phone"),
        (3, "expires_at", "opt_out_never_expires"),
        (4, "reason", "literal_error"),
        (5, "colour", "unknown_field"),
        (6, None, "model_type"),
        (7, "phone_number", "nul_character"),
    ]
    assert [(entry["phone_number"], entry["reason"]) for entry in entries(admin)] == [(NUMBER, "complaint")]
    assert read(admin, one)["calling_blocked"] is True


def test_an_import_of_csv_may_have_a_byte_order_mark_and_quotes(admin):
    reply = upload_csv(
        admin,
        '\ufeffphone_number,reason,notes\r\n(415) 555-0142,complaint,"said ""stop"", twice\nand hung up"\r\n\r\n'
        "+14155550143,admin_added,'=1+1\r\n415-555-0144,admin_added,a,b\r\n",
    )
    assert (reply.status, reply.body["added"]) == (200, 2)
    assert [(row["row"], row["field"]) for row in reply.body["refused"]] == [(3, "column 4")]
    notes = {entry["phone_number"]: entry["notes"] for entry in entries(admin)}
    assert notes == {NUMBER: 'said "stop", twice\nand hung up', OTHER: "=1+1"}


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (b"", 422, "malformed_csv"),
        (b"phone_number,reason\n\xed\xa0\x80,complaint\n", 422, "malformed_csv"),
        (b"\xff\xfep\0h\0", 422, "malformed_csv"),
        (b"phone_number,reason\n4155550142\0,complaint\n", 422, "nul_character"),
        (b'phone_number,reason,notes\n4155550142,complaint,"' + b"a" * 1_000_000 + b'"\n', 422, "malformed_csv"),
        (b'phone_number,reason\n"4155550142,complaint\n', 422, "malformed_csv"),
        (b"phone,reason\n4155550142,complaint\n", 422, "unknown_field"),
        (b"reason,reason\ncomplaint,complaint\n", 422, "unknown_field"),
        (b"phone_number,reason\n" + b"4155550142,complaint\n" * 250_000, 413, "body_too_large"),
    ],
)
def test_a_file_that_is_no_table_is_refused_as_a_whole(admin, raw, status, code):
    reply = upload_csv(admin, raw)
    assert (reply.status, reply.code) == (status, code)
    assert entries(admin) == []


def test_an_import_that_is_no_list_is_refused(admin):
    assert admin.ask(files_app.handler, "POST /dnc/import", body={"phone_number": NUMBER}).code == "not_a_list"
    assert admin.ask(files_app.handler, "POST /dnc/import", raw_body="[1,").code == "malformed_json"
    assert upload(admin, []).body["rows"] == 0


def test_an_import_takes_fifty_thousand_rows_in_a_few_seconds_and_not_one_more(admin):
    rows = [{"phone_number": f"+1415{2_000_000 + 131 * number}", "reason": "complaint"} for number in range(50_000)]
    leads = [lead(admin, rows[place]["phone_number"]) for place in (0, 49_999)]
    reply = upload(admin, [*rows, rows[0]])
    assert (reply.status, reply.code) == (422, "too_many_rows")
    began = time.perf_counter()
    reply = upload(admin, rows)
    took = time.perf_counter() - began
    assert reply.body["added"] + reply.body["refused_count"] == 50_000
    assert reply.body["added"] > 49_000
    assert took < 20, took
    assert {read(admin, one)["calling_blocked"] for one in leads} == {True}


# Exporting ------------------------------------------------------------------------------------------------------------


def test_an_export_as_csv_makes_text_of_formulas_but_not_of_phone_numbers(admin):
    for place, notes in enumerate(["=1+1", "+1", "-1", "@a", "\u0009tab", 'plain, "quoted"']):
        add(admin, f"415555010{place}", notes=notes, source=f"={place}")
    found = download(admin)
    assert found.headers["content-type"].startswith("text/csv")
    assert "link" not in found.headers
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert [row["phone_number"] for row in rows] == [f"+1415555010{place}" for place in range(5, -1, -1)]
    assert [row["notes"] for row in rows][::-1] == ["'=1+1", "'+1", "'-1", "'@a", "tab", 'plain, "quoted"']
    assert rows[0]["source"] == "'=5"


def test_an_export_goes_on_where_its_link_leads(admin, monkeypatch):
    monkeypatch.setattr("leadline.dnc.entries.EXPORTED_AT_ONCE", 2)
    made = [add(admin, f"415555{number:04d}", reason="complaint").body["id"] for number in range(100, 105)]
    add(admin, "4155550105")
    seen, query = [], {"reason": "complaint"}
    while query:
        reply = admin.ask(files_app.handler, "GET /dnc/export", query=query)
        seen += [entry["id"] for entry in reply.body["items"]]
        link = reply.headers.get("link", "")
        assert (link == "") == (reply.body["next_cursor"] is None)
        query = link and dict(part.split("=") for part in link.split("?")[1].split(">")[0].split("&"))
    assert seen == made[::-1]


def test_an_export_of_long_entries_has_shorter_pages(admin):
    long = {"reason": "admin_added", "notes": '"' * 5_000}
    rows = [{"phone_number": f"+1415{2_000_000 + 131 * number}", **long} for number in range(380)]
    assert upload(admin, rows).body["added"] > 370
    reply = admin.ask(files_app.handler, "GET /dnc/export")
    assert len(json.dumps(reply.body)) < 6_000_000
    assert 100 < len(reply.body["items"]) < 370
    assert reply.headers["link"].endswith('>; rel="next"')


# Reporting ------------------------------------------------------------------------------------------------------------


def test_the_report_of_a_period_tells_what_came_and_went(admin, organization):
    add(admin, "4155550101", reason="lead_requested", source="letter", channel="mail", occurred_at=days(-2))
    add(admin, "4155550102", reason="lead_requested", source="letter", channel="mail", occurred_at=days(-30))
    add(admin, "4155550101", reason="complaint", channel="call")
    waits = add(admin, "4155550103", reason="ai_detected", confidence=0.3, channel="call")
    gone = add(admin, "4155550104", source="old list").body
    remove(admin, gone["id"], reason="by mistake")
    today = datetime.now(UTC).date().isoformat()
    report = admin.ask(reviews_app.handler, "GET /dnc/report", query={"from": today, "to": today}).body
    assert (report["from"], report["to"]) == (today, today)
    additions = {(row["reason"], row["source"]): row["count"] for row in report["additions"]}
    assert additions == {
        ("lead_requested", "letter"): 2,
        ("complaint", None): 1,
        ("ai_detected", None): 1,
        ("admin_added", "old list"): 1,
    }
    assert (report["expired"], report["removed"]) == (0, 1)
    (removal,) = report["removals"]
    assert (removal["id"], removal["removal_reason"], removal["with_consent"]) == (gone["id"], "by mistake", False)
    assert removal["removed_by"] == str(organization.members["admin"].id)
    call, mail = report["opt_outs"]
    assert (call["channel"], call["count"], call["uncertain"]) == ("call", 2, 1)
    assert (mail["channel"], mail["count"], mail["late"]) == ("mail", 2, 1)
    assert abs(mail["longest_seconds"] - 30 * 86400) < 600
    assert abs(mail["median_seconds"] - 16 * 86400) < 600
    assert report["reviews"] == {"confirmed": 0, "rejected": 0, "waiting": 1}
    assert waits.status == 201


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"from": "2026-02-01", "to": "2026-01-01"}, "bad_period"),
        ({"from": "0001-01-01", "to": "2026-01-01"}, "bad_period"),
        ({"from": "2026-02-01", "to": "9999-12-31"}, "bad_period"),
        ({"from": "2026-02-30", "to": "2026-03-01"}, "date_from_datetime_parsing"),
        ({"from": "2026-02-01"}, "missing"),
    ],
)
def test_a_period_that_is_none_is_refused(admin, query, code):
    reply = admin.ask(reviews_app.handler, "GET /dnc/report", query=query)
    assert (reply.status, reply.code) == (422, code)


def test_no_number_is_logged(admin, logged):
    add(admin)
    check(admin, NUMBER, "garbage 4155550142")
    upload(admin, [{"phone_number": "4155550142", "reason": "whim"}])
    assert "5550142" not in logged()


# Edges ----------------------------------------------------------------------------------------------------------------


def test_a_page_of_entries_goes_on_under_a_long_source_of_any_script(admin):
    source = "Ш" * 150
    for place in range(2):
        add(admin, f"415555010{place}", source=source)
    query = {"source": source, "limit": "1"}
    first = admin.ask(dnc_app.handler, "GET /dnc", query=query).body
    assert admin.ask(dnc_app.handler, "GET /dnc", query={**query, "cursor": first["next_cursor"]}).status == 200


@pytest.mark.parametrize("what", [{"a": 1}, ["4155550143"]])
def test_whatever_stands_in_a_list_to_check_fails_alone(admin, what):
    reply = admin.ask(dnc_app.handler, "POST /dnc/check", body={"phone_numbers": ["4155550142", what]})
    assert reply.status == 200
    assert [item["error"] is None for item in reply.body["items"]] == [True, False]


def test_what_was_exported_can_be_imported(admin, customer):
    add(admin, notes="=1+1")
    reply = upload_csv(caller(customer(), "admin"), download(admin).text)
    assert (reply.status, reply.body.get("added")) == (200, 1)


def test_an_unknown_field_of_a_row_has_the_code_of_the_contract(admin):
    (refused,) = upload(admin, [{"phone_number": NUMBER, "reason": "complaint", "bogus": 1}]).body["refused"]
    assert refused["code"] == "unknown_field"


def test_a_row_of_an_export_that_has_ended_is_not_listed_again(admin, customer):
    remove(admin, add(admin).body["id"], reason="by mistake")
    reply = upload_csv(caller(customer(), "admin"), download(admin, active="false").text)
    assert (reply.status, reply.body["added"]) == (200, 0)
    assert {(row["field"], row["code"]) for row in reply.body["refused"]} == {("removed_at", "unknown_field")}


@pytest.mark.parametrize(
    "text",
    [
        "phone_number,reason,\n4155550142,complaint,\n",
        "\n , \nphone_number,reason\n4155550142,complaint\n",
        "phone_number,reason,,\n4155550142,complaint\n",
    ],
)
def test_empty_lines_and_commas_at_the_end_count_for_nothing(admin, text):
    reply = upload_csv(admin, text)
    assert (reply.status, reply.body["added"], reply.body["refused"]) == (200, 1, [])


@pytest.mark.parametrize("text", ["", "\n", ",,\n", "phone_number,,reason\n4155550142,,complaint\n"])
def test_a_header_without_names_is_refused(admin, text):
    assert upload_csv(admin, text).code in ("malformed_csv", "unknown_field")


def test_an_answer_to_a_number_beyond_all_floats_is_json(admin):
    raw = '{"phone_numbers": [1e999, -1e999, [1e999]]}'  # valid JSON (RFC 8259)
    reply = admin.ask(dnc_app.handler, "POST /dnc/check", raw_body=raw)
    assert [item["input"] for item in reply.body["items"]] == ["Infinity", "-Infinity", "[Infinity]"]
    assert {item["error"]["code"] for item in reply.body["items"]} == {"bad_phone"}


def test_a_page_of_long_entries_is_shorter(admin):
    long = {"reason": "admin_added", "notes": '"' * 9_000}
    rows = [{"phone_number": f"+1415{2_000_000 + 131 * number}", **long} for number in range(200)]
    assert upload(admin, rows).status == 200
    reply = admin.ask(dnc_app.handler, "GET /dnc", query={"limit": "200"})
    assert reply.size <= LARGEST_ANSWER
    assert reply.body["next_cursor"]


def test_a_report_of_very_many_sources_is_bounded_and_counts_all(admin):
    rows = [
        {"phone_number": f"+1415{2_000_000 + 131 * number}", "reason": "admin_added", "source": f"{number}" + '"' * 190}
        for number in range(1_500)
    ]
    added = upload(admin, rows).body["added"]
    today = datetime.now(UTC).date().isoformat()
    reply = admin.ask(reviews_app.handler, "GET /dnc/report", query={"from": today, "to": today})
    assert reply.size <= LARGEST_ANSWER
    assert (reply.body["added"], len(reply.body["additions"])) == (added, 1_000)
