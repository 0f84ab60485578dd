"""HTTP: what providers tell of texts and emails. Believed when it is signed, and handed to the queue of such events."""

from datetime import UTC, datetime

from leadline import events, settings, webhooks
from leadline.api import PUBLIC, Answer, Api, Call, Nothing
from leadline.db import system_transaction
from leadline.webhooks import TELNYX_HEADERS, Arrival

handler = Api()


@handler.route(
    "POST /webhooks/telnyx", roles=PUBLIC, answers=dict[str, str], headers=TELNYX_HEADERS, files=webhooks.JSON
)
def telnyx(call: Call[Nothing, Nothing]) -> Answer:
    """An event of Telnyx, signed within five minutes; 200 whether or not anybody here knows whose it is."""
    now = datetime.now(UTC)
    return _handed_on(webhooks.telnyx_arrival(webhooks.telnyx_verified(call.sent, call.sent_headers(), now), now))


@handler.route("POST /webhooks/ses", roles=PUBLIC, answers=dict[str, str], files=webhooks.JSON)
def ses(call: Call[Nothing, Nothing]) -> Answer:
    """An event of SES by SNS, signed and of a topic on the list; a subscription to such a topic is confirmed."""
    now = datetime.now(UTC)
    message = webhooks.sns_verified(call.sent, now)
    if message["Type"] == "SubscriptionConfirmation":
        webhooks.confirm(message)
    if message["Type"] != "Notification":
        return Answer({"status": "ok"})
    return _handed_on(webhooks.ses_arrival(message, now))


def _handed_on(arrival: Arrival) -> Answer:
    with system_transaction() as tx:
        found = webhooks.matched(tx, arrival)
    events.hand_over(settings.call_events_queue_url(), found)
    return Answer({"status": "ok"})
