"""JSON bodies as strangers post them: decoded without surprises, hashed in one spelling, cut into bounded fragments."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import islice
from typing import Any, NoReturn

import msgspec

from shared.domain.items import AnyItem
from shared.providers.cleaning import clean_text
from shared.providers.contract import MAX_ITEMS, TooManyItems, UnparseableBody

MAX_FRAGMENT_BYTES = 262_144  # a dead letter carries the fragment and must fit one Kafka message
_HEAD_BYTES = 4_096


class Malformed(Exception):
    """Raised inside a normaliser for one element that is not what the provider documents; `reason` is a short code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unmappable(Malformed):
    """Raised inside a normaliser for content that is as documented and has no place in our model (too much, not on Earth).

    No later release changes that, so the message goes on as `unsupported` with the reason, instead of to the dead letters.
    """


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object of one body; raises UnparseableBody for everything else, however deep, long or odd.

    msgspec refuses lone surrogates and numbers out of range for the whole body; one such text must not cost its
    neighbours, so these bodies are read again by the slower standard library.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = _decode_tolerantly(body)
    except RecursionError as error:
        raise UnparseableBody("nested too deep") from error
    if not isinstance(document, dict):
        raise UnparseableBody("not a JSON object")
    return document


def _decode_tolerantly(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_with_clean_keys)
    except RecursionError as error:
        raise UnparseableBody("nested too deep") from error
    except ValueError as error:  # also UnicodeDecodeError, and integers of more than 4 300 digits
        raise UnparseableBody("not JSON in UTF-8") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _with_clean_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {clean_text(key, len(key)) or "": value for key, value in pairs}


def at_most_max_items(items: Iterable[AnyItem]) -> list[AnyItem]:
    """The items of one body as a list; raises TooManyItems once there is one too many, without making the rest."""
    found = list(islice(items, MAX_ITEMS + 1))
    if len(found) > MAX_ITEMS:
        raise TooManyItems(f"more than {MAX_ITEMS} items")
    return found


def fingerprint(*parts: object) -> str:
    """Hex digest of JSON values in one spelling (sorted keys): equal for equal content. Raises Malformed (`too_deep`)."""
    return hashlib.sha256(_json_text(list(parts))).hexdigest()


def fragment_of(element: object) -> bytes:
    """JSON text of one element for its dead letter; above 256 KiB its size and its beginning."""
    try:
        text = _json_text(element)
    except Malformed as error:
        return _json_text({"left_out": error.reason})
    if len(text) <= MAX_FRAGMENT_BYTES:
        return text
    return _json_text({"left_out": "too_large", "size_bytes": len(text), "begins": text[:_HEAD_BYTES].decode("ascii")})


def _json_text(value: object) -> bytes:
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    except RecursionError as error:
        raise Malformed("too_deep") from error
