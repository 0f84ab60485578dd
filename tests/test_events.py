"""Every sample event in events/ is given to its function, and does what its name says."""

import importlib
import json
from pathlib import Path

import pytest

from leadline import db
from local import sample

ROOT = Path(__file__).parent.parent
EVENTS = sorted((ROOT / "events").glob("*/*.json"))
ROLE = {
    "migrate": "owner",
    "provision": "owner",
    "upkeep_daily": "dispatch",
    "dnc_lift_dispatch": "dispatch",
    "webhooks_api": "dispatch",
    "hold_expiry_dispatch": "dispatch",
    "nurture_dispatch": "dispatch",
}
STATUS = {"create": 201, "revoke": 201, "delete": 204, "credit": 201, "debit": 201, "adjust": 201, "hold": 201}
# What no sample can hold: a signature of this minute, and a link of this run's key.
STATUS |= {"no_link": 404, "one_click_of_no_link": 404, "unsigned_text": 401, "bounce_of_another_topic": 403}


@pytest.fixture(scope="module", autouse=True)
def _sample_data(database):
    sample.load(database.dsn("owner"))


@pytest.mark.parametrize("path", EVENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_sample_event_is_answered(path, database, monkeypatch):
    function = path.parent.name
    monkeypatch.setenv("DATABASE_URL", database.dsn(ROLE.get(function, "app")))
    monkeypatch.setattr("leadline.db._connection", None)
    monkeypatch.setattr("leadline.events.hand_over", lambda *_: None)
    monkeypatch.setattr("leadline.events.hand_over_some", lambda *_: [])
    monkeypatch.setenv("NURTURE_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/NurtureQueue")
    monkeypatch.setenv("LIFT_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/DncLiftQueue")
    monkeypatch.setenv("CALL_EVENTS_DLQ_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/CallEventsDeadLetters")
    monkeypatch.setenv("HOLD_EXPIRY_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/HoldExpiryQueue")
    answer = importlib.import_module(f"functions.{function}.app").handler(json.loads(path.read_text()), None)
    if db._connection is not None:
        db._connection.close()
    if function.endswith("_api"):
        assert answer["statusCode"] == STATUS.get(path.stem, 200), answer["body"]
    elif function == "migrate":
        assert set(answer) <= {"done", "status"}
    elif function == "provision":
        assert set(answer) == {"tenant_id", "organization_id", "admin_subject"}
    elif function.endswith("_worker"):
        assert answer == {"batchItemFailures": []}
    else:
        assert answer is None


def test_every_function_has_sample_events():
    functions = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert {path.parent.name for path in EVENTS} == functions
