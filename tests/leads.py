"""Calls about leads, as tests make them again and again."""

from functions.lead_actions_api.app import handler as actions
from functions.lead_history_api.app import handler as history
from functions.leads_api.app import handler
from leadline import dnc
from leadline.db import Caller, tenant_transaction
from tests.calling import Reply

NUMBER = "+14155550142"


def create(member, **fields) -> Reply:
    return member.ask(handler, "POST /leads", body={"phone_number": NUMBER, **fields})


def get(member, lead) -> Reply:
    return member.ask(handler, "GET /leads/{lead_id}", path={"lead_id": lead["id"]})


def change(member, lead, version=None, **fields) -> Reply:
    headers = {"if-match": f'"{version or lead["version"]}"'}
    path = {"lead_id": lead["id"]}
    return member.ask(handler, "PATCH /leads/{lead_id}", path=path, headers=headers, body=fields)


def delete(member, lead, version=None, **headers) -> Reply:
    headers = {"if-match": f'"{version or lead["version"]}"', **headers}
    return member.ask(handler, "DELETE /leads/{lead_id}", path={"lead_id": lead["id"]}, headers=headers)


def restore(member, lead) -> Reply:
    return member.ask(actions, "POST /leads/{lead_id}/restore", path={"lead_id": lead["id"]})


def add_tag(member, lead, tag) -> Reply:
    return member.ask(actions, "PUT /leads/{lead_id}/tags/{tag}", path={"lead_id": lead["id"], "tag": tag})


def remove_tag(member, lead, tag) -> Reply:
    return member.ask(actions, "DELETE /leads/{lead_id}/tags/{tag}", path={"lead_id": lead["id"], "tag": tag})


def page(member, **query) -> Reply:
    return member.ask(handler, "GET /leads", query={name: str(value) for name, value in query.items()})


def of_lead(member, what, lead, **query) -> Reply:
    """Its audit, status-history or timeline."""
    return member.ask(history, f"GET /leads/{{lead_id}}/{what}", path={"lead_id": lead["id"]}, query=query)


def audit(member, lead) -> list[dict]:
    reply = of_lead(member, "audit", lead)
    assert reply.status == 200
    return reply.body["items"]


def list_number(organization, number=NUMBER) -> None:
    with tenant_transaction(Caller(organization.tenant_id, organization.organization_id)) as tx:
        dnc.lock_number(tx, number)
        dnc.add(tx, number, reason="complaint", source="test")
