"""Leads over HTTP: the function's handler with API Gateway's events, against the real database."""

import base64
import dataclasses
import json
import time

import pytest

from functions.lead_history_api.app import handler as history
from functions.leads_api.app import handler
from leadline import db
from leadline.db import Caller, tenant_transaction
from leadline.leads import Lead, changes
from leadline.leads.shapes import LEAD_COLUMNS
from tests.calling import Reply, caller
from tests.leads import NUMBER, audit, change, create, delete, get, list_number, restore

NOBODY = "0d2f9a5e-7f5c-4f0e-9d1e-3f1c6a1b2c3d"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


# Creating ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["(415) 555-0142", "415.555.0142", "+1 415 555 0142", " 1-415-555-0142 "])
def test_a_number_in_any_usual_spelling_makes_a_lead(agent, spelling):
    reply = agent.ask(handler, "POST /leads", body={"phone_number": spelling})
    assert reply.status == 201
    assert reply.body["phone_number"] == NUMBER
    assert reply.body["status"] == "new"
    assert reply.headers["etag"] == '"1"'
    assert reply.headers["location"] == f"/leads/{reply.body['id']}"


def test_every_field_that_is_given_is_kept(agent, organization):
    given = {
        "first_name": " José ",
        "last_name": "O'Neil",
        "email": "Jose@Example.com",
        "address": "1 Main St",
        "city": "Austin",
        "state": "TX",
        "zip": "78701",
        "country": "us",
        "time_zone": "America/Chicago",
        "source": "facebook",
        "sub_source": "spring",
        "source_metadata": {"utm": {"campaign": "x"}, "n": 1.5},
        "tags": ["Hot", "hot", "हिन्दी", "a b:c-d.e_1"],
        "notes": "line\nline",
        "user_id": str(organization.members["agent"].id),
    }
    lead = create(agent, **given).body
    kept = {"first_name": "José", "email": "jose@example.com", "country": "US", "tags": ["hot", "हिन्दी", "a b:c-d.e_1"]}
    assert {name: lead[name] for name in given} == given | kept
    assert agent.ask(handler, "GET /leads/{lead_id}", path={"lead_id": lead["id"]}).body == lead


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("phone_number", "555-0142", "bad_phone"),
        ("phone_number", "415 555 0142 ext 5", "bad_phone"),
        ("phone_number", "1-800-FLOWERS", "bad_phone"),
        ("phone_number", "22333", "bad_phone"),
        ("phone_number", None, "string_type"),
        ("phone_number", 4155550142, "string_type"),
        ("email", "nobody", "bad_email"),
        ("email", "a@b", "bad_email"),
        ("country", "Narnia", "bad_country"),
        ("time_zone", "Mars/Olympus", "bad_time_zone"),
        ("time_zone", "../../etc/passwd", "bad_time_zone"),
        ("tags", ["<script>"], "bad_tag"),
        ("tags", ["x" * 51], "bad_tag"),
        ("tags", "hot", "list_type"),
        ("first_name", "x" * 201, "string_too_long"),
        ("first_name", "nul\0", "nul_character"),
        ("source_metadata", {"deep": {"text": "nul\0"}}, "nul_character"),
        ("source_metadata", {"n": float("nan")}, "not_a_json_number"),
        ("source_metadata", {"n": "x" * 20_000}, "too_large"),
        ("user_id", NOBODY, "unknown_member"),
        ("user_id", "me", "uuid_parsing"),
        ("country", "ß", "bad_country"),
        ("country", "AC", "bad_country"),
        ("email", "a\u202eb@example.com", "bad_email"),
        ("time_zone", "localtime", "bad_time_zone"),
        ("lead_score", 100, "unknown_field"),
        ("tenant_id", NOBODY, "unknown_field"),
        ("organization_id", NOBODY, "unknown_field"),
        ("calling_blocked", False, "unknown_field"),
    ],
)
def test_a_bad_field_is_refused_by_name_and_reason(agent, field, value, code):
    reply = create(agent, **{field: value})
    assert reply.status == 422
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.code == code
    assert reply.body["errors"][0]["pointer"].startswith(f"/{field}")
    assert reply.body["errors"][0]["code"] == code
    assert agent.ask(handler, "GET /leads").body["items"] == []


def test_every_bad_field_is_named_at_once(agent):
    reply = create(agent, email="x", country="xx", nonsense=1)
    assert {error["pointer"] for error in reply.body["errors"]} == {"/email", "/country", "/nonsense"}


def test_a_huge_number_of_bad_fields_has_an_answer_that_fits(agent):
    reply = create(agent, **{f"nonsense{number}": number for number in range(1000)})
    assert (reply.status, len(reply.body["errors"])) == (422, 100)


def test_the_reason_of_a_creation_is_in_the_history(agent, connect):
    lead = create(agent, change_reason="called in").body
    rows = connect("superuser").execute(
        "select reason, trigger_type from lead_status_history where lead_id = %s", (lead["id"],)
    )
    assert rows.fetchall() == [{"reason": "called in", "trigger_type": "manual"}]


def test_a_text_that_only_looks_like_a_nul_is_kept(agent):
    assert create(agent, source_metadata={"path": "\\u0000"}).body["source_metadata"] == {"path": "\\u0000"}


@pytest.mark.parametrize("body", ["", "{", "[1,", '{"phone_number": "\\ud800"}', "nul\0"])
def test_what_is_no_json_is_a_400(agent, body):
    reply = agent.ask(handler, "POST /leads", raw_body=body)
    assert (reply.status, reply.code) == (400, "malformed_json")


def test_a_body_may_come_as_base64_and_with_a_byte_order_mark(agent):
    encoded = base64.b64encode(b"\xef\xbb\xbf" + json.dumps({"phone_number": NUMBER}).encode()).decode()
    assert agent.ask(handler, "POST /leads", raw_body=encoded, base64=True).status == 201
    broken = agent.ask(handler, "POST /leads", raw_body="!", base64=True)
    assert (broken.status, broken.code) == (400, "malformed_json")


def test_a_body_over_4_mb_is_refused_before_it_is_parsed(agent):
    reply = agent.ask(handler, "POST /leads", raw_body="{" * (4 * 1024 * 1024 + 1))
    assert (reply.status, reply.code) == (413, "body_too_large")


def test_the_default_region_is_the_organizations(agent, organization):
    with tenant_transaction(Caller(organization.tenant_id, organization.organization_id)) as tx:
        tx.execute("insert into system_config (config_key, config_value) values ('default_region', '\"GB\"')")
    reply = agent.ask(handler, "POST /leads", body={"phone_number": "020 7946 0958"})
    assert reply.body["phone_number"] == "+442079460958"


# Duplicates ----------------------------------------------------------------------------------------------------------


def test_a_duplicate_number_is_refused_with_the_id_of_the_lead_that_has_it(agent):
    first = create(agent).body
    reply = agent.ask(handler, "POST /leads", body={"phone_number": "415 555 0142"})
    assert (reply.status, reply.code, reply.body["lead_id"]) == (409, "duplicate_lead", first["id"])


def test_a_duplicate_may_be_updated_instead(agent):
    first = create(agent, first_name="Ada", tags=["old"]).body
    reply = agent.ask(
        handler,
        "POST /leads",
        query={"on_duplicate": "update"},
        body={"phone_number": NUMBER, "first_name": "Grace"},
    )
    assert reply.status == 200
    assert reply.body == first | {"first_name": "Grace", "version": 2, "updated_at": reply.body["updated_at"]}


def test_the_same_number_in_another_organization_is_no_duplicate(agent, customer):
    create(agent)
    assert create(caller(customer())).status == 201


def test_two_simultaneous_creates_make_one_lead_and_the_other_is_told_which(organization, in_processes):
    for attempt in range(10):
        number = f"+1415555{attempt + 100:04d}"
        replies = in_processes(create_elsewhere, (organization, number), (organization, number))
        assert sorted(status for status, _ in replies) == [201, 409]
        assert len({lead_id for _, lead_id in replies}) == 1


def create_elsewhere(organization, number) -> tuple[int, str]:
    reply = create(caller(organization), phone_number=number)
    return reply.status, reply.body.get("lead_id") or reply.body["id"]


def test_a_create_that_races_an_opt_out_leaves_no_callable_lead(organization, in_processes, connect):
    for attempt in range(10):
        number = f"+1415555{attempt + 100:04d}"
        late = (attempt + 1) * 0.0005
        status, _ = in_processes(create_or_list, (organization, number, 0), (organization, number, late))
        rows = connect("superuser").execute(
            "select calling_blocked from leads where organization_id = %s and phone_number = %s",
            (organization.organization_id, number),
        )
        assert [row["calling_blocked"] for row in rows] == ([True] if status == 201 else [])


def create_or_list(organization, number, late) -> int:
    if not late:
        return create(caller(organization), phone_number=number).status
    time.sleep(late)
    list_number(organization, number)
    return 0


# Do-Not-Call ---------------------------------------------------------------------------------------------------------


def test_a_listed_number_is_refused(agent, organization):
    list_number(organization)
    reply = create(agent)
    assert (reply.status, reply.code) == (422, "on_dnc_list")


def test_a_lead_cannot_change_to_a_listed_number(agent, organization):
    lead = create(agent).body
    list_number(organization, "+14155550143")
    reply = change(agent, lead, phone_number="4155550143")
    assert (reply.status, reply.code) == (422, "on_dnc_list")


def test_another_organizations_list_does_not_count(agent, customer):
    list_number(customer())
    assert create(agent).status == 201


def test_setting_the_status_to_dnc_lists_the_number_and_there_is_no_way_back(agent):
    lead = create(agent).body
    blocked = change(agent, lead, status="dnc").body
    assert (blocked["status"], blocked["calling_blocked"]) == ("dnc", True)
    reply = change(agent, blocked, status="contacted")
    assert (reply.status, reply.code) == (422, "on_dnc_list")
    assert change(agent, blocked, first_name="Ada").status == 200


STATUSES = ["new", "contacted", "qualified", "nurturing", "hot", "cold", "recruited"]


def test_every_status_may_follow_every_other(agent):
    lead = create(agent).body
    steps = [status for first in STATUSES for second in STATUSES if first != second for status in (first, second)]
    for status in steps:
        lead = change(agent, lead, status=status).body
        assert lead["status"] == status
    assert change(agent, lead, status="dnc").body["calling_blocked"] is True


def test_a_change_of_number_that_races_an_opt_out_leaves_no_callable_lead(agent, organization, in_processes, connect):
    for attempt in range(10):
        number = f"+1415555{attempt + 100:04d}"
        lead = create(agent, phone_number=f"+1415555{attempt + 170:04d}").body
        late = (attempt + 1) * 0.0005
        status, _ = in_processes(change_or_list, (organization, lead, number, 0), (organization, lead, number, late))
        (row,) = connect("superuser").execute(
            "select phone_number, calling_blocked from leads where id = %s", (lead["id"],)
        )
        assert tuple(row.values()) == ((number, True) if status == 200 else (lead["phone_number"], False))


def change_or_list(organization, lead, number, late) -> int:
    if not late:
        return change(caller(organization), lead, phone_number=number).status
    time.sleep(late)
    list_number(organization, number)
    return 0


def cool_off(organization, until: str) -> None:
    """A temporary entry, which ends at an interval from now."""
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute(
            """
            insert into dnc_list (phone_number, reason, expires_at)
            values (%(number)s, 'cooling_off', now() + %(until)s::interval)
            """,
            {"number": NUMBER, "until": until},
        )


@pytest.mark.parametrize("until", ["1 hour", "-1 hour"])
def test_an_opt_out_by_status_lists_the_number_for_good_whatever_entry_is_there(agent, organization, until):
    cool_off(organization, until="-1 hour")
    lead = create(agent).body
    with tenant_transaction(organization.caller(None)) as tx:
        tx.execute("update dnc_list set expires_at = now() + %(until)s::interval", {"until": until})
    blocked = change(agent, get(agent, lead).body, status="dnc").body
    with tenant_transaction(organization.caller(None)) as tx:
        entries = tx.execute("select reason, expires_at from dnc_list where removed_at is null").fetchall()
    assert entries == [{"reason": "lead_requested", "expires_at": None}]
    assert change(agent, blocked, status="hot").code == "on_dnc_list"


def test_a_lead_in_dnc_takes_the_listing_along_to_a_new_number(agent):
    lead = change(agent, create(agent).body, status="dnc").body
    moved = change(agent, lead, phone_number="4155550143").body
    assert (moved["status"], moved["calling_blocked"]) == ("dnc", True)
    assert change(agent, moved, status="hot").code == "on_dnc_list"
    assert create(agent, phone_number="4155550143").code == "on_dnc_list"


# Reading -------------------------------------------------------------------------------------------------------------


def test_pages_go_through_all_leads_newest_first(agent):
    made = [create(agent, phone_number=f"415555{number:04d}").body["id"] for number in range(100, 107)]
    seen, cursor = [], None
    while True:
        reply = agent.ask(handler, "GET /leads", query={"limit": "3", **({"cursor": cursor} if cursor else {})})
        seen += [lead["id"] for lead in reply.body["items"]]
        cursor = reply.body["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


def test_a_page_goes_on_where_the_last_one_ended_while_rows_come_and_go(agent):
    made = [create(agent, phone_number=f"415555{number:04d}").body["id"] for number in range(100, 106)]
    first = agent.ask(handler, "GET /leads", query={"limit": "2"}).body
    create(agent, phone_number="4155550110")
    rest = agent.ask(handler, "GET /leads", query={"cursor": first["next_cursor"]}).body
    assert [lead["id"] for lead in first["items"] + rest["items"]] == made[::-1]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "greater_than_equal"),
        ({"limit": "201"}, "less_than_equal"),
        ({"limit": "many"}, "int_parsing"),
        ({"page": "2"}, "unknown_field"),
        ({"cursor": "x"}, "bad_cursor"),
        ({"cursor": ""}, "bad_cursor"),
        ({"cursor": "é"}, "bad_cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[" * 7000).decode()}, "bad_cursor"),
        ({"cursor": base64.urlsafe_b64encode(b'["audit","2026-01-01","x"]').decode()}, "bad_cursor"),
        ({"cursor": base64.urlsafe_b64encode(b'["leads -created_at","now",null]').decode()}, "bad_cursor"),
        ({"cursor": base64.urlsafe_b64encode(b"[[[[").decode()}, "bad_cursor"),
    ],
)
def test_a_bad_query_is_refused_by_name(agent, query, code):
    reply = agent.ask(handler, "GET /leads", query=query)
    assert (reply.status, reply.code) == (422, code)
    assert reply.body["errors"][0]["pointer"] == f"/{next(iter(query))}"


# Changing ------------------------------------------------------------------------------------------------------------


def test_a_change_raises_the_version_and_is_in_the_audit_log(agent, organization):
    lead = create(agent).body
    reply = change(agent, lead, first_name="Ada", tags=["hot"], change_reason="she told us")
    assert reply.headers["etag"] == '"2"'
    entries = {entry["field_name"]: entry for entry in audit(agent, lead)}
    assert set(entries) == {"first_name", "tags"}
    assert (entries["first_name"]["old_value"], entries["first_name"]["new_value"]) == (None, "Ada")
    assert json.loads(entries["tags"]["new_value"]) == ["hot"]
    for entry in entries.values():
        assert entry["user_id"] == str(organization.members["agent"].id)
        assert entry["change_reason"] == "she told us"
        assert (entry["ip_address"], entry["user_agent"]) == ("203.0.113.7", "tests")


def test_the_audit_log_is_paged_newest_first(agent):
    lead = create(agent).body
    for version, name in enumerate(["Ada", "Bea", "Cleo"], start=1):
        change(agent, lead, version, first_name=name)
    path = {"lead_id": lead["id"]}
    first = agent.ask(history, "GET /leads/{lead_id}/audit", path=path, query={"limit": "2"}).body
    rest = agent.ask(history, "GET /leads/{lead_id}/audit", path=path, query={"cursor": first["next_cursor"]}).body
    assert [entry["new_value"] for entry in first["items"] + rest["items"]] == ["Cleo", "Bea", "Ada"]


def test_a_null_empties_a_field(agent):
    lead = create(agent, first_name="Ada").body
    assert change(agent, lead, first_name=None).body["first_name"] is None
    assert change(agent, lead, 2, phone_number=None).status == 422


def test_a_change_of_nothing_changes_nothing(agent):
    lead = create(agent).body
    assert change(agent, lead).body == lead
    assert audit(agent, lead) == []


def test_a_change_without_the_version_is_refused(agent):
    lead = create(agent).body
    reply = agent.ask(handler, "PATCH /leads/{lead_id}", path={"lead_id": lead["id"]}, body={"first_name": "Ada"})
    assert (reply.status, reply.code) == (428, "version_required")


@pytest.mark.parametrize("if_match", ['"7"', "1", 'W/"1"', "*", "", '"99999999999999999999"'])
def test_a_change_of_another_version_is_refused(agent, if_match):
    lead = create(agent).body
    reply = agent.ask(
        handler,
        "PATCH /leads/{lead_id}",
        path={"lead_id": lead["id"]},
        headers={"if-match": if_match},
        body={"first_name": "Ada"},
    )
    assert (reply.status, reply.code) == (412, "version_mismatch")


def test_of_two_changes_of_one_version_one_is_refused(agent, organization, in_processes):
    lead = create(agent).body
    for version in range(1, 10):
        replies = in_processes(change_elsewhere, (organization, lead, version), (organization, lead, version))
        assert sorted(replies) == [200, 412]


def change_elsewhere(organization, lead, version) -> int:
    return change(caller(organization), lead, version, first_name="Ada").status


def test_a_change_to_a_number_that_another_lead_has_is_refused_with_its_id(agent):
    lead = create(agent).body
    other = create(agent, phone_number="4155550143").body
    reply = change(agent, other, phone_number=NUMBER)
    assert (reply.status, reply.code, reply.body["lead_id"]) == (409, "duplicate_lead", lead["id"])


def test_a_change_of_owner_is_an_assignment(agent, organization, connect):
    lead = create(agent, user_id=str(organization.members["agent"].id)).body
    manager = caller(organization, "manager")
    change(manager, lead, user_id=str(organization.members["manager"].id), change_reason="holiday")
    rows = connect("superuser").execute(
        "select from_user, to_user, assigned_by, strategy, reason from lead_assignments where lead_id = %s order by id",
        (lead["id"],),
    )
    agent_id, manager_id = organization.members["agent"].id, organization.members["manager"].id
    assert [tuple(row.values()) for row in rows] == [
        (None, agent_id, agent_id, "manual", "created with this owner"),
        (agent_id, manager_id, manager_id, "manual", "holiday"),
    ]


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["agent", "manager", "admin"])
def test_people_may_work_with_leads(organization, role):
    assert create(caller(organization, role)).status == 201


def test_the_dialer_may_not(organization):
    reply = create(caller(organization, "service"))
    assert (reply.status, reply.code) == (403, "forbidden")


def test_a_token_of_a_removed_member_stops_at_once(agent, organization, connect):
    connect("superuser").execute("update members set active = false where id = %s", (organization.members["agent"].id,))
    reply = create(agent)
    assert (reply.status, reply.code) == (403, "not_a_member")


def test_a_role_that_the_member_does_not_have_is_refused(organization):
    subject = organization.members["agent"].subject
    reply = create(caller(organization, "admin", sub=subject))
    assert (reply.status, reply.code) == (403, "not_a_member")


def test_an_organization_of_another_tenant_is_refused(organization, customer):
    stranger = customer()
    reply = create(caller(organization, **{"custom:organization_id": str(stranger.organization_id)}))
    assert (reply.status, reply.code) == (403, "not_a_member")


@pytest.mark.parametrize(
    "claims",
    [
        {"custom:tenant_id": ""},
        {"custom:tenant_id": "x"},
        {"custom:organization_id": "null"},
        {"custom:role": "root"},
        {"sub": ""},
    ],
)
def test_a_token_without_its_claims_is_no_token(organization, claims):
    reply = create(caller(organization, **claims))
    assert (reply.status, reply.code) == (401, "unauthorized")


def test_a_fault_of_ours_is_a_bare_500_and_its_message_is_not_logged(agent, monkeypatch, logged):
    def broken(*_):
        raise RuntimeError(f"cannot read {NUMBER}")

    monkeypatch.setattr("leadline.leads.page", broken)
    reply = agent.ask(handler, "GET /leads")
    assert reply.status == 500
    assert NUMBER not in json.dumps(reply.body)
    assert NUMBER not in logged()
    bug = next(json.loads(line) for line in logged().splitlines() if '"bug"' in line)
    assert bug["exception"] == "RuntimeError"
    assert "test_leads_api.py" in bug["where"][-1]
    assert bug["tenant_id"] == agent.claims["custom:tenant_id"]
    assert bug["correlation_id"] == reply.headers["x-request-id"]


def test_a_lock_that_does_not_come_is_a_503_and_nothing_is_changed(agent, organization, connect, monkeypatch):
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=200ms")
    monkeypatch.setattr("leadline.db._connection", None)
    holder = connect("app")
    with holder.transaction():
        holder.execute("select enter_context(%s, %s)", (organization.tenant_id, organization.organization_id))
        holder.execute("select lock_number(%s)", (NUMBER,))
        reply = create(agent)
    assert (reply.status, reply.code) == (503, "busy")
    assert create(agent).status == 201
    db._connection.close()


def test_the_columns_of_a_lead_stand_in_the_order_of_its_fields():
    """Rows become leads by position."""
    assert LEAD_COLUMNS.as_string().split(", ") == [field.name for field in dataclasses.fields(Lead)]


def test_an_object_as_deep_as_is_taken_can_be_read_again(agent):
    """Taking JSON and reading it have each a limit of their own, and no lead may fall between the two."""
    taken = 0
    for depth in range(1, 300):
        deep = json.loads('{"a":' * depth + "1" + "}" * depth)
        reply = create(agent, phone_number=f"+1415{2_000_000 + depth}", source_metadata=deep)
        if reply.status != 201:
            break
        taken = depth
        assert get(agent, reply.body).body["source_metadata"] == deep
    assert 100 < taken < 299


# Races of a create with a delete -------------------------------------------------------------------------------------


@pytest.fixture
def deleted_meanwhile(organization, connect, monkeypatch):
    """Deletes every lead between the refusal of a write and the question why."""
    facts, other = changes._facts, connect()

    def after_a_delete(tx, *arguments):
        tx.execute("select").fetchall()  # by now the write before has been refused
        with other.transaction():
            other.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
            other.execute("update leads set deleted_at = now() where deleted_at is null")
        return facts(tx, *arguments)

    monkeypatch.setattr(changes, "_facts", after_a_delete)


@pytest.mark.usefixtures("deleted_meanwhile")
def test_a_create_whose_duplicate_is_deleted_meanwhile_is_done(agent):
    create(agent)
    assert create(agent).status == 201


@pytest.mark.usefixtures("deleted_meanwhile")
def test_a_restore_whose_duplicate_is_deleted_meanwhile_is_done(agent):
    lead = create(agent).body
    delete(agent, lead)
    create(agent)
    assert restore(agent, lead).status == 200


# Assigning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["change", "duplicate"])
def test_an_agent_takes_a_lead_without_an_owner_and_assigns_no_other(organization, agent, way):
    manager = caller(organization, "manager")
    own, other = (str(organization.members[role].id) for role in ("agent", "manager"))

    def give(member, lead, user_id) -> Reply:
        if way == "change":
            return change(member, get(member, lead).body, user_id=user_id)
        body = {"phone_number": NUMBER, "user_id": user_id}
        return member.ask(handler, "POST /leads", query={"on_duplicate": "update"}, body=body)

    lead = create(agent).body
    assert give(agent, lead, other).code == "may_not_assign"
    assert give(agent, lead, None).status == 200
    assert give(agent, lead, own).body["user_id"] == own
    assert give(agent, lead, own).status == 200
    for elsewhere in (None, other):
        reply = give(agent, lead, elsewhere)
        assert (reply.status, reply.code) == (403, "may_not_assign")
    assert give(manager, lead, other).body["user_id"] == other
    assert give(agent, lead, own).status == 403


def test_a_body_over_4_mb_is_refused_where_none_is_taken_too(agent):
    assert agent.ask(handler, "GET /leads", raw_body=" " * 5_000_000).code == "body_too_large"
