"""What a reply says of being contacted: that the person revokes, that it may be meant, or nothing of the kind."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from leadline.dnc import replies, sayings
from leadline.dnc.spellings import (
    ALONE_INNOCENT,
    ENDS,
    INFLECTED,
    OTHER_WORDS,
    REVOKING,
    SPANISH_FORMS,
    Clause,
    clauses,
    plain,
)

Kind = Literal["revoke", "review", "nothing"]

COURTESIES = frozenset(
    {
        *("please", "pls", "plz", "plzz", "plse", "all", "now", "thanks", "thank", "you", "thx", "ty", "tks"),
        *("just", "ok", "okay", "k", "yes", "yeah", "hi", "hello", "hey", "already", "right", "away"),
        *("immediately", "asap", "sir", "maam", "mam", "kindly", "sorry", "por", "favor", "gracias", "ya"),
        *("bitte", "merci"),
    }
)
# What may stand beside one of the words where there is nothing else.
FILLERS = COURTESIES | frozenset(
    {
        *("no", "me", "it", "this", "that", "everything", "here", "there", "today", "bro", "dude", "man"),
        *("guys", "or", "and", "of", "much", "very", "todo", "hola", "señor", "senor", "consent", "my"),
        *("subscription", "goodbye", "u", "from", "ur", "at", "once"),
    }
)
MOST_GLUED = 200  # letters
OF_AN_EMAIL = re.compile(r"@|wrote:|forwarded|^\W*(?:subject|sent):", re.IGNORECASE | re.MULTILINE)
MOST_LINES, LONGEST_LINE = 200, 60  # that are looked at one by one
IN_ANY_CLAUSE = frozenset({"stop", "unsubscribe", "optout", "quit", "revoke"})
# Without a space between.
GLUED = (
    r"(?:please|pls|plz|just|now)*(?:(?:stop|quit|end|revoke|optout|cancel|unsubscribe)"
    r"(?:please|pls|thanks|thankyou|now|all|me|it|this|already|asap)*)+"
)
GLUED_SENTENCE = (
    r"(?:please|pls)?(?:stop|quit)(?:all)?(?:text|call|message?|e?mail|contact|spamm)(?:s|ing)*(?:me|us)?(?:please|"
    r"now)?"
    r"|(?:please|pls)?(?:removeme|optmeout|dont(?:text|call|contact|message|e?mail)(?:me)?|takemeoff|leavemealone|"
    r"goaway)"
    r"(?:please)?"
)

PLAINLY = (
    ("sentence", sayings.REVOCATIONS),
    ("spanish", sayings.REVOCATIONS_IN_SPANISH),
    ("other_language", sayings.REVOCATIONS_ELSEWHERE),
)
# What would be plain but for a doubt, or a limit that is set, is for a person to judge.
PERHAPS = (("part_of_contact", sayings.ONLY_SOME), ("refusal", sayings.MAYBE), *PLAINLY)
# Words close to one of the seven that may be it where they stand alone.
ALIKE = (OTHER_WORDS | INFLECTED | SPANISH_FORMS) - ALONE_INNOCENT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reply says, and by which rule."""

    kind: Kind
    why: str


def verdict(text: str, *, automatic: bool | None = None) -> Verdict:
    """Whether a reply revokes, may be meant to (a person decides, and contact rests meanwhile), or says nothing of it.

    Of an email the quoted thread does not count, nor a footer that tells how to opt out. What a program wrote revokes
    only by plain words; whether one did is judged by the text where nobody tells.
    """
    own = replies.newest_part(text)
    if replies.is_reaction(own):
        return _of_reaction(own)
    said = replies.without_footers(own)
    if found := _certain(said):
        return Verdict("revoke", found)
    by_program = replies.is_automatic(own) if automatic is None else automatic
    if by_program:
        return Verdict("nothing", "automatic")
    found = "footer" if own and not said else _uncertain(said)
    if not found and not OF_AN_EMAIL.search(text) and any(map(_is_the_word, text.splitlines()[:MOST_LINES])):
        found = "stop_word_cut_off"  # below a line that looked like the head of a quotation
    return Verdict("review", found) if found else Verdict("nothing", "")


def _is_the_word(line: str) -> bool:
    if line.lstrip().startswith((">", "|")):
        return False
    words = [word for clause in clauses(plain(line[:LONGEST_LINE])) for word in clause.words]
    return len(words) <= 3 and not REVOKING.isdisjoint(words) and _is_nothing_but_the_word(words)


def _rule(rules: Sequence[tuple[str, Sequence[str]]], told: str) -> str | None:
    return next((rule for rule, patterns in rules if _any(patterns).search(told)), None)


def _certain(said: str) -> str | None:
    """By which rule it revokes, if it does."""
    if _composed(said) in sayings.ELSEWHERE:
        return "other_language"
    parts = clauses(plain(said))
    words = [word for clause in parts for word in clause.words]
    if _is_nothing_but_the_word(words):
        return "stop_word"
    told = _sentences(parts)
    if _any(sayings.DOUBTED).search(told):
        return None
    if any(_stands_alone(clause) for clause in parts):
        return "stop_word"
    if _any(sayings.ONLY_SOME).search(told) and not re.search(sayings.FOR_EVER, told):
        return None
    return _rule(PLAINLY, told)


def _uncertain(said: str) -> str | None:
    """By which rule it may be meant to revoke, if it may."""
    if not sayings.SIGNS_OF_REFUSAL.isdisjoint(said) and not _is_friendly(said):
        return "sign"
    parts = clauses(plain(said))
    words = [word for clause in parts for word in clause.words]
    told = _sentences(parts)
    left = _any(sayings.INNOCENT).sub(" ", told)
    if not REVOKING.isdisjoint(left.split()) or re.search(
        r"\b(?:revoked|cancell?ing|quits|quitting|stops|conversation)\b", left
    ):
        return "stop_word_in_other_words"
    core = [word for word in words if word not in FILLERS] or words
    if len(core) == 1 and (core[0] in sayings.MAYBE_ALONE or core[0] in ALIKE):
        return "word_alone"
    return _rule(PERHAPS, told)


def _is_nothing_but_the_word(words: Sequence[str]) -> bool:
    core = [word for word in words if word not in FILLERS]
    if core and all(word in REVOKING or word in ENDS or _is_spanish(word) for word in core):
        return not (core == ["end"] and "no" in words)
    if len(words) == 1:
        return words[0] not in OTHER_WORDS and (_is_glued(words[0]) or _matches(GLUED_SENTENCE, words[0]))
    # A single letter is no filler here: "q u i t, ok?".
    spelt = "".join(word for word in words if len(word) == 1 or word not in FILLERS)
    return _is_glued(spelt) or _is_glued("".join(words))


def _is_glued(letters: str) -> bool:
    return _is_spanish(letters) or _matches(GLUED, letters) or _matches(GLUED, re.sub(r"(.)\1+", r"\1", letters))


def _matches(pattern: str, letters: str) -> bool:
    return len(letters) <= MOST_GLUED and re.fullmatch(pattern, letters) is not None


def _is_spanish(word: str) -> bool:
    return word in sayings.SPANISH_WORDS or re.sub(r"(.)\1+", r"\1", word) in sayings.SPANISH_WORDS


def _stands_alone(clause: Clause) -> bool:
    core = [word for word in clause.words if word not in COURTESIES]
    return bool(core) and clause.mark != "?" and all(word in IN_ANY_CLAUSE for word in core)


def _sentences(parts: Sequence[Clause]) -> str:
    return " ".join(
        " ".join(clause.words) + (" ." if clause.mark in ".!?;\n" and clause.mark else "") for clause in parts
    ).removesuffix(" .")


def _is_friendly(said: str) -> bool:
    """A wave to somebody who is seen soon is no refusal."""
    return re.search(r"\b(?:see you|see ya|thanks|hi|hello|hey|morning)\b", said.lower()) is not None


def _of_reaction(own: str) -> Verdict:
    disliked = own.lower().startswith("disliked") or not sayings.SIGNS_OF_REFUSAL.isdisjoint(own[:20])
    return Verdict("review" if disliked else "nothing", "reaction")


def _composed(said: str) -> str:
    kept = "".join(character if character.isalpha() else " " for character in unicodedata.normalize("NFKC", said))
    return " ".join(kept.casefold().split())


@cache
def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(patterns))
