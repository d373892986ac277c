"""Text from outside, made safe to store: no NUL (PostgreSQL refuses it), no lone surrogate (no encoder takes it), bounded.

Free text is mended; an id is never changed, because a changed id names something else: it is taken exactly or not at all.
"""

from __future__ import annotations

import re
from typing import TypeVar

MAX_ID_CHARACTERS = 512  # 2 048 bytes of UTF-8 at most: fits an index entry of PostgreSQL (2 704 bytes)
MAX_TEXT_CHARACTERS = 65_536  # providers document 4 096; 256 KiB of UTF-8 at most, so an event fits Kafka's 1 MB
MAX_NAME_CHARACTERS = 1_024
MAX_CODE_CHARACTERS = 128
MAX_URL_CHARACTERS = 4_096
MAX_PHONE_DIGITS = 20  # E.164 allows 15; the rest is leeway for what a provider calls a phone
MAX_COUNT = 2**53 - 1  # beyond it JSON readers round (RFC 8259 §6); what no Avro long can hold would cost a whole record

T = TypeVar("T", int, float)

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PHONE_PUNCTUATION = re.compile(r"[\s()./-]+")
_DIGITS = re.compile(rf"[0-9]{{1,{MAX_PHONE_DIGITS}}}")


def clean_text(value: str | None, limit: int = MAX_TEXT_CHARACTERS) -> str | None:
    """Free text cut to `limit` characters, with U+FFFD in the place of what cannot be stored. None stays None."""
    if value is None:
        return None
    if len(value) > limit:
        value = value[:limit]
    if value.isascii() and "\x00" not in value:  # nearly all of what comes, and far quicker than the pattern
        return value
    return _UNSTORABLE.sub("\ufffd", value)


def exact_text(value: str | None, limit: int = MAX_ID_CHARACTERS) -> str | None:
    """The value unchanged if it is storable and has 1 to `limit` characters; else None."""
    if not value or len(value) > limit:
        return None
    if value.isascii() and "\x00" not in value:
        return value
    return value if _UNSTORABLE.search(value) is None else None


def plausible(value: T | None, limit: int = MAX_COUNT) -> T | None:
    """A size, a duration or a side as told, if it is from 0 to `limit`; else None: it stands beside what matters."""
    return value if value is not None and 0 <= value <= limit else None


def phone_digits(value: str | None) -> str | None:
    """E.164 digits of a phone number written with or without `+`, spaces and punctuation; None if it is none."""
    if not value or len(value) > 64:
        return None
    if value.isascii() and value.isdigit():
        return value if len(value) <= MAX_PHONE_DIGITS else None
    digits = _PHONE_PUNCTUATION.sub("", value.strip()).removeprefix("+")
    return digits if _DIGITS.fullmatch(digits) is not None else None
