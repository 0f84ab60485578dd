"""HTTP: leads."""

from typing import Literal

from leadline import leads
from leadline.api import PEOPLE, Answer, Api, Call, Nothing
from leadline.db import Transaction, tenant_transaction
from leadline.inputs import Input
from leadline.leads import CountedPage, Lead, LeadChange, LeadQuery, NewLead
from leadline.pages import Page

handler = Api()


class CreateQuery(Input):
    """What to do where the number has a lead already: refuse (the default), or update that lead."""

    on_duplicate: Literal["refuse", "update"] = "refuse"


@handler.route("POST /leads", roles=PEOPLE, body=NewLead, query=CreateQuery, answers=Lead)
def create(call: Call[NewLead, CreateQuery]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: _create(tx, call))


def _create(tx: Transaction, call: Call[NewLead, CreateQuery]) -> Answer:
    lead, is_new = leads.create(tx, call.body, update_duplicate=call.query.on_duplicate == "update")
    headers = {"etag": lead.etag, "location": f"/leads/{lead.id}"} if is_new else {"etag": lead.etag}
    return Answer(lead, 201 if is_new else 200, headers)


@handler.route("GET /leads", roles=PEOPLE, query=LeadQuery, answers=CountedPage | Page[Lead])
def page(call: Call[Nothing, LeadQuery]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.page(tx, call.query))


@handler.route("GET /leads/{lead_id}", roles=PEOPLE, answers=Lead)
def get(call: Call[Nothing, Nothing]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        lead = leads.get(tx, call.id("lead_id"))
    return Answer(lead, headers={"etag": lead.etag})


@handler.route("PATCH /leads/{lead_id}", roles=PEOPLE, body=LeadChange, answers=Lead)
def change(call: Call[LeadChange, Nothing]) -> Answer:
    version = call.version()
    with tenant_transaction(call.caller) as tx:
        lead = leads.change(tx, call.id("lead_id"), call.body, version)
    return Answer(lead, headers={"etag": lead.etag})


@handler.route("DELETE /leads/{lead_id}", roles=PEOPLE)
def delete(call: Call[Nothing, Nothing]) -> Answer:
    version = call.version()
    with tenant_transaction(call.caller) as tx:
        leads.delete(tx, call.id("lead_id"), version)
    return Answer(None, 204)
