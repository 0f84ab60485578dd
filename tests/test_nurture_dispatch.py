"""The clock of nurture: what is due is claimed once, handed over, and given back where it could not be."""

import json
import random
import threading
from collections import Counter
from contextlib import closing, suppress
from datetime import datetime, timedelta
from queue import Empty, Queue
from uuid import UUID, uuid4

import boto3
import psycopg
import pytest
from moto import mock_aws
from psycopg import sql
from psycopg.rows import dict_row

from functions.nurture_dispatch import app as dispatch_app
from functions.nurture_worker import app as worker_app
from leadline import db, events, settings
from leadline.nurture import dispatch, engine, results
from leadline.nurture.channels import Sent, aws
from leadline.nurture.dispatch import DueSteps
from tests.ledger import Ledger, on_a_connection
from tests.nurturing import NOON, Organization


@pytest.fixture(autouse=True)
def _clock_of_the_test(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")


@pytest.fixture
def organization(customer, connect):
    organization = Organization(customer(), connect)
    organization.credit()
    organization.template()
    return organization


class Clock(datetime):
    """The time of the handlers."""

    @classmethod
    def now(cls, tz=None):
        del tz
        return NOON


def record(message_id: str, body: str) -> dict:
    return {"messageId": message_id, "body": body, "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs"}


@pytest.fixture
def queues(monkeypatch):
    """The due steps and the requests to the call system, in moto; the handlers' clock stands still."""
    with mock_aws():
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        sqs = boto3.client("sqs")
        for name in ("NURTURE", "REQUEST"):
            monkeypatch.setenv(f"{name}_QUEUE_URL", sqs.create_queue(QueueName=name)["QueueUrl"])
        monkeypatch.setattr(dispatch_app, "datetime", Clock)
        monkeypatch.setattr(worker_app, "datetime", Clock)
        aws.client.cache_clear()
        yield sqs
        aws.client.cache_clear()


def messages_in(sqs, name: str) -> list[str]:
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    bodies: list[str] = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [one["Body"] for one in found]
    return bodies


@pytest.fixture
def tick(queues, database, monkeypatch):
    """One minute: the dispatcher as its own role, through SQS to the worker."""

    def tick() -> dict:
        with monkeypatch.context() as patch:
            patch.setenv("DATABASE_URL", database.dsn("dispatch"))
            patch.setattr("leadline.db._connection", None)
            dispatch_app.handler({}, None)
            db._connection.close()
        records = [record(str(place), body) for place, body in enumerate(messages_in(queues, "NURTURE"))]
        return worker_app.handler({"Records": records}, None) if records else {"batchItemFailures": []}

    return tick


def test_a_due_step_goes_from_the_clock_through_the_queue_to_the_call_system(organization, tick, queues):
    (lead,) = organization.leads()
    (enrollment,) = organization.enroll(organization.sequence({}, {"delay_hours": 2}), [lead])
    assert tick() == {"batchItemFailures": []}
    (request,) = [json.loads(body) for body in messages_in(queues, "REQUEST")]
    (run,) = organization.runs()
    assert run["status"] == "sent"
    assert request["id"] == str(run["id"])
    assert (request["type"], request["to"], request["sms"]["text"]) == ("sms.request", "+12125550001", "Hello Ada")
    assert request["decision_id"] == str(run["decision_id"])
    after = organization.enrollment(enrollment)
    assert (after["status"], after["current_step"]) == ("active", 2)
    assert after["next_step_scheduled_at"] == NOON.replace(hour=19)
    assert messages_in(queues, "NURTURE") == []


def test_two_who_claim_at_once_get_different_steps(organization, connect):
    enrollments = organization.enroll(organization.sequence(), organization.leads(6))
    first, second = connect("dispatch"), connect("dispatch")
    with first.transaction(), second.transaction():
        organization.sql("update lead_sequence_enrollments set claimable_at = '2020-01-01Z'")
        one = dispatch.claim(first, NOON.replace(year=2020), 100)
        other = dispatch.claim(second, NOON.replace(year=2020), 100)
    ids = [of for message in one for of in message.enrollment_ids]
    assert set(enrollments) <= set(ids)
    assert not {of for message in other for of in message.enrollment_ids} & set(ids)


def test_a_message_is_of_one_organization_and_of_a_size_at_most(organization, customer, connect):
    other = Organization(customer(beside=organization.customer), connect)
    other.template()
    organization.enroll(organization.sequence(), organization.leads(250))
    other.enroll(other.sequence(), other.leads(30))
    conn = connect("dispatch")
    with conn.transaction():
        found = dispatch.claim(conn, NOON, 100)
    sizes = {
        one.customer.organization_id: [
            len(message.enrollment_ids) for message in found if message.organization_id == one.customer.organization_id
        ]
        for one in (organization, other)
    }
    assert sizes == {organization.customer.organization_id: [100, 100, 50], other.customer.organization_id: [30]}
    assert {message.lease for message in found} == {NOON + dispatch.LEASE}


@pytest.mark.usefixtures("queues")
def test_what_sqs_refuses_is_given_back_at_once_and_what_it_took_is_not(organization, database, monkeypatch):
    enrollments = organization.enroll(organization.sequence(), organization.leads(250))
    monkeypatch.setenv("NURTURE_CLAIM_SIZE", "100")
    taken = []

    def some(_, messages):
        mine = [one for one in messages if one.organization_id == organization.customer.organization_id]
        taken.extend(mine[1:])
        return mine[:1]

    monkeypatch.setattr(events, "hand_over_some", some)
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="SQS refused 1 "):
        patch.setenv("DATABASE_URL", database.dsn("dispatch"))
        patch.setattr("leadline.db._connection", None)
        try:
            dispatch_app.claim()
        finally:
            db._connection.close()
    rows = organization.sql("select id, claimable_at from lead_sequence_enrollments")
    given_back = {row["id"] for row in rows if row["claimable_at"] == NOON}
    assert len(given_back) == 100
    assert given_back | {one for message in taken for one in message.enrollment_ids} == set(enrollments)


def test_what_was_claimed_anew_is_not_given_back(organization, connect):
    organization.enroll(organization.sequence(), organization.leads())
    (message,) = organization.claim()
    later = NOON + dispatch.LEASE
    (again,) = organization.claim(later)
    conn = connect("dispatch")
    with conn.transaction():
        dispatch.release(conn, [message], NOON)
    assert organization.one("select claimable_at from lead_sequence_enrollments")["claimable_at"] == again.lease


def test_sqs_that_refuses_or_does_not_answer_leaves_the_rest_to_be_given_back(queues):
    messages = [dispatch.DueTriggers(tenant_id=uuid4(), organization_id=uuid4()) for _ in range(12)]
    assert events.hand_over_some("https://sqs.us-east-1.amazonaws.com/123456789012/nowhere", messages) == messages
    with pytest.raises(RuntimeError, match="SQS refused 12 messages"):
        events.hand_over("https://sqs.us-east-1.amazonaws.com/123456789012/nowhere", messages)
    assert events.hand_over_some(settings.nurture_queue_url(), messages) == []
    assert len(messages_in(queues, "NURTURE")) == 12


def test_the_dispatcher_sees_ids_and_times_and_nothing_else(organization, connect):
    organization.enroll(organization.sequence(), organization.leads())
    conn = connect("dispatch")
    for column in ("lead_id", "sequence_id", "current_step"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(sql.SQL("select {} from lead_sequence_enrollments").format(sql.Identifier(column)))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("update lead_sequence_enrollments set status = 'paused'")


def test_who_is_paused_or_not_due_is_not_claimed(organization):
    sequence = organization.sequence()
    first, second = organization.leads(2)
    organization.enroll(sequence, [first], NOON + timedelta(seconds=1))
    organization.enroll(sequence, [second])
    organization.sql("update lead_sequence_enrollments set status = 'paused' where lead_id = %s", second)
    assert organization.claim() == []


def test_the_clock_tells_how_late_the_oldest_step_is(organization, connect):
    organization.enroll(organization.sequence(), organization.leads(), NOON.replace(year=2019))
    conn = connect("dispatch")
    with conn.transaction():
        late = dispatch.lateness(conn, NOON.replace(year=2019, hour=18))
    organization.claim()
    assert late.oldest_due_seconds == 3600


@pytest.mark.usefixtures("queues")
def test_the_clock_stops_claiming_before_its_time_is_up(organization, database, monkeypatch):
    enrollments = organization.enroll(organization.sequence(), organization.leads(3))

    class Context:
        def get_remaining_time_in_millis(self):
            return dispatch_app.LEFT

    with monkeypatch.context() as patch:
        patch.setenv("DATABASE_URL", database.dsn("dispatch"))
        patch.setattr("leadline.db._connection", None)
        dispatch_app.handler({}, Context())
        db._connection.close()
    rows = organization.sql("select claimable_at from lead_sequence_enrollments")
    assert [row["claimable_at"] for row in rows] == [NOON] * len(enrollments)


# Storm ----------------------------------------------------------------------------------------------------------------

DUE, WORKERS, DISPATCHERS = 20_000, 4, 2
ABANDONED = ("before the send", "after the send", "with the connection")


class Storm:
    """Dispatchers and workers at once over some organizations; every message is delivered twice."""

    def __init__(self, organizations, database, connect) -> None:
        self.by_id = {one.customer.organization_id: one for one in organizations}
        self.database, self.connect = database, connect
        self.sent: Counter[UUID] = Counter()
        self.waiting: Queue[DueSteps] = Queue()
        self.claimed = threading.Event()

    def _opened(self, role: str):
        return psycopg.connect(self.database.dsn(role), autocommit=True, row_factory=dict_row)

    def _claim(self, now: datetime) -> None:
        with closing(self._opened("dispatch")) as conn:
            while True:
                with conn.transaction():
                    found = dispatch.claim(conn, now, 250)
                for message in found:
                    if message.organization_id in self.by_id:
                        self.waiting.put(message)
                        self.waiting.put(message)
                if not found:
                    return

    def _work(self, place: int, now: datetime, kills: bool) -> None:
        chance = random.Random(place)  # noqa: S311 - nothing secret
        while True:
            try:
                message = self.waiting.get(timeout=0.1)
            except Empty:
                if self.claimed.is_set():
                    return
                continue
            crash = chance.choice(ABANDONED) if kills and chance.random() < 1 / 12 else None
            with closing(self._opened("app")) as conn, suppress(psycopg.OperationalError):
                self._do(conn, message, now, crash)

    def _do(self, conn, message: DueSteps, now: datetime, crash: str | None) -> None:
        caller = self.by_id[message.organization_id].caller
        with on_a_connection(conn, caller) as tx:
            outgoing = engine.prepare(tx, message, message.enrollment_ids, now).outgoing
            if crash == "with the connection":
                self.connect("superuser").execute("select pg_terminate_backend(%s)", [conn.info.backend_pid])
        if crash == "before the send":
            return
        self.sent.update(one.run_id for one in outgoing)
        if crash == "after the send":
            return
        with on_a_connection(conn, caller) as tx:
            results.record(tx, outgoing, [Sent(str(one.run_id)) for one in outgoing], now)

    def run(self, now: datetime, *, kills: bool) -> None:
        self.claimed.clear()
        workers = [threading.Thread(target=self._work, args=(place, now, kills)) for place in range(WORKERS)]
        dispatchers = [threading.Thread(target=self._claim, args=(now,)) for _ in range(DISPATCHERS)]
        for thread in (*workers, *dispatchers):
            thread.start()
        for thread in dispatchers:
            thread.join()
        self.claimed.set()
        for thread in workers:
            thread.join()

    def found(self) -> Counter[tuple[str, str]]:
        """How many runs there are by their status and their enrollment's; each step has one."""
        found: Counter[tuple[str, str]] = Counter()
        for one in self.by_id.values():
            rows = one.sql(
                """
                select run.status, enrollment.status as went, count(*) as runs, count(distinct enrollment.id) as steps
                from step_runs as run
                join lead_sequence_enrollments as enrollment on enrollment.id = run.enrollment_id
                group by 1, 2
                """
            )
            assert [row["runs"] for row in rows] == [row["steps"] for row in rows]
            found.update({(row["status"], row["went"]): row["runs"] for row in rows})
        return found


@pytest.mark.storm
def test_twenty_thousand_due_steps_run_once_each_with_workers_killed_in_the_middle(customer, connect, database):
    organizations = [Organization(customer(), connect) for _ in range(4)]
    for one in organizations:
        one.credit("100000")
        one.template()
        one.enroll(one.sequence({}, {"delay_days": 3}), one.leads(DUE // 4))
    connect("superuser").execute("analyze")
    storm = Storm(organizations, database, connect)
    storm.run(NOON, kills=True)
    # What was claimed or marked and let go is looked at again when its lease ends.
    for pause in (dispatch.LEASE, 2 * dispatch.LEASE):
        storm.run(NOON + pause + timedelta(minutes=1), kills=False)
    found = storm.found()
    assert sum(found.values()) == DUE
    assert set(found) == {("sent", "active"), ("unknown", "paused")}
    assert found["sent", "active"] > found["unknown", "paused"] > 0
    assert max(storm.sent.values()) == 1
    assert found["sent", "active"] <= len(storm.sent) <= DUE
    for one in organizations:
        assert Ledger(one.customer.caller("admin")).mismatches() == []
