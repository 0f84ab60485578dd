"""Deleting, restoring and tagging leads over HTTP."""

import time
import uuid

import pytest

from functions.lead_actions_api.app import handler as actions
from functions.leads_api.app import handler
from leadline.db import tenant_transaction
from tests.calling import caller
from tests.leads import NUMBER, add_tag, audit, change, create, delete, get, list_number, page, remove_tag, restore


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


# Deleting ------------------------------------------------------------------------------------------------------------


def test_a_deleted_lead_is_gone_for_every_route_and_its_number_is_free(agent):
    lead = create(agent).body
    reply = delete(agent, lead)
    assert (reply.status, reply.body) == (204, None)
    assert get(agent, lead).code == "not_found"
    assert page(agent).body["items"] == []
    assert change(agent, lead, 2, first_name="Ada").code == "not_found"
    assert delete(agent, lead, 2).code == "not_found"
    assert add_tag(agent, lead, "hot").code == remove_tag(agent, lead, "hot").code == "not_found"
    assert create(agent).status == 201


def test_deleting_is_soft_and_the_reason_is_in_the_audit_log(agent, organization, connect):
    lead = create(agent).body
    delete(agent, lead, **{"x-change-reason": "entered twice"})
    rows = connect("superuser").execute(
        """
        select field_name, change_reason, entry.user_id from lead_audit_log as entry join leads on leads.id = lead_id
        where lead_id = %s and deleted_at is not null
        """,
        (lead["id"],),
    )
    assert [tuple(row.values()) for row in rows] == [("deleted_at", "entered twice", organization.members["agent"].id)]


def test_a_delete_without_the_version_or_of_another_one_is_refused(agent):
    lead = create(agent).body
    reply = agent.ask(handler, "DELETE /leads/{lead_id}", path={"lead_id": lead["id"]})
    assert (reply.status, reply.code) == (428, "version_required")
    reply = delete(agent, lead, 7)
    assert (reply.status, reply.code) == (412, "version_mismatch")
    assert get(agent, lead).body == lead


# Restoring -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["agent", "manager", "admin"])
def test_a_restored_lead_is_as_it_was(organization, agent, role):
    lead = create(agent, first_name="Ada", tags=["hot"]).body
    delete(agent, lead)
    reply = restore(caller(organization, role), lead)
    assert reply.status == 200
    assert reply.headers["etag"] == '"3"'
    assert reply.body == lead | {"version": 3, "updated_at": reply.body["updated_at"]}
    assert {entry["field_name"] for entry in audit(agent, lead)} == {"deleted_at"}


def test_a_lead_that_is_not_deleted_is_restored_to_itself(agent):
    lead = create(agent).body
    assert restore(agent, lead).body == lead


def test_a_lead_whose_number_was_listed_meanwhile_is_not_restored(agent, organization):
    lead = create(agent).body
    delete(agent, lead)
    list_number(organization)
    reply = restore(agent, lead)
    assert (reply.status, reply.code) == (422, "on_dnc_list")
    assert get(agent, lead).code == "not_found"


def test_a_lead_whose_number_another_has_taken_is_not_restored(agent):
    lead = create(agent).body
    delete(agent, lead)
    other = create(agent).body
    reply = restore(agent, lead)
    assert (reply.status, reply.code, reply.body["lead_id"]) == (409, "duplicate_lead", other["id"])


def test_a_person_who_was_erased_does_not_come_back(agent, organization):
    lead = create(agent).body
    delete(agent, lead)
    with tenant_transaction(organization.caller()) as tx:
        tx.execute("update leads set phone_number = null where id = %s", (lead["id"],))
    assert restore(agent, lead).code == "not_found"
    with tenant_transaction(organization.caller()) as tx:  # other tests share the database
        tx.execute("update leads set phone_number = %s where id = %s", (NUMBER, lead["id"]))


def test_of_two_leads_of_one_number_restored_at_once_one_lives(agent, organization, in_processes):
    for attempt in range(8):
        number = f"+1415555{attempt + 100:04d}"
        leads = []
        for _ in range(2):
            leads.append(create(agent, phone_number=number).body)
            delete(agent, leads[-1])
        replies = in_processes(restore_elsewhere, *[(organization, lead) for lead in leads])
        assert sorted(status for status, _ in replies) == [200, 409]
        assert len({lead_id for _, lead_id in replies}) == 1


def restore_elsewhere(organization, lead) -> tuple[int, str]:
    reply = restore(caller(organization), lead)
    return reply.status, reply.body.get("lead_id") or reply.body["id"]


def test_a_restore_that_races_an_opt_out_leaves_no_callable_lead(agent, organization, in_processes, connect):
    for attempt in range(10):
        lead = create(agent, phone_number=f"+1415555{attempt + 100:04d}").body
        delete(agent, lead)
        late = (attempt + 1) * 0.0005
        status, _ = in_processes(restore_or_list, (organization, lead, 0), (organization, lead, late))
        (row,) = connect("superuser").execute(
            "select calling_blocked, deleted_at from leads where id = %s", (lead["id"],)
        )
        assert row["calling_blocked"] if status == 200 else row["deleted_at"]


def restore_or_list(organization, lead, late) -> int:
    if not late:
        return restore(caller(organization), lead).status
    time.sleep(late)
    list_number(organization, lead["phone_number"])
    return 0


# Tags ----------------------------------------------------------------------------------------------------------------


def test_a_tag_is_added_and_removed_by_itself_however_often(agent):
    lead = create(agent, tags=["old"]).body
    for _ in range(2):
        reply = add_tag(agent, lead, "hot")
        assert (reply.status, reply.headers["etag"], reply.body["tags"]) == (200, '"2"', ["old", "hot"])
    for _ in range(2):
        reply = remove_tag(agent, lead, "old")
        assert (reply.status, reply.headers["etag"], reply.body["tags"]) == (200, '"3"', ["hot"])
    assert len(audit(agent, lead)) == 2


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (" Follow Up ", "follow up"),
        ("follow%20up", "follow up"),
        ("हिन्दी", "हिन्दी"),
        ("%E0%A4%B9%E0%A4%BF%E0%A4%A8%E0%A5%8D%E0%A4%A6%E0%A5%80", "हिन्दी"),
        ("ÉTÉ", "été"),
        ("e\u0301te\u0301", "été"),
        ("שלום", "שלום"),
        ("日本語", "日本語"),
        ("a_b.c:d-e", "a_b.c:d-e"),
        ("x" * 50, "x" * 50),
    ],
)
def test_a_tag_is_of_any_script_and_kept_trimmed_and_in_lower_case(agent, written, kept):
    lead = create(agent).body
    assert add_tag(agent, lead, written).body["tags"] == [kept]
    assert [found["id"] for found in page(agent, tags_all=kept).body["items"]] == [lead["id"]]
    assert remove_tag(agent, lead, written).body["tags"] == []


@pytest.mark.parametrize(
    "tag", [" ", "%20", "x" * 51, "a,b", "<b>", "🔥", "a%00b", "nul\0", "%FF", "\u202eabc", "a'b", 'a"b', "{a}", "a\\b"]
)
def test_what_is_no_tag_is_refused(agent, tag):
    lead = create(agent).body
    for reply in (add_tag(agent, lead, tag), remove_tag(agent, lead, tag)):
        assert (reply.status, reply.code, reply.body["errors"][0]["pointer"]) == (422, "bad_tag", "/tag")


def test_a_lead_has_at_most_50_tags(agent):
    lead = create(agent, tags=[f"tag {number}" for number in range(50)]).body
    reply = add_tag(agent, lead, "one more")
    assert (reply.status, reply.code) == (422, "too_many_tags")
    assert add_tag(agent, lead, "tag 7").status == 200


def test_writers_who_add_different_tags_at_once_all_win(agent, organization, in_processes):
    lead = create(agent).body
    for attempt in range(5):
        tags = [f"{attempt} of {writer}" for writer in range(4)]
        assert in_processes(add_elsewhere, *[(organization, lead, tag) for tag in tags]) == [200] * 4
        assert set(tags) <= set(get(agent, lead).body["tags"])


def add_elsewhere(organization, lead, tag) -> int:
    return add_tag(caller(organization), lead, tag).status


# Who may --------------------------------------------------------------------------------------------------------------


def test_the_dialer_may_do_none_of_it(organization):
    service = caller(organization, "service")
    for key in actions.routes:
        path = {"lead_id": str(uuid.uuid4()), "tag": "x"}
        assert service.ask(actions, key, path=path).code == "forbidden"
