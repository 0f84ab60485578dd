"""What of a reply its writer wrote: without the thread that it quotes, and whether anybody wrote it at all."""

import re
from functools import cache

# Where a quoted thread begins that nothing marks line by line.
THREAD = (
    r"-{2,} ?(?:original message|forwarded message|mensaje original|message d'origine|"
    r"urspr\u00fcngliche nachricht|mensagem original) ?-{2,}",
    r"begin forwarded message:",
    r"_{10,}",
    r"\*?(?:from|de|von):\*? .{1,200}\n\*?(?:sent|date|to|enviado|fecha|para|envoy\u00e9|gesendet|data)\b.{0,5}:",
)
# "On Monday, Sam wrote:", which mail programs break into two lines where it is long.
WROTE = (
    r"on .{4,200}\n?.{0,200}\bwrote:",
    r"el .{4,200}\n?.{0,200}\bescribi\u00f3:",
    r"le .{4,200}\n?.{0,200}\ba \u00e9crit ?:",
    r"am .{4,200}\n?.{0,200}\bschrieb\b.{0,200}:",
    r"em .{4,200}\n?.{0,200}\bescreveu:",
)
# Lines that a mail program or a sender's own footer adds, ours quoted back too. An order or a wish is none: these tell
# somebody else how to opt out.
FOOTERS = (
    r"sent from (?:my|outlook|yahoo|mail|gmail|proton|the)\b.*",
    r"get outlook for .*",
    r"enviado desde mi .*",
    r"(?:please )?(?:reply|text|txt|send|type|respond(?: with)?) [\"'\u201c]?stop[\"'\u201d]? (?:to|2) .*",
    r"(?:to (?:unsubscribe|opt[- ]out|stop receiving|stop these)|if you (?:no longer|do not|don't) (?:wish|want))\b.*"
    r"(?:click|here|reply|visit|link|unsubscribe|below|http).*",
    r"(?:you are receiving|you received|you're receiving) this .*",
    r".*\bunsubscribe ?\|.*",
    r".*\| ?unsubscribe\b.*",
    r"(?:click here|click below) to (?:unsubscribe|opt[- ]out).*",
    r"(?:this (?:e-?mail|message) and any|confidentiality notice|if you are not the intended) .*",
    r"subject: .*",
)
# What iPhones and Androids send for a tap on one of our texts: all the words in it are ours.
REACTION = (
    r"(?:(?:dis)?liked|loved|laughed at|emphasized|questioned|reacted .{1,12} to|me gust\u00f3|le encant\u00f3) "
    r"(?:[\"\u201c].*[\"\u201d]?|an? (?:image|photo|video|message))"
)
AUTOMATIC = (
    r"\b(?:auto(?:matic|mated|matically)?|auto(?:matic|mated)?[- ](?:reply|response|answer|responder|message))"
    r"(?: (?:reply|response|text|message|email|answer|generated))\b",
    r"\bauto[- ]?(?:reply|response|responder|generated)\b",
    r"^auto: ",
    r"\bsent automatically\b",
    r"\bout[- ]of[- ](?:the[- ])?office\b(?! (?:space|furniture|supplies))",
    r"^ooo\b",
    r"\bvacation (?:auto|respon)",
    r"\bi(?:'m| am|'ll be| will be) (?:currently |now )?(?:away (?:from (?:my|the) (?:desk|phone|office|email)|and "
    r"will)"
    r"|on (?:pto|annual leave|parental leave|medical leave|maternity leave|paternity leave)\b.{0,40}"
    r"(?:until|till|and|with|\. )|on (?:holiday|vacation|leave)\b.{0,60}"
    r"(?:no access|limited access|will (?:answer|reply|respond)|on my return)|traveling with limited access"
    r"|currently on (?:annual|parental|medical|maternity|paternity) leave)",
    r"\b(?:currently|presently) (?:on (?:annual|parental|medical|maternity|paternity) leave|away\b)",
    r"\bi(?:'m| am) driving(?: right now and will reply| with do not disturb| - sent from android)",
    r"\bi(?:'m| am) on pto\b",
    r"\bwe have received your (?:message|e-?mail|request|inquiry)\b",
    r"\byour request (?:\(#?\w+\) )?has been received\b",
    r"\bthis (?:mailbox|inbox|e-?mail address|account) is (?:not|no longer|un)[ -]?(?:being )?monitored\b",
    r"\bdelivery (?:status notification|to the following|has failed)\b",
    r"\bmail delivery (?:subsystem|system|failed)\b",
    r"\bundeliver(?:able|ed)\b",
    r"\byour message (?:could not be delivered|was read on|wasn't delivered)\b",
    r"\bthis is the mail system\b",
    r"\bthe e-?mail account that you tried to reach\b",
    r"\bfree ?msg: unable to send\b",
    r"\bfuera de (?:la )?oficina\b",
    r"\b(?:respuesta|mensaje|contestaci\u00f3n) autom\u00e1tic[ao]\b",
    r"\bestoy de vacaciones\b.{0,60}\b(?:acceso|regres)",
    r"\babsence du bureau\b",
    r"\b(?:r\u00e9ponse|message) automatique\b",
    r"\bje suis (?:actuellement )?(?:absente? du bureau|en (?:vacances|cong\u00e9s?) jusqu)",
    r"\babwesenheits(?:notiz|meldung|assistent)\b",
    r"\bautomatische (?:antwort|nachricht)\b",
    r"\bich bin (?:derzeit|zurzeit|zur zeit|aktuell|momentan|bis)\b.{0,60}(?:nicht im b\u00fcro|im urlaub|abwesend)",
    r"\bunzustellbar\b",
    r"\bresposta autom\u00e1tica\b",
    r"\bfora do escrit\u00f3rio\b",
)


def newest_part(text: str) -> str:
    """What the writer of an email wrote himself: what is quoted, forwarded or added beneath by a program is cut.

    Below "On Monday, Sam wrote:" only lines that are marked as quoted are cut, if the first one is: some write beneath
    what they quote. A single line is nobody's quotation, whatever it begins with.
    """
    whole = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    found = _in_lines(THREAD).search(whole)
    own = whole[: found.start()] if found else whole
    if found := _in_lines(WROTE).search(own):
        beneath = own[found.end() :].strip()
        own = own[: found.start()] + "\n" + (beneath if beneath.startswith(">") else "")
    lines = own.split("\n")
    if len(lines) > 1:
        lines = [line for line in lines if not line.lstrip().startswith(">")]
    return _without_signature(lines).strip()


def without_footers(text: str) -> str:
    """The same without lines that tell others how to opt out, and without our own words in a tapped reaction."""
    kept = [line for line in text.split("\n") if not _in_lines(FOOTERS, "$").match(line.strip())]
    return "\n".join(kept).strip()


def is_reaction(text: str) -> bool:
    """Whether it is what a telephone sends for a tap on one of our texts."""
    return _reaction().fullmatch(text.strip()) is not None


def is_automatic(text: str) -> bool:
    """Whether a program wrote it: away from the office, a receipt, a message that could not be delivered."""
    plain = newest_part(text).replace("\u2019", "'")
    return _automatic().search(plain) is not None


def _without_signature(lines: list[str]) -> str:
    for place, line in enumerate(lines):
        if line.rstrip() == "--" and any(before.strip() for before in lines[:place]):
            return "\n".join(lines[:place])
    return "\n".join(lines)


@cache
def _in_lines(patterns: tuple[str, ...], end: str = "") -> re.Pattern[str]:
    return re.compile("^[ \t]*(?:" + "|".join(patterns) + ")" + end, re.IGNORECASE | re.MULTILINE)


@cache
def _reaction() -> re.Pattern[str]:
    return re.compile(REACTION, re.IGNORECASE | re.DOTALL)


@cache
def _automatic() -> re.Pattern[str]:
    return re.compile("|".join(AUTOMATIC), re.IGNORECASE)
