"""Writes docs/call_events.schema.json, the published schema of the call system's messages, from their models.

`python -m local.message_schema` rewrites it; a test holds it to the models, and the samples in events/ to it.
"""

import json
from typing import Any

from leadline import calls
from local.template import ROOT

SCHEMA = ROOT / "docs" / "call_events.schema.json"


def schema() -> dict[str, Any]:
    """One JSON schema (2020-12) for a message of any type."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of the call system to Leadline",
        "description": "A message in the queue CallEventsQueue. Fields that are not named here are passed over.",
        **calls.adapter().json_schema(),
    }


def main() -> None:
    """Rewrite it."""
    SCHEMA.write_text(json.dumps(schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
