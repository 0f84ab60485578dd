"""Ticks the template's schedules, in the place of EventBridge Scheduler."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from threading import Thread
from typing import Any

from local.template import ACCOUNT, REGION

PAUSE = 0.5  # seconds between two looks at the clock
NAMES = ["JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", "SUN MON TUE WED THU FRI SAT"]  # 1, 2 and so on
RANGES = [(0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199)]  # cron's fields: minute, hour, day, month, ...


def minute() -> datetime:
    """This minute."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


def run(
    schedules: list[tuple[str, dict[str, Any], Callable[[Any], object]]],
    stop: Signal,
    clock: Callable[[], datetime] = minute,
    pause: float = PAUSE,
) -> None:
    """Call what is due, each in a thread of its own, at every full minute until `stop` is set.

    A schedule is a name, the Properties of the template's event and what to call.
    """
    started = last = clock()
    while not stop.wait(pause):
        if (now := clock()) > last:
            last = now
            for name, details, call in schedules:
                if is_due(details["ScheduleExpression"], now, started):
                    event = json.loads(details["Input"]) if "Input" in details else tick(name, now)
                    Thread(target=call, args=[event], daemon=True).start()


def is_due(expression: str, now: datetime, started: datetime) -> bool:
    """Whether a schedule comes at the minute `now`, when the suite started at the minute `started`.

    Raises ValueError for an expression that is not understood; of cron's signs those are L, W and #.
    """
    if rate := re.fullmatch(r"rate\(([1-9]\d*) (minute|hour|day)s?\)", expression):
        period = timedelta(**{f"{rate[2]}s": int(rate[1])})
        return now > started and not (now - started) % period
    if not (cron := re.fullmatch(r"cron\((.*)\)", expression)):
        raise ValueError(f"{expression}: neither rate(n units) nor cron(six fields)")
    fields = cron[1]
    for names in NAMES:
        for number, name in enumerate(names.split(), start=1):
            fields = fields.replace(name, str(number))
    allowed = [set(_allowed(field, *limits)) for field, limits in zip(fields.split(), RANGES, strict=True)]
    moment = (now.minute, now.hour, now.day, now.month, now.isoweekday() % 7 + 1, now.year)
    return all(value in values for value, values in zip(moment, allowed, strict=True))


def _allowed(field: str, low: int, high: int) -> Iterator[int]:
    """The values a cron field allows: *, ?, a, a-b, any of them with a step (/n), and lists of these."""
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span in ("*", "?") else span).partition("-")
        yield from range(int(first), int(last or (high if step else first)) + 1, int(step or 1))


def tick(name: str, now: datetime) -> dict[str, Any]:
    """What EventBridge Scheduler sends for a schedule without an Input."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/default/{name}"],
        "detail": "{}",  # Scheduler really sends this as text
    }
