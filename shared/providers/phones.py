"""Numbers that are spelled in two ways and belong to one person.

WhatsApp keeps the spelling under which an account was opened, so one person may appear under either:
- Brazil: mobiles got a ninth digit before the number; older accounts keep eight (`55 11 9xxxx-xxxx`, `55 11 xxxx-xxxx`).
- Argentina: mobiles are called from abroad with a 9 before the area code (`54 9 11 …`, `54 11 …`).
- Mexico: until 2019 mobiles were called from abroad with a 1 before the number (`52 1 55 …`, `52 55 …`).
The canonical spelling is today's E.164: with Brazil's 9, with Argentina's 9, without Mexico's 1. `phonenumbers` (the
metadata of Google's libphonenumber) says which numbers can be mobiles, so that a landline stays what it is.
Source: https://faq.whatsapp.com/1294841057948784 and https://github.com/google/libphonenumber/blob/master/FAQ.md
"""

from __future__ import annotations

from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType

from shared.domain.enums import AliasKind
from shared.domain.items import Alias
from shared.providers.cleaning import phone_digits

_MOBILES = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})
_BRAZIL_NEW, _BRAZIL_OLD = 13, 12
_ARGENTINA_NEW, _ARGENTINA_OLD = 13, 12
_MEXICO_NEW, _MEXICO_OLD = 12, 13


def canonical_phone(digits: str) -> str:
    """Today's spelling of a number in E.164 digits; the number itself where there is only one."""
    if digits[:2] not in ("55", "54", "52"):  # nearly all others, and the common spelling of these, without a look-up
        return digits
    if digits[:2] == "55" and len(digits) != _BRAZIL_OLD:
        return digits
    return _canonical(digits)


@lru_cache(maxsize=65_536)
def _canonical(digits: str) -> str:
    country, length = digits[:2], len(digits)
    if country == "55" and length == _BRAZIL_OLD and digits[4] in "6789":
        return _if_mobile(f"{digits[:4]}9{digits[4:]}", digits)
    if country == "54" and length == _ARGENTINA_OLD and digits[2] != "9":
        return _if_mobile(f"549{digits[2:]}", digits)
    if country == "52" and length == _MEXICO_OLD and digits[2] == "1":
        return _if_mobile(f"52{digits[3:]}", digits)
    return digits


def _if_mobile(candidate: str, given: str) -> str:
    try:
        number = phonenumbers.parse(f"+{candidate}")
    except phonenumbers.NumberParseException:
        return given
    return candidate if phonenumbers.number_type(number) in _MOBILES else given


def phone_variants(digits: str) -> tuple[str, ...]:
    """All spellings of the same number, canonical first; one element where there is only one."""
    canonical = canonical_phone(digits)
    other = None
    if canonical[:2] == "55" and len(canonical) == _BRAZIL_NEW and canonical[4] == "9":
        other = canonical[:4] + canonical[5:]
    elif canonical[:3] == "549" and len(canonical) == _ARGENTINA_NEW:
        other = f"54{canonical[3:]}"
    elif canonical[:2] == "52" and len(canonical) == _MEXICO_NEW:
        other = f"521{canonical[2:]}"
    return (canonical,) if other is None or canonical_phone(other) != canonical else (canonical, other)


@lru_cache(maxsize=16_384)  # most who write have written before
def phone_aliases(value: str | None) -> tuple[Alias, ...]:
    """Aliases of a phone as a provider wrote it: its own spelling first (it is the one to answer to), then the canonical.

    Both are rows to one contact, so the person is found under either spelling. Empty if it is no number.
    """
    digits = phone_digits(value)
    if digits is None:
        return ()
    canonical = canonical_phone(digits)
    given = Alias(kind=AliasKind.PHONE, value=digits)
    return (given,) if canonical == digits else (given, Alias(kind=AliasKind.PHONE, value=canonical))
