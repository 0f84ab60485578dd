"""Plays a whole call through the running suite, as the call system would: authorized, started and completed."""

import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import boto3
import psycopg
from psycopg.rows import dict_row

from local import tokens
from local.suite import Running
from local.template import ACCOUNT, REGION

PATIENCE = 30  # seconds until the timeline must tell the call
MOST = "1.00"  # that the call may cost
COST = "0.0300"


class CallError(Exception):
    """The call could not be played; the message is for a person."""


@dataclass(frozen=True)
class Party:
    """A lead, and tokens of its organization: of the dialer, and of somebody who may read."""

    lead_id: str
    number: str
    tenant_id: str
    organization_id: str
    service: str
    reader: str


def find(data: Path, superuser: str, lead: str, **ids: str | None) -> Party:
    """The lead, where it is one of that tenant and organization (or of any). Raises CallError."""
    with psycopg.connect(superuser, row_factory=dict_row) as conn:
        row = conn.execute(
            """
            select phone_number, tenant_id::text, organization_id::text from leads
            where id = %(lead)s and deleted_at is null
                and tenant_id = coalesce(%(tenant)s, tenant_id) and organization_id = coalesce(%(org)s, organization_id)
            """,
            {"lead": lead, **ids},
        ).fetchone()
    if row is None:
        raise CallError(f"There is no lead {lead}. The README names some of the sample data.")
    signed: list[str] = []
    for role in ("service", "admin"):
        claims = tokens.find_claims(superuser, role, tenant=row["tenant_id"], org=row["organization_id"], member=None)
        if claims is None:
            raise CallError(f"The lead's organization has no active member in the role {role}.")
        signed.append(tokens.sign(data, claims))
    return Party(lead, row["phone_number"], row["tenant_id"], row["organization_id"], *signed)


def play(running: Running, party: Party, outcome: str) -> None:
    """Asks the gate, reports the call through the real queue, and prints the timeline that tells it."""
    decision = _authorized(running, party)
    call = {
        "id": f"call-{uuid.uuid4()}",
        "lead_id": party.lead_id,
        "to": party.number,
        "direction": "outbound",
        "voice": "artificial",
        "decision_id": decision["decision_id"],
        "hold_id": decision["hold_id"],
    }
    began = time.monotonic()
    _send(running, party, "call.started", call)
    time.sleep(1)
    ended = {"duration_seconds": round(time.monotonic() - began), "cost_usd": COST, "outcome": outcome}
    _send(running, party, "call.completed", {**call, **ended})
    print(f"Call {call['id']} is reported; outcome {outcome}, cost {COST}.")
    for item in _told(running, party, call["id"]):
        told = ", ".join(
            f"{name} {value}" for name, value in item.items() if name not in ("at", "kind", "id") and value
        )
        print(f"{item['at'][:19]}  {item['kind']:<10}  {told}")


def _authorized(running: Running, party: Party) -> dict[str, Any]:
    """The gate's decision. Outside the hours the clock of the request is set to when they begin: here it may be."""
    decision = _authorize(running, party)
    if not decision["allowed"] and decision["next_allowed_at"]:
        print(f"Not allowed now ({_reasons(decision)}); asked again as of {decision['next_allowed_at']}.")
        decision = _authorize(running, party, at=decision["next_allowed_at"])
    if not decision["allowed"]:
        raise CallError(f"The gate does not allow the call: {_reasons(decision)}")
    print(f"Allowed by decision {decision['decision_id']} until {decision['valid_until']}.")
    return decision


def _authorize(running: Running, party: Party, **clock: str) -> dict[str, Any]:
    asked = {"lead_id": party.lead_id, "channel": "call", "voice": "artificial", "max_cost": MOST, **clock}
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
    return _ask(f"{running.url}/calls/authorize", party.service, json.dumps(asked).encode(), headers)


def _reasons(decision: dict[str, Any]) -> str:
    return "; ".join(f"{reason['code']}: {reason['detail']}" for reason in decision["reasons"])


def _ask(url: str, token: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    request = Request(url, body, {**(headers or {}), "Authorization": f"Bearer {token}"})  # noqa: S310 - our own suite
    try:
        with urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return json.load(answer)
    except HTTPError as refused:
        with refused:
            told = refused.read().decode(errors="replace")
        raise CallError(f"{request.get_method()} {request.selector} answers {refused.code}: {told}") from None
    except URLError as error:
        raise CallError(f"Leadline does not answer at {request.host}: {error.reason}. Start it: make run") from None


def _send(running: Running, party: Party, type_: str, call: dict[str, Any]) -> None:
    message = {
        "id": str(uuid.uuid4()),
        "type": type_,
        "occurred_at": datetime.now(UTC).isoformat(),
        "tenant_id": party.tenant_id,
        "organization_id": party.organization_id,
        "call": call,
    }
    keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    sqs = boto3.client("sqs", endpoint_url=running.aws, region_name=REGION, **keys)
    sqs.send_message(QueueUrl=f"{running.aws}/{ACCOUNT}/CallEventsQueue", MessageBody=json.dumps(message))
    sqs.close()


def _told(running: Running, party: Party, call_id: str) -> list[dict[str, Any]]:
    """The lead's timeline, once the whole call stands in it."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        items = _ask(f"{running.url}/leads/{party.lead_id}/timeline", party.reader)["items"]
        if any(item.get("call_id") == call_id and item.get("status") == "completed" for item in items):
            return items
        time.sleep(0.2)
    raise CallError(
        f"The timeline does not tell the call after {PATIENCE} s; see {running.logs}/call_events_worker.log"
    )
