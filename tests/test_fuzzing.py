"""The running suite, asked by schemathesis whatever its own OpenAPI document allows and does not allow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from local import api_document, postgres, suite, tokens
from tests.calling import Caller, caller
from tests.targets import TARGETS, Target

pytestmark = pytest.mark.storm

load_all_checks()
HELD_TO = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
PROBLEM = {"type", "title", "status", "code", "detail", "errors"}
# A route without a token takes nothing that could be wrong.
ROUTES = {key: route for key, (_, route) in api_document.routes().items()}
ASKED = [(GenerationMode.POSITIVE, key) for key in sorted(api_document.routes())]
ASKED += [(GenerationMode.NEGATIVE, key) for key in TARGETS]


@dataclass(frozen=True)
class Running:
    """The suite, its document as it serves it, and a client."""

    schema: schemathesis.BaseSchema
    session: requests.Session
    data: Path

    def token(self, member: Caller) -> str:
        return f"Bearer {tokens.sign(self.data, member.claims)}"


@pytest.fixture(scope="module")
def running(database: postgres.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("stack")
    databases = {user: database.dsn(role) for role, user in postgres.ROLES.items()}
    with suite.running(data, databases) as stack, requests.Session() as session:
        yield Running(schemathesis.openapi.from_url(f"{stack.url}/openapi.json"), session, data)


def sent_beside(target: Target) -> st.SearchStrategy[dict[str, str]]:
    """Headers that the document does not tell of."""
    versions = [*target.headers.values(), '"1"', '"2"', "*", "W/7"]
    return st.fixed_dictionaries(
        {},
        optional={
            "idempotency-key": st.sampled_from(["a", "b", "", "x" * 201]),
            "x-change-reason": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip),
            "if-match": st.sampled_from(versions),
        },
    )


@pytest.mark.parametrize(("mode", "key"), ASKED, ids=[f"{mode.value} {key}" for mode, key in ASKED])
def test_nothing_that_is_asked_is_a_fault_and_every_answer_is_as_documented(running, customer, mode, key):
    organization = customer()
    target = TARGETS[key](organization) if key in TARGETS else Target()
    token = running.token(caller(organization, target.role))
    method, path = key.split()
    checks = CHECKS.get_by_names(HELD_TO)
    drawn = running.schema[path][method].as_strategy(generation_mode=mode)

    judged = []

    @settings(
        max_examples=15,
        phases=[Phase.generate],  # to shrink what fails would take minutes
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn, sent_beside(target), st.booleans())
    def ask(case, headers, of_something_real):
        if of_something_real:
            case.path_parameters = {**(case.path_parameters or {}), **target.path}
        headers = {"authorization": token, **headers}
        answer = case.call(session=running.session, headers=headers, timeout=20)
        (kind,) = answer.headers["content-type"]
        of_the_front = answer.status_code == 401 and ROUTES[key].roles  # who needs no token was judged by the function
        if of_the_front or "x-request-id" not in answer.headers:
            assert answer.status_code in (400, 401, 404)  # of the HTTP front: no token, or no route's address
            return
        judged.append(answer.status_code)
        case.validate_response(answer, checks=checks, headers=headers)
        if answer.status_code >= 400:
            if kind.startswith("text/html"):
                assert not ROUTES[key].roles
                return
            assert kind == "application/problem+json"
            assert answer.json().keys() >= PROBLEM
            assert answer.json()["status"] == answer.status_code

    ask()
    assert judged, "no call came through to the function"
