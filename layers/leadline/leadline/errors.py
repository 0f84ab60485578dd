"""Errors that a caller is told about.

    LeadlineError
    ├── MalformedJson 400        ├── NotFound 404            ├── Refused 422
    ├── Unauthorized 401         ├── Conflict 409            ├── VersionRequired 428
    ├── Forbidden 403            ├── PreconditionFailed 412  ├── InternalError 500
    │   └── NotAMember           ├── BodyTooLarge 413        └── Busy 503

A domain error subclasses one of these beside the code that raises it. Its docstring is its message, its class name in
snake_case its stable code. Everything else that is raised is a bug of ours: logged, and answered with a bare 500.
"""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

MOST_ERRORS = 100  # a function may answer 6 MB, and a body of 4 MB can hold more faults than that
LONGEST_POINTER = 500


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: its JSON pointer, a stable code and a sentence."""

    pointer: str
    code: str
    detail: str


class LeadlineError(Exception):
    """Something went wrong."""

    status: ClassVar[int]
    code: str

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def __init__(self, detail: str | None = None, *, field: str | None = None, **members: str) -> None:
        """`detail` replaces the docstring; `field` names the input at fault; `members` are added to the problem."""
        self.detail = detail or (self.__doc__ or "")
        self.errors = [FieldError(f"/{field}", self.code, self.detail)] if field else []
        self.members = members
        super().__init__(self.code)


class MalformedJson(LeadlineError):
    """The body is not valid JSON in UTF-8."""

    status = 400


class Unauthorized(LeadlineError):
    """A valid token is needed, with the claims that name tenant, organization and role."""

    status = 401


class Forbidden(LeadlineError):
    """Your role may not do this."""

    status = 403


class NotAMember(Forbidden):
    """You are not an active member of this organization in the role that your token names."""


class NotFound(LeadlineError):
    """There is nothing here that you can see."""

    status = 404


class Conflict(LeadlineError):
    """This conflicts with what is there."""

    status = 409


class PreconditionFailed(LeadlineError):
    """A condition of the request does not hold."""

    status = 412


class BodyTooLarge(LeadlineError):
    """The body is over 4 MB."""

    status = 413


class Refused(LeadlineError):
    """The request was understood and cannot be done."""

    status = 422


class Invalid(Refused):
    """One or more fields are not as they should be; `errors` names each, up to 100."""

    def __init__(self, errors: list[FieldError]) -> None:
        """The problem takes the code of the first field error, so that a client can act on it."""
        super().__init__()
        self.errors = [replace(error, pointer=error.pointer[:LONGEST_POINTER]) for error in errors[:MOST_ERRORS]]
        self.code = errors[0].code
        self.detail = errors[0].detail if len(errors) == 1 else self.detail


class AnswerTooLarge(Refused):
    """The answer would be over 6 MB; ask for fewer at once, with a smaller `limit`."""


class VersionRequired(LeadlineError):
    """Send the version you have read as If-Match, so that nobody's change is lost."""

    status = 428


class InternalError(LeadlineError):
    """A fault of ours; the log has it under the request's id."""

    status = 500


class Busy(LeadlineError):
    """The database could not answer in time; nothing was changed. Try again."""

    status = 503
