"""HTTP: saved segments. Public ones are for the organization to read; its maker changes a segment, or an admin."""

from leadline import segments
from leadline.api import ADMINS, IDEMPOTENCY_KEY, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.pages import Page, PageQuery
from leadline.segments import NewSegment, Segment, SegmentChange

handler = Api()


@handler.route("GET /segments", roles=PEOPLE, query=PageQuery, answers=Page[Segment])
def page(call: Call[Nothing, PageQuery]) -> Answer:
    """Public segments and the caller's own, newest first; an admin sees all."""
    with tenant_transaction(call.caller) as tx:
        return Answer(segments.page(tx, call.query, sees_all=call.caller.role in ADMINS))


@handler.route("POST /segments", roles=PEOPLE, body=NewSegment, answers=Segment, headers=IDEMPOTENCY_KEY)
def create(call: Call[NewSegment, Nothing]) -> Answer:
    """Keeps a filter under a name; it is the caller's."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: _created(segments.create(tx, call.body)))


def _created(segment: Segment) -> Answer:
    return Answer(segment, 201, {"location": f"/segments/{segment.id}"})


@handler.route("GET /segments/{segment_id}", roles=PEOPLE, answers=Segment)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One segment, with its last count."""
    with tenant_transaction(call.caller) as tx:
        return Answer(segments.get(tx, call.id("segment_id"), sees_all=call.caller.role in ADMINS))


@handler.route("PATCH /segments/{segment_id}", roles=PEOPLE, body=SegmentChange, answers=Segment)
def change(call: Call[SegmentChange, Nothing]) -> Answer:
    """Changes the fields that are given: the maker's to do, or an admin's."""
    with tenant_transaction(call.caller) as tx:
        segment_id, is_admin = call.id("segment_id"), call.caller.role in ADMINS
        return Answer(segments.change(tx, segment_id, call.body, is_admin=is_admin))


@handler.route("DELETE /segments/{segment_id}", roles=PEOPLE)
def delete(call: Call[Nothing, Nothing]) -> Answer:
    """Deletes a segment and no lead: the maker's to do, or an admin's."""
    with tenant_transaction(call.caller) as tx:
        segments.delete(tx, call.id("segment_id"), is_admin=call.caller.role in ADMINS)
    return Answer(None, 204)
