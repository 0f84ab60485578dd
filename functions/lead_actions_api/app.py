"""HTTP: what may be done to a lead without having read it: a tag more or less, and bringing it back."""

from urllib.parse import unquote

from leadline import leads
from leadline.api import PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.leads import Lead

handler = Api()


@handler.route("PUT /leads/{lead_id}/tags/{tag}", roles=PEOPLE, answers=Lead)
def add_tag(call: Call[Nothing, Nothing]) -> Answer:
    """One tag more; one that is there stays."""
    with tenant_transaction(call.caller) as tx:
        lead = leads.add_tag(tx, call.id("lead_id"), _tag(call))
    return Answer(lead, headers={"etag": lead.etag})


@handler.route("DELETE /leads/{lead_id}/tags/{tag}", roles=PEOPLE, answers=Lead)
def remove_tag(call: Call[Nothing, Nothing]) -> Answer:
    """One tag less."""
    with tenant_transaction(call.caller) as tx:
        lead = leads.remove_tag(tx, call.id("lead_id"), _tag(call))
    return Answer(lead, headers={"etag": lead.etag})


def _tag(call: Call[Nothing, Nothing]) -> str:
    """Decoded, whether API Gateway has done so or not: no tag has a percent sign."""
    return unquote(call.event["pathParameters"]["tag"])


@handler.route("POST /leads/{lead_id}/restore", roles=PEOPLE, answers=Lead)
def restore(call: Call[Nothing, Nothing]) -> Answer:
    """Brings a deleted lead back, where its number is free and not listed."""
    with tenant_transaction(call.caller) as tx:
        lead = leads.restore(tx, call.id("lead_id"))
    return Answer(lead, headers={"etag": lead.etag})
