"""The deployed whole on this machine: template.yaml, the real functions under the real runtime client, over HTTP."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local import postgres, suite, tokens


@pytest.fixture(scope="module")
def stack(database: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    data = tmp_path_factory.mktemp("stack")
    databases = {user: database.dsn(role) for role, user in postgres.ROLES.items()}
    with suite.running(data, databases) as running:
        yield running.url, data


@pytest.fixture
def claims(customer) -> dict[str, str]:
    organization = customer()
    return {
        "sub": organization.members["admin"].subject,
        "custom:tenant_id": str(organization.tenant_id),
        "custom:organization_id": str(organization.organization_id),
        "custom:role": "admin",
    }


def ask(url: str, token: str | None, body: object = None, **options: Any) -> tuple[int, dict[str, str], Any]:
    headers = {"content-type": "application/json"} | options.pop("headers", {})
    if token:
        headers["authorization"] = f"Bearer {token}"
    data = json.dumps(body).encode() if body is not None else None
    try:
        with urlopen(Request(url, data, headers, **options)) as answer:  # noqa: S310 - our own server
            return answer.status, dict(answer.headers), json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), json.load(error)


def test_a_lead_is_created_refused_twice_paged_changed_and_its_change_is_audited(stack, claims):
    url, data = stack
    token = tokens.sign(data, claims)
    status, headers, lead = ask(f"{url}/leads", token, {"phone_number": "(415) 555-0142"})
    assert (status, lead["phone_number"]) == (201, "+14155550142")
    status, _, problem = ask(f"{url}/leads", token, {"phone_number": "415.555.0142"})
    assert (status, problem["code"], problem["lead_id"]) == (409, "duplicate_lead", lead["id"])
    for last in range(3):
        ask(f"{url}/leads", token, {"phone_number": f"415555015{last}"})
    _, _, first = ask(f"{url}/leads?limit=3", token)
    _, _, rest = ask(f"{url}/leads?limit=3&cursor={first['next_cursor']}", token)
    assert [lead["phone_number"][-4:] for lead in first["items"] + rest["items"]] == ["0152", "0151", "0150", "0142"]
    assert rest["next_cursor"] is None
    etag = next(value for name, value in headers.items() if name.lower() == "etag")
    change = {"status": "contacted", "change_reason": "called"}
    status, _, _ = ask(f"{url}/leads/{lead['id']}", token, change, method="PATCH", headers={"if-match": etag})
    assert status == 200
    _, _, audit = ask(f"{url}/leads/{lead['id']}/audit", token)
    (entry,) = audit["items"]
    assert (entry["field_name"], entry["old_value"], entry["new_value"]) == ("status", "new", "contacted")
    assert (entry["change_reason"], entry["ip_address"]) == ("called", "127.0.0.1")
    assert re.match("Python-urllib", entry["user_agent"])


def test_health_needs_no_token(stack):
    status, _, body = ask(f"{stack[0]}/health", None)
    assert (status, body) == (200, {"status": "ok"})


def test_no_token_a_forged_an_expired_and_one_for_another_audience_are_unauthorized(stack, claims, monkeypatch):
    url, data = stack
    refused = {
        "none": None,
        "no token at all": "x.y.z",
        "expired": tokens.sign(data, claims, timedelta(seconds=-60)),
        "another audience": tokens.sign(data, claims | {"aud": "another"}),
        "another issuer": tokens.sign(data, claims | {"iss": "https://another.example"}),
    }
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    monkeypatch.setattr(tokens, "key", lambda _: key)
    forged = tokens.sign(data, claims)
    monkeypatch.undo()
    for name, token in (refused | {"forged": forged}).items():
        status, headers, body = ask(f"{url}/leads", token)
        assert (status, body["code"]) == (401, "unauthorized"), name
        assert headers["content-type"] == "application/problem+json"
    assert ask(f"{url}/leads", tokens.sign(data, claims))[0] == 200


def test_what_the_functions_print_tells_of_nobody(stack, claims):
    url, data = stack
    token = tokens.sign(data, claims)
    person = {"phone_number": "+442079460958", "first_name": "Xanthippe", "email": "x@private.example"}
    assert ask(f"{url}/leads", token, person)[0] == 201
    assert ask(f"{url}/leads", token, person)[0] == 409
    printed = (data / "logs" / "leads_api.log").read_text()
    assert claims["custom:tenant_id"] in printed
    assert not re.search(r"2079460958|xanthippe|private\.example|4155550142", printed, re.IGNORECASE)
