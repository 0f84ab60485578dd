"""Writes docs/call_requests.schema.json, the published schema of what the call system is asked for, from its models.

`python -m local.request_schema` rewrites it; a test holds it to the models, and the samples beside it.
"""

import json
from typing import Any

from pydantic import TypeAdapter

from leadline.nurture.channels.requests import AnyRequest
from local.template import ROOT

SCHEMA = ROOT / "docs" / "call_requests.schema.json"


def adapter() -> TypeAdapter[Any]:
    """Reads a request of either type."""
    return TypeAdapter(AnyRequest)


def schema() -> dict[str, Any]:
    """One JSON schema (2020-12) for a request of either type."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Requests of Leadline to the call system",
        "description": "A message in the queue CallRequestsQueue. Fields may be added: pass over what you do not know.",
        **adapter().json_schema(mode="serialization"),
    }


def main() -> None:
    """Rewrite it."""
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
