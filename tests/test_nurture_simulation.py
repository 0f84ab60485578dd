"""Two weeks in the life of a thousand leads: everything goes wrong that can, and nobody is contacted who must not be.

Time is the test's own and advances by minutes, over a change of the clocks. What may be said to whom and when is judged
here by the plainest means, from what this test has done itself: not by the product's gate or its rows.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from leadline import calls
from leadline.config import NewValue
from leadline.config import put as put_config
from leadline.db import tenant_transaction
from leadline.nurture import dispatch, engine, enrollments, results, sequences, templates
from leadline.nurture.channels import GoneWrong, Outcome, Outgoing, Refused, Sent, send
from leadline.nurture.enrollments import NewEnrollments, Reason, ResumeAll
from leadline.nurture.sequences import NewSequence
from leadline.nurture.templates import NewTemplate
from tests import calling_law
from tests.calling_law import ARIZONA, CENTRAL, EASTERN, HAWAII, MOUNTAIN, PACIFIC
from tests.ledger import Ledger

LEADS = 1000
START = datetime(2026, 10, 28, 13, tzinfo=UTC)  # the clocks go back on 1 November
TICK = timedelta(minutes=20)
DAYS = 13
NO_MONEY = (START + timedelta(days=4), START + timedelta(days=5))
CLAIMED_AT_ONCE = 100

# Area codes, with the state and the zones of their areas as a map shows them.
AREAS = {
    "212": ("US-NY", {EASTERN}),
    "305": ("US-FL", {EASTERN}),
    "850": ("US-FL", {EASTERN, CENTRAL}),
    "404": ("US-GA", {EASTERN}),
    "405": ("US-OK", {CENTRAL}),
    "713": ("US-TX", {CENTRAL}),
    "312": ("US-IL", {CENTRAL}),
    "205": ("US-AL", {CENTRAL}),
    "303": ("US-CO", {MOUNTAIN}),
    "602": ("US-AZ", {ARIZONA}),
    "310": ("US-CA", {PACIFIC}),
    "206": ("US-WA", {PACIFIC}),
    "410": ("US-MD", {EASTERN}),
    "401": ("US-RI", {EASTERN}),
    "808": ("US-HI", {HAWAII}),
}
TEMPLATES = {
    "hello_sms": {"channel": "sms", "body": "Hello {{first_name|there}}, this is {{organization.name}}."},
    "later_sms": {"channel": "sms", "body": "Still there, {{first_name|friend}}?"},
    "hello_email": {"channel": "email", "subject": "Hello {{first_name|there}}", "body": "Read on."},
    "hello_call": {"channel": "call", "body": "Hello {{first_name|there}}.", "voice": "artificial"},
}
LONG = [
    ("sms", 0, "hello_sms"),
    ("email", 1440, "hello_email"),
    ("call", 1440, "hello_call"),
    ("sms", 2880, "later_sms"),
]
SHORT = [("email", 0, "hello_email"), ("sms", 720, "later_sms"), ("call", 2880, "hello_call")]


@dataclass
class Person:
    """A lead as this test knows it."""

    lead_id: UUID
    number: str
    email: str | None
    consents: bool
    opted_out: set[str] = field(default_factory=set)  # "phone", "email"

    @property
    def area(self) -> tuple[str, set[str]]:
        return AREAS[self.number[2:5]]


@dataclass
class World:
    """What has gone out, and what people did."""

    organization: Any
    chance: random.Random
    people: dict[UUID, Person]
    now: datetime = START
    out: list[tuple[datetime, Outgoing]] = field(default_factory=list)
    gone_out: set[UUID] = field(default_factory=set)  # runs
    crashes: Counter[str] = field(default_factory=Counter)
    messages: list[dict[str, Any]] = field(default_factory=list)
    opt_outs: dict[str, tuple[Person, str]] = field(default_factory=dict)  # by message: who, and of what
    numbered: int = 0
    resent: int = 0  # steps that a manager had run again

    # Going out ------------------------------------------------------------------------------------------------------

    def name(self) -> str:
        self.numbered += 1
        return f"sim-{self.numbered:07d}"

    def goes_out(self, message: Outgoing) -> None:
        """Somebody gets this now: it must be lawful, and it must be the first of its step."""
        person = self.people[message.lead_id]
        assert message.to == (person.email if message.channel == "email" else person.number)
        assert message.valid_until > self.now
        assert message.run_id not in self.gone_out, "a step has gone out twice"
        self.gone_out.add(message.run_id)
        assert "phone" not in person.opted_out, f"{message.channel} after an opt-out"
        if message.channel == "email":
            assert "email" not in person.opted_out, "email after an opt-out of email"
        else:
            region, zones = person.area
            assert person.consents, "nobody has consented to this"
            assert calling_law.allowed(self.now, {region}, zones, message.channel), (region, self.now)
        self.out.append((self.now, message))
        self.answers(message, person)

    # Coming back ----------------------------------------------------------------------------------------------------

    def tell(self, type_: str, **parts: Any) -> str:
        """Something for the queue of the call system; its id."""
        name = self.name()
        self.messages.append(
            {
                "id": name,
                "type": type_,
                "occurred_at": self.now.isoformat(),
                "tenant_id": str(self.organization.tenant_id),
                "organization_id": str(self.organization.organization_id),
                **parts,
            }
        )
        return name

    def answers(self, message: Outgoing, person: Person) -> None:
        """What the person, or the call system, makes of it."""
        drawn = self.chance.random()
        if message.channel == "call":
            call = {"id": self.name(), "to": person.number, "lead_id": str(person.lead_id), "direction": "outbound"}
            call |= {"decision_id": str(message.decision_id), "hold_id": str(message.hold_id), "voice": "artificial"}
            self.tell("call.started", call=call)
            outcome = "recruited" if drawn < 0.05 else "answered" if drawn < 0.5 else "no_answer"
            ended = {**call, "duration_seconds": 30, "cost_usd": "0.0301", "outcome": outcome}
            if 0.05 < drawn < 0.09:
                asked = {"phrase": "take me off your list", "confidence": 0.97}
                self.opt_outs[self.tell("call.completed", call=ended, opt_out=asked)] = person, "phone"
            else:
                self.tell("call.completed", call=ended)
        elif message.channel == "sms" and drawn < 0.1:
            said = {"id": self.name(), "channel": "sms", "direction": "inbound", "from": person.number}
            if drawn < 0.04:
                words = self.chance.choice(["STOP", "Stop all.", "unsubscribe", "opt-out please"])
                self.opt_outs[self.tell("message.received", message={**said, "text": words})] = person, "phone"
            else:
                self.tell("message.received", message={**said, "text": "Yes, tell me more"})
        elif message.channel == "email" and drawn < 0.03:
            said = {"id": self.name(), "channel": "email", "direction": "inbound", "from": person.email}
            asked = {"phrase": "no more email, please", "confidence": 1}
            told = self.tell("message.received", message={**said, "text": "no more email, please"}, opt_out=asked)
            self.opt_outs[told] = person, "email"

    def hears(self, message_id: str) -> None:
        """A message has been taken in: from now on its opt-out holds."""
        if message_id in self.opt_outs:
            person, channel = self.opt_outs[message_id]
            person.opted_out.add(channel)


@dataclass
class Recorder:
    """A channel that keeps what it is given; it refuses some, and of some nobody hears again."""

    name: str
    settles: bool
    world: World

    def send(self, messages: Sequence[Outgoing]) -> list[Outcome]:
        return [self._send(message) for message in messages]

    def _send(self, message: Outgoing) -> Outcome:
        drawn = self.world.chance.random()
        if drawn < 0.03:
            return Refused("busy", again=True)
        if drawn < 0.035:
            return Refused("no_such_address", again=False)
        if drawn < 0.04:
            return GoneWrong("no_answer")
        self.world.goes_out(message)
        return GoneWrong("no_answer") if drawn < 0.045 else Sent(self.world.name())


class Killed(Exception):
    """The worker's process is gone."""


@contextmanager
def killed(world: World, where: str, how_often: float) -> Iterator[None]:
    """Now and then the worker dies at the end of this, before it can say that it has ended."""
    yield
    if world.chance.random() < how_often:
        world.crashes[where] += 1
        raise Killed


# One step of time ----------------------------------------------------------------------------------------------------


def work(world: World, message: dispatch.DueSteps) -> None:
    """A worker with one message; it may be killed anywhere."""
    caller = world.organization.caller(None)
    recorders = {name: Recorder(name, name == "sms", world) for name in ("sms", "email", "call")}
    for part in engine.parts(message):
        try:
            with tenant_transaction(caller) as tx, killed(world, "before the mark is kept", 0.02):
                prepared = engine.prepare(tx, message, part, world.now)
            with killed(world, "before it is sent", 0.02):
                outgoing = list(prepared.outgoing)
            if len(outgoing) > 1 and world.chance.random() < 0.02:
                send(outgoing[: len(outgoing) // 2], recorders)
                world.crashes["in the middle of sending"] += 1
                raise Killed
            with killed(world, "before it is recorded", 0.02):
                outcomes = send(outgoing, recorders)
            with tenant_transaction(caller) as tx, killed(world, "before the record is kept", 0.02):
                results.record(tx, outgoing, outcomes, world.now)
        except Killed:
            return


def hear(world: World) -> None:
    """The worker of the call system's queue: every message twice, in any order."""
    arrived = [*world.messages, *world.messages]
    world.messages.clear()
    world.chance.shuffle(arrived)
    for start in range(0, len(arrived), 10):
        batch = arrived[start : start + 10]
        read = [calls.read(json.dumps(one), world.now) for one in batch]
        with tenant_transaction(world.organization.caller(None, trigger_type="call")) as tx:
            calls.take(tx, read, world.now)
        for one in batch:
            world.hears(one["id"])


def tick(world: World, clock: Any) -> None:
    """Twenty minutes."""
    hear(world)
    with clock.transaction():
        lost = dispatch.lost(clock, world.now)
    for one in lost:
        if one.organization_id == world.organization.organization_id:
            with tenant_transaction(world.organization.caller(None)) as tx:
                results.close_lost(tx, one.until, world.now)
    while True:
        with clock.transaction():
            claimed = dispatch.claim(clock, world.now, CLAIMED_AT_ONCE)
        if not claimed:
            break
        queue = [*claimed, *claimed]
        world.chance.shuffle(queue)
        for message in queue:
            work(world, message)
    world.now += TICK


def people_decide(world: World, rows: Callable[..., list[Any]]) -> None:
    """Once a day a manager looks at what has paused: some go on, of some a step is sent again, some skip it."""
    asked = Reason(reason="looked at it")
    for row in rows(
        """
        select id, pause_reason from lead_sequence_enrollments
        where organization_id = %(org)s and pause_reason in ('replied', 'delivery_unknown') order by id
        """
    ):
        drawn = world.chance.random()
        if drawn > 0.6:
            continue
        with tenant_transaction(world.organization.caller("manager")) as tx:
            if row["pause_reason"] == "delivery_unknown" and drawn < 0.3:
                enrollments.skip(tx, row["id"], asked, world.now)
            else:
                world.resent += row["pause_reason"] == "delivery_unknown"
                enrollments.resume(tx, row["id"], asked, world.now)


# Before and after ----------------------------------------------------------------------------------------------------


@pytest.fixture
def organization(customer):
    return customer()


@pytest.fixture
def rows(connect, organization):
    """Rows of the organization, of any table."""
    superuser = connect("superuser")

    def rows(query: str, **values: Any) -> list[Any]:
        return superuser.execute(query, {"org": organization.organization_id, **values}).fetchall()

    return rows


def populate(organization: Any, chance: random.Random) -> dict[UUID, Person]:
    """A thousand leads from everywhere; nine of ten have consented, and most have an address for email."""
    people: dict[UUID, Person] = {}
    areas = sorted(AREAS)
    with tenant_transaction(organization.caller("admin")) as tx:
        for number in range(LEADS):
            area = areas[number % len(areas)]
            email = f"lead{number}@example.org" if chance.random() < 0.85 else None
            row = tx.execute(
                "insert into leads (first_name, phone_number, email) values (%s, %s, %s) returning id",
                [chance.choice(["Ada", "Grace", None]), f"+1{area}{220 + number // 100:03}{number % 100:04}", email],
            ).fetchone()
            assert row
            people[row["id"]] = Person(
                row["id"], f"+1{area}{220 + number // 100:03}{number % 100:04}", email, chance.random() < 0.9
            )
        tx.execute(
            """
            insert into consents (
                phone_number, kind, channels, voice_modes, disclosure_text, disclosure_version, method, captured_at,
                captured_at_offset
            )
            select number, 'prior_express_written', '{call,sms}', '{artificial}', 'yes', '1', 'web_form', '2026-01-01',
                0
            from unnest(%s::text[]) as number
            """,
            [[person.number for person in people.values() if person.consents]],
        )
        put_config(tx, "postal_address", NewValue(value="1 Main Street, Atlanta, GA 30303"))
        put_config(tx, "email_from", NewValue(value="hello@example.org"))
        put_config(tx, "call_max_cost", NewValue(value="0.05"))
    return people


def begin(organization: Any, people: dict[UUID, Person]) -> dict[str, UUID]:
    """Both sequences: everybody is in the long one, every second lead in the short one too."""
    with tenant_transaction(organization.caller("admin")) as tx:
        for template_id, fields in TEMPLATES.items():
            templates.create(
                tx, NewTemplate.model_validate({"template_id": template_id, "name": template_id, **fields})
            )
        made: dict[str, UUID] = {}
        for name, steps in (("long", LONG), ("short", SHORT)):
            asked = [
                {
                    "step": place,
                    "delay_minutes": delay,
                    "channel": channel,
                    "template_id": template_id,
                    "conditions": {},
                }
                for place, (channel, delay, template_id) in enumerate(steps, 1)
            ]
            if name == "long":
                asked[-1]["conditions"] = {"status": ["new", "contacted"]}
            new = NewSequence.model_validate({"name": name, "steps": asked, "active": True})
            made[name] = sequences.create(tx, new).id
        ids = list(people)
        for name, those in (("long", ids), ("short", ids[::2])):
            enrolled = enrollments.enroll(tx, made[name], NewEnrollments(lead_ids=those), START)
            assert enrolled.enrolled == len(those)
    return made


@pytest.mark.storm
@pytest.mark.parametrize("seed", [1, 2])
def test_two_weeks_of_a_thousand_leads(seed, organization, connect, rows, monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")
    monkeypatch.setenv("LEADLINE_PUBLIC_URL", "https://leadline.example")
    monkeypatch.setenv("LEADLINE_LINK_KEYS", json.dumps({"current": "k1", "keys": {"k1": "a" * 64}}))
    chance = random.Random(seed)  # noqa: S311 - the same story each time, and no secret
    ledger = Ledger(organization.caller("admin"))
    ledger.credit("1000")
    people = populate(organization, chance)
    world = World(organization, chance, people)
    made = begin(organization, people)
    # The clock is everybody's: what other tests have left is not claimed again and again here.
    connect("superuser").execute(
        "update lead_sequence_enrollments set claimable_at = '2100-01-01'"
        " where status = 'active' and organization_id <> %s",
        [organization.organization_id],
    )
    clock = connect("dispatch")
    seen: Counter[str] = Counter()
    while world.now < START + timedelta(days=DAYS):
        if world.now == NO_MONEY[0]:
            drained = ledger.balances()[0]
            ledger.debit(drained)
        if world.now == NO_MONEY[1]:
            ledger.credit("1000")
            with tenant_transaction(organization.caller("manager")) as tx:
                for sequence_id in made.values():
                    enrollments.resume_all(tx, sequence_id, ResumeAll(pause_reason="insufficient_budget"), world.now)
        if (world.now - START) % timedelta(days=1) == timedelta(hours=12):
            people_decide(world, rows)
            delete_some(world)
        tick(world, clock)
        if (world.now - START) % timedelta(hours=4) == timedelta(0):
            seen.update(waits_and_pauses(rows))
    hear(world)
    every_end_is_explained(world, rows, made)
    everything_has_happened(world, seen, rows)
    assert ledger.mismatches() == []


def delete_some(world: World) -> None:
    with tenant_transaction(world.organization.caller("manager")) as tx:
        for lead_id in world.chance.sample(sorted(world.people), 3):
            tx.execute("update leads set deleted_at = now() where id = %s and deleted_at is null", [lead_id])


def waits_and_pauses(rows: Callable[..., list[Any]]) -> Counter[str]:
    found = rows(
        """
        select coalesce(waiting_for, pause_reason) as why, count(*) from lead_sequence_enrollments
        where organization_id = %(org)s and coalesce(waiting_for, pause_reason) is not null group by 1
        """
    )
    return Counter({row["why"]: row["count"] for row in found})


def every_end_is_explained(world: World, rows: Callable[..., list[Any]], made: dict[str, UUID]) -> None:
    """Each enrollment has ended, or says what it waits for; and its runs tell the same as what has gone out."""
    lengths = {made["long"]: len(LONG), made["short"]: len(SHORT)}
    ended = rows("select * from lead_sequence_enrollments where organization_id = %(org)s")
    assert len(ended) == LEADS + LEADS // 2
    active = {one["id"] for one in ended if one["status"] == "active"}
    runs: defaultdict[UUID, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for run in rows("select * from step_runs where organization_id = %(org)s order by round"):
        runs[run["enrollment_id"]][run["step"]].append(run)
        assert run["status"] != "sending" or run["started_at"] > world.now - timedelta(hours=2)
        # What was to be tried again is left so where the enrollment has ended, or stands still, meanwhile.
        is_old = run["updated_at"] < world.now - timedelta(hours=2)
        assert run["status"] != "retrying" or not (is_old and run["enrollment_id"] in active)
        if run["status"] in ("sent", "delivered", "replied", "bounced"):
            assert run["id"] in world.gone_out
    for one in ended:
        match one["status"]:
            case "completed":
                last = {step: those[-1]["status"] for step, those in runs[one["id"]].items()}
                assert sorted(last) == list(range(1, lengths[one["sequence_id"]] + 1))
                assert set(last.values()) <= {"sent", "delivered", "replied", "bounced", "skipped", "unknown"}
                assert len(one["executed_steps"]) >= len(last) - list(last.values()).count("unknown")
            case "cancelled" | "failed":
                assert one["exit_reason"]
            case "paused":
                assert one["pause_reason"]
                assert one["claimable_at"] is None
            case _:
                assert one["claimable_at"] > world.now - timedelta(minutes=30), one
    resent = sum(len(those) - 1 for of_one in runs.values() for those in of_one.values())
    assert resent <= world.resent, "a step was run again though nobody had asked for it"
    known = {run["id"] for of_one in runs.values() for those in of_one.values() for run in those}
    assert world.gone_out <= known
    allowed = rows(
        """
        select count(*) from step_runs as run join gate_decisions as decision on decision.id = run.decision_id
        where run.organization_id = %(org)s and decision.organization_id = %(org)s and decision.allowed
            and decision.lead_id = run.lead_id and decision.channel = run.channel and run.id = any (%(out)s)
        """,
        out=list(world.gone_out),
    )
    assert allowed[0]["count"] == len(world.gone_out)


def everything_has_happened(world: World, seen: Counter[str], rows: Callable[..., list[Any]]) -> None:
    """A simulation in which nothing goes wrong proves nothing."""
    assert set(world.crashes) == {
        "before the mark is kept",
        "before it is sent",
        "in the middle of sending",
        "before it is recorded",
        "before the record is kept",
    }
    assert {message.channel for _, message in world.out} == {"sms", "email", "call"}
    for why in ("outside_hours", "replied", "insufficient_budget", "delivery_unknown", "no_consent"):
        assert seen[why], why
    ends = {
        row["exit_reason"]
        for row in rows("select exit_reason from lead_sequence_enrollments where organization_id = %(org)s")
    }
    assert {"opted_out", "recruited", "lead_deleted", "refused_for_good", "no_address"} <= ends
    assert world.resent
    again = rows("select id from step_runs where organization_id = %(org)s and attempts > 1")
    assert world.gone_out & {row["id"] for row in again}, "nothing that was refused has gone out later"
    assert any("email" in person.opted_out for person in world.people.values())
    nights = [at for at, _ in world.out if not NO_MONEY[0] <= at < NO_MONEY[1]]
    assert len(nights) > 2 * LEADS
