"""The worker of nurture: each step that is due once, and what becomes of its enrollment."""

import pytest

from tests.nurture import NOON, Organization


@pytest.fixture(autouse=True)
def _clock_of_the_test(monkeypatch):
    monkeypatch.setenv("LEADLINE_REQUEST_CLOCK", "1")


@pytest.fixture
def organization(customer, connect):
    organization = Organization(customer(), connect)
    organization.credit()
    organization.template()
    return organization


def test_a_due_step_is_sent_and_the_next_one_scheduled(organization):
    (lead,) = organization.leads()
    sequence = organization.sequence({}, {"delay_hours": 2})
    (enrollment,) = organization.enroll(sequence, [lead])
    (message,) = organization.tick()
    assert message.text == "Hello Ada"
    (run,) = organization.runs()
    assert (run["status"], run["sent_at"], run["body"]) == ("sent", NOON, "Hello Ada")
    after = organization.enrollment(enrollment)
    assert (after["status"], after["current_step"]) == ("active", 2)
