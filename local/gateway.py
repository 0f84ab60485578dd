"""The HTTP front, in the place of API Gateway's HTTP API: routes, JWT authorizer, payload format 2.0."""

import base64
import json
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from werkzeug.exceptions import HTTPException, InternalServerError, Unauthorized
from werkzeug.routing import Map, Rule
from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from local import tokens
from local.runtime import FunctionError
from local.template import ACCOUNT

TEXT = re.compile(r"text/.*|application/(json|xml|javascript)")  # other bodies reach a function in base64
UNAUTHORIZED = {"type": "urn:leadline:problem:unauthorized", "title": "Unauthorized", "status": 401, "errors": []}
UNAUTHORIZED |= {"code": "unauthorized", "message": "Unauthorized"}  # `message` is API Gateway's, the rest is ours


class Connection(WSGIRequestHandler):
    """A client's connection; says of each request what was asked, without the query, and how it was answered."""

    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        del size
        print(*self.requestline.partition("?")[0].split()[:2], int(code), flush=True)


class Gateway:
    """A WSGI application; `data` is the folder with the key of its tokens."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.routes = Map(merge_slashes=False)

    def add(self, route: dict[str, Any], invoke: Callable[[Any], Any]) -> None:
        """Serve an HttpApi event of the template; the Map prefers the literal to {variable}, and this to {proxy+}."""
        key = f"{route['Method']} {route['Path']}"
        public = route.get("Auth", {}).get("Authorizer") == "NONE"
        rule = re.sub(r"\{(\w+)\}", r"<string:\1>", re.sub(r"\{(\w+)\+\}", r"<path:\1>", route["Path"]))
        # The method as part of the path: a Map told of methods would take HEAD for GET, and API Gateway does not.
        self.routes.add(Rule(f"/{route['Method']}{rule}", endpoint=(key, public, invoke)))

    @Request.application
    def __call__(self, request: Request) -> Response:
        try:
            return self._answer(request)
        except HTTPException as error:
            return error.response or _json(error.code, {"message": error.name})

    def _answer(self, request: Request) -> Response:
        (key, public, invoke), variables = self.routes.bind("").match(f"/{request.method}{request.path}")
        request.max_content_length = 10 * 1024 * 1024  # API Gateway's
        event = _event(request, key, variables)
        if not public:
            event["requestContext"]["authorizer"] = {"jwt": {"claims": self._claims(request), "scopes": None}}
        try:
            returned = invoke(event)
        except FunctionError:
            raise InternalServerError from None
        body = returned.get("body") or ""
        content = base64.b64decode(body) if returned.get("isBase64Encoded") else body
        response = Response(content, returned["statusCode"], returned.get("headers"))
        for cookie in returned.get("cookies", []):
            response.headers.add("set-cookie", cookie)
        return response

    def _claims(self, request: Request) -> dict[str, str]:
        """The verified claims, as text like API Gateway's."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            claims = tokens.verify(self.data, token)
        except jwt.InvalidTokenError as error:
            problem = UNAUTHORIZED | {"detail": str(error) if token else "a bearer token is required"}
            headers = {"content-type": "application/problem+json", "www-authenticate": "Bearer"}
            raise Unauthorized(response=_json(401, problem, headers)) from None
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in claims.items()}


def _json(status: int | None, members: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(members), status, headers or {"content-type": "application/json"})


def _event(request: Request, key: str, variables: dict[str, str]) -> dict[str, Any]:
    """The request in payload format 2.0, where what a request lacks is absent."""
    now = datetime.now(UTC)
    headers = {name.lower(): value for name, value in request.headers.items()}
    cookies = headers.pop("cookie", "")
    body, is_base64 = _text_or_base64(request.get_data(), request.mimetype)
    optional = {
        "cookies": cookies.split("; ") if cookies else None,
        "queryStringParameters": {name: ",".join(values) for name, values in request.args.lists()},
        "pathParameters": variables,
        "body": body,
    }
    return {
        "version": "2.0",
        "routeKey": key,
        "rawPath": request.path,
        "rawQueryString": request.query_string.decode(errors="replace"),
        "headers": {**headers, "x-forwarded-for": request.remote_addr, "x-forwarded-proto": "http"},
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": request.host.partition(".")[0],
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": request.environ["SERVER_PROTOCOL"],
                "sourceIp": request.remote_addr,
                "userAgent": request.user_agent.string,
            },
            "requestId": str(uuid.uuid4()),
            "routeKey": key,
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
            "timeEpoch": int(now.timestamp() * 1000),
        },
        "isBase64Encoded": is_base64,
        **{name: value for name, value in optional.items() if value},
    }


def _text_or_base64(body: bytes, kind: str) -> tuple[str, bool]:
    if not body or TEXT.fullmatch(kind):
        with suppress(UnicodeDecodeError):
            return body.decode(), False
    return base64.b64encode(body).decode(), True
