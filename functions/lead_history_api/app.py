"""HTTP: what has happened to a lead."""

from leadline import leads
from leadline.api import PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.leads import AuditEntry, StatusChange, TimelineItem
from leadline.pages import Page, PageQuery

handler = Api()


@handler.route("GET /leads/{lead_id}/audit", roles=PEOPLE, query=PageQuery, answers=Page[AuditEntry])
def audit(call: Call[Nothing, PageQuery]) -> Answer:
    """Every changed field, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.audit(tx, call.id("lead_id"), call.query))


@handler.route("GET /leads/{lead_id}/status-history", roles=PEOPLE, query=PageQuery, answers=Page[StatusChange])
def status_history(call: Call[Nothing, PageQuery]) -> Answer:
    """Every status, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.status_history(tx, call.id("lead_id"), call.query))


@handler.route("GET /leads/{lead_id}/timeline", roles=PEOPLE, query=PageQuery, answers=Page[TimelineItem])
def timeline(call: Call[Nothing, PageQuery]) -> Answer:
    """All that happened to the lead, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.timeline(tx, call.id("lead_id"), call.query))
