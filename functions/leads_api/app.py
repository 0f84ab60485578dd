"""HTTP: leads."""

from leadline import leads
from leadline.api import IDEMPOTENCY_KEY, IF_MATCH, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import Transaction, tenant_transaction
from leadline.leads import CountedPage, CreateQuery, Lead, LeadChange, LeadQuery, NewLead
from leadline.pages import Page

ASSIGNERS = MANAGERS

handler = Api()


@handler.route("POST /leads", roles=PEOPLE, body=NewLead, query=CreateQuery, answers=Lead, headers=IDEMPOTENCY_KEY)
def create(call: Call[NewLead, CreateQuery]) -> Answer:
    """A new lead; a number in any usual spelling is enough."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: _create(tx, call))


def _create(tx: Transaction, call: Call[NewLead, CreateQuery]) -> Answer:
    update = call.query.on_duplicate == "update"
    lead, is_new = leads.create(tx, call.body, update_duplicate=update, may_assign=call.caller.role in ASSIGNERS)
    headers = {"etag": lead.etag, "location": f"/leads/{lead.id}"} if is_new else {"etag": lead.etag}
    return Answer(lead, 201 if is_new else 200, headers)


@handler.route("GET /leads", roles=PEOPLE, query=LeadQuery, answers=CountedPage | Page[Lead])
def page(call: Call[Nothing, LeadQuery]) -> Answer:
    """Leads by filters, in an order, page by page."""
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.page(tx, call.query))


@handler.route("GET /leads/{lead_id}", roles=PEOPLE, answers=Lead)
def get(call: Call[Nothing, Nothing]) -> Answer:
    """One lead, with its version as ETag."""
    with tenant_transaction(call.caller) as tx:
        lead = leads.get(tx, call.id("lead_id"))
    return Answer(lead, headers={"etag": lead.etag})


@handler.route("PATCH /leads/{lead_id}", roles=PEOPLE, body=LeadChange, answers=Lead, headers=IF_MATCH)
def change(call: Call[LeadChange, Nothing]) -> Answer:
    """Changes the fields that are given, of the version in If-Match."""
    version = call.version()
    with tenant_transaction(call.caller) as tx:
        lead = leads.change(tx, call.id("lead_id"), call.body, version, may_assign=call.caller.role in ASSIGNERS)
    return Answer(lead, headers={"etag": lead.etag})


@handler.route("DELETE /leads/{lead_id}", roles=PEOPLE, headers=IF_MATCH)
def delete(call: Call[Nothing, Nothing]) -> Answer:
    """Deletes the version in If-Match; the row and its history stay."""
    version = call.version()
    with tenant_transaction(call.caller) as tx:
        leads.delete(tx, call.id("lead_id"), version)
    return Answer(None, 204)
