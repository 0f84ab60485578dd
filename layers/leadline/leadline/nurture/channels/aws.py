"""AWS as channels use it: no send is tried twice unseen, none begins too late, and what an error proves is told."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import Any, cast

from leadline.nurture.channels.shapes import GoneWrong, Outcome, Outgoing, Refused

AT_ONCE = 8  # calls of AWS
CONNECTS_IN, ANSWERS_IN = 2, 10  # seconds

# Errors before anything was sent.
NOT_SENT = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError", "NoCredentialsError"})
# Answers that are about the message, whenever it comes.
FOR_GOOD = frozenset({"MessageRejected", "BadRequestException", "InvalidMessageContents", "InvalidParameterValue"})
# Answers of 500 and more that nevertheless say that nothing was done.
NOT_TAKEN = frozenset({"ServiceUnavailable", "ServiceUnavailableException", "RequestThrottled", "ThrottlingException"})


@cache
def client(service: str) -> Any:
    """The client of this process. It tries once: whether a send that got no answer went out, nobody knows."""
    # Imported on the first send, never at a function's start.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    once = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=CONNECTS_IN,
        read_timeout=ANSWERS_IN,
        max_pool_connections=AT_ONCE,
    )
    return cast("Any", boto3).client(service, config=once)


def send_all(
    messages: Sequence[Outgoing], size: int, send: Callable[[Sequence[Outgoing]], list[Outcome]]
) -> list[Outcome]:
    """Sends in parts of a size, several parts at once; what an error proves is the outcome of all its part.

    What has not begun while its decision was good has not gone out; it asks the gate anew.
    """
    parts = [messages[start : start + size] for start in range(0, len(messages), size)]

    def outcomes(part: Sequence[Outgoing]) -> list[Outcome]:
        now = time.monotonic()
        good = [message for message in part if message.good_until > now]
        told = iter(_told(good, send) if good else ())
        return [next(told) if message.good_until > now else Refused("too_late", again=True) for message in part]

    if len(parts) == 1:
        return outcomes(parts[0])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(chain.from_iterable(pool.map(outcomes, parts)))


def _told(part: Sequence[Outgoing], send: Callable[[Sequence[Outgoing]], list[Outcome]]) -> list[Outcome]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    try:
        return send(part)
    except ClientError as error:
        return [_answered(error.response)] * len(part)
    except BotoCoreError as error:
        code = type(error).__name__
        return [Refused(code, again=True) if code in NOT_SENT else GoneWrong(code)] * len(part)


def _answered(answer: Any) -> Outcome:
    """What an error that AWS answered with says of the message."""
    code = str(answer.get("Error", {}).get("Code", "unknown"))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in FOR_GOOD:
        return Refused(code, again=False)
    return Refused(code, again=True) if 400 <= status < 500 or code in NOT_TAKEN else GoneWrong(code)
