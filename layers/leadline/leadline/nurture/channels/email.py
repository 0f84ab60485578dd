"""Email: by SES, with the headers that let a person unsubscribe with one click (RFC 8058)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from leadline import settings
from leadline.nurture.channels import aws
from leadline.nurture.channels.shapes import Outcome, Outgoing, Sent


@dataclass(frozen=True)
class Email:
    """SES v2; it costs too little to be held on the budget."""

    name: str = "email"
    settles: bool = False

    def send(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        """One call of SES each: it takes no several of different content."""
        return aws.send_all(messages, 1, _send)


def _send(part: Sequence[Outgoing]) -> list[Outcome]:
    return [Sent(aws.client("sesv2").send_email(**letter(message))["MessageId"]) for message in part]


def letter(message: Outgoing) -> dict[str, Any]:
    """What SES is told of a message. The run's id comes back with every event that SES tells of it."""
    body = {"Text": _text(message.text)} | ({"Html": _text(message.html)} if message.html else {})
    headers = {
        "List-Unsubscribe": f"<{message.unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "X-Leadline-Run": str(message.run_id),
    }
    letter: dict[str, Any] = {
        "FromEmailAddress": message.sender,
        "Destination": {"ToAddresses": [message.to]},
        "Content": {
            "Simple": {
                "Subject": _text(message.subject or ""),
                "Body": body,
                "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            }
        },
        "EmailTags": [{"Name": "run_id", "Value": str(message.run_id)}],
    }
    if events := settings.ses_configuration_set():
        letter["ConfigurationSetName"] = events
    return letter


def _text(text: str) -> dict[str, str]:
    return {"Data": text, "Charset": "UTF-8"}
