"""The filter language: from JSON to a tree of tests, or to errors that name each place (RFC 6901)."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from pydantic import RootModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from leadline import phone
from leadline.config import Config, CustomField
from leadline.errors import FieldError, Invalid
from leadline.inputs import code_of
from leadline.segments.fields import (
    CUSTOM,
    MOST_VALUES,
    SHAPES,
    AskedField,
    all_operators,
    bare,
    find,
    operators,
)

MOST_DEPTH = 5
MOST_CONDITIONS = 200
LARGEST_FILTER = 45_000  # bytes as JSON: a thousand ids fit, and fifty segments fit into one answer

Place = tuple[str | int, ...]
Json = dict[str, Any]


# The tree -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Asked:
    """One operator asked of one field, with its value as the field's type has it."""

    field: AskedField
    operator: str
    value: Any


@dataclass(frozen=True, slots=True)
class Group:
    """Several parts of which all must hold, or any; all of none hold."""

    word: Literal["and", "or"]
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """What holds exactly where the part does not."""

    part: "Node"


Node = Asked | Group | Not


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a filter, and where in it."""

    place: Place
    code: str
    detail: str


# Filters ------------------------------------------------------------------------------------------------------------


class Filter(RootModel[dict[str, Any]]):
    """A filter over leads, as docs/segments.md tells.

    It keeps the JSON that was sent, and is stored and answered as that. Being one says that its form is right; which
    custom fields there are, and of which types, is the organization's to say: `require_fitting`.
    """

    model_config = {
        "frozen": True,
        "hide_input_in_errors": True,
        "json_schema_extra": {
            "examples": [{"status": ["new", "contacted"], "lead_score": {"gte": 70}, "tags": {"contains_any": ["hot"]}}]
        },
    }

    @model_validator(mode="after")
    def _of_good_form(self) -> "Filter":
        wrong = _Reader(None).errors(self.root)
        if wrong:
            # Merged into the errors of the body around it, each with its own place.
            raise ValidationError.from_exception_data(
                "Filter",
                [
                    InitErrorDetails(
                        type=PydanticCustomError(_literal(one.code), _literal(one.detail)), loc=one.place, input=None
                    )
                    for one in wrong[:MOST_VALUES]
                ],
            )
        return self


def parse(raw: Json, decided: Config, at: str = "") -> Filter:
    """The filter that this JSON is, for this organization. Raises Invalid; `at` is the pointer to the filter itself."""
    try:
        filter_ = Filter.model_validate(raw)
    except ValidationError as refused:
        errors = refused.errors(include_input=False, include_url=False, include_context=False)
        raise Invalid(
            [FieldError(at + pointer(error["loc"]), code_of(error["type"]), error["msg"]) for error in errors]
        ) from None
    require_fitting(filter_, decided, at)
    return filter_


def require_fitting(filter_: Filter, decided: Config, at: str = "") -> None:
    """Raises Invalid where a filter asks for what leads of the organization do not have."""
    read(filter_, decided, at)


def read(filter_: Filter, decided: Config, at: str = "") -> Node:
    """The filter as a tree. Raises Invalid, also for a stored one whose custom fields are no longer what they were."""
    reader = _Reader(decided)
    wrong = reader.errors(filter_.root)
    if wrong:
        raise Invalid([FieldError(at + pointer(one.place), one.code, one.detail) for one in wrong])
    return reader.tree


def pointer(place: tuple[str | int, ...]) -> str:
    """A JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in place)


def _literal(text: str) -> Any:
    """What is shown as it is: the type of a message is LiteralString so that nobody formats values into one."""
    return text


class _Reader:
    """Reads one filter; without what an organization has decided, custom fields are read for their form only."""

    def __init__(self, decided: Config | None) -> None:
        self._decided = decided
        self._declared: Mapping[str, CustomField] = (
            {field.name: field for field in decided.custom_fields} if decided else {}
        )
        self._wrong: list[Wrong] = []
        self._conditions = 0
        self.tree: Node = Group("and", ())

    def errors(self, raw: Json) -> list[Wrong]:
        """Reads all of it, and answers what is wrong with it."""
        self.tree = self._all_of(raw, (), 1)
        if not self._wrong and len(json.dumps(raw, separators=(",", ":"))) > LARGEST_FILTER:
            self._refuse((), "too_large", "A filter has at most 45 kB")
        return self._wrong

    def _all_of(self, raw: object, place: Place, depth: int) -> Node:
        if not isinstance(raw, dict):
            return self._refuse(place, "filter_type", "This is a filter: an object")
        if depth > MOST_DEPTH:
            return self._refuse(place, "too_deep", f"Filters are nested at most {MOST_DEPTH} deep")
        if not raw and not self._may_have_more(1, place):  # what asks nothing costs as much as what asks
            return self.tree
        parts = [self._part(name, inner, (*place, name), depth) for name, inner in cast("Json", raw).items()]
        return Group("and", tuple(parts))

    def _part(self, name: str, raw: object, place: Place, depth: int) -> Node:
        if name == "not":
            return Not(self._all_of(raw, place, depth + 1))
        if name not in ("and", "or"):
            return self._tests(name, raw, place)
        if not isinstance(raw, list) or not raw:
            return self._refuse(place, "filter_list_type", "This is a list of one filter at least")
        inner = cast("list[object]", raw)
        return Group(name, tuple(self._all_of(one, (*place, at), depth + 1) for at, one in enumerate(inner)))

    def _tests(self, name: str, raw: object, place: Place) -> Node:
        field = find(name, self._declared)
        is_custom = name.startswith(CUSTOM)
        if field is None and (self._decided is not None or not is_custom):
            return self._refuse(place, "unknown_field", _unknown(name))
        given = cast("Json", raw) if isinstance(raw, dict) else {bare(field.kind if field else "text", raw): raw}
        if not given:
            return self._refuse(place, "missing_operator", 'Name an operator, as in {"gte": 70}')
        if not self._may_have_more(len(given), place):
            return self.tree
        wrong = len(self._wrong)
        for operator, value in given.items():
            self._require_form(operator, value, (*place, operator) if isinstance(raw, dict) else place)
        if field is None or len(self._wrong) > wrong:
            return self.tree
        return Group("and", tuple(self._typed(field, given, place, is_bare=not isinstance(raw, dict))))

    def _may_have_more(self, conditions: int, place: Place) -> bool:
        """Counts them; the first that is too many is an error, and none after it is read."""
        before, self._conditions = self._conditions, self._conditions + conditions
        if before <= MOST_CONDITIONS < self._conditions:
            self._refuse(place, "too_many_conditions", f"A filter has at most {MOST_CONDITIONS} conditions")
        return self._conditions <= MOST_CONDITIONS

    def _require_form(self, operator: str, value: object, place: Place) -> None:
        """What holds of every type."""
        if operator not in all_operators():
            self._refuse(place, "unknown_operator", "There is no such operator")
        elif value is None:
            self._refuse(place, "null_value", 'Nothing is compared with null; {"exists": false} finds what is absent')
        elif isinstance(value, list) and len(cast("list[object]", value)) > MOST_VALUES:
            self._refuse(place, "too_long", f"A list has at most {MOST_VALUES} values")

    def _typed(self, field: AskedField, given: Json, place: Place, *, is_bare: bool) -> Iterator[Node]:
        shape = SHAPES[field.kind]
        known = operators(shape)
        for operator, value in given.items():
            at = place if is_bare else (*place, operator)
            if operator not in known:
                self._refuse(at, "operator_does_not_fit", "This field can be asked: " + ", ".join(known))
                continue
            alone = is_bare and field.kind == "tags" and not isinstance(value, list)  # the tag stands for a list of it
            try:
                test = shape.model_validate({operator: [value] if alone else value})
            except ValidationError as refused:
                for error in refused.errors(include_input=False, include_url=False, include_context=False):
                    inner = () if alone else error["loc"][1:]
                    self._refuse((*at, *inner), code_of(error["type"]), error["msg"])
                continue
            yield Asked(field, operator, self._fitting(field, operator, getattr(test, known[operator]), at))

    def _fitting(self, field: AskedField, operator: str, value: Any, place: Place) -> Any:
        """The value, as the organization's config has it fit."""
        if operator in ("exists", "starts_with") or (field.kind not in ("choice", "phone")):
            return value
        if isinstance(value, list):
            inner = enumerate(cast("list[Any]", value))
            return [self._fitting(field, operator, one, (*place, at)) for at, one in inner]
        if field.kind == "choice" and value not in field.choices:
            self._refuse(place, "bad_choice", "This is one of: " + ", ".join(field.choices))
        if field.kind == "phone" and self._decided is not None:
            try:
                return phone.normalise(value, self._decided.default_region)
            except phone.BadPhone as bad:
                self._refuse(place, bad.code, bad.detail)
        return value

    def _refuse(self, place: Place, code: str, detail: str) -> Node:
        self._wrong.append(Wrong(place, code, detail))
        return self.tree


def _unknown(name: str) -> str:
    if name.startswith(CUSTOM):
        return "The organization has declared no custom field of this name"
    return "A lead has no such field; docs/segments.md lists them"
