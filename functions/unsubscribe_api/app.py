"""HTTP: the page behind an email's unsubscribe link. Reading it does nothing, for scanners follow links (RFC 8058)."""

from contextlib import suppress
from datetime import UTC, datetime

from leadline import links
from leadline.api import PUBLIC, Answer, Api, Call, Nothing
from leadline.db import Caller, tenant_transaction
from leadline.errors import NotAMember
from leadline.nurture import pages, unsubscribing

handler = Api()


@handler.route("GET /unsubscribe/{token}", roles=PUBLIC)
def show(call: Call[Nothing, Nothing]) -> Answer:
    """Who the emails are from, and a button; 404 for what is no link of ours."""
    if told := links.find_unsubscribe(call.event["pathParameters"]["token"]):
        with suppress(NotAMember), tenant_transaction(Caller(told.tenant_id, told.organization_id)) as tx:
            return Answer(pages.ask(unsubscribing.organization_name(tx)), headers=pages.HEADERS)
    return Answer(pages.no_link(), 404, pages.HEADERS)


@handler.route("POST /unsubscribe/{token}", roles=PUBLIC)
def act(call: Call[Nothing, Nothing]) -> Answer:
    """Stops email to the link's address, at the page's button or at the mail program's; again, it changes nothing."""
    if told := links.find_unsubscribe(call.event["pathParameters"]["token"]):
        with suppress(NotAMember), tenant_transaction(Caller(told.tenant_id, told.organization_id)) as tx:
            unsubscribing.unsubscribe(tx, told.address, datetime.now(UTC))
            return Answer(pages.done(unsubscribing.organization_name(tx)), headers=pages.HEADERS)
    return Answer(pages.no_link(), 404, pages.HEADERS)
