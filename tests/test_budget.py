"""The ledger: what each movement does to the balances, and that it proves itself."""

import dataclasses
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from leadline import budget, config, db, dnc, domain_events, migrations, tenancy
from leadline.budget import (
    CallCancelled,
    HoldEnded,
    HoldRequest,
    InsufficientBudget,
    NewAdjustment,
    NewCap,
    NewCredit,
    NewDebit,
    NewRefund,
    NotRefundable,
    RefundTooLarge,
    Settlement,
    UnknownMember,
)
from leadline.config import NewValue
from leadline.db import Caller, system_transaction
from leadline.domain_events import EventQuery
from leadline.errors import NotFound
from leadline.idempotency import IdempotencyConflict
from leadline.money import written
from leadline.pages import PageQuery
from tests.conftest import ROOT
from tests.ledger import Ledger, on_a_connection

NUMBER = "+14155550142"
MIGRATIONS = ROOT / "migrations"


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def ledger(organization):
    """The organization's ledger, whose every balance must be proven when the test is over."""
    ledger = Ledger(organization.caller("manager"))
    yield ledger
    assert ledger.mismatches() == []


@pytest.fixture
def of_system(organization):
    return Ledger(organization.caller(None))


def adjust(ledger, amount, direction="credit"):
    return ledger.do(budget.adjust, NewAdjustment.model_validate({"amount": amount, "direction": direction}))


def refund(ledger, transaction, amount=None):
    asked = {"transaction_id": transaction.id, "amount": amount}
    return ledger.do(budget.refund, NewRefund.model_validate(asked))


def settle(ledger, hold_id, amount, call_id=None):
    return ledger.do(budget.settle, hold_id, Settlement.model_validate({"amount": amount, "call_id": call_id}))


def cancel(ledger, *calls):
    return ledger.do(budget.cancel_calls, [CallCancelled(*call) for call in calls])


def events(ledger, type_=None):
    return ledger.do(domain_events.page, EventQuery(type=type_)).items


def decide(organization, key, value):
    Ledger(organization.caller("admin")).do(config.put, key, NewValue(value=value))


# Movements ------------------------------------------------------------------------------------------------------------


def test_a_budget_that_nobody_has_used_is_empty(ledger):
    assert ledger.balances() == ("0.00", "0.00", "0.00")
    assert ledger.transactions() == []


def test_a_credit_comes_from_funding_and_is_available(ledger, organization):
    made = ledger.credit("100.50", description="the first", reference_id="inv-1")
    assert (made.balance_before, made.balance_after, made.reference_type) == ("0.00", "100.50", "top_up")
    assert made.created_by == organization.members["manager"].id
    assert made.user_id is None
    assert ledger.transactions() == [("credit", "funding", "available", "100.50")]
    assert ledger.balances() == ("100.50", "0.00", "0.00")


@pytest.mark.parametrize("kind", ["call", "sms", "email"])
def test_a_debit_goes_to_what_it_was_spent_on(ledger, organization, kind):
    ledger.credit("1")
    spent = ledger.debit("0.0075", reference_type=kind)
    assert (spent.to_account, spent.balance_after) == (f"{kind}_spend", "0.9925")
    assert spent.user_id == organization.members["manager"].id


def test_a_machine_spends_on_nobodys_sub_budget_unless_it_says_whose(organization, ledger):
    ledger.credit("5")
    machine, agent = Ledger(organization.caller("service")), organization.members["agent"].id
    assert machine.debit("1").user_id is None
    assert machine.debit("1", user_id=agent).user_id == agent


def test_a_user_who_is_no_member_is_refused(ledger, customer):
    ledger.credit("5")
    for stranger in (uuid4(), customer().members["agent"].id):
        with pytest.raises(UnknownMember):
            ledger.debit("1", user_id=stranger)


def test_the_last_cent_can_be_spent_and_no_more(ledger):
    ledger.credit("10")
    ledger.debit("10")
    with pytest.raises(InsufficientBudget):
        ledger.debit("0.0001")
    assert ledger.balances() == ("0.00", "0.00", "0.00")


def test_an_adjustment_goes_both_ways_and_never_below_zero(ledger):
    adjust(ledger, "5")
    adjust(ledger, "3", "debit")
    with pytest.raises(InsufficientBudget):
        adjust(ledger, "2.01", "debit")
    assert ledger.transactions() == [
        ("adjustment", "adjustment", "available", "5.00"),
        ("adjustment", "available", "adjustment", "3.00"),
    ]


def test_refunds_of_one_debit_never_add_up_to_more_than_it(ledger):
    ledger.credit("10")
    spent = ledger.debit("4")
    assert refund(ledger, spent, "1.5").amount == "1.50"
    with pytest.raises(RefundTooLarge):
        refund(ledger, spent, "2.5001")
    last = refund(ledger, spent)
    assert (last.amount, last.from_account, last.to_account) == ("2.50", "call_spend", "available")
    assert last.refund_of == spent.id
    with pytest.raises(RefundTooLarge):
        refund(ledger, spent)
    assert ledger.balances() == ("10.00", "0.00", "0.00")


def test_only_what_was_spent_can_be_refunded(ledger):
    made = ledger.credit("10")
    with pytest.raises(NotRefundable):
        refund(ledger, made)
    with pytest.raises(NotFound):
        ledger.do(budget.refund, NewRefund(transaction_id=uuid4()))


def test_another_organizations_transaction_is_not_there_to_refund(ledger, customer):
    other = Ledger(customer().caller("manager"))
    other.credit("1")
    spent = other.debit("1")
    with pytest.raises(NotFound):
        refund(ledger, spent)


def test_a_key_of_an_internal_caller_books_once(ledger):
    made = ledger.do(budget.credit, NewCredit(amount="5"), key="import-1")
    assert ledger.do(budget.credit, NewCredit(amount="5"), key="import-1") == made
    with pytest.raises(IdempotencyConflict):
        ledger.do(budget.credit, NewCredit(amount="6"), key="import-1")
    assert ledger.balances()[0] == "5.00"


# Holds ----------------------------------------------------------------------------------------------------------------


def test_a_hold_sets_money_aside(ledger, organization):
    ledger.credit("10")
    hold = ledger.do(budget.hold, HoldRequest(amount="4", expires_in_seconds=60))
    assert (hold.state, hold.amount, hold.settled_amount) == ("held", "4.00", None)
    assert hold.user_id == organization.members["manager"].id
    assert hold.expires_at - datetime.now(UTC) < timedelta(seconds=61)
    assert ledger.balances() == ("6.00", "4.00", "0.00")
    with pytest.raises(InsufficientBudget):
        ledger.do(budget.hold, HoldRequest(amount="6.01"))


def test_a_settlement_gives_the_rest_back(ledger):
    ledger.credit("10")
    hold = ledger.hold("4")
    settled = settle(ledger, hold, "1.25", "call-1")
    assert (settled.state, settled.settled_amount, settled.call_id) == ("settled", "1.25", "call-1")
    assert ledger.transactions()[2:] == [
        ("settle", "held", "call_spend", "1.25"),
        ("release", "held", "available", "2.75"),
    ]
    assert ledger.balances() == ("8.75", "0.00", "0.00")


def test_a_settlement_beyond_the_hold_takes_from_available_and_then_from_overage(ledger):
    ledger.credit("10")
    hold = ledger.hold("4")
    ledger.debit("5")
    settle(ledger, hold, "7.5")
    assert ledger.transactions()[3:] == [
        ("settle", "held", "call_spend", "4.00"),
        ("settle", "available", "call_spend", "1.00"),
        ("settle", "overage", "call_spend", "2.50"),
    ]
    assert ledger.balances() == ("0.00", "0.00", "2.50")
    (event,) = events(ledger, "budget_overage")
    assert (event.data["amount"], event.data["hold_id"]) == ("2.50", str(hold))


def test_a_second_settlement_answers_the_first(ledger):
    ledger.credit("10")
    hold = ledger.hold("4")
    first = settle(ledger, hold, "1", "call-1")
    assert settle(ledger, hold, "3", "call-1") == first
    assert settle(ledger, hold, "3") == first
    assert ledger.balances() == ("9.00", "0.00", "0.00")


def test_a_call_that_was_settled_answers_its_hold_whichever_is_named(ledger):
    ledger.credit("10")
    first, other = ledger.hold("4"), ledger.hold("4")
    settle(ledger, first, "1", "call-1")
    assert settle(ledger, other, "2", "call-1").id == first
    assert ledger.balances() == ("9.00", "0.00", "0.00")


def test_a_release_gives_all_back_once(ledger):
    ledger.credit("10")
    hold = ledger.hold("4")
    for _ in range(2):
        assert ledger.do(budget.release, hold).state == "released"
    assert ledger.balances() == ("10.00", "0.00", "0.00")
    with pytest.raises(NotFound):
        ledger.do(budget.release, uuid4())


def test_a_settled_hold_is_not_released(ledger):
    ledger.credit("10")
    hold = ledger.hold("4")
    settle(ledger, hold, "4")
    with pytest.raises(HoldEnded):
        ledger.do(budget.release, hold)
    assert ledger.balances() == ("6.00", "0.00", "0.00")


@pytest.mark.parametrize("state", ["released", "expired"])
def test_a_late_settlement_books_in_full_and_the_state_stays(ledger, state):
    ledger.credit("5")
    hold = ledger.hold("4", expires_at=datetime.now(UTC))
    ledger.do(budget.release if state == "released" else budget.expire, hold if state == "released" else [hold])
    settled = settle(ledger, hold, "6", "call-1")
    assert (settled.state, settled.settled_amount) == (state, "6.00")
    assert settle(ledger, hold, "6", "call-1") == settled
    assert ledger.balances() == ("0.00", "0.00", "1.00")


def test_only_what_has_expired_expires_and_only_once(ledger):
    ledger.credit("10")
    due, later = ledger.hold("1", expires_at=datetime.now(UTC)), ledger.hold("2")
    for _ in range(2):
        ledger.do(budget.expire, [due, later])
    assert (ledger.state(due), ledger.state(later)) == ("expired", "held")
    assert ledger.balances() == ("8.00", "2.00", "0.00")


def test_the_dispatcher_finds_what_is_due_and_sees_ids_and_times_alone(ledger, organization, database, monkeypatch):
    ledger.credit("10")
    due = ledger.hold("1", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    ledger.hold("2")
    ended = ledger.hold("1", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    ledger.do(budget.release, ended)
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", database.dsn("dispatch"))
        patch.setattr("leadline.db._connection", None)
        with system_transaction() as tx:
            found = budget.expired(tx)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), system_transaction() as tx:
            tx.execute("select phone_number, amount from budget_holds")
        tx.close()
    assert [one.hold_ids for one in found if one.organization_id == organization.organization_id] == [[due]]


def test_a_numbers_holds_are_released_together(ledger):
    ledger.credit("10")
    mine = [ledger.hold("1", phone_number=NUMBER) for _ in range(2)]
    other = ledger.hold("1", phone_number="+14155550143")
    ledger.do(budget.release_numbers, [NUMBER, "+14155550144"])
    assert [ledger.state(hold) for hold in [*mine, other]] == ["released", "released", "held"]
    assert ledger.balances() == ("9.00", "1.00", "0.00")


def test_an_addition_to_the_do_not_call_list_releases_the_numbers_holds_with_it(ledger):
    ledger.credit("10")
    mine, other = ledger.hold("1", phone_number=NUMBER), ledger.hold("2", phone_number="+14155550143")

    def add(tx, then=None):
        dnc.lock_number(tx, NUMBER)
        dnc.add(tx, NUMBER, reason="complaint", source="test")
        if then:
            raise then

    with pytest.raises(KeyError):
        ledger.do(add, KeyError("the transaction fails"))
    assert ledger.state(mine) == "held"
    ledger.do(add)
    assert (ledger.state(mine), ledger.state(other)) == ("released", "held")
    assert ledger.balances() == ("8.00", "2.00", "0.00")


def test_holds_are_placed_in_order_until_the_money_is_gone(ledger):
    ledger.credit("1")
    placed = ledger.hold_all(["0.50", "0.40", "0.20", "0.10"])
    assert [one.refused for one in placed] == [None, None, "available", "available"]
    assert ledger.balances() == ("0.10", "0.90", "0.00")
    with pytest.raises(NotFound):
        ledger.do(budget.get, placed[2].id)


def test_a_thousand_holds_are_one_statement(ledger):
    ledger.credit("1000")
    ids = [uuid4() for _ in range(1000)]
    holds = [
        budget.NewHold(Decimal("0.75"), datetime.now(UTC), id=one, phone_number=NUMBER, reference_id=str(one))
        for one in ids
    ]
    placed = ledger.do(lambda tx: budget.outcome(budget.hold_all(tx, holds)))
    assert [one.id for one in placed] == ids
    assert ledger.balances() == ("250.00", "750.00", "0.00")
    ledger.do(budget.expire, ids)
    assert ledger.balances() == ("1000.00", "0.00", "0.00")


def test_who_has_locked_the_balance_knows_it_until_the_end(ledger, organization, connect):
    ledger.credit("7")
    ledger.hold("2")
    other = connect()

    def while_locked(tx):
        found = budget.balances(budget.lock_available(tx))
        with pytest.raises(psycopg.errors.LockNotAvailable), on_a_connection(other, organization.caller("agent")):
            other.execute("set local lock_timeout = '50ms'")
            budget.debit(other, NewDebit(amount="1"))
        return found

    found = ledger.do(while_locked)
    assert (found.available, found.held, found.overage, found.rooms) == (5, 2, 0, {})
    with on_a_connection(other, organization.caller("agent")):
        budget.debit(other, NewDebit(amount="1"))


def test_many_holds_are_settled_at_once_each_in_full_and_only_once(ledger):
    ledger.credit("10")
    first, second, third = (one.id for one in ledger.hold_all(["1", "2", "3"], reference_type="sms"))
    ledger.do(budget.settle_all, [first, second])
    ledger.do(budget.settle_all, [second, first, uuid4()])
    assert [ledger.state(hold) for hold in (first, second, third)] == ["settled", "settled", "held"]
    assert ledger.balances() == ("4.00", "3.00", "0.00")
    assert ledger.transactions()[-2:] == [
        ("settle", "held", "sms_spend", "1.00"),
        ("settle", "held", "sms_spend", "2.00"),
    ]
    assert ledger.mismatches() == []


def test_what_had_been_given_back_is_booked_all_the_same_and_beyond_what_is_available_as_overage(ledger):
    ledger.credit("5")
    kept, released = (one.id for one in ledger.hold_all(["1", "2"], reference_type="sms"))
    ledger.do(budget.release_all, [released])
    ledger.debit("3")
    ledger.do(budget.settle_all, [released, kept])
    ledger.do(budget.settle_all, [released, kept])
    assert [ledger.state(hold) for hold in (kept, released)] == ["settled", "released"]
    assert ledger.balances() == ("0.00", "0.00", "1.00")
    assert ledger.mismatches() == []


def test_many_holds_are_given_back_at_once_but_for_those_that_have_ended(ledger):
    ledger.credit("5")
    first, second = (one.id for one in ledger.hold_all(["1", "2"]))
    ledger.do(budget.settle_all, [first])
    ledger.do(budget.release_all, [first, second])
    assert [ledger.state(hold) for hold in (first, second)] == ["settled", "released"]
    assert ledger.balances() == ("4.00", "0.00", "0.00")
    assert ledger.mismatches() == []


# Overage --------------------------------------------------------------------------------------------------------------


def owe(ledger, amount):
    ledger.book((f"call-{uuid4()}", amount))


def test_the_next_credit_pays_what_is_owed_first(ledger):
    owe(ledger, "15")
    ledger.credit("10")
    assert ledger.balances() == ("0.00", "0.00", "5.00")
    ledger.credit("10")
    assert ledger.balances() == ("5.00", "0.00", "0.00")
    assert ledger.transactions() == [
        ("debit", "overage", "call_spend", "15.00"),
        ("credit", "funding", "available", "10.00"),
        ("settle", "available", "overage", "10.00"),
        ("credit", "funding", "available", "10.00"),
        ("settle", "available", "overage", "5.00"),
    ]


def test_an_adjustment_up_and_a_refund_pay_what_is_owed_too(ledger):
    ledger.credit("3")
    spent = ledger.debit("3")
    owe(ledger, "4")
    adjust(ledger, "2")
    assert ledger.balances() == ("0.00", "0.00", "2.00")
    refund(ledger, spent)
    assert ledger.balances() == ("1.00", "0.00", "0.00")


END = {
    "released": lambda ledger, hold: ledger.do(budget.release, hold),
    "expired": lambda ledger, hold: ledger.do(budget.expire, [hold]),
    "its number listed": lambda ledger, _: ledger.do(budget.release_numbers, [NUMBER]),
    "settled for less": lambda ledger, hold: settle(ledger, hold, "1"),
    "booked for less": lambda ledger, hold: ledger.book(("call-1", "1", hold)),
    "booked for nothing": lambda ledger, hold: ledger.book(("call-1", "0", hold)),
    "cancelled": lambda ledger, hold: cancel(ledger, ("call-1", hold)),
}


@pytest.mark.parametrize("end", END)
def test_what_comes_back_of_a_hold_pays_what_is_owed(ledger, end):
    ledger.credit("5")
    hold = ledger.hold("5", phone_number=NUMBER, expires_at=datetime.now(UTC))
    owe(ledger, "3")
    END[end](ledger, hold)
    assert ledger.balances() == ("1.00" if "less" in end else "2.00", "0.00", "0.00")
    assert ledger.transactions()[-1] == ("settle", "available", "overage", "3.00")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [1, -1])
def test_two_calls_leave_the_same_balances_in_either_order(ledger, together, order):
    ledger.credit("5")
    hold = ledger.hold("5")
    calls = [("call-1", "2", hold), ("call-2", "3.5")][::order]
    for batch in [calls] if together else [[one] for one in calls]:
        ledger.book(*batch)
    assert ledger.balances() == ("0.00", "0.00", "0.50")
    assert ledger.state(hold) == "settled"


def test_paying_what_is_owed_is_no_fall_of_the_balance(ledger):
    owe(ledger, "150")
    ledger.credit("200")
    assert ledger.balances() == ("50.00", "0.00", "0.00")
    assert events(ledger, "budget_below") == []


# Calls ----------------------------------------------------------------------------------------------------------------


def test_a_batch_of_calls_is_booked_each_from_where_it_can_be(ledger):
    ledger.credit("10")
    held, over, late, freed = (ledger.hold("1"), ledger.hold("1"), ledger.hold("1"), ledger.hold("1"))
    ledger.do(budget.release, late)
    unknown = uuid4()
    booked = ledger.book(
        ("held", "0.4", held),
        ("over", "1.5", over),
        ("late", "2", late),
        ("free", "0", freed),
        ("bare", "0.000001"),
        ("unknown", "3", unknown),
        ("shortfall", "4"),
    )
    assert [(one.call_id, one.outcome, written(one.shortfall)) for one in booked] == [
        ("held", "settled", "0.00"),
        ("over", "settled", "0.00"),
        ("late", "settled", "0.00"),
        ("free", "released", "0.00"),
        ("bare", "debited", "0.00"),
        ("unknown", "unknown_hold", "0.00"),
        ("shortfall", "debited", "0.900001"),
    ]
    assert [ledger.state(one) for one in (held, over, late, freed)] == ["settled", "settled", "released", "released"]
    assert ledger.balances() == ("0.00", "0.00", "0.900001")
    (event,) = events(ledger, "budget_overage")
    assert (event.subject_id, event.data["amount"]) == ("shortfall", "0.900001")


def test_a_call_is_booked_once_whatever_comes_again(ledger):
    ledger.credit("10")
    hold = ledger.hold("1")
    ledger.book(("call-1", "0.5", hold), ("call-1", "0.7", hold))
    again = ledger.book(("call-1", "0.5", hold), ("call-1", "9"))
    assert [one.outcome for one in again] == ["known", "known_otherwise"]
    assert ledger.balances() == ("9.50", "0.00", "0.00")


def test_a_second_call_on_one_hold_is_debited(ledger):
    ledger.credit("10")
    hold = ledger.hold("1")
    first, second = ledger.book(("call-1", "0.5", hold), ("call-2", "0.25", hold))
    assert (first.outcome, second.outcome) == ("settled", "debited")
    (third,) = ledger.book(("call-3", "0.25", hold))
    assert third.outcome == "debited"
    assert ledger.balances() == ("9.00", "0.00", "0.00")


def test_a_hold_settled_by_hand_is_not_booked_again_by_its_call(ledger):
    ledger.credit("10")
    hold = ledger.hold("1")
    settle(ledger, hold, "0.5")
    (known,) = ledger.book(("call-1", "0.5", hold))
    (other,) = ledger.book(("call-2", "0.5", hold))
    assert (known.outcome, other.outcome) == ("known", "debited")
    assert ledger.balances() == ("9.00", "0.00", "0.00")


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("credit", ["5", "100"])
def test_a_call_that_was_booked_before_its_hold_was_named_moves_to_it(ledger, credit, unknown):
    ledger.credit(credit)
    hold = ledger.hold("5")
    ledger.book(("call-1", "3", uuid4() if unknown else None))
    (moved,) = ledger.book(("call-1", "3", hold))
    assert (moved.outcome, moved.shortfall) == ("settled", 0)
    assert ledger.balances() == (written(Decimal(credit) - 3), "0.00", "0.00")
    found = ledger.do(budget.get, hold)
    assert (found.state, found.settled_amount, found.call_id) == ("settled", "3.00", "call-1")
    before = ledger.transactions()
    (known,) = ledger.book(("call-1", "3", hold))
    assert (known.outcome, ledger.transactions()) == ("known", before)
    (done,) = cancel(ledger, ("call-1",))
    assert (done.refunded, ledger.balances()) == (3, (written(Decimal(credit)), "0.00", "0.00"))


def test_a_call_that_moves_to_its_hold_takes_what_is_beyond_it_from_available(ledger):
    ledger.credit("10")
    hold = ledger.hold("2")
    ledger.book(("call-1", "9"))
    ledger.book(("call-1", "9", hold))
    assert ledger.balances() == ("1.00", "0.00", "0.00")


def test_what_was_refunded_before_a_call_moves_to_its_hold_stays_refunded(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    ledger.book(("call-1", "3"))
    (spent,) = ledger.do(budget.page, budget.TransactionQuery(transaction_type="debit")).items
    refund(ledger, spent, "1")
    ledger.book(("call-1", "3", hold))
    assert ledger.balances() == ("8.00", "0.00", "0.00")
    assert ledger.do(budget.get, hold).settled_amount == "2.00"


def test_a_call_that_moves_to_its_hold_counts_once_against_its_members_cap(ledger, organization):
    ledger.credit("10")
    cap(organization, "agent", "9")
    agent = organization.members["agent"].id
    hold = ledger.hold("5", user_id=agent)
    ledger.book(("call-1", "3"), user_id=agent)
    ledger.book(("call-1", "3", hold))
    (found,) = Ledger(organization.caller("admin")).do(budget.caps, PageQuery()).items
    assert found.spent == "3.00"


def test_a_call_of_a_hold_settled_by_hand_is_not_paid_twice_when_the_hold_is_named_late(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    settle(ledger, hold, "3")
    ledger.book(("call-1", "3"))
    ledger.book(("call-1", "3", hold))
    assert ledger.balances() == ("7.00", "0.00", "0.00")
    assert ledger.do(budget.get, hold).call_id == "call-1"


def test_a_call_that_was_cancelled_does_not_move_to_a_hold(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    ledger.book(("call-1", "3"))
    cancel(ledger, ("call-1",))
    (known,) = ledger.book(("call-1", "3", hold))
    assert (known.outcome, ledger.state(hold)) == ("known", "released")
    assert ledger.balances() == ("10.00", "0.00", "0.00")


def test_a_call_that_was_booked_at_another_cost_is_told_and_stays(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    ledger.book(("call-1", "3"))
    (otherwise,) = ledger.book(("call-1", "4", hold))
    (same,) = ledger.book(("call-1", "3.0000001", hold))
    assert (otherwise.outcome, same.outcome) == ("known_otherwise", "known")
    assert ledger.balances() == ("7.00", "0.00", "0.00")
    cancel(ledger, ("call-1",))
    (cancelled,) = ledger.book(("call-1", "4", hold))
    assert cancelled.outcome == "known"


def test_a_settlement_by_hand_finds_its_call_booked_under_an_unknown_hold(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    ledger.book(("call-1", "3", uuid4()))
    found = settle(ledger, hold, "3", "call-1")
    assert (found.id, found.state, found.settled_amount) == (hold, "settled", "3.00")
    assert ledger.balances() == ("7.00", "0.00", "0.00")


def test_a_settlement_by_hand_of_a_cancelled_call_answers_the_hold_that_it_names(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    cancel(ledger, ("call-1", uuid4()))
    assert settle(ledger, hold, "3", "call-1").state == "released"
    assert ledger.balances() == ("10.00", "0.00", "0.00")


def test_a_hold_whose_call_cost_nothing_is_not_booked_by_hand(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    ledger.book(("call-1", "0", hold))
    assert settle(ledger, hold, "3").state == "released"
    assert ledger.balances() == ("10.00", "0.00", "0.00")


def test_a_call_without_a_hold_is_its_users_and_a_stranger_is_nobody(ledger, organization, of_system):
    agent = organization.members["agent"].id
    ledger.credit("1")
    of_system.book(("call-1", "0.5"), user_id=agent)
    of_system.book(("call-2", "0.5"), user_id=uuid4())
    rows = ledger.do(budget.page, budget.TransactionQuery(transaction_type="debit")).items
    assert {row.reference_id: row.user_id for row in rows} == {"call-1": agent, "call-2": None}


def test_an_sms_is_spent_on_sms(ledger):
    ledger.credit("1")
    ledger.book(("sms-1", "0.01"), reference_type="sms")
    assert ledger.transactions()[-1] == ("debit", "available", "sms_spend", "0.01")


def test_a_call_that_failed_gives_back_what_was_held_or_booked_once(ledger):
    ledger.credit("10")
    held, settled = ledger.hold("1"), ledger.hold("2")
    ledger.book(("call-2", "2.5", settled), ("call-3", "4"))
    done = cancel(ledger, ("call-1", held), ("call-2", settled), ("call-3",), ("call-4", uuid4()))
    assert {one.call_id: written(one.refunded) for one in done} == {
        "call-1": "0.00",
        "call-2": "2.50",
        "call-3": "4.00",
        "call-4": "0.00",
    }
    assert cancel(ledger, ("call-2", settled), ("call-3",)) == []
    assert ledger.state(held) == "released"
    assert ledger.balances() == ("10.00", "0.00", "0.00")


@pytest.mark.parametrize("told", ["booked", "failed", "failed before", "with its id"])
def test_a_call_that_failed_gives_back_what_was_settled_by_hand(ledger, told):
    ledger.credit("10")
    hold, other = ledger.hold("5"), ledger.hold("1")
    settle(ledger, other, "1")
    if told == "failed before":
        cancel(ledger, ("call-1",))
    settle(ledger, hold, "6", "call-1" if told == "with its id" else None)
    if told == "booked":
        ledger.book(("call-1", "6", hold))
    done = cancel(ledger, ("call-1", None if told == "booked" else hold))
    assert [one.refunded for one in done] == ([] if told == "failed before" else [6])
    assert cancel(ledger, ("call-1", hold)) == []
    assert ledger.balances() == ("9.00", "0.00", "0.00")


def test_what_was_settled_by_hand_for_another_call_stays(ledger):
    ledger.credit("10")
    hold = ledger.hold("5")
    settle(ledger, hold, "3")
    ledger.book(("call-1", "3", hold))
    (done,) = cancel(ledger, ("call-2", hold))
    assert (done.refunded, ledger.balances()) == (0, ("7.00", "0.00", "0.00"))


def test_what_was_refunded_of_a_failed_call_before_is_not_refunded_again(ledger):
    ledger.credit("10")
    ledger.book(("call-1", "4"))
    (spent,) = ledger.do(budget.page, budget.TransactionQuery(transaction_type="debit")).items
    refund(ledger, spent, "1.5")
    (done,) = cancel(ledger, ("call-1",))
    assert done.refunded == Decimal("2.5")
    assert ledger.balances()[0] == "10.00"


@pytest.mark.parametrize("first", ["booked", "cancelled"])
def test_a_failed_call_costs_nothing_in_whichever_order_its_messages_come(ledger, first):
    ledger.credit("1")
    hold = ledger.hold("0.5")
    steps = [lambda: ledger.book(("call-1", "2", hold)), lambda: cancel(ledger, ("call-1",))]
    for step in steps if first == "booked" else reversed(steps):
        step()
    assert ledger.balances() == ("1.00", "0.00", "0.00")


def test_a_person_s_own_debit_is_not_the_calls(ledger):
    ledger.credit("10")
    ledger.debit("1", reference_id="call-1")
    (done,) = cancel(ledger, ("call-1",))
    assert done.refunded == 0


def test_another_organizations_holds_and_calls_are_not_there(ledger, customer):
    other = Ledger(customer().caller("manager"))
    other.credit("5")
    theirs = other.hold("2")
    other.book(("call-1", "1"))
    ledger.credit("5")
    assert [one.outcome for one in ledger.book(("call-1", "1", theirs))] == ["unknown_hold"]
    cancel(ledger, ("call-1", theirs))
    ledger.do(budget.expire, [theirs])
    ledger.do(budget.release_numbers, [NUMBER])
    with pytest.raises(NotFound):
        settle(ledger, theirs, "1")
    assert other.state(theirs) == "held"
    assert other.balances() == ("2.00", "2.00", "0.00")


# Caps -----------------------------------------------------------------------------------------------------------------


def cap(organization, member, amount):
    return Ledger(organization.caller("admin")).do(
        budget.cap, organization.members[member].id, NewCap(monthly_amount=amount)
    )


def test_a_cap_refuses_what_would_pass_it_and_says_so(ledger, organization):
    ledger.credit("100")
    agent = Ledger(organization.caller("agent"))
    agent.debit("2")
    assert cap(organization, "agent", "5").spent == "2.00"
    hold = agent.hold("2")
    for refused in (
        lambda: agent.debit("1.01"),
        lambda: agent.do(budget.hold, HoldRequest(amount="1.01")),
        lambda: ledger.debit("1.01", user_id=organization.members["agent"].id),
    ):
        with pytest.raises(InsufficientBudget) as error:
            refused()
        assert "cap" in error.value.detail
    agent.debit("1")
    ledger.debit("50")
    settle(ledger, hold, "0.5")
    agent.debit("1.5")
    (found,) = ledger.do(budget.caps, budget.TransactionQuery()).items
    assert (found.spent, found.remaining) == ("5.00", "0.00")


def test_a_cap_refuses_its_members_holds_and_no_others(ledger, organization):
    ledger.credit("100")
    cap(organization, "agent", "1")
    agent, manager = organization.members["agent"].id, organization.members["manager"].id
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    asked = [budget.NewHold(Decimal("0.6"), expires_at, user_id=user) for user in (agent, agent, manager)]
    placed = ledger.do(lambda tx: budget.outcome(budget.hold_all(tx, asked)))
    assert [one.refused for one in placed] == [None, "cap", None]
    found = ledger.do(lambda tx: budget.balances(budget.lock_available(tx)))
    assert found.rooms == {agent: Decimal("0.4")}


def test_what_comes_back_of_this_months_spending_makes_room_again(ledger, organization):
    ledger.credit("100")
    cap(organization, "manager", "5")
    spent = ledger.debit("5")
    with pytest.raises(InsufficientBudget):
        ledger.debit("1")
    refund(ledger, spent, "2")
    ledger.debit("2")


def test_a_month_begins_anew_and_what_comes_back_of_an_older_one_makes_no_room(ledger, organization, connect):
    ledger.credit("100")
    cap(organization, "manager", "5")
    hold, spent = ledger.hold("2"), ledger.debit("3")
    in_organization = {"organization": organization.organization_id}
    superuser = connect("superuser")
    for statement in (
        "update budget_caps set month = month - interval '1 month' where organization_id = %(organization)s",
        "update budget_holds set created_at = created_at - interval '32 days' where organization_id = %(organization)s",
        "update budget_transactions set created_at = created_at - interval '32 days'"
        " where organization_id = %(organization)s",
    ):
        superuser.execute(statement, in_organization)
    ledger.do(budget.release, hold)
    refund(ledger, spent)
    with pytest.raises(InsufficientBudget):
        ledger.debit("5.01")
    ledger.debit("5")


def test_a_cap_that_is_taken_away_caps_no_more(ledger, organization):
    ledger.credit("100")
    cap(organization, "manager", "5")
    ledger.do(budget.uncap, organization.members["manager"].id)
    ledger.debit("50")
    with pytest.raises(NotFound):
        ledger.do(budget.uncap, organization.members["manager"].id)


def test_calls_that_were_made_count_against_a_cap_and_are_booked_all_the_same(ledger, organization):
    ledger.credit("100")
    cap(organization, "agent", "5")
    ledger.book(("call-1", "8"), user_id=organization.members["agent"].id)
    (found,) = ledger.do(budget.caps, budget.TransactionQuery()).items
    assert (found.spent, found.remaining) == ("8.00", "0.00")


# Alerts ---------------------------------------------------------------------------------------------------------------


def test_an_alert_tells_each_time_the_balance_falls_below_a_threshold(ledger):
    ledger.credit("150")
    ledger.debit("50")
    assert events(ledger) == []
    spent = ledger.debit("0.01")
    (event,) = events(ledger)
    assert (event.type, event.data) == ("budget_below", {"threshold": "100", "available": "99.99"})
    ledger.debit("1")
    assert len(events(ledger)) == 1
    refund(ledger, spent)
    ledger.credit("50")
    ledger.debit("149")
    assert [one.data["threshold"] for one in events(ledger)].count("20") == 1
    assert len(events(ledger)) == 3


def test_an_organization_decides_its_own_thresholds(ledger, organization):
    decide(organization, "budget_alerts", ["5.50", "5.50"])
    ledger.credit("150")
    ledger.debit("140")
    assert events(ledger) == []
    ledger.hold("4.6")
    assert [one.data for one in events(ledger)] == [{"threshold": "5.50", "available": "5.40"}]


def test_the_ledger_and_the_configuration_have_the_same_default(ledger):
    ledger.credit("1000")
    ledger.debit("1000")
    told = {one.data["threshold"] for one in events(ledger)}
    assert told == set(ledger.do(config.get, "budget_alerts").value)


def test_an_event_of_one_occurrence_is_kept_once(ledger):
    for _ in range(2):
        ledger.do(domain_events.note, "tested", "subject", "once", {"a": 1})
    (event,) = events(ledger)
    assert (event.type, event.subject_id, event.data) == ("tested", "subject", {"a": 1})


# The proof ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoil", "finding"),
    [
        ("update budget_accounts set balance = balance + 1 where account = 'available'", "balance"),
        ("update budget_accounts set last_sequence = 99 where account = 'available'", "last"),
        ("update budget_holds set state = 'expired', ended_at = now() where state = 'held'", "held"),
        ("delete from budget_transactions where transaction_type = 'hold' and sequence < 4", "sequence"),
        ("update budget_transactions set balance_before = 1, balance_after = 6 where sequence = 5", "chain"),
        ("update budget_holds set settled_amount = 9 where settled_amount is not null", "settlement"),
        ("update budget_calls set cost = 9", "call"),
        ("update budget_accounts set balance = -1 where account = 'overage'", "overage"),
        ("update budget_transactions set amount = 'NaN' where sequence = 1", "number"),
        ("update budget_caps set spent = 9", "cap"),
        (
            "update budget_transactions set amount = 0.5 where id in (select refund_of from budget_transactions"
            " where refund_of is not null)",
            "refunds",
        ),
    ],
)
def test_the_proof_sees_what_is_wrong(organization, connect, spoil, finding):
    ledger = Ledger(organization.caller("manager"))
    ledger.credit("10")
    cap(organization, "manager", "9")
    hold = ledger.hold("2")
    ledger.book(("call-1", "1.5", hold))
    ledger.hold("1")
    ledger.book(("call-2", "1"))
    (spent,) = ledger.do(budget.page, budget.TransactionQuery(transaction_type="debit")).items
    refund(ledger, spent)
    assert ledger.mismatches() == []
    superuser = connect("superuser")
    with superuser.transaction(force_rollback=True):
        superuser.execute(
            "alter table budget_transactions drop constraint balances_are_those_of_available,"
            " drop constraint amounts_are_numbers"
        )
        of_organization = f"{spoil}{' and' if ' where ' in spoil else ' where'} organization_id = %s"
        superuser.execute(of_organization.encode(), [organization.organization_id])
        superuser.execute("select enter_context(%s, %s)", [organization.tenant_id, organization.organization_id])
        superuser.execute("set local role leadline_app")
        found = {row["finding"] for row in superuser.execute("select finding from ledger_mismatches()")}
    assert finding in found


@pytest.mark.parametrize("amount", ["NaN", "-1"])
@pytest.mark.parametrize(
    "statement",
    [
        "select book_budget('credit', %(amount)s, null, 'top_up', null, null, '{}', null)",
        "select book_budget('debit', %(amount)s, null, 'call', null, null, '{}', null)",
        "select refund_budget(%(spent)s, %(amount)s, null, '{}', null)",
        "select settle_hold(%(hold)s, %(amount)s, null)",
        "select settle_hold(%(hold)s, %(amount)s, 'call-1')",
        "select book_calls(array['call-1'], array[null::uuid], array[%(amount)s::numeric], array[null::uuid],"
        " array['call'], array[null])",
        "select cap_member(current_user_id(), %(amount)s)",
        "select place_holds(array[null::uuid], array[%(amount)s::numeric], array['call'], array[null],"
        " array[null::uuid], array[null::uuid], array[null], array[null::uuid], array[now()])",
    ],
)
def test_the_ledgers_functions_refuse_what_is_no_amount(ledger, statement, amount):
    ledger.credit("10")
    values = {"amount": Decimal(amount), "spent": ledger.debit("2").id, "hold": ledger.hold("3")}
    before = ledger.transactions()
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.do(lambda tx: tx.execute(statement.encode(), values).fetchall())
    assert ledger.transactions() == before


def test_the_application_cannot_write_the_ledger_but_by_its_functions(ledger):
    ledger.credit("1")
    for statement in (
        "insert into budget_transactions default values",
        "update budget_accounts set balance = 5",
        "update budget_holds set state = 'held'",
        "select post_budget('{}', 0, 0)",
        "select lock_available()",
        "select end_holds('{}', 'released')",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ledger.do(lambda tx, statement=statement: tx.execute(statement.encode()).fetchall())


def test_a_ledger_that_was_taken_down_and_put_up_again_proves_itself(server, scratch_database, monkeypatch):
    scratch = dataclasses.replace(server, database=scratch_database)
    up = [path for path in sorted(MIGRATIONS.glob("*.sql")) if not path.stem.endswith("_down")]
    before = next(place for place, path in enumerate(up) if path.stem.endswith("_budget_ledger"))
    migrations.up(scratch.dsn("owner"), MIGRATIONS)
    with psycopg.connect(scratch.dsn("owner"), autocommit=True, row_factory=dict_row) as owner, owner.transaction():
        made = tenancy.provide(
            owner, tenancy.NewCustomer(tenant="tenant", organization="organization", admin_subject="admin")
        )
    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", scratch.dsn("app"))
        patch.setattr("leadline.db._connection", None)
        ledger = Ledger(Caller(made.tenant_id, made.organization_id, "admin", "admin"))
        ledger.credit("10")
        ledger.debit("2.5")
        adjust(ledger, "1", "debit")
        told = ledger.transactions()
        migrations.down(scratch.dsn("owner"), MIGRATIONS, to=before, destroy_data=True)
        migrations.up(scratch.dsn("owner"), MIGRATIONS)
        assert (ledger.transactions(), ledger.mismatches()) == (told, [])
        ledger.debit("6.5")
        assert ledger.balances() == ("0.00", "0.00", "0.00")
        assert ledger.mismatches() == []
        db._connection.close()


def test_money_is_written_with_two_to_six_decimals():
    told = {"0": "0.00", "10": "10.00", "1.5": "1.50", "0.0075": "0.0075", "0.000001": "0.000001", "-3": "-3.00"}
    assert {given: written(Decimal(given)) for given in told} == told
    assert written(Decimal("1E+3")) == "1000.00"
