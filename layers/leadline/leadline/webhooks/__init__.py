"""Webhooks: what providers tell over HTTP, believed when it is signed, and handed on as messages of our own."""

from leadline.webhooks.arrivals import JSON, Arrival, Envelope, matched
from leadline.webhooks.ses import arrival_of as ses_arrival
from leadline.webhooks.sns import confirm
from leadline.webhooks.sns import verified as sns_verified
from leadline.webhooks.telnyx import HEADERS as TELNYX_HEADERS
from leadline.webhooks.telnyx import arrival_of as telnyx_arrival
from leadline.webhooks.telnyx import verified as telnyx_verified

__all__ = [
    "JSON",
    "TELNYX_HEADERS",
    "Arrival",
    "Envelope",
    "confirm",
    "matched",
    "ses_arrival",
    "sns_verified",
    "telnyx_arrival",
    "telnyx_verified",
]
