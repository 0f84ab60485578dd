"""The ledger under many at once, under kills, and beside a model that a child could check."""

import contextlib
import os
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from leadline import budget
from leadline.budget import (
    CallCancelled,
    CallCost,
    InsufficientBudget,
    NewAdjustment,
    NewCap,
    NewCredit,
    NewDebit,
    NewHold,
    NewRefund,
    RefundTooLarge,
    Settlement,
)
from leadline.idempotency import IdempotencyConflict
from tests.ledger import Ledger, on_a_connection

pytestmark = pytest.mark.storm

CLIENTS = 16
ACTIONS = 10_000
LOST = (psycopg.OperationalError, psycopg.InterfaceError)


def at_once(*works: Callable[[], None]) -> None:
    """Runs them in threads, and raises what one of them has raised."""
    raised: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


# Many at once, and some of them killed --------------------------------------------------------------------------------


class Client:
    """One connection that does random things, and opens another one whenever it is killed."""

    def __init__(self, number: int, storm: "Storm") -> None:
        self.storm = storm
        self.chance = random.Random(number)  # noqa: S311 - nothing secret
        self.conn: Any = None
        self.done: Counter[str] = Counter()

    def run(self, actions: int) -> None:
        for _ in range(actions):
            what = self.chance.choice([self.move, self.move, self.place, self.end, self.calls, self.refund])
            try:
                self.connect()
                with on_a_connection(self.conn, self.storm.caller) as tx:
                    after = what(tx)
                after()
                self.done["committed"] += 1
            except (InsufficientBudget, RefundTooLarge):
                self.done["refused"] += 1
            except IdempotencyConflict:
                self.done["conflict"] += 1
            except LOST as error:
                if error.sqlstate not in (None, "57P01"):  # a deadlock or a time limit is nothing that a kill explains
                    raise
                self.done["killed"] += 1
        if self.conn is not None:
            self.conn.close()

    def connect(self) -> None:
        if self.conn is None or self.conn.closed or self.conn.broken:
            self.conn = self.storm.connect()
            self.storm.open[id(self)] = self.conn

    def money(self) -> Decimal:
        return Decimal(self.chance.randint(1, 30_000)) / 10_000

    def move(self, tx: Any) -> Callable[[], None]:
        """With a key of a few hundred, so that many come twice, and by several clients."""
        number = self.chance.randint(1, 3000)
        key = f"key-{number}"
        amount = Decimal(number) / 1000  # the same key says the same, but now and then another thing
        if self.chance.random() < 0.02:
            amount += 1
        if number % 3 == 0:
            made = budget.debit(tx, NewDebit(amount=str(amount)), key=key)
        elif number % 3 == 1:
            made = budget.credit(tx, NewCredit(amount=str(amount)), key=key)
        else:
            direction = "debit" if number % 2 else "credit"
            made = budget.adjust(tx, NewAdjustment(amount=str(amount), direction=direction), key=key)
        return lambda: self.storm.keys.append((key, made.id))

    def place(self, tx: Any) -> Callable[[], None]:
        expires_at = datetime.now(UTC) + timedelta(seconds=self.chance.choice([-1, 60]))
        number = f"+1415555{self.chance.randint(100, 110):04d}"
        holds = [NewHold(self.money(), expires_at, phone_number=number) for _ in range(self.chance.randint(1, 5))]
        placed = budget.outcome(budget.hold_all(tx, holds))
        return lambda: self.storm.holds.extend(one.id for one in placed if one.refused is None)

    def end(self, tx: Any) -> Callable[[], None]:
        ids = self.some_holds(self.chance.randint(1, 6))
        way = self.chance.randint(0, 3)
        if way == 0:
            budget.expire(tx, ids)
        elif way == 1:
            budget.release_numbers(tx, [f"+1415555{self.chance.randint(100, 110):04d}"])
        elif ids and way == 2:
            with contextlib.suppress(budget.HoldEnded):
                budget.release(tx, ids[0])
        elif ids:
            budget.settle(tx, ids[0], Settlement(amount=str(self.money())))
        return lambda: None

    def calls(self, tx: Any) -> Callable[[], None]:
        names = [f"call-{self.chance.randint(1, 2500)}" for _ in range(self.chance.randint(1, 10))]
        if self.chance.random() < 0.25:
            budget.cancel_calls(tx, [CallCancelled(name, self.a_hold()) for name in names])
            return lambda: None
        budget.book_calls(tx, [CallCost(name, self.money() / 3, "", hold_id=self.a_hold()) for name in names])
        return lambda: None

    def refund(self, tx: Any) -> Callable[[], None]:
        rows = tx.execute(
            "select id from budget_transactions where to_account like '%\\_spend' order by sequence desc limit 20"
        ).fetchall()
        if rows:
            amount = str(self.money()) if self.chance.random() < 0.5 else None
            budget.refund(tx, NewRefund(transaction_id=self.chance.choice(rows)["id"], amount=amount))
        return lambda: None

    def some_holds(self, count: int) -> list[UUID]:
        known = self.storm.holds[-200:]
        return self.chance.sample(known, min(count, len(known)))

    def a_hold(self) -> UUID | None:
        held = self.some_holds(1)
        return self.chance.choice([held[0], None, uuid4()]) if held else None


class Storm:
    """What the clients share: who they are, the holds they have placed, and the keys that were acknowledged."""

    def __init__(self, database: Any, caller: Any) -> None:
        self.database, self.caller = database, caller
        self.holds: list[UUID] = []
        self.keys: list[tuple[str, UUID]] = []
        self.open: dict[int, Any] = {}
        self.over = threading.Event()

    def connect(self) -> Any:
        return psycopg.connect(
            self.database.dsn("app"),
            autocommit=True,
            row_factory=psycopg.rows.dict_row,
            prepare_threshold=None,
        )

    def kill(self) -> None:
        """Now and then a connection is ended by the server, or its socket is shut under it, whatever it is doing."""
        chance = random.Random(99)  # noqa: S311 - nothing secret
        with psycopg.connect(self.database.dsn("superuser"), autocommit=True) as superuser:
            while not self.over.wait(0.1):
                victims = [conn for conn in list(self.open.values()) if not conn.closed]
                if victims:
                    # What was just closed has neither process nor socket any more.
                    with contextlib.suppress(*LOST, OSError):
                        victim = chance.choice(victims).pgconn
                        if chance.random() < 0.5:
                            superuser.execute("select pg_terminate_backend(%s)", [victim.backend_pid])
                        else:
                            with socket.socket(fileno=os.dup(victim.socket)) as same:
                                same.shutdown(socket.SHUT_RDWR)


def test_sixteen_clients_ten_thousand_actions_and_kills_leave_a_ledger_that_proves_itself(
    database, customer, connect
) -> None:
    organization = customer()
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("200")
    ledger.do(budget.cap, organization.members["manager"].id, NewCap(monthly_amount="1000000"))
    storm = Storm(database, organization.caller("manager"))
    clients = [Client(number, storm) for number in range(CLIENTS)]
    killer = threading.Thread(target=storm.kill)
    killer.start()
    try:
        at_once(*(lambda client=client: client.run(ACTIONS // CLIENTS) for client in clients))
    finally:
        storm.over.set()
        killer.join()
    done = sum((client.done for client in clients), Counter())
    # The proof joins ten thousand rows: it needs the statistics that a table of some age has.
    connect("superuser").execute("analyze budget_transactions, budget_holds, budget_calls, budget_accounts")
    assert ledger.mismatches() == []
    assert done["killed"] > 20
    assert done["committed"] > ACTIONS / 4
    superuser = connect("superuser")
    of = [organization.organization_id]
    (least,) = superuser.execute("select min(balance_after) from budget_transactions where organization_id = %s", of)
    assert least["min"] >= 0
    (sums,) = superuser.execute("select sum(balance) from budget_accounts where organization_id = %s", of)
    assert sums["sum"] == 0
    booked = superuser.execute(
        "select idempotency_key, id from budget_transactions"
        " where organization_id = %s and idempotency_key is not null",
        of,
    ).fetchall()
    by_key = {row["idempotency_key"]: row["id"] for row in booked}
    assert len(by_key) == len(booked)
    assert {(key, by_key.get(key)) for key, _ in storm.keys} == set(storm.keys)
    assert {event["type"] for event in superuser.execute("select type from domain_events")} >= {"budget_overage"}


# Two at the same moment -----------------------------------------------------------------------------------------------


def test_an_expiry_and_a_settlement_at_the_same_moment_book_each_call_once_a_thousand_times(connect, customer) -> None:
    organization = customer()
    ledger = Ledger(organization.caller("manager"))
    ledger.credit("1000")
    rounds = 1000
    holds = [one.id for one in ledger.hold_all(["0.5"] * rounds, expires_at=datetime.now(UTC))]
    barrier = threading.Barrier(3, timeout=60)
    one, two, three = connect(), connect(), connect()

    def meet(conn: Any, act: Callable[[Any, UUID], object]) -> None:
        for hold in holds:
            barrier.wait()
            with on_a_connection(conn, organization.caller("manager")) as tx:
                act(tx, hold)

    def book(tx: Any, hold: UUID) -> object:
        return budget.book_calls(tx, [CallCost(f"call of {hold}", Decimal("0.4"), "0.4", hold_id=hold)])

    at_once(
        lambda: meet(one, lambda tx, hold: budget.expire(tx, [hold])),
        lambda: meet(two, book),
        lambda: meet(three, book),
    )
    assert ledger.mismatches() == []
    assert ledger.balances() == ("600.00", "0.00", "0.00")
    rows = connect("superuser").execute(
        "select state, settled_amount, count(*) from budget_holds where organization_id = %s group by 1, 2",
        [organization.organization_id],
    )
    states = {(row["state"], row["settled_amount"]): row["count"] for row in rows}
    assert set(states) == {("settled", Decimal("0.4")), ("expired", Decimal("0.4"))}  # each has won at times
    assert sum(states.values()) == rounds


def test_transactions_that_book_cancel_and_release_in_any_order_never_wait_in_a_circle(connect, customer) -> None:
    organization = customer()
    ledger = Ledger(organization.caller("manager"))
    ledger.credit("1000")
    holds = [one.id for one in ledger.hold_all(["0.01"] * 20, expires_at=datetime.now(UTC))]
    conns = [connect() for _ in range(6)]

    def shuffled(number: int, conn: Any) -> None:
        chance = random.Random(number)  # noqa: S311 - nothing secret
        for _ in range(60):
            calls = [f"call-{chance.randint(1, 30)}" for _ in range(3)]
            works: list[Callable[[Any], object]] = [
                lambda tx, calls=calls: budget.book_calls(
                    tx, [CallCost(call, Decimal("0.02"), "", hold_id=chance.choice(holds)) for call in calls]
                ),
                lambda tx, calls=calls: budget.cancel_calls(tx, [CallCancelled(calls[0], chance.choice(holds))]),
                lambda tx: budget.expire(tx, chance.sample(holds, 5)),
                lambda tx: budget.debit(tx, NewDebit(amount="0.01")),
            ]
            chance.shuffle(works)
            with on_a_connection(conn, organization.caller("manager")) as tx:
                for work in works:
                    work(tx)

    at_once(*(lambda number=number, conn=conn: shuffled(number, conn) for number, conn in enumerate(conns)))
    assert ledger.mismatches() == []


def test_the_last_money_goes_to_one_of_many(connect, customer) -> None:
    organization = customer()
    ledger = Ledger(organization.caller("manager"))
    conns = [connect() for _ in range(8)]
    for _ in range(30):
        ledger.credit("1")
        barrier, spent = threading.Barrier(8, timeout=60), Counter()

        def spend(conn: Any, barrier: Any = barrier, spent: Any = spent) -> None:
            barrier.wait()
            with contextlib.suppress(InsufficientBudget), on_a_connection(conn, organization.caller("manager")) as tx:
                budget.debit(tx, NewDebit(amount="0.6"))
                spent["times"] += 1

        at_once(*(lambda conn=conn: spend(conn) for conn in conns))
        assert spent["times"] == 1
        ledger.do(budget.adjust, NewAdjustment(amount="0.4", direction="debit"))
    assert ledger.balances() == ("0.00", "0.00", "0.00")
    assert ledger.mismatches() == []


def test_the_first_ones_to_use_a_budget_make_its_accounts_once(connect, customer) -> None:
    conns = [connect() for _ in range(8)]
    for _ in range(10):
        organization = customer()
        barrier = threading.Barrier(8, timeout=60)

        def begin(conn: Any, organization: Any = organization, barrier: Any = barrier) -> None:
            barrier.wait()
            with on_a_connection(conn, organization.caller("admin")) as tx:
                budget.credit(tx, NewCredit(amount="1"))

        at_once(*(lambda conn=conn, begin=begin: begin(conn) for conn in conns))
        ledger = Ledger(organization.caller("admin"))
        assert ledger.balances() == ("8.00", "0.00", "0.00")
        assert ledger.mismatches() == []


# Beside a model -------------------------------------------------------------------------------------------------------

amounts = st.integers(1, 50_000).map(lambda ten_thousandths: Decimal(ten_thousandths) / 10_000)
costs = st.integers(0, 5_000_000).map(lambda millionths: Decimal(millionths) / 1_000_000)
names = st.integers(1, 6).map(lambda number: f"call-{number}")


class Model(RuleBasedStateMachine):
    """The same actions in the ledger and in a few dictionaries."""

    new_customer: Callable[[], Any]

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger(type(self).new_customer().caller("admin"))
        self.available = self.owed = Decimal(0)
        self.holds: dict[UUID, dict[str, Any]] = {}
        self.spent: dict[UUID, list[Decimal]] = {}  # by debit of a person: amount, refunded
        self.calls: dict[str, Decimal | None] = {}  # what is booked and not refunded; None where cancelled
        self.hold_of: dict[str, UUID | None] = {}  # by call: the hold that was its own, as far as anybody has said

    def come_in(self, amount: Decimal) -> None:
        paid = min(self.owed, amount)
        self.owed -= paid
        self.available += amount - paid

    def go_out(self, amount: Decimal) -> None:
        taken = min(self.available, amount)
        self.available -= taken
        self.owed += amount - taken

    @rule(amount=amounts)
    def credit(self, amount: Decimal) -> None:
        self.ledger.credit(str(amount))
        self.come_in(amount)

    @rule(amount=amounts, up=st.booleans())
    def adjust(self, amount: Decimal, up: bool) -> None:
        asked = NewAdjustment(amount=str(amount), direction="credit" if up else "debit")
        if not up and amount > self.available:
            with pytest.raises(InsufficientBudget):
                self.ledger.do(budget.adjust, asked)
            return
        self.ledger.do(budget.adjust, asked)
        if up:
            self.come_in(amount)
        else:
            self.available -= amount

    @rule(amount=amounts)
    def debit(self, amount: Decimal) -> None:
        if amount > self.available:
            with pytest.raises(InsufficientBudget):
                self.ledger.debit(str(amount))
            return
        self.spent[self.ledger.debit(str(amount)).id] = [amount, Decimal(0)]
        self.available -= amount

    @precondition(lambda self: self.spent)
    @rule(amount=st.none() | amounts, data=st.data())
    def refund(self, amount: Decimal | None, data: st.DataObject) -> None:
        of = data.draw(st.sampled_from(sorted(self.spent)))
        whole, refunded = self.spent[of]
        wanted = whole - refunded if amount is None else amount
        asked = NewRefund(transaction_id=of, amount=None if amount is None else str(amount))
        if not 0 < wanted <= whole - refunded:
            with pytest.raises(RefundTooLarge):
                self.ledger.do(budget.refund, asked)
            return
        self.ledger.do(budget.refund, asked)
        self.spent[of][1] += wanted
        self.come_in(wanted)

    @rule(wanted=st.lists(amounts, min_size=1, max_size=4), overdue=st.booleans())
    def place(self, wanted: list[Decimal], overdue: bool) -> None:
        expires_at = datetime.now(UTC) + timedelta(seconds=-1 if overdue else 600)
        placed = self.ledger.hold_all([str(amount) for amount in wanted], expires_at=expires_at)
        gone = False
        for amount, one in zip(wanted, placed, strict=True):
            gone = gone or amount > self.available
            assert one.refused == ("available" if gone else None)
            if not gone:
                self.available -= amount
                self.holds[one.id] = {
                    "amount": amount,
                    "state": "held",
                    "overdue": overdue,
                    "settled": None,
                    "by_hand": Decimal(0),
                    "call": None,
                }

    def give_back(self, hold: UUID, state: str) -> None:
        self.holds[hold]["state"] = state
        self.come_in(self.holds[hold]["amount"])

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.holds)), min_size=1, max_size=3, unique=True))
        self.ledger.do(budget.expire, ids)
        for hold in ids:
            if self.holds[hold]["state"] == "held" and self.holds[hold]["overdue"]:
                self.give_back(hold, "expired")

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold = data.draw(st.sampled_from(sorted(self.holds)))
        if self.holds[hold]["state"] == "settled":
            with pytest.raises(budget.HoldEnded):
                self.ledger.do(budget.release, hold)
            return
        self.ledger.do(budget.release, hold)
        if self.holds[hold]["state"] == "held":
            self.give_back(hold, "released")

    def settled(self, hold: UUID, cost: Decimal) -> None:
        """A cost meets a hold that nobody has settled: what is held comes back, and the cost goes out."""
        one = self.holds[hold]
        if one["state"] == "held":
            self.give_back(hold, "settled" if cost else "released")
        if cost:
            one["settled"] = cost
        self.go_out(cost)

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), amount=amounts, call=st.none() | names)
    def settle(self, data: st.DataObject, amount: Decimal, call: str | None) -> None:
        hold = data.draw(st.sampled_from(sorted(self.holds)))
        found = self.ledger.do(budget.settle, hold, Settlement(amount=str(amount), call_id=call))
        one = self.holds[hold]
        if call is not None:
            self.met([(call, amount)], [hold])
            assert found.id == (self.hold_of[call] or hold)
        elif one["settled"] is None and one["call"] is None:
            self.settled(hold, amount)
            one["by_hand"] = amount
        assert Decimal(found.settled_amount or 0) == (self.holds[found.id]["settled"] or 0)

    @rule(data=st.data(), batch=st.lists(st.tuples(names, costs), min_size=1, max_size=4))
    def book(self, data: st.DataObject, batch: list[tuple[str, Decimal]]) -> None:
        chosen = [data.draw(self.some_hold()) for _ in batch]
        unknown = data.draw(st.booleans())
        asked = [
            CallCost(name, cost, str(cost), hold_id=hold or (uuid4() if unknown else None))
            for (name, cost), hold in zip(batch, chosen, strict=True)
        ]
        owed = self.owed
        booked = self.ledger.do(budget.book_calls, asked)
        self.met(batch, chosen)
        assert sum(one.shortfall for one in booked) >= self.owed - owed

    def some_hold(self) -> st.SearchStrategy[UUID | None]:
        return st.none() | st.sampled_from(sorted(self.holds)) if self.holds else st.none()

    def met(self, batch: list[tuple[str, Decimal]], chosen: list[UUID | None]) -> None:
        """Costs of calls meet holds: a hold is met by the first of a batch that names it, a call once a batch."""
        used = set[UUID]()
        without_hold = {name for name, spent in self.calls.items() if spent is not None and self.hold_of[name] is None}
        for (name, cost), hold in zip(batch, chosen, strict=True):
            known = name in self.calls
            cost = Decimal(0) if known else cost  # noqa: PLW2901 - a known call costs nothing more
            one = self.holds[hold] if hold is not None and hold not in used else None
            if hold is None or one is None or (one["settled"] and one["call"] not in (None, name)):
                self.go_out(cost)
            else:
                used.add(hold)
                by_hand = one["settled"] is not None
                if name in without_hold and (one["state"] == "held" or (by_hand and one["call"] is None)):
                    without_hold.remove(name)
                    self.hold_of[name] = hold
                    cost = self.calls[name] or Decimal(0)  # noqa: PLW2901 - its cost moves
                    self.come_in(cost)
                    if by_hand:
                        self.calls[name] = Decimal(0)
                if by_hand:
                    cost = Decimal(0)  # noqa: PLW2901 - it was paid by hand
                else:
                    self.settled(hold, cost)
                one["call"] = one["call"] or name
            if not known:
                self.calls[name] = cost
                self.hold_of[name] = hold

    @rule(data=st.data(), batch=st.lists(names, min_size=1, max_size=3, unique=True))
    def cancel(self, data: st.DataObject, batch: list[str]) -> None:
        chosen = [data.draw(self.some_hold()) for _ in batch]
        done = self.ledger.do(
            budget.cancel_calls, [CallCancelled(name, hold) for name, hold in zip(batch, chosen, strict=True)]
        )
        for hold in set(chosen) - {None}:
            if self.holds[hold]["state"] == "held":
                self.give_back(hold, "released")
        refunded: dict[str, Decimal] = {}
        for name, named in sorted(zip(batch, chosen, strict=True)):
            fresh = name not in self.calls or self.calls[name] is not None
            if not fresh and (self.hold_of[name] is not None or named is None):
                continue
            self.hold_of[name] = hold = self.hold_of.get(name) or named
            back = self.calls.get(name) or Decimal(0)
            if hold is not None:
                one = self.holds[hold]
                if one["settled"] is not None and one["call"] is None:
                    one["call"] = name
                if one["call"] == name:
                    back += one["by_hand"]
                    one["by_hand"] = Decimal(0)
            self.come_in(back)
            self.calls[name] = None
            if fresh:
                refunded[name] = back
        assert {one.call_id: one.refunded for one in done} == refunded

    @invariant()
    def the_same(self) -> None:
        found = self.ledger.do(lambda tx: budget.balances(budget.lock_available(tx)))
        held = sum((one["amount"] for one in self.holds.values() if one["state"] == "held"), Decimal(0))
        assert (found.available, found.held, found.overage) == (self.available, held, self.owed)
        assert not (found.available and found.overage)

    def teardown(self) -> None:
        assert self.ledger.mismatches() == []
        states = {hold: self.ledger.state(hold) for hold in self.holds}
        assert states == {hold: one["state"] for hold, one in self.holds.items()}


def test_the_ledger_and_its_model_agree_whatever_is_done(customer) -> None:
    Model.new_customer = staticmethod(customer)
    run_state_machine_as_test(
        Model, settings=settings(max_examples=60, stateful_step_count=40, deadline=None, database=None)
    )
