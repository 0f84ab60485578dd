"""Phone numbers: any usual spelling in, E.164 out."""

import re
from functools import cache

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from leadline import phone
from leadline.config import COUNTRIES


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
        ("001 415 555 0142", "US", "+14155550142"),
        ("0044 20 7946 0958", "US", "+442079460958"),
        ("\u0664\u0661\u0665\u202f555\u20090142", "US", "+14155550142"),
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
        ("00 1 555 0142", "no valid number"),
        ("00 00 1 415 555 0142", "does not read"),
        ("0012", "short code"),
        ("00800 1234 5678", "service number"),
    ],
)
def test_what_cannot_be_called_is_refused_with_its_own_reason(spelling, reason):
    with pytest.raises(phone.BadPhone) as refused:
        phone.normalise(spelling, "US")
    assert reason in refused.value.detail
    assert refused.value.errors[0].pointer == "/phone_number"


@pytest.mark.parametrize("country_code", sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
def test_a_number_of_no_country_is_refused_with_its_own_reason(country_code):
    example = phonenumbers.example_number_for_non_geo_entity(country_code)
    spelling = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    with pytest.raises(phone.BadPhone, match="bad_phone") as refused:
        phone.normalise(spelling, "US")
    assert refused.value.detail == "This is a service number, not a person's."


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text("0123456789", max_size=20),
    st.text("+\uff0b0123456789\u0664\u0665\uff11 ()-.\u2013x#*;/~,\u200b\u202a", max_size=300),
    st.from_regex(r"\A(\+|00|011)?[0-9 ]{1,16}(;?ext\.?=?| x|#|,)?[0-9]{0,8}\Z"),
)


@settings(deadline=None, max_examples=400)
@given(TEXTS, st.sampled_from(sorted(COUNTRIES)), st.sampled_from(sorted(COUNTRIES)))
def test_any_text_is_either_a_valid_number_or_refused(text, region, another):
    try:
        number = phone.normalise(text, region)
    except phone.BadPhone:
        return
    assert phonenumbers.is_valid_number(phonenumbers.parse(number))
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
    assert phone.normalise(number, another) == number


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_regions_own_spelling_of_its_example_number_is_read(region):
    example = phonenumbers.example_number(region)
    expected = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    for style in (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL):
        assert phone.normalise(phonenumbers.format_number(example, style), region) == expected


# North America and the Caribbean -------------------------------------------------------------------------------------

REGIONS = [
    *("AG", "AI", "AS", "BB", "BM", "BS", "CA", "DM", "DO", "GD", "GU", "JM", "KN", "KY", "LC", "MP", "MS", "PR", "SX"),
    *("TC", "TT", "US", "VC", "VG", "VI"),
]
ZEROS = {"ASCII": "0", "fullwidth": "\uff10", "Arabic": "\u0660", "Persian": "\u06f0", "Devanagari": "\u0966"}
SPACES = ["", " ", "  ", "\t", "\u00a0", "\u2007", "\u2009", "\u202f", "\u3000"]
DASHES = ["-", " - ", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d"]
BETWEEN = [*SPACES, *DASHES, ".", "\uff0e", "/"]
BRACKETS = [("", ""), ("(", ")"), ("\uff08", "\uff09"), ("[", "]")]
AROUND = [("", ""), (" ", "\n"), ("\u202a", "\u202c"), ("\u200e", ""), ("\ufeff", "")]
# What stands before the number of ten digits, by the region in which it is read.
ANYWHERE = ["+1", "\uff0b1", "(+1)", "+ 1"]
AT_HOME = ["", "1", "011 1", "0111", "011-1", "001", "00 1", "00-1", *ANYWHERE]
ABROAD = {"GB": "00 1", "DE": "001", "MX": "00-1", "FR": "00 1", "AU": "0011 1", "JP": "010 1"}
BEFORE = dict.fromkeys(REGIONS, AT_HOME) | {region: [dialled, *ANYWHERE] for region, dialled in ABROAD.items()}


def test_the_regions_are_those_of_country_code_1():
    assert sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]) == REGIONS


@cache
def numbers_of(region: str) -> st.SearchStrategy[str]:
    """Ten digits that the numbering plan has in the region."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    kinds = [plan.fixed_line, plan.mobile, plan.toll_free]
    patterns = [re.compile(kind.national_number_pattern, re.ASCII) for kind in kinds if kind.national_number_pattern]
    drawn = st.one_of([st.from_regex(pattern, fullmatch=True) for pattern in patterns])
    return drawn.filter(lambda digits: len(digits) == 10)


@st.composite
def spellings(draw, digits: str) -> tuple[str, str]:
    """A usual spelling of ten digits, and the region whose people would read it so."""
    region = draw(st.sampled_from(sorted(BEFORE)))
    before = draw(st.sampled_from(BEFORE[region]))
    opened, closed = draw(st.sampled_from(BRACKETS))
    first, second, third = (draw(st.sampled_from(BETWEEN)) for _ in range(3))
    left, right = draw(st.sampled_from(AROUND))
    written = f"{before}{first}{opened}{digits[:3]}{closed}{second}{digits[3:6]}{third}{digits[6:]}"
    zero = ord(ZEROS[draw(st.sampled_from(sorted(ZEROS)))])
    in_script = str.maketrans("0123456789", "".join(map(chr, range(zero, zero + 10))))
    return left + written.translate(in_script) + right, region


@pytest.mark.parametrize("region", REGIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_usual_spelling_of_a_number_of_country_code_1_is_that_number(region, data):
    digits = data.draw(numbers_of(region))
    assume(phonenumbers.is_valid_number(phonenumbers.parse(f"+1{digits}")))
    spelling, dialled_from = data.draw(spellings(digits))
    assert phone.normalise(spelling, dialled_from) == f"+1{digits}"


# What is stored ------------------------------------------------------------------------------------------------------


def normalises_to_itself(number: str) -> bool:
    try:
        return phone.normalise(number, "US") == number
    except phone.BadPhone:
        return False


@pytest.mark.parametrize("region", REGIONS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_stored_number_of_country_code_1_is_valid_just_where_it_normalises_to_itself(region, data):
    digits = data.draw(st.one_of(numbers_of(region), st.from_regex(r"[0-9]{9,11}", fullmatch=True)))
    assert phone.is_valid(f"+1{digits}") == normalises_to_itself(f"+1{digits}")


@settings(max_examples=200, deadline=None)
@given(number=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_so_is_one_of_any_country(number):
    assert phone.is_valid(number) == normalises_to_itself(number)
