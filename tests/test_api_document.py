"""The OpenAPI document and the page that shows it."""

import dataclasses
import json
from typing import get_origin

import pytest
from openapi_spec_validator import validate

from functions.public_api.app import handler
from local import api_document


def ask(route: str) -> dict:
    path = route.split()[1]
    return handler(
        {
            "routeKey": route,
            "rawPath": path,
            "headers": {},
            "requestContext": {"requestId": "r", "http": {"method": "GET", "sourceIp": "203.0.113.7"}},
        },
        None,
    )


def test_the_document_is_the_one_that_the_routes_make():
    assert json.loads(api_document.DOCUMENT.read_text()) == api_document.document(), "python -m local.api_document"


def test_the_table_of_routes_and_roles_is_the_one_that_the_routes_make():
    assert api_document.TABLE.read_text() == api_document.table(), "python -m local.api_document"


def test_the_document_is_valid_openapi():
    validate(api_document.document())


def test_every_route_is_in_the_document_with_its_roles_and_its_token():
    document = json.loads(ask("GET /openapi.json")["body"])
    for key, (_, route) in api_document.routes().items():
        method, path = key.split()
        operation = document["paths"][path][method.lower()]
        assert bool(route.roles) == ("security" in operation)
        for role in route.roles:
            assert role in operation["description"]


def test_every_good_answer_has_a_schema_unless_it_has_no_json():
    document = api_document.document()
    without = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if not operation["responses"]["2XX"]["content"]
    }
    assert without == {"DELETE /leads/{lead_id}", "DELETE /segments/{segment_id}"}


def test_an_answers_schema_is_that_of_its_own_type_though_another_has_the_same_name():
    document = api_document.document()
    for key, (_, route) in api_document.routes().items():
        model = get_origin(route.answers) or route.answers
        if dataclasses.is_dataclass(model):
            method, path = key.split()
            schema = document["paths"][path][method.lower()]["responses"]["2XX"]["content"]["application/json"]
            described = document["components"]["schemas"][schema["schema"]["$ref"].rpartition("/")[2]]
            assert described["properties"].keys() == {field.name for field in dataclasses.fields(model)}, key


def test_the_page_carries_its_scripts_and_asks_no_other_host():
    answer = ask("GET /docs")
    assert answer["headers"]["content-type"].startswith("text/html")
    assert "SwaggerUIBundle" in answer["body"]
    assert "src='http" not in answer["body"]
    assert "format=json" not in answer["body"]
    assert "default-src 'none'" in answer["headers"]["content-security-policy"]
    assert len(answer["body"]) < 6 * 1024 * 1024  # what a function may answer


@pytest.mark.parametrize(
    ("path", "method", "header"),
    [
        ("/leads/{lead_id}", "patch", "if-match"),
        ("/leads/{lead_id}", "delete", "if-match"),
        ("/leads", "post", "idempotency-key"),
        ("/dnc", "post", "idempotency-key"),
    ],
)
def test_the_document_names_the_headers_that_a_route_takes(path, method, header):
    parameters = api_document.document()["paths"][path][method]["parameters"]
    assert header in {one["name"].lower() for one in parameters if one["in"] == "header"}


def test_the_document_says_what_an_import_takes_and_that_an_export_may_be_csv():
    paths = api_document.document()["paths"]
    assert "text/csv" in paths["/dnc/import"]["post"].get("requestBody", {}).get("content", {})
    assert "text/csv" in paths["/dnc/export"]["get"]["responses"]["2XX"]["content"]
