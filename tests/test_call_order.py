"""In whatever order messages come, and how often: everything ends as if each had come once, in order."""

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from functions.call_events_worker.app import handler
from leadline import budget
from leadline.db import tenant_transaction
from tests import call_messages
from tests.call_messages import batch
from tests.calling import caller
from tests.leads import create
from tests.ledger import Ledger

OUTCOMES = ["interested", "not_interested", "no_answer", "callback_requested", "recruited", "unheard of"]
TIMES_DELIVERED = 3


@dataclass(frozen=True)
class Story:
    """What happened: leads by number, holds by number and id, and messages in their order, of no organization yet.

    `parted` are calls whose hold ends by what comes first. A hold ends once and for all; so of who opts out, or
    of a call that both failed and was completed, the money is the same in every order, and not how the hold ended.
    """

    numbers: list[str]
    holds: list[tuple[str, UUID]]
    messages: list[dict[str, Any]]
    parted: set[str]


class Nobody:
    """Stands for the organization until the story is told to one."""

    tenant_id = organization_id = ""


def story(chance: random.Random) -> Story:
    """Something of everything: calls of several leads and of strangers, texts, opt-outs, ties, contradictions."""
    told = Story([f"+1415555{chance.randrange(100, 10_000):04d}" for _ in range(5)], [], [], set())
    number_of: dict[str, str] = {}
    for place in range(chance.randint(6, 12)):
        # The last two are nobody's.
        number_of[f"call-{place}"] = number = chance.choice([*told.numbers, "+12125550177", "anonymous"])
        tell_call(told, chance, f"call-{place}", number)
    for place in range(chance.randint(1, 4)):
        who, text_id = {"from": chance.choice(told.numbers)}, f"sms-{place}"
        told.messages.append(call_messages.text(Nobody, "received", chance.randint(0, 40), id=text_id, **who))
        for status in chance.sample(["read", "archived", "delivered"], 2):
            minutes = chance.randint(0, 40)
            told.messages.append(call_messages.text(Nobody, "status", minutes, id=text_id, status=status))
    opted_out = {number_of[message["call"]["id"]] for message in told.messages if "opt_out" in message}
    told.parted.update(call_id for call_id, number in number_of.items() if number in opted_out)
    told.messages.sort(key=lambda message: (message["occurred_at"], message["id"]))
    return told


def tell_call(told: Story, chance: random.Random, call_id: str, number: str) -> None:
    """Some messages about one call, at any time: an end may come before its beginning, or at the same moment."""
    known = {"id": call_id, "to": number, "from": "+14155550000", "direction": "outbound"}
    if chance.random() < 0.3:
        known |= {"to": "+14155550000", "from": number, "direction": "inbound"}
    if chance.random() < 0.5 and number != "anonymous":
        told.holds.append((number, UUID(int=chance.getrandbits(128), version=4)))
        known["hold_id"] = str(told.holds[-1][1])
    types = [["started", "completed"], ["started", "completed"], ["completed"], ["started", "failed"]][
        chance.randrange(4)
    ]
    if chance.random() < 0.1:
        types = ["started", "completed", "failed"]
        told.parted.add(call_id)
    for type_ in types + ["analyzed"] * chance.randint(0, 2):
        message = call_messages.call(Nobody, type_, chance.randint(0, 40), **known)
        if type_ in ("completed", "failed"):
            message["call"] |= {"outcome": chance.choice(OUTCOMES), "duration_seconds": chance.randint(0, 99)}
            message["call"]["cost_usd"] = chance.choice(["0", "0.0075", "1.5", "2.00000049", "7"])
        if type_ == "analyzed" or chance.random() < 0.3:
            message["qualification"] = {chance.choice(["income", "decision"]): chance.randint(0, 100)}
            message["intent"] = {chance.choice(["interest", "callback"]): chance.random() < 0.5}
        if chance.random() < 0.06 and number != "anonymous":
            words = f"words {len(told.messages)}"
            message["opt_out"] = {"phrase": words, "confidence": chance.choice([0.5, 0.9])}
        told.messages.append(message)


def prepare(organization, told: Story) -> list[dict[str, Any]]:
    """The leads, holds and enrollments that a story needs; and its messages for this organization."""
    agent, ledger = caller(organization), Ledger(organization.caller("admin"))
    ledger.credit("1000")
    for number in dict.fromkeys(told.numbers):
        create(agent, phone_number=number)
    for number, hold_id in told.holds:
        ledger.hold("2", id=hold_id, phone_number=number)
    with tenant_transaction(organization.caller("agent")) as tx:
        tx.execute(
            """
            with made as (insert into nurture_sequences (name) values ('welcome') returning id)
            insert into lead_sequence_enrollments (lead_id, sequence_id) select leads.id, made.id from leads, made
            """
        )
    ids = {"tenant_id": str(organization.tenant_id), "organization_id": str(organization.organization_id)}
    return [message | ids for message in told.messages]


def picture(connect: Callable[..., Any], organization, told: Story) -> dict[str, list[Any]]:
    """All that must be the same, with numbers in the place of ids."""
    conn = connect("superuser")
    values = {"org": organization.organization_id, "parted": list(told.parted)}
    queries = {
        "leads": """
            select phone_number, status, last_contact_date, interaction_count, calling_blocked, lead_score from leads
            where organization_id = %(org)s
        """,
        "calls": """
            select to_jsonb(calls) - '{tenant_id,organization_id,id,lead_id,created_at,updated_at}'::text[] as told,
                lead.phone_number
            from calls left join leads as lead on lead.id = calls.lead_id where calls.organization_id = %(org)s
        """,
        "messages": """
            select to_jsonb(messages) - '{tenant_id,organization_id,id,lead_id,created_at,updated_at}'::text[] as told,
                lead.phone_number
            from messages left join leads as lead on lead.id = messages.lead_id where messages.organization_id = %(org)s
        """,
        "accounts": """
            select account, balance from budget_accounts where organization_id = %(org)s and balance <> 0
        """,
        "holds": """
            select id, amount, case when not exists (
                select from calls where hold_id = budget_holds.id and call_id = any (%(parted)s)
            ) then state end as state
            from budget_holds where organization_id = %(org)s
        """,
        "listed": """
            select phone_number, reason, expires_at, consent_withdrawal_documented from dnc_list
            where organization_id = %(org)s and removed_at is null
        """,
        "opt-outs": """
            select address, channel, reason, source, words, confidence, verdict, occurred_at, due_on from opt_out_events
            where organization_id = %(org)s
        """,
        "enrollments": """
            select lead.phone_number, enrollment.status, enrollment.exit_reason,
                case when enrollment.status = 'paused' then pause_reason end as pause_reason
            from lead_sequence_enrollments as enrollment join leads as lead on lead.id = enrollment.lead_id
            where enrollment.organization_id = %(org)s
        """,
        "effects per call": """
            select call_id, transaction_type, from_account, to_account, amount from budget_transactions
            where organization_id = %(org)s and call_id <> all (%(parted)s)
        """,
        "findings": """
            select type, subject_id, occurrence from domain_events where organization_id = %(org)s
        """,
        "inbox": "select message_id from inbox_messages where organization_id = %(org)s",
    }
    return {name: sorted(map(repr, conn.execute(query, values).fetchall())) for name, query in queries.items()}


def work(messages: list[dict[str, Any]], seed: str) -> int:
    """One worker: takes its messages in batches of any size, and again what is to come again."""
    os.environ["CALL_EVENTS_DLQ_URL"] = "none, since nothing here is poisoned"
    chance = random.Random(seed)  # noqa: S311
    waiting = list(messages)
    deliveries = 0
    while waiting:
        size = chance.choice([1, 2, 5, 10, 30])
        event = batch(waiting[:size])
        again = {item["itemIdentifier"] for item in handler(event, None)["batchItemFailures"]}
        came = zip(event["Records"], waiting[:size], strict=True)
        waiting = waiting[size:] + [message for record, message in came if record["messageId"] in again]
        deliveries += 1
        assert deliveries < 1000, "it never ends"
    return deliveries


def twice(customer, connect, in_processes, seed: int) -> None:
    """A story told in order to one organization, and to another three times over, shuffled, by two workers at once."""
    chance = random.Random(seed)  # noqa: S311
    told = story(chance)
    one, other = customer(), customer()
    assert work(prepare(one, told), f"{seed} in order")
    messages = prepare(other, told) * TIMES_DELIVERED
    chance.shuffle(messages)
    middle = chance.randint(0, len(messages))
    in_processes(work, (messages[:middle], f"{seed} left"), (messages[middle:], f"{seed} right"))
    expected, found = picture(connect, one, told), picture(connect, other, told)
    assert len(expected["inbox"]) == len(told.messages)
    for what in expected:
        assert found[what] == expected[what], (seed, what)
    for organization in (one, other):
        assert Ledger(organization.caller("admin")).mismatches() == []


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_three_deliveries_to_two_workers_ends_as_once_in_order(customer, connect, in_processes, seed):
    twice(customer, connect, in_processes, seed)


@pytest.mark.storm
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_a_hundred_more_stories_end_so_too(customer, connect, in_processes, seed):
    twice(customer, connect, in_processes, seed)


def settle(organization, holds: list[UUID]) -> None:
    """Settles holds one by one, as the dialer may over HTTP."""
    ledger = Ledger(organization.caller("service"))
    for hold_id in holds:
        ledger.do(budget.settle, hold_id, budget.Settlement.model_validate({"amount": "0.5"}))


def act(who: str, *arguments: Any) -> None:
    {"work": work, "settle": settle}[who](*arguments)


@pytest.mark.storm
def test_opt_outs_and_settlements_of_the_same_numbers_never_wait_in_a_circle(customer, connect, in_processes):
    organization = customer()
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("10000")
    numbers = [f"+1415555{place:04d}" for place in range(1000, 1300)]
    of_numbers = [ledger.hold("2", phone_number=number) for number in numbers for _ in range(2)]
    own = [ledger.hold("2") for _ in numbers]
    messages = [
        call_messages.call(
            organization,
            "failed" if place % 2 else "completed",
            place,
            opt_out={"phrase": "stop"},
            id=f"call-{place}",
            to=number,
            cost_usd="1",
            hold_id=str(own[place]),
        )
        for place, number in enumerate(numbers)
    ]
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    before = connect("superuser").execute(deadlocks).fetchall()
    in_processes(
        act,
        ("work", messages, "opt-outs"),
        ("settle", organization, own[::3] + of_numbers[::3]),
        ("settle", organization, of_numbers[1::3] + own[1::3]),
    )
    time.sleep(1.5)  # until PostgreSQL has added up its statistics
    assert connect("superuser").execute(deadlocks).fetchall() == before
    assert ledger.mismatches() == []
    assert ledger.balances()[1:] == ("0.00", "0.00")
