"""The words of a reply that always revoke, and some that do not by themselves."""

import pytest

from leadline.dnc.words import REVOKING, revokes


@pytest.mark.parametrize("word", sorted(REVOKING))
@pytest.mark.parametrize(
    "written", ["{}", "{}.", " {}! ", "{} all", "{}all", "{}, please", "please {}", "“{}”", "{}\n"]
)
def test_each_of_the_seven_words_revokes_however_it_is_written(word, written):
    assert revokes(written.format(word))
    assert revokes(written.format(word).upper())


@pytest.mark.parametrize(
    "reply", ["opt-out", "Opt out", "O P T O U T", "s.t.o.p", "\uff33\uff34\uff2f\uff30", "stop 🛑", "STOP 1234"]
)
def test_spaces_signs_and_other_letters_shapes_change_nothing(reply):
    assert revokes(reply)


@pytest.mark.parametrize(
    "reply", ["", "  ", "stop by my office tomorrow", "don't stop", "the end", "all", "yes", "1", "🛑"]
)
def test_other_wording_is_not_one_of_the_words(reply):
    assert not revokes(reply)
