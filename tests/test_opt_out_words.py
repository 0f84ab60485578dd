"""What replies say: a table of phrases with the verdict that a careful person would give, and rules for all others."""

import csv
import time
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline.calls.folding import IN_DOUBT
from leadline.dnc.additions import REVIEWED_BELOW
from leadline.dnc.replies import is_automatic, newest_part
from leadline.dnc.spellings import REVOKING
from leadline.dnc.words import Verdict, verdict

with (Path(__file__).parent / "opt_out_phrases.csv").open(newline="", encoding="utf-8") as file:
    TABLE = list(csv.DictReader(file))
GRAVITY = ["nothing", "review", "revoke"]
WORDS = [*sorted(REVOKING - {"optout"}), "opt out"]


@cache
def judged() -> list[tuple[dict[str, str], Verdict]]:
    return [(row, verdict(row["phrase"])) for row in TABLE]


def disagreeing() -> list[tuple[str, str, str]]:
    """Phrase, the verdict that is expected, and the one that is given."""
    return [(row["phrase"], row["verdict"], found.kind) for row, found in judged() if row["verdict"] != found.kind]


def test_the_table_is_large_and_says_why():
    phrases = [row["phrase"] for row in TABLE]
    assert len(phrases) == len(set(phrases)) >= 2000
    assert {row["verdict"] for row in TABLE} == set(GRAVITY)
    assert all(row["why"] for row in TABLE)
    assert all(sum(row["verdict"] == kind for row in TABLE) >= 500 for kind in GRAVITY)


def test_every_phrase_has_the_verdict_that_the_table_expects():
    assert disagreeing() == []


def test_no_revocation_is_missed():
    missed = [row for row in disagreeing() if GRAVITY.index(row[2]) < GRAVITY.index(row[1])]
    assert missed == []


NOISE = st.text(alphabet=" .,!*_-~\u200b\u200d\u00ad\ufeff", max_size=3)


@st.composite
def disguised(draw: st.DrawFn) -> str:
    """One of the seven words in any case, with signs between its letters and courtesies about it."""
    word = draw(st.sampled_from(WORDS))
    letters = [draw(st.sampled_from([letter.lower(), letter.upper()])) for letter in word]
    written = "".join(letter + draw(st.sampled_from(["", "", "\u200b", "\u00ad", "\u0301"])) for letter in letters)
    if draw(st.booleans()):
        written = draw(st.sampled_from([" ", ".", "-", "*", "_", "\u200b"])).join(word.replace(" ", ""))
    before = draw(st.sampled_from(["", "please ", "Pls, ", "OK. "]))
    after = draw(
        st.sampled_from(["", " all", " please", " NOW", " thanks", " me", " \U0001f64f", " \U0001f6d1", " 12"])
    )
    return draw(NOISE) + before + written + after + draw(NOISE)


@settings(max_examples=300, deadline=None)
@given(disguised())
def test_each_of_the_seven_words_revokes_however_it_is_written(reply):
    assert verdict(reply).kind == "revoke"


REVOKING_PHRASES = [row["phrase"] for row in TABLE if row["verdict"] == "revoke" and row["phrase"].isascii()]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(REVOKING_PHRASES), st.sampled_from([str.upper, str.lower, str]), st.integers(1, 3), st.data())
def test_a_phrase_that_revokes_does_so_in_any_case_with_any_space_and_what_cannot_be_seen(phrase, case, spaces, data):
    place = data.draw(st.integers(0, len(phrase)))
    written = case(phrase[:place] + "\u200b" + phrase[place:])
    reply = data.draw(st.sampled_from(["", " ", "\n"])) + written.replace(" ", " " * spaces)
    assert verdict(reply + data.draw(st.sampled_from(["", " ", "\n", " \u2060"]))).kind == "revoke"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_at_all_has_a_verdict(reply):
    assert verdict(reply).kind in GRAVITY


@pytest.mark.parametrize(
    "part",
    ["a", "stop by ", "do not ", "1a$", "from: a\n", "on aaaa \n", "> a\n", "end of the ", "\n", "the all your "],
)
def test_a_long_text_costs_no_more_than_its_length(part):
    started = time.process_time()
    verdict((part * 10_000)[:10_000])
    assert time.process_time() - started < 5


def test_a_request_far_down_in_a_long_text_is_heard():
    assert verdict("It is a fine day. " * 500 + "Please take me off your list.").kind == "revoke"


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("yes\n> stop", "yes"),
        ("> are you there?\nstop", "stop"),
        ("yes\n\nOn Mon, Sam <s@x.example>\nwrote:\n\nstop", "yes"),
        ("On Mon, Nov 23, Sam wrote:\n> hello\n\nstop", "stop"),
        ("yes\n-----Original Message-----\nstop", "yes"),
        ("yes\r\n\r\nFrom: Sam\r\nSent: Monday\r\nstop", "yes"),
        ("yes\n--\nStop & Shop", "yes"),
        ("--\nstop", "--\nstop"),
        ("> stop", "> stop"),
        ("from: me to you", "from: me to you"),
        ("", ""),
    ],
)
def test_of_an_email_only_what_its_writer_wrote_himself_counts(text, own):
    assert newest_part(text) == own


def test_what_a_program_wrote_is_known():
    written = [row["phrase"] for row in TABLE if "automatic reply" in row["why"]]
    assert len(written) > 60
    assert [phrase for phrase in written if not is_automatic(phrase)] == []


def test_what_a_person_wrote_is_not_taken_for_a_programs():
    innocent = [row["phrase"] for row in TABLE if "automatic reply" not in row["why"]]
    assert [phrase for phrase in innocent if is_automatic(phrase)] == []


@pytest.mark.parametrize(
    ("text", "told", "kind"),
    [
        ("I may cancel", True, "nothing"),
        ("I may cancel", None, "review"),
        ("Please remove me from your list", True, "revoke"),
        ("Automatic reply: I will cancel nothing", None, "nothing"),
        ("Automatic reply: I will cancel nothing", False, "review"),
    ],
)
def test_what_a_program_wrote_revokes_only_by_plain_words(text, told, kind):
    assert verdict(text, automatic=told).kind == kind


def test_every_verdict_but_nothing_says_by_which_rule():
    assert all(found.why for _, found in judged() if found.kind != "nothing")


def test_an_opt_out_in_doubt_is_reviewed():
    assert IN_DOUBT < REVIEWED_BELOW
