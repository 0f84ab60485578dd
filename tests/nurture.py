"""Templates, sequences and enrollments, as tests make them again and again."""

import itertools
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from functions.enrollments_api.app import handler as enrollments
from functions.sequence_actions_api.app import handler as actions
from functions.sequences_api.app import handler as sequences
from functions.templates_api.app import handler as templates
from leadline import config
from leadline.db import tenant_transaction
from leadline.nurture.enrollments import enroll_triggered
from tests.calling import Caller, Reply, caller
from tests.conftest import Customer

TEMPLATE = {"template_id": "welcome_sms", "channel": "sms", "name": "Welcome", "body": "Hi {{first_name|there}}"}
EMAIL = {
    "template_id": "welcome_email",
    "channel": "email",
    "name": "Welcome",
    "subject": "Hi {{first_name|there}}",
    "body": "Dear {{full_name|reader}}",
}
STEP = {"step": 1, "delay_days": 0, "channel": "sms", "template_id": "welcome_sms", "conditions": {}}
_numbers = itertools.count()


def steps(*delays: int, **step: Any) -> list[dict[str, Any]]:
    """SMS steps with these delays in days."""
    return [STEP | step | {"step": place, "delay_days": days} for place, days in enumerate(delays, 1)]


def make_template(member: Caller, **fields: Any) -> Reply:
    return member.ask(templates, "POST /templates", body=TEMPLATE | fields)


def change_template(member: Caller, template_id: str, version: int, **fields: Any) -> Reply:
    path, headers = {"template_id": template_id}, {"if-match": f'"{version}"'}
    return member.ask(templates, "PATCH /templates/{template_id}", path=path, headers=headers, body=fields)


def preview(member: Caller, template_id: str, lead: dict[str, Any]) -> Reply:
    path, body = {"template_id": template_id}, {"lead_id": lead["id"]}
    return member.ask(templates, "POST /templates/{template_id}/preview", path=path, body=body)


def make_sequence(member: Caller, **fields: Any) -> Reply:
    return member.ask(sequences, "POST /sequences", body={"name": "Welcome", **fields})


def change_sequence(member: Caller, sequence: dict[str, Any], version: int | None = None, **fields: Any) -> Reply:
    path, headers = {"sequence_id": sequence["id"]}, {"if-match": f'"{version}"'} if version else {}
    return member.ask(sequences, "PATCH /sequences/{sequence_id}", path=path, headers=headers, body=fields)


def of_sequence(member: Caller, sequence: dict[str, Any], what: str = "", **query: Any) -> Reply:
    """The sequence, its versions or its stats."""
    handler = actions if what == "stats" else sequences
    route = "GET /sequences/{sequence_id}" + (f"/{what}" if what else "")
    return member.ask(handler, route, path={"sequence_id": sequence["id"]}, query=query)


def enroll(member: Caller, sequence: dict[str, Any], *leads: dict[str, Any], **fields: Any) -> Reply:
    body = fields or {"lead_ids": [lead["id"] for lead in leads]}
    path = {"sequence_id": sequence["id"]}
    return member.ask(actions, "POST /sequences/{sequence_id}/enrollments", path=path, body=body)


def resume_all(member: Caller, sequence: dict[str, Any], pause_reason: str) -> Reply:
    path, body = {"sequence_id": sequence["id"]}, {"pause_reason": pause_reason}
    return member.ask(actions, "POST /sequences/{sequence_id}/resume", path=path, body=body)


def listed(member: Caller, **query: Any) -> list[dict[str, Any]]:
    reply = member.ask(enrollments, "GET /enrollments", query=query)
    assert reply.status == 200, reply.body
    return reply.body["items"]


def read(member: Caller, enrollment_id: str) -> Reply:
    return member.ask(enrollments, "GET /enrollments/{enrollment_id}", path={"enrollment_id": enrollment_id})


def steer(member: Caller, what: str, enrollment_id: str, reason: str = "because") -> Reply:
    route = f"POST /enrollments/{{enrollment_id}}/{what}"
    return member.ask(enrollments, route, path={"enrollment_id": enrollment_id}, body={"reason": reason})


def a_template(organization: Customer, **fields: Any) -> dict[str, Any]:
    """A new template with a name of its own."""
    name = {"template_id": f"template_{next(_numbers)}"}
    reply = make_template(caller(organization, "admin"), **name | fields)
    assert reply.status == 201, reply.body
    return reply.body


def a_sequence(organization: Customer, *delays: int, **fields: Any) -> dict[str, Any]:
    """An active sequence of SMS, after these days each; one at once unless told."""
    template = a_template(organization)["template_id"]
    given = {"active": True, "steps": steps(*(delays or (0,)), template_id=template)} | fields
    reply = make_sequence(caller(organization, "admin"), **given)
    assert reply.status == 201, reply.body
    return reply.body


def an_enrollment(organization: Customer, lead: dict[str, Any], *delays: int, paused: bool = False) -> dict[str, Any]:
    """An enrollment of the lead in a sequence of its own."""
    member = caller(organization, "admin")
    reply = enroll(member, a_sequence(organization, *delays), lead)
    assert reply.status == 200, reply.body
    enrollment_id = reply.body["items"][0]["enrollment_id"]
    if paused:
        assert steer(member, "pause", enrollment_id).status == 200
    return read(member, enrollment_id).body["enrollment"]


def a_segment(organization: Customer, **filter_: Any) -> str:
    """The id of a segment that everybody sees; all leads unless told."""
    with tenant_transaction(organization.caller("admin")) as tx:
        made = tx.execute(
            "insert into segments (name, filter, is_public) values ('Some', %(filter)s, true) returning id",
            {"filter": Jsonb(filter_)},
        )
        return str(made.fetchall()[0]["id"])


def decide(organization: Customer, key: str, value: Any) -> None:
    with tenant_transaction(organization.caller("admin")) as tx:
        config.put(tx, key, config.NewValue(value=value))


def run_triggers(organization: Customer, now: datetime | None = None) -> int:
    """Does what the worker does with what has happened to leads."""
    with tenant_transaction(organization.caller(None)) as tx:
        return enroll_triggered(tx, config.read(tx), now or datetime.now(UTC))
