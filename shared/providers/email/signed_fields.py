"""Mailgun's timestamp, token and signature, taken out of a body that nobody has proven yet: by places, in linear time.

They lie in the body because Mailgun signs nothing else. Verification and the normaliser read a form by the same `form_places`,
and a field that comes twice refuses the request: two readers that differ in one odd form are two different tokens, and then a
captured signature carries in whatever somebody likes.

Source of the forms: RFC 7578, and the URL Standard's application/x-www-form-urlencoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import msgspec

MAX_PARTS = 1_200
_MAX_FIELD_BYTES = 256
_MAX_PART_HEAD = 16_384
_PIECE_BYTES = 262_144
MAX_UNPROVEN_JSON_BYTES = 1_048_576  # event webhooks are a few kilobytes
MAX_FORM_FIELDS = 2_000
_WANTED = (b"timestamp", b"token", b"signature")
_BOUNDARY = re.compile(rb'multipart/form-data\s*;.*?boundary=(?:"([ !#-~]{1,120})"|([!#-:<-~]{1,120}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:\s*form-data;[^\r\n]*?\bname="([^"\r\n]{0,200})"', re.IGNORECASE)
_PERCENT_AT_END = re.compile(rb"%[0-9A-Fa-f]?\Z")


@dataclass(frozen=True, slots=True)
class SignedFields:
    """As they stand in the body."""

    timestamp: bytes
    token: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "SignedFields(***)"


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where one field of a form lies. `head`: of its part of multipart/form-data; `encoded`: percent-encoded."""

    name: bytes
    start: int
    end: int
    head: bytes = b""
    encoded: bool = False

    def data(self, body: bytes, limit: int | None = None) -> bytes:
        """The bytes of the value, at most about `limit` of them."""
        end = self.end if limit is None else min(self.end, self.start + limit)
        return _unquoted(body[self.start : end]) if self.encoded else body[self.start : end]


class _JsonSignature(msgspec.Struct):
    timestamp: str | int = ""
    token: str = ""
    signature: str = ""


class _JsonBody(msgspec.Struct):
    signature: _JsonSignature | None = None


def mailgun_fields(body: bytes, content_type: bytes) -> SignedFields | str:
    """The three fields, or the reason why there are none: `signature_missing`, `field_repeated`, `body_malformed`."""
    kind = content_type[:1_024].split(b";", 1)[0].strip().lower()
    if kind == b"application/json":
        return _of_json(body)
    places = form_places(body, content_type)
    if places is None:
        return "body_malformed"
    found: dict[bytes, list[bytes]] = {name: [] for name in _WANTED}
    for place in places:
        if place.name in found:
            short = place.end - place.start <= _MAX_FIELD_BYTES
            found[place.name].append(place.data(body) if short else b"")
    if any(len(values) > 1 for values in found.values()):
        return "field_repeated"
    if not all(found.values()):
        return "signature_missing"
    return SignedFields(*(found[name][0] for name in _WANTED))


def form_places(body: bytes, content_type: bytes) -> Iterator[Place] | None:
    """The fields of a form in their order, found in linear time without copying a value; None for what is no form."""
    kind = content_type[:1_024].split(b";", 1)[0].strip().lower()
    if kind == b"application/x-www-form-urlencoded":
        return _urlencoded(body)
    boundary = _boundary(content_type) if kind == b"multipart/form-data" else None
    return None if boundary is None else _multipart(body, boundary)


def _boundary(content_type: bytes) -> bytes | None:
    match = _BOUNDARY.match(content_type[:1_024].strip())
    return (match[1] or match[2]) if match else None


def _of_json(body: bytes) -> SignedFields | str:
    if len(body) > MAX_UNPROVEN_JSON_BYTES:
        return "body_malformed"
    try:
        signature = msgspec.json.decode(body, type=_JsonBody).signature
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "body_malformed"
    if signature is None:
        return "signature_missing"
    texts = (str(signature.timestamp), signature.token, signature.signature)
    return SignedFields(*(text.encode("utf-8") for text in texts))


def _multipart(body: bytes, boundary: bytes) -> Iterator[Place]:
    delimiter = b"--" + boundary
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter) + 2
    if start == 1:
        return
    for _ in range(MAX_PARTS):
        start += len(delimiter)
        if body[start : start + 2] == b"--":
            return
        end = body.find(b"\r\n" + delimiter, start)
        begin = body.find(b"\r\n", start) + 2
        if begin == 1 or (0 <= end < begin):
            return
        stop = len(body) if end < 0 else end
        head_end = body.find(b"\r\n\r\n", begin, min(stop + 2, begin + _MAX_PART_HEAD))
        match = _NAME.search(body, begin, head_end) if head_end >= 0 else None
        if match is not None and match[1]:
            yield Place(match[1], min(head_end + 4, stop), stop, body[begin:head_end])
        if end < 0:
            return
        start = end + 2


def _urlencoded(body: bytes) -> Iterator[Place]:
    position = 0
    for _ in range(MAX_FORM_FIELDS):
        end = body.find(b"&", position)
        end = len(body) if end < 0 else end
        equals = body.find(b"=", position, min(end, position + 256))
        if equals > position:
            yield Place(_unquoted(body[position:equals]), equals + 1, end, encoded=True)
        if end >= len(body):
            return
        position = end + 1


def _unquoted(data: bytes) -> bytes:
    """Percent-decoded in pieces: the standard library makes an object of every escape."""
    decoded, position = bytearray(), 0
    while position < len(data):
        piece = data[position : position + _PIECE_BYTES]
        cut = _PERCENT_AT_END.search(piece) if position + len(piece) < len(data) else None
        if cut is not None:
            piece = piece[: cut.start()]
        decoded += unquote_to_bytes(piece.replace(b"+", b" "))
        position += len(piece)
    return bytes(decoded)
