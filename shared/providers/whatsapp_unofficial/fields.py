"""Fields of JSON objects from outside: the value, None where it is absent or null, Malformed where its type is another."""

from __future__ import annotations

import math
from typing import Any

from shared.providers.documents import Malformed

JsonObject = dict[str, Any]

_NOTHING: JsonObject = {}
_LATEST_SECONDS = 4_102_444_800  # the year 2100
_FIRST_MILLISECONDS = 100_000_000_000  # in milliseconds the year 1973, in seconds the year 5138: so the unit is told apart


def text(fields: JsonObject, name: str) -> str | None:
    """A string; raises Malformed (`wrong_type`) for anything else."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Malformed("wrong_type")


def flag(fields: JsonObject, name: str) -> bool:
    """A truth value, false where it is absent; raises Malformed (`wrong_type`)."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Malformed("wrong_type")


def inner(fields: JsonObject, name: str) -> JsonObject:
    """An object, empty where it is absent; raises Malformed (`wrong_type`)."""
    value = fields.get(name)
    if value is None:
        return _NOTHING
    if isinstance(value, dict):
        return value
    raise Malformed("wrong_type")


def elements(fields: JsonObject, name: str) -> list[Any]:
    """A list, empty where it is absent; raises Malformed (`wrong_type`)."""
    value = fields.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise Malformed("wrong_type")


def decimal(fields: JsonObject, name: str) -> float | None:
    """A finite number, also as text (WAHA writes coordinates so in one engine); raises Malformed (`wrong_type`)."""
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Malformed("wrong_type")
    try:
        number = float(value)
    except (ValueError, OverflowError):
        raise Malformed("wrong_type") from None
    if not math.isfinite(number):
        raise Malformed("wrong_type")
    return number


def whole(value: object) -> int | None:
    """A whole number as number, decimal text, or protobuf's Long (`{"low":…,"high":…}`); None if it is none of these."""
    if isinstance(value, dict):
        low, high = value.get("low"), value.get("high")
        if type(low) is not int or type(high) is not int or abs(low) >= 1 << 32 or abs(high) >= 1 << 31:
            return None
        return (high << 32) + (low % (1 << 32))
    if isinstance(value, str):
        return int(value) if len(value) <= 18 and value.isascii() and value.isdigit() else None
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and abs(value) < 1e18 else None
    return value if type(value) is int and abs(value) < 10**18 else None


def milliseconds(value: object) -> int | None:
    """A Unix time in seconds or milliseconds, in any spelling of `whole` or with a fraction; None if it is implausible."""
    if isinstance(value, float) and 0 < value < _FIRST_MILLISECONDS:
        return round(value * 1000) if value < _LATEST_SECONDS else None
    number = whole(value)
    if number is None or number <= 0:
        return None
    moment = number * 1000 if number < _FIRST_MILLISECONDS else number
    return moment if moment < _LATEST_SECONDS * 1000 else None
