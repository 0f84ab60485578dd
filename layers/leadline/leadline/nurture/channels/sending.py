"""Sending: every message by its own channel."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache

from leadline.nurture.channels.email import Email
from leadline.nurture.channels.requests import Requests
from leadline.nurture.channels.shapes import Channel, Outcome, Outgoing


@cache
def live() -> Mapping[str, Channel]:
    """The channels by which people are reached."""
    return {"sms": Requests("sms", settles=True), "call": Requests("call", settles=False), "email": Email()}


def send(messages: Sequence[Outgoing], channels: Mapping[str, Channel] | None = None) -> list[Outcome]:
    """What became of each, in order."""
    channels = channels or live()
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, message in enumerate(messages):
        places[message.channel].append(place)
    outcomes: dict[int, Outcome] = {}
    for name, those in places.items():
        outcomes |= zip(those, channels[name].send([messages[place] for place in those]), strict=True)
    return [outcomes[place] for place in range(len(messages))]
