"""The budget over HTTP: who may do what, money as text and nothing else, retries, pages and CSV."""

import csv
import io
import json
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest

from functions.budget_api.app import handler
from functions.budget_control_api.app import handler as control
from functions.budget_holds_api.app import handler as holds
from functions.events_api.app import handler as events
from functions.hold_expiry_dispatch import app as dispatch_app
from functions.hold_expiry_worker.app import handler as worker
from leadline import db
from tests.calling import caller
from tests.ledger import Ledger

NOBODY = "0d2f9a5e-7f5c-4f0e-9d1e-3f1c6a1b2c3d"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def admin(organization):
    return caller(organization, "admin")


@pytest.fixture
def manager(organization):
    return caller(organization, "manager")


def post(member, what, body, handler=handler, **options):
    return member.ask(handler, f"POST /budget/{what}", body=body, **options)


def credit(admin, amount):
    reply = post(admin, "credits", {"amount": amount})
    assert reply.status == 201, reply.body
    return reply.body


def balance(member):
    return member.ask(handler, "GET /budget").body


def hold(member, amount, **given):
    return post(member, "holds", {"amount": amount, **given}, holds)


def of_hold(member, hold_id, what, body=None, **options):
    path = {"hold_id": str(hold_id)}
    return member.ask(holds, f"POST /budget/holds/{{hold_id}}/{what}", path=path, body=body, **options)


def transactions(member, **query):
    return member.ask(control, "GET /budget/transactions", query=query or None)


# Movements ------------------------------------------------------------------------------------------------------------


def test_the_budget_is_three_balances_and_a_currency(admin, organization):
    nothing = {"available": "0.00", "held": "0.00", "overage": "0.00", "currency": "USD"}
    assert balance(caller(organization, "agent")) == nothing
    credit(admin, "10")
    hold(admin, "2.5")
    assert balance(admin) == nothing | {"available": "7.50", "held": "2.50"}


def test_a_transaction_names_both_its_sides_and_the_balances(admin, organization):
    body = {"amount": "10.5", "description": "card", "reference_id": "inv-1", "metadata": {"card": "4242"}}
    made = post(admin, "credits", body).body
    assert {**made, "id": None, "created_at": None} == {
        "id": None,
        "sequence": 1,
        "transaction_type": "credit",
        "amount": "10.50",
        "from_account": "funding",
        "to_account": "available",
        "balance_before": "0.00",
        "balance_after": "10.50",
        "description": "card",
        "reference_type": "top_up",
        "reference_id": "inv-1",
        "user_id": None,
        "hold_id": None,
        "refund_of": None,
        "metadata": {"card": "4242"},
        "created_by": str(organization.members["admin"].id),
        "created_at": None,
    }
    assert transactions(admin).body == {"items": [made], "next_cursor": None}


def test_money_that_is_not_there_is_not_spent(admin, manager):
    credit(admin, "1")
    assert post(manager, "debits", {"amount": "0.4", "reference_type": "email"}).body["to_account"] == "email_spend"
    for what, member, handled in (("debits", manager, handler), ("holds", manager, holds)):
        reply = post(member, what, {"amount": "0.6001"}, handled)
        assert (reply.status, reply.code) == (422, "insufficient_budget")
        assert reply.body["errors"][0]["pointer"] == "/amount"
    down = post(admin, "adjustments", {"amount": "0.6001", "direction": "debit"})
    assert (down.status, down.code) == (422, "insufficient_budget")
    assert post(admin, "adjustments", {"amount": "0.6", "direction": "debit"}).status == 201
    assert balance(admin)["available"] == "0.00"


def test_a_refund_is_of_what_was_spent_and_never_more(admin, manager, customer):
    given = credit(admin, "10")
    spent = post(manager, "debits", {"amount": "4"}).body
    assert post(manager, "refunds", {"transaction_id": spent["id"], "amount": "1"}).body["refund_of"] == spent["id"]
    too_large = post(manager, "refunds", {"transaction_id": spent["id"], "amount": "3.01"})
    assert (too_large.status, too_large.code) == (422, "refund_too_large")
    assert post(manager, "refunds", {"transaction_id": given["id"]}).code == "not_refundable"
    for refused in (
        post(manager, "refunds", {"transaction_id": str(uuid4())}),
        post(caller(customer(), "manager"), "refunds", {"transaction_id": spent["id"]}),
    ):
        assert (refused.status, refused.code) == (404, "not_found")
    assert post(manager, "refunds", {"transaction_id": spent["id"]}).body["amount"] == "3.00"


def test_a_member_that_is_none_is_named(admin, manager):
    credit(admin, "10")
    for what, handled in (("debits", handler), ("holds", holds)):
        reply = post(manager, what, {"amount": "1", "user_id": str(uuid4())}, handled)
        assert (reply.status, reply.code) == (422, "unknown_member")
        assert reply.body["errors"][0]["pointer"] == "/user_id"


def test_a_call_takes_at_most_three_round_trips(admin, manager, organization, delayed):
    credit(admin, "100")
    user = {"user_id": str(organization.members["agent"].id)}
    placed = hold(manager, "1").body["id"]
    with delayed() as trips:
        balance(manager)
        for ask in (
            lambda: balance(manager),
            lambda: post(manager, "debits", {"amount": "1", **user}, headers={"idempotency-key": "a"}),
            lambda: hold(manager, "1"),
            lambda: of_hold(manager, placed, "settle", {"amount": "0.5"}),
            lambda: transactions(manager, created_from="2026-01-01"),
        ):
            before = trips()
            ask()
            assert trips() - before <= 3
    assert balance(manager) == {"available": "97.50", "held": "1.00", "overage": "0.00", "currency": "USD"}


# Amounts --------------------------------------------------------------------------------------------------------------

NO_MONEY = [
    *('""', '"0"', '"0.0000"', '"-1"', '"+1"', '"1e3"', '"1E2"', '"NaN"', '"Infinity"', '"-Infinity"', '"inf"'),
    *('"1.00001"', '"0.00001"', '" 1"', '"1 "', '"1\\n"', '"1,000.00"', '"1_000"', '"$1"', '"1."', '".5"', '"0x10"'),
    *(
        '"1000000000000"',
        '"9999999999999"',
        '"١٢"',
        '"\\u0000"',
        '"1\\u0000"',
        '"None"',
        '"1/2"',
        '"' + "9" * 400 + '"',
    ),
    *("1", "1.5", "0", "-1", "1e3", "1e400", "true", "false", "null", "[]", '["1"]', "{}", '{"amount": "1"}'),
]
WITH_AMOUNTS = {
    "POST /budget/credits": (handler, "amount", {}),
    "POST /budget/debits": (handler, "amount", {}),
    "POST /budget/adjustments": (handler, "amount", {}),
    "POST /budget/holds": (holds, "amount", {}),
    "POST /budget/holds/{hold_id}/settle": (holds, "amount", {}),
    "PUT /budget/caps/{member_id}": (control, "monthly_amount", {}),
}


@pytest.mark.parametrize("route", WITH_AMOUNTS)
def test_what_is_no_money_is_refused_and_moves_none(admin, organization, route):
    credit(admin, "100")
    handled, field, rest = WITH_AMOUNTS[route]
    path = {"hold_id": hold(admin, "1").body["id"], "member_id": str(organization.members["agent"].id)}
    before = transactions(admin).body
    for amount in NO_MONEY:
        raw = json.dumps(rest)[:-1] + f'"{field}": {amount}}}'
        reply = admin.ask(handled, route, path=path, raw_body=raw)
        assert (reply.status, reply.code) == (422, "bad_amount"), amount
        assert reply.body["errors"][0]["pointer"] == f"/{field}"
    assert transactions(admin).body == before


@pytest.mark.parametrize("amount", ["NaN", "-1", "0", "1e3", 1, 1.5, True])
def test_a_refund_of_no_money_is_refused_too(admin, amount):
    credit(admin, "10")
    spent = post(admin, "debits", {"amount": "4"}).body
    reply = post(admin, "refunds", {"transaction_id": spent["id"], "amount": amount})
    assert (reply.status, reply.code) == (422, "bad_amount")


def test_not_a_number_that_json_does_not_know_is_malformed(admin):
    for amount in ("NaN", "Infinity", "-Infinity"):
        assert admin.ask(handler, "POST /budget/credits", raw_body=f'{{"amount": {amount}}}').status in (400, 422)
    assert balance(admin)["available"] == "0.00"


@pytest.mark.parametrize("amount", ["0.0001", "0010", "999999999999.9999", "1.1000"])
def test_money_is_exact_at_its_edges(admin, amount):
    made = credit(admin, amount)
    assert Decimal(made["amount"]) == Decimal(amount)
    assert Decimal(balance(admin)["available"]) == Decimal(amount)


def test_more_money_than_one_amount_can_say_is_counted_all_the_same(admin):
    for _ in range(3):
        credit(admin, "999999999999.9999")
    assert balance(admin)["available"] == "2999999999999.9997"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount": "1", "reference_type": "lunch"},
        {"amount": "1", "account": "held"},
        {"amount": "1", "balance_after": "5"},
        {"amount": "1", "tenant_id": NOBODY},
        {"amount": "1", "user_id": "me"},
        {"amount": "1", "description": "\0"},
        {"amount": "1", "reference_id": "x" * 201},
        {"amount": "1", "metadata": {"note": "\0"}},
        {"amount": "1", "metadata": {"n": float("nan")}},
        {"amount": "1", "metadata": [1]},
        ["1"],
        "1",
        None,
    ],
    ids=str,
)
@pytest.mark.parametrize("route", ["POST /budget/credits", "POST /budget/debits", "POST /budget/adjustments"])
def test_a_body_that_is_none_is_refused(admin, route, body):
    reply = admin.ask(handler, route, raw_body=json.dumps(body))
    assert reply.status in (400, 422)
    assert transactions(admin).body["items"] == []


# Retries --------------------------------------------------------------------------------------------------------------


def test_a_retried_call_moves_money_once(admin, manager):
    credit(admin, "10")
    key = {"headers": {"idempotency-key": "one"}}
    first = post(manager, "debits", {"amount": "1"}, **key)
    again = post(manager, "debits", {"amount": "1"}, **key)
    other = post(manager, "debits", {"amount": "2"}, **key)
    assert (again.status, again.body) == (201, first.body)
    assert (other.status, other.code) == (409, "idempotency_conflict")
    assert balance(admin)["available"] == "9.00"


def test_a_refused_call_keeps_its_key_free(admin, manager):
    key = {"headers": {"idempotency-key": "one"}}
    assert post(manager, "debits", {"amount": "1"}, **key).status == 422
    credit(admin, "10")
    assert post(manager, "debits", {"amount": "1"}, **key).status == 201


# Holds ----------------------------------------------------------------------------------------------------------------


def test_the_dialer_holds_settles_and_releases_and_nothing_else(admin, organization):
    credit(admin, "10")
    dialer = caller(organization, "service")
    settled, released = (hold(dialer, "2", reference_id="call-1").body["id"] for _ in range(2))
    done = of_hold(dialer, settled, "settle", {"amount": "0.75", "call_id": "call-1"})
    assert (done.status, done.body["state"], done.body["settled_amount"]) == (200, "settled", "0.75")
    assert of_hold(dialer, settled, "settle", {"amount": "2", "call_id": "call-1"}).body == done.body
    assert of_hold(dialer, released, "release").body["state"] == "released"
    assert of_hold(dialer, settled, "release").code == "hold_ended"
    assert balance(admin) == {"available": "9.25", "held": "0.00", "overage": "0.00", "currency": "USD"}
    assert dialer.ask(handler, "GET /budget").code == "forbidden"


def test_a_hold_can_be_read_by_its_organization_alone(admin, manager, customer):
    credit(admin, "10")
    placed = hold(manager, "2", expires_in_seconds=60).body
    path = {"hold_id": placed["id"]}
    assert manager.ask(holds, "GET /budget/holds/{hold_id}", path=path).body == placed
    stranger = caller(customer(), "admin")
    assert stranger.ask(holds, "GET /budget/holds/{hold_id}", path=path).code == "not_found"
    assert of_hold(stranger, placed["id"], "settle", {"amount": "1"}).code == "not_found"
    assert of_hold(stranger, placed["id"], "release").code == "not_found"
    assert of_hold(manager, "nonsense", "release").code == "not_found"
    assert balance(admin)["held"] == "2.00"


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 1.5, "soon", None])
def test_a_hold_lasts_from_a_second_to_a_day(admin, seconds):
    credit(admin, "10")
    assert hold(admin, "1", expires_in_seconds=seconds).status == 422


def test_each_minute_what_has_expired_is_handed_over_and_given_back(
    admin, organization, database, connect, monkeypatch
):
    credit(admin, "10")
    due, later = hold(admin, "2").body["id"], hold(admin, "3").body["id"]
    connect("superuser").execute("update budget_holds set expires_at = now() where id = %s", [due])
    sent = []
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", database.dsn("dispatch"))
        patch.setenv("HOLD_EXPIRY_QUEUE_URL", "https://sqs.example/holds")
        patch.setattr("leadline.db._connection", None)
        patch.setattr("leadline.events.hand_over", lambda url, found: sent.extend((url, one) for one in found))
        dispatch_app.handler({}, None)
        db._connection.close()
    (message,) = [one for _, one in sent if one.organization_id == organization.organization_id]
    assert (message.hold_ids, {url for url, _ in sent}) == ([UUID(due)], {"https://sqs.example/holds"})
    record = {"messageId": "1", "body": message.model_dump_json(), "eventSource": "aws:sqs"}
    for _ in range(2):
        assert worker({"Records": [record]}, None) == {"batchItemFailures": []}
    path = {"hold_id": later}
    assert admin.ask(holds, "GET /budget/holds/{hold_id}", path=path).body["state"] == "held"
    assert balance(admin)["available"] == "7.00"


# Caps -----------------------------------------------------------------------------------------------------------------


def put_cap(admin, member_id, amount):
    path = {"member_id": str(member_id)}
    return admin.ask(control, "PUT /budget/caps/{member_id}", path=path, body={"monthly_amount": amount})


def test_a_cap_is_put_listed_kept_to_and_taken_away(admin, manager, organization):
    credit(admin, "100")
    member = organization.members["manager"].id
    post(manager, "debits", {"amount": "2"})
    made = put_cap(admin, member, "5").body
    assert (made["monthly_amount"], made["spent"], made["remaining"]) == ("5.00", "2.00", "3.00")
    refused = post(manager, "debits", {"amount": "3.01"})
    assert (refused.status, refused.code) == (422, "insufficient_budget")
    assert (refused.body["capped_member_id"], "cap" in refused.body["detail"]) == (str(member), True)
    held = hold(manager, "3.01")
    assert (held.code, held.body["capped_member_id"]) == ("insufficient_budget", str(member))
    put_cap(admin, organization.members["agent"].id, "1")
    listed = admin.ask(control, "GET /budget/caps", query={"limit": "1"}).body
    rest = admin.ask(control, "GET /budget/caps", query={"limit": "1", "cursor": listed["next_cursor"]}).body
    both = [one["member_id"] for one in listed["items"] + rest["items"]]
    assert both == sorted([str(member), str(organization.members["agent"].id)])
    path = {"member_id": str(member)}
    assert admin.ask(control, "DELETE /budget/caps/{member_id}", path=path).body["monthly_amount"] == "5.00"
    assert admin.ask(control, "DELETE /budget/caps/{member_id}", path=path).code == "not_found"
    assert post(manager, "debits", {"amount": "3.01"}).status == 201


def test_nobody_caps_a_stranger(admin, customer):
    for stranger in (uuid4(), customer().members["agent"].id):
        assert put_cap(admin, stranger, "5").code == "not_found"


# Reading --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def busy(manager, organization):
    """An organization with seven transactions: credit, debits of call and sms, hold, settle, release, refund."""
    ledger = Ledger(organization.caller("manager"))
    ledger.credit("10", description="=1+1")
    ledger.debit("1", reference_id="a", user_id=organization.members["agent"].id)
    spent = ledger.debit("1", reference_type="sms", reference_id="b")
    ledger.book(("call-1", "0.5", ledger.hold("2")))
    post(manager, "refunds", {"transaction_id": str(spent.id)})
    return ledger


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, "refund release settle hold debit debit credit"),
        ({"transaction_type": "debit"}, "debit debit"),
        ({"account": "held"}, "release settle hold"),
        ({"account": "sms_spend"}, "refund debit"),
        ({"reference_type": "sms"}, "refund debit"),
        ({"reference_type": "call", "reference_id": "call-1"}, "release settle"),
        ({"reference_id": "a"}, "debit"),
        ({"created_from": "2100-01-01"}, ""),
        ({"created_to": "2100-01-01T00:00:00Z"}, "refund release settle hold debit debit credit"),
        ({"created_from": "2020-01-01", "created_to": "2020-12-31"}, ""),
    ],
)
def test_transactions_are_filtered(manager, query, found):
    reply = transactions(manager, **query)
    assert " ".join(one["transaction_type"] for one in reply.body["items"]) == found


@pytest.mark.usefixtures("busy")
def test_transactions_of_one_member(manager, organization):
    agent = str(organization.members["agent"].id)
    assert [one["user_id"] for one in transactions(manager, user_id=agent).body["items"]] == [agent]


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(
    "query",
    [
        {"transaction_type": "gift"},
        {"account": "mine"},
        {"user_id": "me"},
        {"created_from": "yesterday"},
        {"limit": "0"},
        {"cursor": "x"},
        {"organization_id": NOBODY},
    ],
    ids=str,
)
def test_a_bad_filter_is_refused(manager, query):
    assert transactions(manager, **query).status == 422


@pytest.mark.usefixtures("busy")
def test_pages_follow_each_other_and_begin_with_the_newest(manager):
    seen, query = [], {"limit": "3"}
    while True:
        reply = transactions(manager, **query).body
        seen += [one["sequence"] for one in reply["items"]]
        if reply["next_cursor"] is None:
            break
        query["cursor"] = reply["next_cursor"]
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    other = {"cursor": query["cursor"], "limit": "3", "account": "held"}
    assert transactions(manager, **other).code == "bad_cursor"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


def ask_csv(member, query):
    """Past tests.calling.ask, which reads every body as JSON."""
    found = {}

    def keep(event, context):
        found.update(control(event, context))
        return {**found, "body": "null"}

    member.ask(keep, "GET /budget/transactions", query=query, headers={"accept": "text/csv"})
    return found


@pytest.mark.usefixtures("busy")
def test_the_ledger_is_csv_for_who_asks(manager, monkeypatch):
    monkeypatch.setattr("leadline.budget.statement.EXPORTED_AT_ONCE", 3)
    rows, query = [], {"created_to": "2100-01-01"}
    while query is not None:
        reply = ask_csv(manager, query)
        assert (reply["statusCode"], reply["headers"]["content-type"]) == (200, "text/csv; charset=utf-8")
        rows += rows_of(reply["body"])
        link = reply["headers"].get("link")
        query = dict(parse_qsl(urlsplit(link.partition(">")[0][1:]).query)) if link else None
        assert link is None or link.endswith('>; rel="next"')
    assert [row["sequence"] for row in rows] == list("7654321")
    assert rows[-1]["description"] == "'=1+1"
    assert [row["amount"] for row in rows] == ["1.00", "1.50", "0.50", "2.00", "1.00", "1.00", "10.00"]


# Events ---------------------------------------------------------------------------------------------------------------


def test_events_are_read_newest_first_by_type_and_time(admin, manager):
    credit(admin, "150")
    post(manager, "debits", {"amount": "145"})
    found = manager.ask(events, "GET /events").body["items"]
    assert {(one["type"], one["data"]["threshold"]) for one in found} == {
        ("budget_below", "100"),
        ("budget_below", "20"),
    }
    first = manager.ask(events, "GET /events", query={"limit": "1", "type": "budget_below,x"}).body
    second = manager.ask(
        events, "GET /events", query={"limit": "1", "type": "budget_below,x", "cursor": first["next_cursor"]}
    ).body
    assert first["items"] + second["items"] == found
    for query, count in (
        ({"type": "budget_overage"}, 0),
        ({"from": "2020-01-01", "to": "2100-01-01"}, 2),
        ({"to": "2020-01-01"}, 0),
        ({"from": "2100-01-01T00:00:00Z"}, 0),
    ):
        assert len(manager.ask(events, "GET /events", query=query).body["items"]) == count


@pytest.mark.usefixtures("busy")
def test_another_organizations_budget_is_not_there_to_see(customer, organization):
    for stranger in (caller(customer(), "admin"), caller(customer(beside=organization), "admin")):
        assert balance(stranger)["available"] == "0.00"
        assert transactions(stranger).body["items"] == []
        assert stranger.ask(events, "GET /events").body["items"] == []
