"""What the environment decides. Read at use, so that nothing happens at import."""

import json
import os
import re
from dataclasses import dataclass

SHORTEST_SECRET = 32  # characters


def database_url() -> str:
    """The PostgreSQL URL of this function's own role; without a password, an IAM token stands in for one."""
    url = os.environ.get("DATABASE_URL") or os.environ.get("POSTGRES_URL")
    if not url:
        raise RuntimeError("DATABASE_URL is not set")
    return url


def pipelining() -> bool:
    """Whether statements travel together. `LEADLINE_PIPELINE=off` is for a proxy that proves not to bear it."""
    return os.environ.get("LEADLINE_PIPELINE", "on") != "off"


def lift_queue_url() -> str:
    """The queue of Do-Not-Call entries that have expired."""
    return os.environ["LIFT_QUEUE_URL"]


def call_dead_letters_url() -> str:
    """The queue of the call system's messages that can never be done."""
    return os.environ["CALL_EVENTS_DLQ_URL"]


def hold_expiry_queue_url() -> str:
    """The queue of holds that have expired."""
    return os.environ["HOLD_EXPIRY_QUEUE_URL"]


def nurture_queue_url() -> str:
    """The queue of steps that are due."""
    return os.environ["NURTURE_QUEUE_URL"]


def claim_size() -> int:
    """How many enrollments one message to the worker names."""
    return int(os.environ.get("NURTURE_CLAIM_SIZE", "500"))


def request_queue_url() -> str:
    """The queue in which the call system is asked for texts and calls."""
    return os.environ["REQUEST_QUEUE_URL"]


def call_events_queue_url() -> str:
    """The queue of what is told of calls and texts, by the call system and by webhooks."""
    return os.environ["CALL_EVENTS_QUEUE_URL"]


def telnyx_public_keys() -> list[str]:
    """The keys with which Telnyx signs, in base64, separated by commas; without one nothing of Telnyx's is believed."""
    return _listed("LEADLINE_TELNYX_PUBLIC_KEYS")


def ses_topics() -> list[str]:
    """The ARNs of the topics of SNS from which we take events of SES, separated by commas."""
    return _listed("LEADLINE_SES_TOPICS")


def _listed(name: str) -> list[str]:
    return [one.strip() for one in os.environ.get(name, "").split(",") if one.strip()]


def ses_configuration_set() -> str | None:
    """The configuration set by which SES tells what becomes of an email; without one it tells nothing."""
    return os.environ.get("SES_CONFIGURATION_SET") or None


@dataclass(frozen=True)
class AwsCredentials:
    """What Lambda puts into the environment of every function."""

    region: str
    access_key: str
    secret_key: str
    session_token: str | None


def aws_credentials() -> AwsCredentials:
    """The credentials of this function's role."""
    return AwsCredentials(
        os.environ["AWS_REGION"],
        os.environ["AWS_ACCESS_KEY_ID"],
        os.environ["AWS_SECRET_ACCESS_KEY"],
        os.environ.get("AWS_SESSION_TOKEN"),
    )


def evidence_key() -> str:
    """The key under which the evidence of consents is encrypted; it is nowhere in the database."""
    return os.environ["LEADLINE_EVIDENCE_KEY"]


@dataclass(frozen=True)
class LinkKeys:
    """The secrets under which links are sealed, by their ids; what an old one sealed still opens."""

    current: str
    secrets: dict[str, str]


def link_keys() -> LinkKeys:
    """The keys of links, as JSON: {"current": "k2", "keys": {"k1": "...", "k2": "..."}}. Raises RuntimeError if bad.

    A key is added and made the current one, and never taken away: links do not expire.
    """
    told = json.loads(os.environ["LEADLINE_LINK_KEYS"])
    keys = LinkKeys(told["current"], told["keys"])
    if keys.current not in keys.secrets or not all(re.fullmatch("[A-Za-z0-9_-]{1,32}", one) for one in keys.secrets):
        raise RuntimeError("LEADLINE_LINK_KEYS names no current key, or one by what no URL can hold")
    if not all(len(secret) >= SHORTEST_SECRET for secret in keys.secrets.values()):
        raise RuntimeError("LEADLINE_LINK_KEYS has a secret that is too short to be one")
    return keys


def public_url() -> str:
    """Where people reach the API, as it stands in links: without a slash at its end."""
    return os.environ["LEADLINE_PUBLIC_URL"].rstrip("/")


def takes_request_clock() -> bool:
    """Whether a request may say what time it is: on the local suite, never where people are called."""
    return os.environ.get("LEADLINE_REQUEST_CLOCK") == "1"
