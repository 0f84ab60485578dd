"""The rules of contact as rows: what the table of sources says, its holidays, and how a rule changes."""

from datetime import UTC, date, datetime

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from leadline import hours
from leadline.db import tenant_transaction
from tests import calling_law


@pytest.fixture(scope="module")
def conn(database):
    with psycopg.connect(database.dsn("app"), autocommit=True, row_factory=dict_row) as conn:
        yield conn


@pytest.fixture(scope="module")
def book(conn):
    return hours.ask_rules(conn)()


def week(rule: hours.Rule) -> list[list[tuple[int, int]]]:
    """Monday to Sunday: from which hour to which."""
    return [
        [(window.opens // 60, window.closes // 60) for window in rule.windows if weekday in window.days]
        for weekday in range(1, 8)
    ]


def test_the_rules_are_those_of_the_table(book):
    expected = {"us.federal.call": ("US", calling_law.FEDERAL), "us.federal.sms": ("US", calling_law.FEDERAL)}
    for channel, table in (("call", calling_law.CALLS), ("sms", calling_law.TEXTS)):
        expected |= {f"us-{state.lower()}.{channel}": (f"US-{state}", hours) for state, hours in table.items()}
    found = {rule.id: (rule.region, week(rule)) for rule in book.rules}
    assert found == {
        rule: (region, [[hours] if hours else [] for hours in table]) for rule, (region, table) in expected.items()
    }
    for rule in book.rules:
        assert rule.id.endswith(rule.channel)
        assert rule.version == 1
        assert all(window.opens % 60 == window.closes % 60 == 0 for window in rule.windows)


def test_caps_and_waits_are_those_of_the_table(book):
    for rule in book.rules:
        state = rule.region.removeprefix("US-")
        limit, channels = calling_law.CAPS.get(state, {}).get(rule.channel, (None, set()))
        assert (rule.cap, set(rule.cap_channels), rule.cap_hours) == (limit, channels, 24)
        assert rule.days_after_refusal == (366 if state == "WA" else None)
        assert rule.closed_on_holidays == (state in ("AL", "RI"))


def test_every_rule_is_in_force_today_and_says_where_it_comes_from(conn):
    for row in conn.execute("select * from calling_rules").fetchall():
        assert row["valid_from"] <= date(2025, 9, 1)
        assert row["valid_to"] is None
        assert row["secondary_source"] == (row["region"].removeprefix("US-") in calling_law.SECONDARY)
        assert row["source"]


@pytest.mark.parametrize("year", [2025, 2026, 2027])
@pytest.mark.parametrize("state", ["AL", "RI"])
def test_the_holidays_are_those_of_the_law(book, state, year):
    found = {day for day in book.holidays[f"US-{state}"] if day.year == year}
    assert found == calling_law.holidays(state, year)


def test_holidays_end_with_next_year_and_only_the_two_states_have_them(book):
    assert set(book.holidays) == {"US-AL", "US-RI"}
    assert {day.year for days in book.holidays.values() for day in days} == {2025, 2026, 2027}
    assert book.holidays["US-RI"][date(2026, 11, 3)] == "Election Day"
    assert book.holidays["US-AL"][date(2027, 12, 31)] == "New Year's Day, observed"


@pytest.mark.parametrize(
    "values",
    [
        "('us-fl.call', 1, '{1}', '08:00', '08:00')",
        "('us-fl.call', 1, '{1}', '08:00', '20:00:30')",
        "('us-fl.call', 1, '{1}', '08:00', '24:00')",
        "('us-fl.call', 1, '{0}', '08:00', '20:00')",
        "('us-fl.call', 1, '{8}', '08:00', '20:00')",
        "('us-fl.call', 1, '{}', '08:00', '20:00')",
    ],
)
def test_a_window_without_a_length_or_on_no_day_is_refused(connect, values):
    owner = connect("owner")
    with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
        owner.execute(sql.SQL("insert into calling_windows values {}").format(sql.SQL(values)))


@pytest.mark.parametrize(
    "change",
    [
        "cap = 0",
        "cap = 3, cap_channels = '{}'",
        "cap_channels = '{call}', cap = null",
        "cap_channels = '{email}'",
        "cap_hours = 0",
        "days_after_refusal = 0",
        "valid_to = valid_from - 1",
        "channel = 'email'",
        "region = 'Florida'",
        "source = ''",
        "version = 0",
    ],
)
def test_a_rule_that_could_not_be_judged_by_is_refused(connect, change):
    owner = connect("owner")
    with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
        owner.execute(sql.SQL("update calling_rules set {} where id = 'us.federal.sms'").format(sql.SQL(change)))


def test_a_rule_changes_by_a_new_version_on_the_called_persons_date(connect):
    owner = connect("owner")
    with owner.transaction(force_rollback=True):
        owner.execute(
            """
            update calling_rules set valid_to = '2027-02-28' where id = 'us-fl.call';
            insert into calling_rules (id, version, region, channel, valid_from, source)
            values ('us-fl.call', 2, 'US-FL', 'call', '2027-03-01', 'a later act');
            insert into calling_windows values ('us-fl.call', 2, '{1,2,3,4,5,6,7}', '10:00', '18:00')
            """
        )
        changed = hours.ask_rules(owner)()
    place = hours.Place(frozenset(("US-FL",)), frozenset((calling_law.EASTERN,)))
    before = datetime(2027, 2, 28, 14, 0, tzinfo=UTC)  # 9:00
    assert hours.judge(before, place, "call", changed) == []
    (reason,) = hours.judge(before.replace(month=3, day=1), place, "call", changed)
    assert (reason.code, reason.rule, reason.rule_version) == ("outside_hours", "us-fl.call", 2)
    # At midnight by UTC it is still the evening before in Florida.
    (reason,) = hours.judge(datetime(2027, 3, 1, 1, 30, tzinfo=UTC), place, "call", changed)
    assert reason.rule_version == 1
    assert hours.next_open(datetime(2027, 3, 1, 1, 30, tzinfo=UTC), place, "call", changed) == datetime(
        2027, 3, 1, 15, 0, tzinfo=UTC
    )


def test_without_a_federal_rule_in_force_nobody_is_called(connect):
    owner = connect("owner")
    with owner.transaction(force_rollback=True):
        owner.execute("update calling_rules set valid_to = '2026-11-30' where id = 'us.federal.call'")
        ended = hours.ask_rules(owner)()
    noon = datetime(2026, 11, 30, 17, 0, tzinfo=UTC)
    place = hours.Place(frozenset(("US-FL",)), frozenset((calling_law.EASTERN,)))
    assert hours.judge(noon, place, "call", ended) == []
    (reason,) = hours.judge(noon.replace(month=12, day=1), place, "call", ended)
    assert (reason.code, reason.rule) == ("no_rule_for_region", None)
    assert hours.next_open(noon.replace(month=12, day=1), place, "call", ended) is None
    assert hours.judge(noon.replace(month=12, day=1), place, "sms", ended) == []


def test_a_rule_without_windows_is_closed(connect):
    owner = connect("owner")
    with owner.transaction(force_rollback=True):
        owner.execute("delete from calling_windows where rule_id = 'us-fl.call'")
        book = hours.ask_rules(owner)()
    place = hours.Place(frozenset(("US-FL",)), frozenset((calling_law.EASTERN,)))
    assert [reason.rule for reason in hours.judge(datetime(2026, 11, 30, 17, 0, tzinfo=UTC), place, "call", book)] == [
        "us-fl.call"
    ]


def test_rules_are_read_in_the_round_trip_of_the_callers_own_statements(customer, delayed):
    caller = customer().caller()
    with delayed() as trips:
        with tenant_transaction(caller) as tx:
            tx.execute("select 1")
        before = trips()
        with tenant_transaction(caller) as tx:
            mine = tx.execute("select 1 as one")
            book = hours.ask_rules(tx)
            areas = hours.ask_areas(tx, ["+13055550142"])
            assert mine.fetchone() == {"one": 1}
            assert book().rules
            assert areas().keys() == {"+13055550142"}
        assert trips() - before == 2  # with the commit
