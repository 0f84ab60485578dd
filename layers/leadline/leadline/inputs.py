"""What every input has in common: unknown fields are refused, text is trimmed, and PostgreSQL can keep what gets in."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError


class Input(BaseModel):
    """A body or a query string: strict about names, and silent about values (errors are logged and shown)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "A NUL character cannot be stored")
    return text


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    """What PostgreSQL's jsonb takes: no NUL, no NaN or Infinity; at most 16 kB."""
    try:
        written = json.dumps(value, allow_nan=False)
    except ValueError:
        raise PydanticCustomError("not_a_json_number", "A number must be finite and not of absurd length") from None
    if "\\u0000" in written:
        raise PydanticCustomError("nul_character", "A NUL character cannot be stored")
    if len(written) > 16_384:
        raise PydanticCustomError("too_large", "The object is over 16 kB")
    return value


Word = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_without_nul)
]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, max_length=10_000), AfterValidator(_without_nul)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_storable)]
