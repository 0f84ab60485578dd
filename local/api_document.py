"""Writes what the routes say of themselves: functions/public_api/openapi.json, and docs/routes.md with the roles.

`python -m local.api_document` rewrites both. No function makes them: that would cost a cold start 350 ms.
"""

import importlib
import json
import re
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import TypeAdapter

from leadline.api import Api, Nothing, Problem, Route
from local.template import ROOT

DOCUMENT = ROOT / "functions" / "public_api" / "openapi.json"
TABLE = ROOT / "docs" / "routes.md"
SCHEMAS = "#/components/schemas/{model}"
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "if-match": (
        "If-Match",
        {"required": True, "schema": {"type": "string"}, "description": "The version that was read, as its ETag."},
    ),
    "idempotency-key": (
        "Idempotency-Key",
        {
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
            "description": "A retry with the same key is answered as the first call was, and done once.",
        },
    ),
    "telnyx-signature-ed25519": (
        "Telnyx-Signature-Ed25519",
        {
            "required": True,
            "schema": {"type": "string"},
            "description": "Over the timestamp, a bar and the body; base64.",
        },
    ),
    "telnyx-timestamp": (
        "Telnyx-Timestamp",
        {
            "required": True,
            "schema": {"type": "string"},
            "description": "Seconds since 1970, of the last five minutes.",
        },
    ),
}
Mode = Literal["validation", "serialization"]


def routes() -> dict[str, tuple[str, Route]]:
    """By route key: the function that serves it, and the route."""
    found: dict[str, tuple[str, Route]] = {}
    for path in sorted((ROOT / "functions").glob("*/app.py")):
        handler = importlib.import_module(f"functions.{path.parent.name}.app").handler
        if isinstance(handler, Api):
            found |= {key: (path.parent.name, route) for key, route in handler.routes.items()}
    return found


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    schemas = _Schemas(route for _, route in routes().values())
    paths: dict[str, dict[str, Any]] = {}
    for key, (function, route) in sorted(routes().items()):
        method, path = key.split()
        paths.setdefault(path, {})[method.lower()] = _operation(path, function, route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Leadline",
            "version": "1",
            "description": "Errors are problems (RFC 9457) with a stable code.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _operation(path: str, function: str, route: Route, schemas: "_Schemas") -> dict[str, Any]:
    told = (route.run.__doc__ or route.run.__name__.replace("_", " ").capitalize()).strip()
    roles = "Anybody." if not route.roles else "Roles: " + ", ".join(sorted(route.roles)) + "."
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    query = TypeAdapter(route.query).json_schema(ref_template=SCHEMAS)
    for name, schema in query.get("properties", {}).items():
        parameters.append(
            {"name": name, "in": "query", "required": name in query.get("required", []), "schema": schema}
        )
    parameters += [{"name": HEADERS[name][0], "in": "header", **HEADERS[name][1]} for name in sorted(route.headers)]
    if route.needs_key:
        parameters[-1]["required"] = True
    good = {"application/json": {"schema": schemas.of(route.answers, "serialization")}} if route.answers else {}
    if route.csv:
        good["text/csv"] = {"schema": {"type": "string"}}
    problem = {"application/problem+json": {"schema": schemas.of(Problem, "serialization")}}
    if not route.roles and not route.answers:  # a page for a person, who is told in a page what is wrong, too
        good = {"text/html": {"schema": {"type": "string"}}}
        problem |= good
    operation: dict[str, Any] = {
        "tags": [path.split("/")[1]],
        "operationId": f"{function}_{route.run.__name__}",
        "summary": told.splitlines()[0],
        "description": roles,
        "parameters": parameters,
        "responses": {
            "2XX": {"description": "Done.", "content": good},
            "default": {"description": "A problem.", "content": problem},
        },
    }
    bodies = route.files if route.body is Nothing else {"application/json": route.body}
    if bodies:
        content = {kind: {"schema": schemas.of(body, "validation")} for kind, body in bodies.items()}
        operation["requestBody"] = {"required": True, "content": content}
    if route.roles:
        operation["security"] = [{"token": []}]
    return operation


class _Schemas:
    """The document's components: each model once; of two models with one name, each has its module in its own."""

    def __init__(self, of_routes: Iterable[Route]) -> None:
        wanted: dict[tuple[Any, Mode], TypeAdapter[Any]] = {(Problem, "serialization"): TypeAdapter(Problem)}
        for route in of_routes:
            if route.answers:
                wanted[route.answers, "serialization"] = TypeAdapter(route.answers)
            for body in route.files.values() if route.body is Nothing else [route.body]:
                wanted[body, "validation"] = TypeAdapter(body)
        inputs = [(model, mode, adapter) for (model, mode), adapter in wanted.items()]
        self._of, rest = TypeAdapter.json_schemas(inputs, ref_template=SCHEMAS)
        self.definitions: dict[str, Any] = rest.get("$defs", {})

    def of(self, model: Any, mode: Mode) -> dict[str, Any]:
        return self._of[model, mode]


def table() -> str:
    """Every route by role, in Markdown."""
    lines = [
        "# Routes and roles",
        "",
        "Written by `python -m local.api_document` from the routes themselves; `/docs` shows the rest.",
        "A route without a token is open to anybody.",
        "",
        "| route | agent | manager | admin | service | without a token |",
        "|---|---|---|---|---|---|",
    ]
    for key, (_, route) in sorted(routes().items(), key=lambda one: one[0].split()[::-1]):
        marks = [" x " if role in route.roles else " " for role in ("agent", "manager", "admin", "service")]
        lines.append(f"| `{key}` |{'|'.join(marks)}|{' ' if route.roles else ' x '}|")
    return "\n".join([*lines, ""])


def main() -> None:
    """Rewrite both."""
    DOCUMENT.write_text(json.dumps(document(), indent=1) + "\n")
    TABLE.write_text(table())


if __name__ == "__main__":
    main()
