"""Calls a function's handler in this process with an event as API Gateway makes it."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LARGEST_ANSWER = 6 * 1024 * 1024  # bytes of a function called by API Gateway


def _no_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


STRICT: dict[str, Any] = {"parse_constant": _no_json}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: Any
    size: int = 0  # bytes of what the function returns to Lambda, which takes six million

    @property
    def code(self) -> str:
        return self.body["code"]


@dataclass(frozen=True)
class Caller:
    """One member's token, and the calls made with it."""

    claims: dict[str, str]

    def ask(self, handler: Callable[[Any, Any], dict[str, Any]], route: str, **parts: Any) -> Reply:
        """Calls the handler with the event that has these parts, and reads its answer."""
        answer = handler(self.event(route, **parts), None)
        size = len(json.dumps(answer, ensure_ascii=False).encode())
        return Reply(answer["statusCode"], answer["headers"], json.loads(answer["body"] or "null", **STRICT), size)

    def event(
        self,
        route: str,
        *,
        path: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
        body: object = None,
        raw_body: str | None = None,
        headers: dict[str, str] | None = None,
        base64: bool = False,
    ) -> dict[str, Any]:
        """What API Gateway makes of a call."""
        method, template = route.split()
        event: dict[str, Any] = {
            "version": "2.0",
            "routeKey": route,
            "rawPath": template.format(**path or {}),
            "headers": {"user-agent": "tests", **(headers or {})},
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "http": {"method": method, "sourceIp": "203.0.113.7", "userAgent": "tests"},
                "authorizer": {"jwt": {"claims": self.claims, "scopes": None}},
            },
            "isBase64Encoded": base64,
        }
        if path:
            event["pathParameters"] = path
        if query:
            event["queryStringParameters"] = query
        if raw_body is not None or body is not None:
            event["body"] = raw_body if raw_body is not None else json.dumps(body)
        return event


def caller(customer: Any, role: str = "agent", **claims: str) -> Caller:
    """A member of a customer's organization; `claims` replace those of its token."""
    _, subject = customer.members[role]
    standard = {
        "sub": subject,
        "custom:tenant_id": str(customer.tenant_id),
        "custom:organization_id": str(customer.organization_id),
        "custom:role": role,
    }
    return Caller({**standard, **claims})
