"""HTTP: the leads of segments, and of filters that are tried, as they are at the moment of the call."""

from datetime import UTC, datetime

from leadline import segments
from leadline.api import ADMINS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.leads import CountedPage, Lead
from leadline.pages import Page, PageQuery
from leadline.segments import Count, CountQuery, Recount, Sought

handler = Api()


@handler.route("POST /segments/preview", roles=PEOPLE, body=Sought, query=PageQuery, answers=CountedPage)
def preview(call: Call[Sought, PageQuery]) -> Answer:
    """The leads of a filter, newest first, and how many there are."""
    with tenant_transaction(call.caller) as tx:
        return Answer(segments.preview(tx, call.body, call.query, datetime.now(UTC)))


@handler.route("GET /segments/{segment_id}/leads", roles=PEOPLE, query=PageQuery, answers=Page[Lead])
def leads(call: Call[Nothing, PageQuery]) -> Answer:
    """The leads of a segment, newest first."""
    with tenant_transaction(call.caller) as tx:
        segment_id, sees_all = call.id("segment_id"), call.caller.role in ADMINS
        return Answer(segments.leads_of(tx, segment_id, call.query, datetime.now(UTC), sees_all=sees_all))


@handler.route("GET /segments/{segment_id}/count", roles=PEOPLE, query=CountQuery, answers=Count)
def count(call: Call[Nothing, CountQuery]) -> Answer:
    """How many leads a segment has, counted now, or with `cached=true` as it was counted last."""
    cached, sees_all = call.query.cached, call.caller.role in ADMINS
    with tenant_transaction(call.caller) as tx:
        found = segments.count(tx, call.id("segment_id"), datetime.now(UTC), cached=cached, sees_all=sees_all)
    return Answer(found)


@handler.route("POST /segments/recount", roles=PEOPLE, answers=Recount)
def recount(call: Call[Nothing, Nothing]) -> Answer:
    """Counts all segments that the caller sees, longest waiting first, as far as the time of a call goes."""
    return Answer(segments.recount(call.caller, datetime.now(UTC), sees_all=call.caller.role in ADMINS))
