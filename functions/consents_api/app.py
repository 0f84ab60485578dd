"""HTTP: consents, given and taken back. No phone number stands in an address: numbers go in bodies only."""

from leadline import consent
from leadline.api import IDEMPOTENCY_KEY, PEOPLE, Answer, Api, Call, Nothing
from leadline.consent import Consent, Found, NewConsent, NewRevocation, NumberSought, Revocation
from leadline.db import tenant_transaction
from leadline.pages import PageQuery

handler = Api()


@handler.route("POST /consents", roles=PEOPLE, body=NewConsent, answers=Consent, headers=IDEMPOTENCY_KEY)
def give(call: Call[NewConsent, Nothing]) -> Answer:
    """Keeps a consent: 201. It allows what its kind, channels and voice modes cover, from the time it was given."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(consent.give(tx, call.body), 201))


@handler.route("POST /consents/search", roles=PEOPLE, body=NumberSought, query=PageQuery, answers=Found)
def search(call: Call[NumberSought, PageQuery]) -> Answer:
    """The consents of a number, newest first, and its revocations."""
    with tenant_transaction(call.caller) as tx:
        return Answer(consent.search(tx, call.body, call.query))


@handler.route(
    "POST /consents/revocations", roles=PEOPLE, body=NewRevocation, answers=Revocation, headers=IDEMPOTENCY_KEY
)
def revoke(call: Call[NewRevocation, Nothing]) -> Answer:
    """Keeps a revocation: 201. All consents given before it are void for its channels."""
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(consent.revoke(tx, call.body), 201))
