"""HTTP: leads."""

from typing import Literal

from leadline import leads
from leadline.api import PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.inputs import Input
from leadline.leads import Lead, LeadChange, LeadQuery, NewLead
from leadline.pages import PageQuery

handler = Api()


class CreateQuery(Input):
    """What to do where the number has a lead already: refuse (the default), or update that lead."""

    on_duplicate: Literal["refuse", "update"] = "refuse"


def _answer(lead: Lead, status: int = 200) -> Answer:
    headers = {"etag": f'"{lead.version}"'}
    if status == 201:
        headers["location"] = f"/leads/{lead.id}"
    return Answer(lead, status, headers)


@handler.route("POST /leads", roles=PEOPLE, body=NewLead, query=CreateQuery)
def create(call: Call[NewLead, CreateQuery]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        lead, is_new = leads.create(tx, call.body, update_duplicate=call.query.on_duplicate == "update")
    return _answer(lead, 201 if is_new else 200)


@handler.route("GET /leads", roles=PEOPLE, query=LeadQuery)
def page(call: Call[Nothing, LeadQuery]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.page(tx, call.query))


@handler.route("GET /leads/{lead_id}", roles=PEOPLE)
def get(call: Call[Nothing, Nothing]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return _answer(leads.get(tx, call.id("lead_id")))


@handler.route("PATCH /leads/{lead_id}", roles=PEOPLE, body=LeadChange)
def change(call: Call[LeadChange, Nothing]) -> Answer:
    version = call.version()
    with tenant_transaction(call.caller) as tx:
        return _answer(leads.change(tx, call.id("lead_id"), call.body, version))


@handler.route("GET /leads/{lead_id}/audit", roles=PEOPLE, query=PageQuery)
def audit(call: Call[Nothing, PageQuery]) -> Answer:
    with tenant_transaction(call.caller) as tx:
        return Answer(leads.audit(tx, call.id("lead_id"), call.query))
