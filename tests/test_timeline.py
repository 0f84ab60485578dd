"""The timeline and the status history of a lead over HTTP."""

import pytest

from leadline.db import tenant_transaction
from leadline.leads.history import SOURCES
from tests.calling import caller
from tests.leads import change, create, delete, of_lead


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization)


@pytest.fixture
def lead(agent, organization):
    """A lead to whom everything has happened, several things of each kind at the same moment."""
    lead = create(agent, user_id=str(organization.members["agent"].id)).body
    change(agent, lead, 1, status="contacted", first_name="Ada", last_name="Adler", change_reason="called")
    change(caller(organization, "manager"), lead, 2, user_id=str(organization.members["manager"].id))
    with tenant_transaction(organization.caller()) as tx:
        for score in (10, 20, 30):
            tx.execute("insert into lead_score_history (lead_id, score) values (%s, %s)", (lead["id"], score))
        for id_ in ("a", "b"):
            tx.execute(
                "insert into calls (call_id, lead_id, occurred_at, placed_at) values (%s, %s, now(), now())",
                (id_, lead["id"]),
            )
            tx.execute(
                "insert into messages (message_id, lead_id, occurred_at) values (%s, %s, now())", (id_, lead["id"])
            )
        for name in ("a", "b"):
            tx.execute(
                """
                with made as (insert into nurture_sequences (name) values (%s) returning id)
                insert into lead_sequence_enrollments (lead_id, sequence_id) select %s, id from made
                """,
                (name, lead["id"]),
            )
    return lead


def test_everything_that_happened_is_there_newest_first(agent, organization, lead):
    items = of_lead(agent, "timeline", lead).body["items"]
    places = [(item["at"], item["kind"], item["id"]) for item in items]
    assert places == sorted(places, reverse=True)
    assert sorted(item["kind"] for item in items) == sorted(
        ["audit"] * 4
        + ["status"] * 2
        + ["score"] * 3
        + ["assignment"] * 2
        + ["enrollment"] * 2
        + ["call"] * 2
        + ["message"] * 2
    )
    by_kind = {item["kind"]: item for item in items}  # the oldest of each
    members = {role: str(member.id) for role, member in organization.members.items()}
    told = {
        "status": {"from_status": None, "to_status": "new", "user_id": members["agent"], "trigger_type": "manual"},
        "assignment": {"from_user": None, "to_user": members["agent"], "reason": "created with this owner"},
        "score": {"score": 10, "factors": {}},
        "enrollment": {"status": "active", "enrolled_by": members["agent"], "exit_reason": None},
        "call": {"call_id": "a", "status": None, "cost_usd": None},
        "message": {"message_id": "a", "text": None},
        "audit": {"change_reason": "called", "user_id": members["agent"]},
    }
    for kind, expected in told.items():
        assert expected.items() <= by_kind[kind].items()
    assert set(told) == {source.kind for source in SOURCES}


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 16, 17, 18])
def test_pages_of_the_timeline_are_the_timeline(agent, lead, limit):
    whole = of_lead(agent, "timeline", lead).body["items"]
    seen, cursor = [], {}
    while cursor is not None:
        body = of_lead(agent, "timeline", lead, limit=str(limit), **cursor).body
        assert len(body["items"]) <= limit
        seen += body["items"]
        cursor = body["next_cursor"] and {"cursor": body["next_cursor"]}
    assert seen == whole


def test_the_kinds_stand_in_the_order_in_which_the_cursor_compares_them():
    assert [source.kind for source in SOURCES] == sorted({source.kind for source in SOURCES})


def test_the_status_history_tells_each_status_and_its_trigger(agent, organization, lead):
    first = of_lead(agent, "status-history", lead, limit="1").body
    rest = of_lead(agent, "status-history", lead, cursor=first["next_cursor"]).body
    told = [
        {name: item[name] for name in ("from_status", "to_status", "trigger_type", "reason", "user_id")}
        for item in first["items"] + rest["items"]
    ]
    acted = {"trigger_type": "manual", "user_id": str(organization.members["agent"].id)}
    assert told == [
        {"from_status": "new", "to_status": "contacted", "reason": "called", **acted},
        {"from_status": None, "to_status": "new", "reason": None, **acted},
    ]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("what", ["timeline", "status-history", "audit"])
def test_a_lead_that_is_deleted_has_no_history_to_see(agent, lead, what):
    delete(agent, lead, 3)
    assert of_lead(agent, what, lead).code == "not_found"


@pytest.mark.parametrize("what", ["timeline", "status-history", "audit"])
def test_a_cursor_of_another_lead_or_list_is_refused(agent, lead, what):
    other = create(agent, phone_number="+14155550143").body
    cursor = of_lead(agent, what, lead, limit="1").body["next_cursor"]
    wrong = "audit" if what == "timeline" else "timeline"
    for reply in (
        of_lead(agent, what, other, cursor=cursor),
        of_lead(agent, wrong, lead, cursor=cursor),
        of_lead(agent, what, lead, cursor="x"),
        of_lead(agent, what, lead, cursor=""),
    ):
        assert (reply.status, reply.code) == (422, "bad_cursor")
