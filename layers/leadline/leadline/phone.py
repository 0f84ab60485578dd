"""Phone numbers: any usual spelling in, E.164 out, or a reason why not."""

import re

import phonenumbers
from phonenumbers import COUNTRY_CODES_FOR_NON_GEO_REGIONS, NumberParseException, PhoneNumber, PhoneNumberFormat

from leadline.errors import Refused

E164 = re.compile(r"\+[1-9][0-9]{6,14}")  # the same as the domain e164 in the database
LONGEST_SHORT_CODE = 6
NORTH_AMERICA = 1


class BadPhone(Refused):
    """This is not a phone number that can be called."""


def normalise(spelling: str, region: str) -> str:
    """The E.164 form of a number in any usual spelling, read as dialled from `region` (ISO 3166-1 alpha-2).

    Raises BadPhone, naming which: an extension, letters, a short code, a service number, or no valid number (ITU
    numbering plans as the phonenumbers library has them; that a number is possible is not enough: 555-0142 without an
    area code is).
    """
    spelling = " ".join(spelling.split())  # every space there is; the library knows some
    try:
        number = phonenumbers.parse(spelling, region)
    except NumberParseException:
        raise _bad(_why_unreadable(spelling)) from None
    if number.extension:
        raise _bad("A number with an extension cannot be called; give the number alone.")
    if any(character.isalpha() for character in spelling):
        raise _bad("Write the number in digits: letters are not read as keys.")
    formatted = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    # A few national plans have valid numbers that are shorter, or longer, than E.164 lets a number be.
    if not phonenumbers.is_valid_number(number) or not E164.fullmatch(formatted):
        if len(str(number.national_number)) <= LONGEST_SHORT_CODE:
            raise _bad("This is a short code, not a person's number.")
        if (
            number.country_code == NORTH_AMERICA
            and (digits := phonenumbers.normalize_digits_only(spelling))[:2] == "00"
        ):
            # As written in most of the world. No number here begins with 0, so it can mean nothing else.
            return normalise("+" + digits[2:], region)
        raise _bad(f"This is no valid number; a number without its country code is read as one of {region}.")
    if number.country_code in COUNTRY_CODES_FOR_NON_GEO_REGIONS:
        raise _bad("This is a service number, not a person's.")
    return formatted


def is_valid(e164: str) -> bool:
    """Whether a number in E.164 is one that `normalise` would leave as it is."""
    if re.fullmatch(r"\+1[2-9][0-9]{9}", e164):  # there is nothing to parse in it
        return phonenumbers.is_valid_number(PhoneNumber(country_code=NORTH_AMERICA, national_number=int(e164[2:])))
    try:
        return normalise(e164, "ZZ") == e164
    except BadPhone:
        return False


def _why_unreadable(spelling: str) -> str:
    if any(character.isalpha() for character in spelling):
        return "Write the number in digits: letters are not read as keys."
    return "This does not read as a phone number."


def _bad(detail: str) -> BadPhone:
    return BadPhone(detail, field="phone_number")
