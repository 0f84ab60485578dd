"""SNS: what it posts is signed with a key whose certificate stands at an address of AWS, of a topic on our list.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import binascii
import re
from datetime import datetime
from http.client import HTTPException
from typing import Any, cast
from urllib.request import HTTPRedirectHandler, build_opener

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from pydantic_core import from_json

from leadline import settings
from leadline.errors import BodyTooLarge, Busy
from leadline.webhooks.arrivals import LARGEST, BadSignature, MalformedWebhook, UnknownTopic

SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
LARGEST_CERTIFICATE = 20_000  # bytes
MOST_CERTIFICATES = 20
PATIENCE = 3  # seconds

_certificates: dict[str, x509.Certificate] = {}


class _NoRedirect(HTTPRedirectHandler):
    """An answer that sends us elsewhere is an error."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """No request follows."""


def verified(body: bytes, now: datetime) -> dict[str, str]:
    """The message in a body that SNS signed for a topic of ours.

    Raises UnknownTopic, BadSignature, MalformedWebhook, BodyTooLarge, and Busy where the certificate cannot be had.
    """
    if len(body) > LARGEST:
        raise BodyTooLarge
    try:
        told: Any = from_json(body)
    except ValueError:
        raise MalformedWebhook from None
    if not isinstance(told, dict):
        raise MalformedWebhook
    message = {name: value for name, value in cast("dict[str, Any]", told).items() if isinstance(value, str)}
    if message.get("Type") not in SIGNED:
        raise MalformedWebhook
    if message.get("TopicArn") not in settings.ses_topics():
        raise UnknownTopic
    if any(name not in message for name in SIGNED[message["Type"]] if name != "Subject"):
        raise MalformedWebhook
    _require_signature(message, now)
    return message


def confirm(message: dict[str, str]) -> None:
    """Answers SNS that we want the topic, which is on our list. Raises BadSignature for an address not SNS's."""
    _fetch(_address(message["SubscribeURL"], message["TopicArn"], path=r"/\?[!-~]+"), LARGEST)


def _require_signature(message: dict[str, str], now: datetime) -> None:
    algorithm = {"1": hashes.SHA1, "2": hashes.SHA256}.get(message.get("SignatureVersion", ""))  # as they sign
    url = _address(message.get("SigningCertURL", ""), message["TopicArn"], path=r"/SimpleNotificationService-\w+\.pem")
    if algorithm is None:
        raise BadSignature
    lines = [f"{name}\n{message[name]}\n" for name in SIGNED[message["Type"]] if name in message]
    certificate = _certificate(url)
    key = certificate.public_key()
    is_in_force = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    if not isinstance(key, RSAPublicKey) or not is_in_force:
        raise BadSignature
    try:
        signature = base64.b64decode(message.get("Signature", ""), validate=True)
        key.verify(signature, "".join(lines).encode(), PKCS1v15(), algorithm())
    except (binascii.Error, ValueError, InvalidSignature):
        raise BadSignature from None


def _address(url: str, topic: str, path: str) -> str:
    """The address, where it is SNS's own of the topic's region, with such a path. Raises BadSignature for any other."""
    region = re.escape(topic.split(":")[3])
    # The whole of it at once, and by code point: what reads an address leniently would find another host in it.
    if not re.fullmatch(rf"https://sns\.{region}\.amazonaws\.com{path}", url, re.ASCII):
        raise BadSignature
    return url


def _certificate(url: str) -> x509.Certificate:
    """The certificate there, fetched once in a process."""
    if url not in _certificates:
        try:
            certificate = x509.load_pem_x509_certificate(_fetch(url, LARGEST_CERTIFICATE))
        except ValueError:
            raise BadSignature from None
        if len(_certificates) >= MOST_CERTIFICATES:
            _certificates.clear()
        _certificates[url] = certificate
    return _certificates[url]


def _fetch(url: str, largest: int) -> bytes:
    """What stands at an address that was checked. Raises Busy: SNS then tries again."""
    try:
        with build_opener(_NoRedirect).open(url, timeout=PATIENCE) as answer:
            return answer.read(largest)
    except (HTTPException, OSError):
        raise Busy from None
