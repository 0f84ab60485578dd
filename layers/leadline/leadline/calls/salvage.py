"""What is heard of a message that cannot be taken in: a fault beside an opt-out must not lose the opt-out."""

from datetime import datetime
from hashlib import sha256
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from leadline.calls.folding import OPT_OUTS, heard_opt_out
from leadline.calls.inbox import as_kept
from leadline.calls.messages import AHEAD, Message, MessageStatus, adapter

OF_A_CALL = ("id", "lead_id", "to", "from", "direction")
OF_A_TEXT = ("id", "lead_id", "from", "channel", "text", "automatic")
MOST_ROUNDS = 20  # of faults; each takes a field away


def opt_out_in(body: str, now: datetime) -> Message | None:
    """A message that tells the opt-out in this one and nothing else, if there is one and it can be read.

    Its id is its own, made from the body: should the message come again mended, that is another one.
    """
    try:
        sent = from_json(body)
    except ValueError:
        return None
    if not isinstance(sent, dict):
        return None
    own_id = f"opt-out {sha256(body.encode()).hexdigest()[:32]}"
    wanted = _wanted(cast("dict[str, Any]", sent), own_id)
    for _ in range(MOST_ROUNDS):
        wanted.setdefault("occurred_at", now)
        wanted["message" if "message" in wanted else "call"].setdefault("id", own_id)
        try:
            message = adapter().validate_json(to_json(wanted))
        except ValidationError as refused:
            faults = [error["loc"][1:] for error in refused.errors(include_input=False, include_url=False)]
            taken_away = [_taken_away(wanted, fault) for fault in faults]
            if not any(taken_away):
                return None
            continue
        if message.occurred_at > now + AHEAD:
            message = message.model_copy(update={"occurred_at": now})
        asks = not isinstance(message, MessageStatus) and heard_opt_out(as_kept(message), None, lambda number: number)
        return message if asks else None
    return None


def _wanted(sent: dict[str, Any], own_id: str) -> dict[str, Any]:
    """Of a message as it was sent, what bears on an opt-out."""
    told = _named(sent, ("tenant_id", "organization_id", "occurred_at")) | {"id": own_id}
    if (asked := sent.get("opt_out")) is not None and asked is not False:
        told["opt_out"] = asked if isinstance(asked, dict) else {}
    call = _named(sent.get("call"), OF_A_CALL)
    if sent.get("type") == "message.received":
        return told | {"type": "message.received", "message": _named(sent.get("message"), OF_A_TEXT), "call": call}
    outcome = _named(sent.get("call"), ("outcome",)).get("outcome")
    if isinstance(outcome, str) and outcome.lower() in OPT_OUTS:
        call["outcome"] = outcome
    return told | {"type": "call.analyzed", "call": call}


def _named(part: Any, names: tuple[str, ...]) -> dict[str, Any]:
    fields = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
    return {name: fields[name] for name in names if name in fields}


def _taken_away(wanted: dict[str, Any], fault: tuple[str | int, ...]) -> bool:
    """Takes the field away that a fault is in, as far inside as there are names; whether there was one."""
    part: dict[str, Any] = wanted
    for place, name in enumerate(fault):
        inner = part.get(str(name))
        deeper = isinstance(inner, dict) and place + 1 < len(fault) and fault[place + 1] in inner
        if not deeper:
            return part.pop(str(name), None) is not None
        part = cast("dict[str, Any]", inner)
    return False
