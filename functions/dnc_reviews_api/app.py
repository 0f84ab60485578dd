"""HTTP: what a manager answers for: uncertain opt-outs, and the compliance report."""

from dataclasses import replace

from leadline import dnc
from leadline.api import MANAGERS, Answer, Api, Call, Nothing
from leadline.db import tenant_transaction
from leadline.dnc import Decision, Report, ReportQuery, Review, WaitingOptOut
from leadline.pages import Page, PageQuery

handler = Api()


@handler.route("GET /dnc/reviews", roles=MANAGERS, query=PageQuery, answers=Page[WaitingOptOut])
def waiting(call: Call[Nothing, PageQuery]) -> Answer:
    """Uncertain opt-outs that wait for a decision, in force meanwhile; longest waiting first."""
    with tenant_transaction(call.caller) as tx:
        return Answer(dnc.waiting(tx, call.query))


@handler.route("POST /dnc/reviews/{event_id}", roles=MANAGERS, body=Decision, answers=Review)
def review(call: Call[Decision, Nothing]) -> Answer:
    """Confirms or rejects an uncertain opt-out, once and for all."""
    with tenant_transaction(replace(call.caller, change_reason=call.body.reason)) as tx:
        return Answer(dnc.review(tx, call.id("event_id"), call.body))


@handler.route("GET /dnc/report", roles=MANAGERS, query=ReportQuery, answers=Report)
def report(call: Call[Nothing, ReportQuery]) -> Answer:
    """What happened to the list from one day to another."""
    with tenant_transaction(call.caller) as tx:
        return Answer(dnc.report(tx, call.query))
