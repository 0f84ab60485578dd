"""Text with placeholders: `{{first_name|there}}` becomes the lead's first name, or the default where there is none.

Placeholders and defaults are all there is: no loops, no expressions, no access to anything. A value is put in as text,
in one pass, and is never looked at again.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from leadline.errors import FieldError, Refused

PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
NAME = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?")
OF_LEADS = (
    *("first_name", "last_name", "full_name", "email", "phone_number", "city", "state", "zip", "country"),
    *("source", "sub_source", "status"),
)
OF_ORGANIZATIONS = ("organization.name", "postal_address")
OF_EMAILS = ("unsubscribe_url",)
CUSTOM = "custom_fields."
# What every lead or organization has. An email has the last two as well: without an address none goes out.
ALWAYS_THERE = frozenset({"phone_number", "status", "country", "organization.name"})
ALWAYS_IN_EMAILS = ALWAYS_THERE | {"postal_address", "unsubscribe_url"}

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

LONGEST_SMS = 1600  # characters, after rendering: what carriers take as one message in parts
# GSM 03.38: what fits into seven bits, and what takes two places of them.
IN_SEVEN_BITS = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
IN_TWICE_SEVEN_BITS = frozenset("\f^{}\\[~]|€")


class ValueMissing(Refused):
    """A placeholder without a default has no value here."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A name, and what stands there where it has no value."""

    name: str
    default: str | None


# Reading ------------------------------------------------------------------------------------------------------------


def placeholders(text: str) -> list[Placeholder]:
    """The placeholders of a text, in its order."""
    return [_read(found) for found in PLACEHOLDER.finditer(text)]


def _read(found: re.Match[str]) -> Placeholder:
    name, bar, default = found[1].partition("|")
    return Placeholder(name.strip(), default.strip() if bar else None)


def faults(
    pointer: str, text: str, *, email: bool, custom_fields: Collection[str], html: bool = False
) -> list[FieldError]:
    """Why a text cannot be rendered for every lead, one error for each placeholder at fault; none where it can."""
    found = list(_faults_of_placeholders(pointer, text, email=email, custom_fields=custom_fields, html=html))
    rest = PLACEHOLDER.sub("_", text)
    if any(mark in rest for mark in ("{{", "}}", "{%", "%}")):
        detail = "A placeholder is {{name}} or {{name|default}}; there are no loops and no expressions"
        found.append(FieldError(pointer, "bad_placeholder", detail))
    return found


def _faults_of_placeholders(
    pointer: str, text: str, *, email: bool, custom_fields: Collection[str], html: bool
) -> Iterator[FieldError]:
    known = {*OF_LEADS, *OF_ORGANIZATIONS, *(OF_EMAILS if email else ()), *(CUSTOM + name for name in custom_fields)}
    always = ALWAYS_IN_EMAILS if email else ALWAYS_THERE
    for match in PLACEHOLDER.finditer(text):
        one = _read(match)
        shown = one.name[:100]
        if not NAME.fullmatch(one.name):
            yield FieldError(pointer, "bad_placeholder", f"{shown!r} is no name of a placeholder")
        elif one.name not in known:
            yield FieldError(pointer, "unknown_placeholder", f"There is no value of the name {shown}")
        elif (one.default is not None and not as_text(one.default)) or (one.default is None and one.name not in always):
            detail = f"Not every lead has {shown}: give a default, as in {{{{{shown}|there}}}}"
            yield FieldError(pointer, "default_required", detail)
        elif html and one.name != "unsubscribe_url" and _within_a_tag(text[: match.start()]):
            # There a value could become an attribute, or a script.
            yield FieldError(pointer, "placeholder_in_a_tag", f"{shown} stands within a tag; only text takes values")


def _within_a_tag(before: str) -> bool:
    return before.rfind("<") > before.rfind(">")


def places(text: str, name: str, *, html: bool = False) -> bool:
    """Whether a text has the placeholder where a reader sees it, and not in a comment."""
    return any(one.name == name for one in placeholders(COMMENT.sub("", text) if html else text))


# Writing ------------------------------------------------------------------------------------------------------------


def render(text: str, values: Mapping[str, Any], *, html: bool = False, one_line: bool = False) -> str:
    """The text with its values. Raises ValueMissing where one has neither a value nor a default.

    A blank value counts as none. In HTML values are escaped; on one line nothing breaks it, so that a value cannot
    begin a header of its own.
    """

    def fill(found: re.Match[str]) -> str:
        one = _read(found)
        value = as_text(values.get(one.name)) or one.default
        if not value:
            raise ValueMissing(f"{one.name} has neither a value nor a default", placeholder=one.name)
        return escape(value).replace("\n", "<br>\n") if html else value

    rendered = PLACEHOLDER.sub(fill, text)
    return " ".join(_printable(rendered, keep="").split()) if one_line else rendered


def as_text(value: Any) -> str:
    """A value as it stands in a message: trimmed, without what a message cannot show; nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            # Without braces a value does not even look like a placeholder.
            text = str(value).replace("\r\n", "\n").replace("{", "(").replace("}", ")")
            shown = _printable(text, keep="\n").strip()
            return "" if _is_blank(shown) else shown


def _is_blank(text: str) -> bool:
    """Whether nobody sees anything of it: spaces, controls and what only shapes its neighbours."""
    return not any(unicodedata.category(c)[0] not in "CZ" for c in text)


def _printable(text: str, keep: str) -> str:
    """Control characters, line and paragraph separators as spaces; lone surrogates and the like are no text."""
    if text.isprintable():
        return text
    return "".join(
        c if c in keep else " " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c
        for c in text
        if unicodedata.category(c) != "Cs"
    )


def sms_parts(text: str) -> int:
    """How many segments a text takes as SMS (3GPP TS 23.038 and 23.040), which is what it is billed by.

    In seven bits 160 characters, or 153 in each of several; else 70 UTF-16 units, or 67.
    """
    if all(c in IN_SEVEN_BITS or c in IN_TWICE_SEVEN_BITS for c in text):
        size, alone, in_parts = sum(1 + (c in IN_TWICE_SEVEN_BITS) for c in text), 160, 153
    else:
        size, alone, in_parts = len(text.encode("utf-16-le", "replace")) // 2, 70, 67
    return 1 if size <= alone else -(-size // in_parts)
