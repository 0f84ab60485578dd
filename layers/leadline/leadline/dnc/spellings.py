"""How words are written: plain letters out of whatever was typed, and words known again though misspelt."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

# 47 CFR 64.1200(a)(10)(i); "opt out" is one word here.
REVOKING = frozenset({"stop", "quit", "end", "revoke", "optout", "cancel", "unsubscribe"})

# Letters of other alphabets that look like ours, and capitals in little.
LOOKALIKES = (
    ("авсԁеһіјкӏмпорԛѕтцѵԝху", "abcdehijklmnopqstuvwxy"),  # Cyrillic
    ("αεικνορτυχ", "aeiknoptux"),  # Greek
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),  # capitals in little
    ("øđłıð", "odlid"),  # letters with strokes
    ("\u2019\u2018\u02bc`\u00b4", "'''''"),  # apostrophes
)
# Signs that stand in a word for a letter; a 1 may be one of two.
SIGNS = {"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "$": "s", "@": "a", "+": "t", "|": "l"}
MARKS = "¡¿.,!?;:\"'()[]{}<>*_~-=#/\\%&^\u201c\u201d\u201e«»\u2026\u2013\u2014\u2010\u2011·\u2022"

# Words that are one letter away from one of the seven, and are not it. Alone they may be it all the same.
OTHER_WORDS = frozenset(
    {
        *("atop", "estop", "shop", "slop", "sop", "step", "stoa", "stob", "stoop", "stoup", "stow", "strop"),
        *("swop", "top", "tops", "stopt", "stomp", "stoppe", "cuit", "duit", "quid", "quiet", "quilt", "quin"),
        *("quint", "quip", "quirt", "quite", "quito", "quitte", "quiz", "quoit", "squit", "suit", "uit", "qui"),
        *("and", "bend", "ed", "en", "enda", "endo", "ends", "eng", "ens", "ent", "fend", "lend", "mend"),
        *("ned", "nd", "rend", "send", "tend", "vend", "wend", "cancer", "chancel", "evoke", "revote"),
    }
)
ALONE_INNOCENT = frozenset({"and", "send", "suit", "cancer", "qui", "quiz"})  # that are answers
INFLECTED = frozenset(
    {
        *("stops", "stopped", "stopping", "stopper", "stopover", "quits", "quitting", "quitter", "ends"),
        *("ended", "ending", "cancels", "canceled", "cancelled", "canceling", "cancelling", "cancellation"),
        *("revokes", "revoked", "revoking", "opting"),
    }
)
SPANISH_FORMS = frozenset({"cancela", "cancele", "cancelo", "quita", "quito", "revoca", "revoque", "revoco"})
ENDS = frozenset({"edn", "wnd", "rnd", "emd", "ebd", "ened"})  # "end" is too short for any letter to be wrong
UNSUBSCRIBING = frozenset({"unsub", "unsubs", "unscribe", "unsubscribed", "unsubscribing", "unsubscribes"})
SUBSCRIBING = frozenset({"subscribe", "subscribed", "subscriber", "resubscribe", "describe"})
MAY_BE_MISSPELT = ("stop", "quit", "revoke", "cancel", "optout")


@dataclass(frozen=True, slots=True)
class Clause:
    """The words between two marks, each of the seven in its own spelling, and the mark that ends them."""

    words: tuple[str, ...]
    mark: str


def plain(text: str) -> str:
    """Text in small Latin letters where they look like such, without accents and what cannot be seen."""
    boxed = "".join(_unboxed(character) for character in text)
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", boxed))
    seen = (character for character in parts if unicodedata.category(character) not in ("Mn", "Me", "Cf"))
    return "".join(seen).casefold().translate(_latin())


def clauses(text: str) -> list[Clause]:
    """The clauses of plain text. An apostrophe joins, a hyphen parts: "don't" is one word and "non-stop" two."""
    found: list[Clause] = []
    words: list[str] = []
    for chunk in re.findall(r"\n|[^\s]+", text):
        signed = _signed(chunk.strip(MARKS)) if chunk != "\n" else None
        pieces = [signed, *_last_mark(chunk)] if signed else _pieces(chunk)
        for piece in pieces:
            if piece[0].isalpha():
                words.append(piece)
            elif words:
                found.append(Clause(_joined(words), piece))
                words = []
    if words:
        found.append(Clause(_joined(words), ""))
    return found


def known_again(word: str) -> str | None:
    """Which of the seven a word is, misspelt or not."""
    if word in REVOKING:
        return word
    if word in UNSUBSCRIBING:
        return "unsubscribe"
    if word in OTHER_WORDS or word in INFLECTED or word in SUBSCRIBING or word in SPANISH_FORMS:
        return None
    drawn_out = re.sub(r"(.)\1+", r"\1", word)
    if drawn_out in REVOKING:
        return drawn_out
    return next((meant for meant in MAY_BE_MISSPELT if _one_apart(word, meant)), None) or (
        "unsubscribe" if 8 <= len(word) <= 13 and _apart(word, "unsubscribe") <= 2 else None
    )


@cache
def _latin() -> dict[int, str]:
    return {ord(like): letter for likes, letters in LOOKALIKES for like, letter in zip(likes, letters, strict=True)}


def _unboxed(character: str) -> str:
    """A letter out of its box or flag: those squared in black and the flags' have no plain form in Unicode."""
    code = ord(character)
    for first in (0x1F150, 0x1F170, 0x1F1E6):
        if first <= code < first + 26:
            return chr(ord("a") + code - first)
    return character


def _pieces(chunk: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|[.,!?;:\n()]", chunk.replace("'", "").replace("()", "o"))


def _last_mark(chunk: str) -> list[str]:
    return [chunk[-1]] if chunk[-1] in ".,!?;:()" else []


def _signed(chunk: str) -> str | None:
    """The word that is written with signs in the place of letters, if it is one that matters: "st0p"."""
    if not (any(character.isalpha() for character in chunk) and any(character in SIGNS for character in chunk)):
        return None
    if len(chunk) > 20:
        return None
    for one in ("i", "l", ""):
        read = "".join((SIGNS | {"1": one}).get(character, character) for character in chunk)
        letters = "".join(character for character in read if character.isalpha())
        if letters in ("opt", "out") or known_again(letters):
            return letters
    return None


def _joined(words: list[str]) -> tuple[str, ...]:
    """Words, each of the seven in its own spelling, with "opt out" made one."""
    joined: list[str] = []
    for word in words:
        pair = re.sub(r"^opt(?:ed|ing|s)$", "opt", joined[-1]) + word if joined else ""
        if 5 <= len(pair) <= 7 and pair not in ("optin", "optus") and _one_apart(pair, "optout"):
            joined[-1] = "optout"
        else:
            joined.append(known_again(word) or word)
    return tuple(joined)


def _one_apart(word: str, other: str) -> bool:
    """Whether one letter more, less, wrong, or two in the wrong order, makes the one the other (or nothing does)."""
    if abs(len(word) - len(other)) > 1:
        return False
    while word and other and word[0] == other[0]:
        word, other = word[1:], other[1:]
    while word and other and word[-1] == other[-1]:
        word, other = word[:-1], other[:-1]
    return (len(word) <= 1 and len(other) <= 1) or (len(word) == 2 and word == other[::-1])


def _apart(word: str, other: str) -> int:
    """Damerau and Levenshtein's distance (of optimal alignment)."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, meant in enumerate(other, 1):
            least = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != meant))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == meant:
                least = min(least, before[j - 2] + 1)
            row.append(least)
        before, last = last, row
    return last[-1]
