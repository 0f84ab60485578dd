"""The unsubscribe link of an email: reading it does nothing, posting to it ends email to its address alone."""

import json
import re
from uuid import uuid4

import pytest

from functions.gate_api.app import handler as authorize
from functions.unsubscribe_api.app import handler
from leadline import links, settings
from tests.calling import Caller, caller
from tests.leads import create

NOBODY = Caller({})
ADDRESS = "ana@example.com"


@pytest.fixture
def organization(customer):
    return customer()


def ask(method, token, **parts):
    event = NOBODY.event(f"{method} /unsubscribe/{{token}}", path={"token": token}, **parts)
    event["requestContext"].pop("authorizer")
    return handler(event, None)


def link(organization, address=ADDRESS) -> str:
    return links.unsubscribe_token(organization.tenant_id, organization.organization_id, address)


def events(connect, organization) -> list:
    found = connect("superuser").execute(
        "select address, channel, verdict, source from opt_out_events where organization_id = %s",
        [organization.organization_id],
    )
    return [tuple(row.values()) for row in found]


def test_reading_the_page_does_nothing_and_it_says_who_writes(organization, connect):
    with connect("superuser") as conn:
        conn.execute(
            "update organizations set name = %s where id = %s", ["Rice & <b>Sons</b>", organization.organization_id]
        )
    answer = ask("GET", link(organization))
    assert (answer["statusCode"], events(connect, organization)) == (200, [])
    assert "Rice &amp; &lt;b&gt;Sons&lt;/b&gt;" in answer["body"]
    assert re.search(r'<form method="post">.*<button type="submit">Unsubscribe</button>', answer["body"])
    assert ADDRESS not in answer["body"]
    policy = answer["headers"]["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'self'" in policy
    assert answer["headers"]["cache-control"] == "no-store"


@pytest.mark.parametrize("body", ["List-Unsubscribe=One-Click", "", "\x00\xff", "{"])
def test_a_post_ends_email_at_once_and_a_second_changes_nothing(organization, connect, body):
    lead = create(caller(organization), email="Ana@Example.com").body
    token = link(organization)
    for _ in range(2):
        answer = ask("POST", token, raw_body=body)
        assert answer["statusCode"] == 200
        assert events(connect, organization) == [(ADDRESS, "email", "certain", "unsubscribe_link")]
    assert "email.opt_out" in rules(organization, lead)


def rules(organization, lead) -> set[str]:
    """The rules by which the gate refuses an email to the lead."""
    asked = caller(organization, "admin").ask(
        authorize,
        "POST /calls/authorize",
        body={"lead_id": lead["id"], "channel": "email"},
        headers={"idempotency-key": str(uuid4())},
    )
    return {reason["rule"] for reason in asked.body["reasons"]}


def test_who_is_no_lead_is_heard_too_and_is_refused_when_it_becomes_one(organization):
    assert ask("POST", link(organization))["statusCode"] == 200
    lead = create(caller(organization), email=ADDRESS).body
    assert "email.opt_out" in rules(organization, lead)


def test_calls_and_texts_go_on(organization, connect):
    lead = create(caller(organization), email=ADDRESS).body
    ask("POST", link(organization))
    (row,) = connect("superuser").execute("select status, calling_blocked from leads where id = %s", [lead["id"]])
    assert tuple(row.values()) == ("new", False)


def test_a_link_ends_the_mail_of_its_own_organization_alone(organization, customer, connect):
    sister, stranger = customer(beside=organization), customer()
    theirs = create(caller(stranger), email=ADDRESS).body
    ask("POST", link(organization))
    assert events(connect, sister) == events(connect, stranger) == []
    assert "email.opt_out" not in rules(stranger, theirs)


def test_a_token_that_names_two_tenants_gets_in_nowhere(organization, customer, connect):
    stranger = customer()
    mixed = links.unsubscribe_token(stranger.tenant_id, organization.organization_id, ADDRESS)
    for method in ("GET", "POST"):
        assert ask(method, mixed)["statusCode"] == 404
    assert events(connect, organization) == events(connect, stranger) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("token", ["", "k1", "k1.AAAA", "k2.AAAA", "../..", "k1." + "A" * 5000, "\u202e", "a\0b"])
def test_what_is_no_link_is_a_page_that_is_not_there(method, token):
    answer = ask(method, token)
    assert answer["statusCode"] == 404
    assert answer["headers"]["content-type"].startswith("text/html")
    assert "Traceback" not in answer["body"]


def test_a_link_of_an_old_key_still_works(organization, monkeypatch, connect):
    token = link(organization)
    old = settings.link_keys().secrets["k1"]
    keys = {"current": "k2", "keys": {"k1": old, "k2": "another secret, which is long enough"}}
    monkeypatch.setenv("LEADLINE_LINK_KEYS", json.dumps(keys))
    assert ask("POST", token)["statusCode"] == 200
    assert ask("POST", link(organization))["statusCode"] == 200
    assert len(events(connect, organization)) == 1


def test_two_posts_at_the_same_moment_are_one_opt_out(organization, in_processes, connect):
    token = link(organization)
    assert in_processes(post, *[(token,)] * 4) == [200] * 4
    assert len(events(connect, organization)) == 1


def post(token: str) -> int:
    return ask("POST", token)["statusCode"]


def test_neither_the_address_nor_the_link_is_logged(organization, logged):
    token = link(organization)
    ask("POST", token)
    assert ADDRESS not in logged()
    assert token not in logged()
