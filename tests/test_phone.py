"""Phone numbers: any usual spelling in, E.164 out."""

import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline import phone


@pytest.mark.parametrize(
    ("spelling", "region", "number"),
    [
        ("(415) 555-0142", "US", "+14155550142"),
        ("415.555.0142", "US", "+14155550142"),
        ("1-415-555-0142", "US", "+14155550142"),
        ("+1 (415) 555 0142", "GB", "+14155550142"),
        ("020 7946 0958", "GB", "+442079460958"),
        ("011 44 20 7946 0958", "US", "+442079460958"),
        ("+39 06 698 82211", "US", "+390669882211"),
        ("809-555-0142", "US", "+18095550142"),
        ("٤١٥٥٥٥٠١٤٢", "US", "+14155550142"),
        ("\u202a+14155550142\u202c", "US", "+14155550142"),
        ("(416) 555-0142", "CA", "+14165550142"),
    ],
)
def test_a_usual_spelling_is_normalised(spelling, region, number):
    assert phone.normalise(spelling, region) == number


@pytest.mark.parametrize(
    ("spelling", "reason"),
    [
        ("415 555 0142 x5", "extension"),
        ("+14155550142;ext=5", "extension"),
        ("4155550142 ext. 12", "extension"),
        ("1-800-FLOWERS", "letters"),
        ("call me", "letters"),
        ("22333", "short code"),
        ("911", "short code"),
        ("555-0142", "no valid number"),
        ("+1 415 555 014", "no valid number"),
        ("415 555 0142 3", "no valid number"),
        ("+999 123456789", "does not read"),
        ("", "does not read"),
        ("+", "does not read"),
        ("+431111", "short code"),
        ("+49 30 1234567890123", "no valid number"),
        ("0" * 400, "does not read"),
        ("1' or '1'='1", "letters"),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_own_reason(spelling, reason):
    with pytest.raises(phone.BadPhone) as refused:
        phone.normalise(spelling, "US")
    assert reason in refused.value.detail
    assert refused.value.errors[0].pointer == "/phone_number"


@settings(deadline=None)
@given(st.text(max_size=40), st.sampled_from(["US", "GB", "JM", "MX"]))
def test_any_text_is_either_a_valid_number_or_refused(text, region):
    try:
        number = phone.normalise(text, region)
    except phone.BadPhone:
        return
    assert phonenumbers.is_valid_number(phonenumbers.parse(number))
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
    assert phone.normalise(number, "US") == number


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_regions_own_spelling_of_its_example_number_is_read(region):
    example = phonenumbers.example_number(region)
    expected = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    for style in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
        assert phone.normalise(phonenumbers.format_number(example, style), region) == expected
