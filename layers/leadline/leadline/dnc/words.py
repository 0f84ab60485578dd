"""What a reply says: the words by which a person always revokes."""

import unicodedata

# 47 CFR 64.1200(a)(10)(i).
REVOKING = frozenset({"stop", "quit", "end", "revoke", "optout", "cancel", "unsubscribe"})


def revokes(reply: str) -> bool:
    """Whether a reply is one of the seven words, in any case, spacing and punctuation, with or without all or please.

    "STOP.", "stop all", "Opt-out, please" are; other wording is for whoever judges it to mark as an opt-out.
    """
    plain = unicodedata.normalize("NFKC", reply).casefold()
    letters = "".join(character for character in plain if character.isalpha())
    word = letters.removeprefix("please").removesuffix("please").removesuffix("all")
    return word in REVOKING
