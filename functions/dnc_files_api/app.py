"""HTTP: the Do-Not-Call list as a whole, in and out."""

from leadline import dnc
from leadline.api import ADMINS, IDEMPOTENCY_KEY, MANAGERS, Answer, Api, Call, Nothing, is_csv, raw_body
from leadline.db import tenant_transaction
from leadline.dnc import Entry, ExportQuery, NewEntry, Taken
from leadline.pages import Page

LISTS = {"application/json": list[NewEntry], "text/csv": str}

handler = Api()


@handler.route("POST /dnc/import", roles=ADMINS, answers=Taken, headers=IDEMPOTENCY_KEY, files=LISTS)
def take(call: Call[Nothing, Nothing]) -> Answer:
    """Up to 50,000 entries as a JSON list or as text/csv with a header; bad rows are told, the rest is taken."""
    raw = raw_body(call.event)
    with tenant_transaction(call.caller) as tx:
        return call.once(tx, lambda: Answer(dnc.take(tx, raw, is_csv=is_csv(call.event))))


@handler.route("GET /dnc/export", roles=MANAGERS, query=ExportQuery, answers=Page[Entry], csv=True)
def export(call: Call[Nothing, ExportQuery]) -> Answer:
    """Up to 20,000 entries, as CSV with `Accept: text/csv`; the header Link leads to the next page."""
    as_csv = "text/csv" in call.event["headers"].get("accept", "").lower()
    with tenant_transaction(call.caller) as tx:
        found = dnc.export(tx, call.query, as_csv=as_csv)
    link = {"link": f'<{found.next_page}>; rel="next"'} if found.next_page else {}
    return Answer(found.text, headers={"content-type": found.content_type, **link})
