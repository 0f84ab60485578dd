"""Consent: kept word for word with its proof, taken back for good, and which of it a contact may rest on."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.consents_api.app import handler
from leadline.consent import GROUNDS, Given, ground
from tests.calling import Reply, caller

NUMBER = "+14155550142"
NOW = datetime.now(UTC)
WRITTEN = {
    "phone_number": "(415) 555-0142",
    "kind": "prior_express_written",
    "channels": ["call", "sms"],
    "voice_modes": ["artificial", "human"],
    "disclosure_text": "You may call me, with an artificial voice too. No condition of purchase.",
    "disclosure_version": "3",
    "method": "web_form",
    "captured_at": "2026-03-01T09:30:00-08:00",
}


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def agent(organization):
    return caller(organization, "agent")


def give(member, **fields) -> Reply:
    body = {name: value for name, value in (WRITTEN | fields).items() if value is not ...}
    return member.ask(handler, "POST /consents", body=body)


def search(member, number=NUMBER, **query) -> dict:
    reply = member.ask(handler, "POST /consents/search", body={"phone_number": number}, query=query)
    assert reply.status == 200, reply.body
    return reply.body


def revoke(member, **fields) -> Reply:
    return member.ask(handler, "POST /consents/revocations", body={"phone_number": NUMBER} | fields)


# Kept ----------------------------------------------------------------------------------------------------------------


def test_a_consent_is_kept_with_its_words_and_their_hash(agent):
    given = give(agent)
    assert given.status == 201
    assert given.body["phone_number"] == NUMBER
    assert given.body["disclosure_hash"] == hashlib.sha256(WRITTEN["disclosure_text"].encode()).hexdigest()
    assert datetime.fromisoformat(given.body["captured_at"]) == datetime.fromisoformat(WRITTEN["captured_at"])
    assert search(agent)["items"] == [given.body]


def test_the_offset_in_which_it_was_given_is_kept(agent, organization, connect):
    consent_id = give(agent, captured_at="2026-03-01T09:30:00-08:00").body["id"]
    (row,) = _rows(organization, connect, "select captured_at_offset from consents where id = %s", consent_id)
    assert row["captured_at_offset"] == -8 * 60


def test_evidence_is_read_back_and_lies_encrypted(agent, organization, connect):
    evidence = "recording 17: yes, I agree, my name is Ana"
    given = give(agent, evidence=evidence).body
    assert given["evidence"] == search(agent)["items"][0]["evidence"] == evidence
    assert given["evidence_hash"] == hashlib.sha256(evidence.encode()).hexdigest()
    (row,) = _rows(organization, connect, "select evidence from consents where id = %s", given["id"])
    assert b"Ana" not in bytes(row["evidence"])


def test_evidence_is_not_to_be_read_under_another_key(agent, monkeypatch):
    give(agent, evidence="signed")
    monkeypatch.setenv("LEADLINE_EVIDENCE_KEY", "another key")
    reply = agent.ask(handler, "POST /consents/search", body={"phone_number": NUMBER})
    assert reply.status == 500
    assert "signed" not in str(reply.body)


def test_consents_come_newest_first_in_pages(agent):
    for day in (1, 3, 2):
        give(agent, captured_at=f"2026-03-0{day}T00:00:00Z")
    first = search(agent, limit="2")
    rest = search(agent, limit="2", cursor=first["next_cursor"])
    assert [one["captured_at"][:10] for one in first["items"] + rest["items"]] == [
        "2026-03-03",
        "2026-03-02",
        "2026-03-01",
    ]
    assert rest["next_cursor"] is None


def test_a_repeated_post_with_a_key_keeps_one(agent):
    headers = {"idempotency-key": "form 17"}
    first, second = (agent.ask(handler, "POST /consents", body=WRITTEN, headers=headers) for _ in range(2))
    assert first.body == second.body
    assert len(search(agent)["items"]) == 1


def test_an_established_relationship_ends_by_law(agent):
    fields = {"kind": "established_relationship", "disclosure_text": ..., "disclosure_version": ...}
    inquiry = give(agent, **fields).body
    purchase = give(agent, **fields, basis="purchase").body
    sooner = give(agent, **fields, basis="purchase", expires_at="2026-04-01T00:00:00Z").body
    assert (inquiry["basis"], inquiry["expires_at"][:10]) == ("inquiry", "2026-06-01")
    assert purchase["expires_at"][:10] == "2027-09-01"
    assert sooner["expires_at"][:10] == "2026-04-01"


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"phone_number": "12"}, "/phone_number", "bad_phone"),
        ({"kind": "spoken"}, "/kind", "literal_error"),
        ({"channels": []}, "/channels", "too_short"),
        ({"channels": ["fax"]}, "/channels/0", "literal_error"),
        ({"voice_modes": []}, "", "voice_modes_required"),
        ({"disclosure_text": ...}, "", "disclosure_required"),
        ({"disclosure_version": ...}, "", "disclosure_required"),
        ({"basis": "purchase"}, "", "bad_basis"),
        ({"method": "rumour"}, "/method", "literal_error"),
        ({"captured_at": "2026-03-01T09:30:00"}, "/captured_at", "timezone_aware"),
        ({"captured_at": "0001-01-01T00:00:00Z"}, "/captured_at", "bad_time"),
        ({"captured_at": (NOW + timedelta(hours=1)).isoformat()}, "/captured_at", "not_yet_given"),
        ({"expires_at": "2026-02-01T00:00:00Z"}, "", "bad_expiry"),
        ({"evidence": "a\0b"}, "/evidence", "nul_character"),
        ({"lead_id": str(uuid4())}, "/lead_id", "unknown_field"),
    ],
)
def test_what_is_no_consent_is_refused_by_field(agent, fields, pointer, code):
    reply = give(agent, **fields)
    assert reply.status == 422
    assert (reply.body["errors"][0]["pointer"], reply.body["errors"][0]["code"]) == (pointer, code)
    assert search(agent)["items"] == []


# Taken back ----------------------------------------------------------------------------------------------------------


def test_a_revocation_is_kept_with_its_words_and_due_date(agent):
    reply = revoke(agent, words="leave me ALONE", source="call", revoked_at="2026-11-20T23:00:00Z")
    assert reply.status == 201
    assert (reply.body["words"], reply.body["channels"]) == ("leave me ALONE", ["call", "sms"])
    assert reply.body["due_on"] == "2026-12-04"  # ten business days after a Friday
    assert search(agent)["revocations"] == [reply.body]


def test_a_revocation_to_come_is_refused(agent):
    reply = revoke(agent, revoked_at=(NOW + timedelta(hours=1)).isoformat())
    assert (reply.status, reply.body["code"]) == (422, "not_yet_given")


def test_another_organization_sees_nothing_of_it(customer, organization, agent):
    give(agent)
    revoke(agent)
    for stranger in (customer(), customer(beside=organization)):
        found = search(caller(stranger, "admin"))
        assert (found["items"], found["revocations"]) == ([], [])


@pytest.mark.parametrize(
    "statement",
    [
        "update consents set recorded_at = now()",
        "delete from consents",
        "update consent_revocations set recorded_at = now()",
        "delete from consent_revocations",
    ],
)
def test_the_application_can_neither_change_nor_delete_it(agent, organization, connect, statement):
    give(agent)
    revoke(agent)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        _rows(organization, connect, statement)


def _rows(organization, connect, statement, *values) -> list[dict]:
    conn = connect()
    with conn.transaction():
        conn.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        found = conn.execute(statement, values or None)
        return found.fetchall() if found.description else []


# Rested on -----------------------------------------------------------------------------------------------------------


def a_consent(kind="prior_express_written", days_ago=10, voices=("human", "artificial"), expires_in=None) -> Given:
    at = NOW - timedelta(days=days_ago)
    expires_at = None if expires_in is None else NOW + timedelta(days=expires_in)
    return Given(uuid4(), kind, ["call", "sms"], list(voices), at, expires_at)


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


@pytest.mark.parametrize(
    ("kind", "channel", "voice", "allowed"),
    [
        ("prior_express_written", "call", "artificial", True),
        ("express", "call", "artificial", False),
        ("established_relationship", "call", "artificial", False),
        ("prior_express_written", "call", "human", True),
        ("express", "call", "human", True),
        ("established_relationship", "call", "human", True),
        ("prior_express_written", "sms", None, True),
        ("express", "sms", None, False),
        ("established_relationship", "sms", None, False),
    ],
)
def test_each_contact_needs_its_own_ground(kind, channel, voice, allowed):
    one = a_consent(kind)
    assert ground([one], None, channel, voice, NOW) == (one if allowed else "no_consent")


def test_a_consent_covers_the_voice_and_the_channel_it_names_and_no_other():
    assert ground([a_consent(voices=["human"])], None, "call", "artificial", NOW) == "no_consent"
    assert ground([a_consent(voices=["artificial"])], None, "call", "human", NOW) == "no_consent"
    only_calls = Given(uuid4(), "prior_express_written", ["call"], ["artificial"], ago(1), None)
    assert ground([only_calls], None, "sms", None, NOW) == "no_consent"


def test_an_expired_consent_is_none():
    assert ground([a_consent(expires_in=0)], None, "call", "artificial", NOW) == "no_consent"
    assert isinstance(ground([a_consent(expires_in=0.001)], None, "call", "artificial", NOW), Given)


def test_a_revocation_voids_what_was_given_before_it():
    assert ground([a_consent(days_ago=10)], ago(5), "call", "artificial", NOW) == "consent_revoked"
    assert ground([a_consent(days_ago=5)], ago(5), "call", "artificial", NOW) == "consent_revoked"


def test_only_a_later_written_consent_revives():
    later = a_consent(days_ago=4)
    assert ground([later], ago(5), "call", "artificial", NOW) == later
    assert ground([later], ago(5), "call", "human", NOW) == later
    for kind in ("express", "established_relationship"):
        assert ground([a_consent(kind, days_ago=4)], ago(5), "call", "human", NOW) == "consent_revoked"


@given(
    st.lists(
        st.builds(
            a_consent,
            kind=st.sampled_from(["express", "prior_express_written", "established_relationship"]),
            days_ago=st.integers(-3, 20),
            voices=st.sampled_from([(), ("human",), ("artificial",), ("human", "artificial")]),
            expires_in=st.none() | st.integers(-3, 3),
        ),
        max_size=6,
    ),
    st.none() | st.integers(0, 20),
    st.sampled_from(sorted(GROUNDS, key=str)),
)
def test_no_mixture_of_consents_gives_a_ground_that_none_of_them_is(consents, revoked, contact):
    channel, voice = contact
    revoked_at = None if revoked is None else ago(revoked)
    found = ground(consents, revoked_at, channel, voice, NOW)
    alone = [one for one in consents if isinstance(ground([one], revoked_at, channel, voice, NOW), Given)]
    assert (found in alone) if alone else isinstance(found, str)
