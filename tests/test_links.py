"""Links to unsubscribe: they tell nothing to whoever sees them, open under every key there was, and cannot be made."""

import base64
import json
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline import links, settings
from leadline.inputs import folded
from leadline.links import Unsubscribe, find_unsubscribe, unsubscribe_token

TENANT, ORGANIZATION = uuid4(), uuid4()
OLD, NEW = "an old secret of 32 characters .", "a new secret, also of 32 letters"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    hold(monkeypatch, "k1", k1=OLD)
    monkeypatch.setenv("LEADLINE_PUBLIC_URL", "https://api.example.com/")


def hold(monkeypatch: pytest.MonkeyPatch, current: str, **secrets: str) -> None:
    monkeypatch.setenv("LEADLINE_LINK_KEYS", json.dumps({"current": current, "keys": secrets}))


def address_in(token: str) -> str:
    told = find_unsubscribe(token)
    assert told
    return told.address


def test_a_link_tells_us_who_it_was_for() -> None:
    token = unsubscribe_token(TENANT, ORGANIZATION, " Ana@Example.com ")
    assert find_unsubscribe(token) == Unsubscribe(TENANT, ORGANIZATION, "ana@example.com")
    url = links.unsubscribe_url(TENANT, ORGANIZATION, "ana@example.com")
    assert url == f"https://api.example.com/unsubscribe/{token}"


def test_a_link_tells_nobody_else_an_address() -> None:
    token = unsubscribe_token(TENANT, ORGANIZATION, "ana@example.com")
    raw = base64.urlsafe_b64decode(token.partition(".")[2] + "==")
    for told in (b"ana", b"example", TENANT.bytes, ORGANIZATION.bytes):
        assert told not in raw
    assert "@" not in token


@given(st.text(max_size=300).filter(lambda text: text.isprintable()))
def test_whatever_the_address_its_link_is_one_word_of_a_url(address: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        hold(patch, "k1", k1=OLD)
        token = unsubscribe_token(TENANT, ORGANIZATION, address)
        assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
        assert address_in(token) == folded(address)


def test_an_old_link_opens_when_there_is_a_new_key(monkeypatch) -> None:
    old = unsubscribe_token(TENANT, ORGANIZATION, "ana@example.com")
    hold(monkeypatch, "k2", k1=OLD, k2=NEW)
    assert address_in(old) == "ana@example.com"
    new = unsubscribe_token(TENANT, ORGANIZATION, "ana@example.com")
    assert (old[:3], new[:3]) == ("k1.", "k2.")
    assert address_in(new) == "ana@example.com"


def test_a_link_opens_under_its_own_key_alone(monkeypatch) -> None:
    old = unsubscribe_token(TENANT, ORGANIZATION, "ana@example.com")
    # The same secret by another name: the name is sealed with the rest.
    hold(monkeypatch, "k2", k2=OLD)
    for token in (old, old.replace("k1.", "k2.")):
        assert find_unsubscribe(token) is None


def test_no_character_of_a_link_can_be_changed() -> None:
    token = unsubscribe_token(TENANT, ORGANIZATION, "ana@example.com")
    for place, character in enumerate(token[:-1]):  # the last one holds bits that stand for nothing
        changed = token[:place] + ("A" if character != "A" else "B") + token[place + 1 :]
        assert find_unsubscribe(changed) is None


@pytest.mark.parametrize(
    "token",
    ["", ".", "k1", "k1.", "k1.AAAA", "k1.%", "k9.AAAA", "k1.é", "k1." + "A" * 5000, "\0", "../../etc/passwd", "k1.A"],
)
def test_what_is_no_link_opens_nothing(token) -> None:
    assert find_unsubscribe(token) is None


@pytest.mark.parametrize(
    ("current", "secrets"),
    [("k2", {"k1": OLD}), ("k1", {"k1": "short"}), ("k.1", {"k.1": OLD}), ("", {"": OLD})],
)
def test_keys_that_cannot_work_are_refused(monkeypatch, current, secrets) -> None:
    hold(monkeypatch, current, **secrets)
    with pytest.raises(RuntimeError):
        settings.link_keys()
