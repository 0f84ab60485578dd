"""HTTP: the Do-Not-Call list. No phone number stands in an address: numbers go in bodies only."""

from dataclasses import replace

from leadline import dnc
from leadline.api import ADMINS, IDEMPOTENCY_KEY, MANAGERS, PEOPLE, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.dnc import Check, Entry, EntryQuery, NewEntry, Removal
from leadline.pages import Page

handler = Api()


@handler.route("POST /dnc/check", roles=PEOPLE, body=Check, answers=dnc.CheckAnswer)
def check(call: Call[Check, Nothing]) -> Answer:
    """Whether numbers are listed now: one, or up to 10,000; a bad one is an item with its error."""
    with tenant_transaction(call.caller) as tx:
        return Answer(dnc.check(tx, call.body))


@handler.route("GET /dnc", roles=MANAGERS, query=EntryQuery, answers=Page[Entry])
def page(call: Call[Nothing, EntryQuery]) -> Answer:
    """Entries in force, or with `active=false` those that have ended, newest first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(dnc.page(tx, call.query))


@handler.route("POST /dnc", roles=PEOPLE, body=NewEntry, answers=Entry, headers=IDEMPOTENCY_KEY)
def add(call: Call[NewEntry, Nothing]) -> Answer:
    """Lists a number: 201; or 200 where it is listed, with the stricter reason and expiry of both."""

    def run() -> Answer:
        entry, is_new = dnc.enter(tx, call.body)
        return Answer(entry, 201 if is_new else 200)

    with tenant_transaction(call.caller) as tx:
        return call.once(tx, run)


@handler.route("DELETE /dnc/{entry_id}", roles=ADMINS, body=Removal, answers=Entry)
def remove(call: Call[Removal, Nothing]) -> Answer:
    """Ends an entry, which is kept; a person's own opt-out only with a later written consent."""
    with tenant_transaction(replace(call.caller, change_reason=call.body.reason)) as tx:
        return Answer(dnc.remove(tx, call.id("entry_id"), call.body))
