"""HTTP: an API Gateway event in, an answer or a problem out. Routes, identity, validation and errors meet only here.

API Gateway has already matched the route (`routeKey`) and verified the token; what it hands over is looked up, not
matched again. Nothing of the tenant is taken from the body, the path or a header: the claims alone say who calls.
"""

import base64
import hashlib
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar
from uuid import UUID

import psycopg
from aws_lambda_powertools import Logger
from pydantic import ValidationError
from pydantic_core import from_json, to_json

from leadline import idempotency
from leadline.db import Caller, KeyTaken, Transaction, tenant_transaction
from leadline.errors import (
    AnswerTooLarge,
    BodyTooLarge,
    FieldError,
    Forbidden,
    InternalError,
    Invalid,
    LeadlineError,
    MalformedJson,
    NotFound,
    Unauthorized,
    VersionRequired,
)
from leadline.idempotency import IdempotencyKeyRequired, Kept, Key
from leadline.inputs import Input, code_of

PUBLIC: frozenset[str] = frozenset()
ADMINS = frozenset({"admin"})
MANAGERS = ADMINS | {"manager"}
PEOPLE = MANAGERS | {"agent"}
ROLES = PEOPLE | {"service"}

IF_MATCH = frozenset({"if-match"})
IDEMPOTENCY_KEY = frozenset({"idempotency-key"})
NO_FILES: Mapping[str, Any] = {}

LARGEST_BODY = 4 * 1024 * 1024
LARGEST_ANSWER = 6_000_000  # bytes, of what a function may return: 6 MB with its headers
LONGEST_HEADER_KEPT = 500

logger = Logger(service="leadline")

Event = Mapping[str, Any]
BodyT = TypeVar("BodyT", bound=Input)
QueryT = TypeVar("QueryT", bound=Input)


class Nothing(Input):
    """The body or the query string of a route that takes none."""


@dataclass(frozen=True)
class Answer:
    """What goes back: anything pydantic can write as JSON, or text of another content-type; a status and headers."""

    body: object
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def text(self) -> str:
        """The body as it goes out; none has no text."""
        if self.body is None or isinstance(self.body, str):
            return self.body or ""
        return to_json(self.body).decode()


@dataclass(frozen=True)
class Call(Generic[BodyT, QueryT]):
    """One request: who calls, and the body and query string, validated."""

    body: BodyT
    query: QueryT
    event: Event
    known_caller: Caller | None
    headers: frozenset[str] = frozenset()

    @property
    def caller(self) -> Caller:
        """Who calls, from the verified claims. Raises Unauthorized on a public route."""
        if self.known_caller is None:
            raise Unauthorized
        return self.known_caller

    def id(self, name: str) -> UUID:
        """The id in the path. Raises NotFound where it is none: nothing can be there."""
        try:
            return UUID(self.event["pathParameters"][name])
        except ValueError:
            raise NotFound from None

    @property
    def sent(self) -> bytes:
        """The body as it was sent, to the byte: what is signed. Raises BodyTooLarge and MalformedJson."""
        return _sent_body(self.event)

    def sent_headers(self) -> dict[str, str]:
        """Those of the headers that the route declares which came."""
        return {name: value for name in sorted(self.headers) if (value := self._header(name)) is not None}

    @cached_property
    def key(self) -> Key | None:
        """The Idempotency-Key with what was sent under it. Raises BadIdempotencyKey and MalformedJson."""
        key = self._header("idempotency-key")
        if key is None:
            return None
        sent = raw_body(self.event)
        try:
            # A CSV is its own canonical form.
            body = hashlib.sha256(sent).hexdigest() if is_csv(self.event) else from_json(sent or b"null")
        except ValueError:
            raise MalformedJson from None
        path, query = self.event.get("pathParameters"), self.event.get("queryStringParameters")
        return idempotency.key_of(self.event["routeKey"], key, path, query, body)

    def once(self, tx: Transaction, run: Callable[[], Answer]) -> Answer:
        """The answer of `run`, done and stored once for the call's Idempotency-Key; without a key just done."""
        if self.key is None:
            return run()
        idempotency.claim(tx, self.key)
        answer = run()
        idempotency.keep(tx, self.key, Kept(answer.status, answer.headers, answer.text()))
        return answer

    def version(self) -> int:
        """The version in If-Match. Raises VersionRequired without one; what is no version of ours matches none."""
        if_match = self._header("if-match")
        if if_match is None:
            raise VersionRequired
        version = re.fullmatch(r'"(\d{1,9})"', if_match.strip())
        return int(version[1]) if version else -1

    def _header(self, name: str) -> str | None:
        if name not in self.headers:
            raise LookupError(f"the route does not declare the header {name}")
        return self.event["headers"].get(name)


@dataclass(frozen=True)
class Route:
    """One route as declared: who may call it, what it takes and what it does."""

    roles: frozenset[str]
    body: type[Input]
    query: type[Input]
    answers: Any
    headers: frozenset[str]
    needs_key: bool
    files: Mapping[str, Any]
    csv: bool
    run: Callable[[Call[Any, Any]], Answer]


class Api:
    """The routes of one function, and the Lambda handler that serves them."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}

    def route(
        self,
        key: str,
        *,
        roles: frozenset[str],
        body: type[BodyT] = Nothing,
        query: type[QueryT] = Nothing,
        answers: Any = None,
        headers: frozenset[str] = frozenset(),
        needs_key: bool = False,
        files: Mapping[str, Any] = NO_FILES,
        csv: bool = False,
    ) -> Callable[[Callable[[Call[BodyT, QueryT]], Answer]], Callable[[Call[BodyT, QueryT]], Answer]]:
        """Declares a route by API Gateway's key for it, as in `GET /leads/{lead_id}`.

        `headers` are those that it takes: IF_MATCH for `version`, IDEMPOTENCY_KEY for `once`; one that `needs_key` is
        not called without the latter. The others are for the API's document: `answers` is the type of a good answer's
        body, `csv` says that it may be a CSV as well, and `files` are the types, by content-type, of a body that the
        route reads by itself.
        """
        taken = headers | IDEMPOTENCY_KEY if needs_key else headers

        def declare(run: Callable[[Call[BodyT, QueryT]], Answer]) -> Callable[[Call[BodyT, QueryT]], Answer]:
            self.routes[key] = Route(roles, body, query, answers, taken, needs_key, files, csv, run)
            return run

        return declare

    def __call__(self, event: Event, context: object) -> dict[str, Any]:
        """Answers one event. Whatever goes wrong becomes a problem (RFC 9457), and one line in the log."""
        del context
        started = time.perf_counter()
        request_id: str = event["requestContext"]["requestId"]
        with logger.append_context_keys(correlation_id=request_id, route=event["routeKey"], **_ids(event)):
            code = None
            try:
                answer = _written(self._run(event))
            except LeadlineError as error:
                answer, code = _problem(error), error.code
            # Everything is caught at this edge, as events.py does at its own: what reaches the runtime would be logged
            # with its message, and a message of the database or of a parser repeats names and numbers.
            except Exception as bug:
                logger.error("bug", extra=_without_values(bug))
                answer, code = _problem(InternalError()), InternalError.code
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            logger.info("answered", extra={"status": answer.status, "code": code, "milliseconds": milliseconds})
        headers = {"content-type": "application/json", "x-request-id": request_id, **answer.headers}
        return {"statusCode": answer.status, "headers": headers, "body": answer.text()}

    def _run(self, event: Event) -> Answer:
        route = self.routes[event["routeKey"]]
        caller = None
        if route.roles:
            caller = _caller(event)
            if caller.role not in route.roles:
                raise Forbidden
        if route.needs_key and "idempotency-key" not in event["headers"]:
            raise IdempotencyKeyRequired
        query = _validated(lambda: route.query.model_validate(event.get("queryStringParameters") or {}))
        body, raw = Nothing(), raw_body(event)
        if route.body is not Nothing:
            body = _validated(lambda: route.body.model_validate_json(raw))
            if caller is not None and (reason := getattr(body, "change_reason", None)):
                caller = replace(caller, change_reason=reason)
        call = Call(body, query, event, caller, route.headers)
        try:
            return route.run(call)
        except KeyTaken:
            return _kept(call)


def _ids(event: Event) -> dict[str, str]:
    """What the log says of a request: tenant, organization, member and the ids in the path, and no other text of it."""
    claims = _claims(event)
    named: dict[str, str] = {
        "tenant_id": claims.get("custom:tenant_id", ""),
        "organization_id": claims.get("custom:organization_id", ""),
        "subject": claims.get("sub", ""),
        **(event.get("pathParameters") or {}),
    }
    return {name: value for name, value in named.items() if _is_id(value)}


def _is_id(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


def _claims(event: Event) -> dict[str, str]:
    return event["requestContext"].get("authorizer", {}).get("jwt", {}).get("claims", {})


def _caller(event: Event) -> Caller:
    claims = _claims(event)
    try:
        tenant_id, organization_id = UUID(claims["custom:tenant_id"]), UUID(claims["custom:organization_id"])
        subject, role = claims["sub"], claims["custom:role"]
    except (KeyError, ValueError):
        raise Unauthorized from None
    if role not in ROLES or not subject or "\0" in subject:
        raise Unauthorized
    http = event["requestContext"]["http"]
    return Caller(
        tenant_id,
        organization_id,
        subject,
        role,
        ip_address=http["sourceIp"],
        user_agent=_header(event, "user-agent"),
        change_reason=_header(event, "x-change-reason"),
        trigger_type="manual",
    )


def _header(event: Event, name: str) -> str | None:
    """A header to be kept in history: trimmed, cut, and without what PostgreSQL cannot store."""
    text = event["headers"].get(name, "").replace("\0", "").encode(errors="replace").decode()
    return text.strip()[:LONGEST_HEADER_KEPT] or None


def raw_body(event: Event) -> bytes:
    """The body without a byte order mark. Raises BodyTooLarge and MalformedJson."""
    return _sent_body(event).removeprefix(b"\xef\xbb\xbf")


def _sent_body(event: Event) -> bytes:
    """The body as it was sent, to the byte."""
    body = event.get("body") or ""
    # Base64 is a third longer than what it carries; either way nothing over the limit is decoded or parsed.
    if len(body) > LARGEST_BODY * (4 / 3 if event.get("isBase64Encoded") else 1) + 4:
        raise BodyTooLarge
    try:
        raw = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    except ValueError:
        raise MalformedJson from None
    if len(raw) > LARGEST_BODY:
        raise BodyTooLarge
    return raw


def is_csv(event: Event) -> bool:
    """Whether the body says of itself that it is a CSV."""
    return event["headers"].get("content-type", "").lower().startswith("text/csv")


def _kept(call: Call[Any, Any]) -> Answer:
    """What the key was answered before."""
    if call.key is None:
        raise LookupError("only a key that was sent can be taken")
    with tenant_transaction(call.caller) as tx:
        kept = idempotency.find(tx, call.key)
    return Answer(kept.body, kept.status, kept.headers)


def _validated(validate: Callable[[], BodyT]) -> BodyT:
    try:
        return validate()
    except ValidationError as refused:
        errors = refused.errors(include_input=False, include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            raise MalformedJson from None
        raise Invalid(
            [FieldError(_pointer(error["loc"]), code_of(error["type"]), error["msg"]) for error in errors]
        ) from None


def _pointer(location: tuple[int | str, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _written(answer: Answer) -> Answer:
    """The answer with its body as text. Raises AnswerTooLarge: Lambda would fail with what a function cannot return."""
    text = answer.text()
    # It goes out as a JSON string. Only a text this long is measured: a character takes four bytes at most.
    if len(text) * 4 > LARGEST_ANSWER and len(text.encode()) + text.count('"') + text.count("\\") > LARGEST_ANSWER:
        raise AnswerTooLarge
    return replace(answer, body=text)


@dataclass(frozen=True)
class Problem:
    """What went wrong (RFC 9457): our stable code, and the fields at fault."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError]


def _problem(error: LeadlineError) -> Answer:
    title = error.code.replace("_", " ").capitalize()
    problem = Problem(f"urn:leadline:problem:{error.code}", title, error.status, error.code, error.detail, error.errors)
    body = {**vars(problem), **error.members} if error.members else problem
    return Answer(body, error.status, {"content-type": "application/problem+json"})


def _without_values(bug: Exception) -> dict[str, Any]:
    """Where a bug struck and of which kind, without any message: messages repeat names and numbers."""
    frames = traceback.extract_tb(bug.__traceback__)
    seen: dict[str, Any] = {
        "exception": type(bug).__qualname__,
        "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    if isinstance(bug, psycopg.Error):
        seen |= {"sqlstate": bug.sqlstate, "constraint": bug.diag.constraint_name, "table": bug.diag.table_name}
    return seen
