"""HTTP: what anybody may ask without a token."""

from pathlib import Path

from leadline.api import PUBLIC, Answer, Api, Call, Nothing
from leadline.db import fetch_one, system_transaction

HERE = Path(__file__).parent
PAGE = {
    "content-type": "text/html; charset=utf-8",
    # The page carries its scripts; it may ask this API, and nothing else.
    "content-security-policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}

handler = Api()


@handler.route("GET /health", roles=PUBLIC, answers=dict[str, str])
def health(call: Call[Nothing, Nothing]) -> Answer:
    """Ready means that the database answers."""
    del call
    with system_transaction() as tx:
        fetch_one(tx, "select 1 as answer", {})
    return Answer({"status": "ok"})


@handler.route("GET /openapi.json", roles=PUBLIC, answers=dict[str, object])
def document(call: Call[Nothing, Nothing]) -> Answer:
    """This document."""
    del call
    return Answer((HERE / "openapi.json").read_text())


@handler.route("GET /docs", roles=PUBLIC)
def docs(call: Call[Nothing, Nothing]) -> Answer:
    """The document as a page to read and to try, by Swagger UI as Powertools carries it."""
    del call
    # Imported here: only this page needs it, and it costs every other cold start 100 ms.
    from aws_lambda_powertools.event_handler.openapi import swagger_ui  # noqa: PLC0415

    assets = Path(swagger_ui.__file__).parent
    page = swagger_ui.generate_swagger_html(
        spec=(HERE / "openapi.json").read_text(),
        swagger_js=(assets / "swagger-ui-bundle.min.js").read_text(),
        swagger_css=(assets / "swagger-ui.min.css").read_text(),
        swagger_base_url="",
        oauth2_config=None,
        persist_authorization=False,
    )
    # Its own link to the document is for Powertools' resolver; ours has an address of its own.
    return Answer(page.replace('currentUrl.pathname + "?format=json"', '"/openapi.json"'), headers=PAGE)
