"""Mailgun's timestamp, token and signature, taken out of a body that nobody has proven yet: by places, in linear time.

They lie in the body because Mailgun signs nothing else. A field that comes twice refuses the request, so that verification
and the normaliser cannot read two different ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import msgspec

MAX_PARTS = 1_200
_MAX_FIELD_BYTES = 256
_MAX_PART_HEAD = 2_048
MAX_UNPROVEN_JSON_BYTES = 1_048_576  # event webhooks are a few kilobytes
MAX_FORM_FIELDS = 2_000
_WANTED = (b"timestamp", b"token", b"signature")
_BOUNDARY = re.compile(rb'multipart/form-data\s*;.*?boundary=(?:"([^"\r\n]{1,120})"|([^\s;"]{1,120}))', re.IGNORECASE)
_NAME = re.compile(rb'content-disposition:\s*form-data;[^\r\n]*?\bname="([^"\r\n]{0,200})"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SignedFields:
    """As they stand in the body."""

    timestamp: bytes
    token: bytes
    signature: bytes


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
    found: dict[bytes, list[bytes]] = {name: [] for name in _WANTED}
    if kind == b"multipart/form-data":
        boundary = form_boundary(content_type)
        if boundary is None:
            return "body_malformed"
        _read_multipart(body, boundary, found)
    elif kind == b"application/x-www-form-urlencoded":
        _read_urlencoded(body, found)
    else:
        return "body_malformed"
    if any(len(values) > 1 for values in found.values()):
        return "field_repeated"
    if not all(found.values()):
        return "signature_missing"
    return SignedFields(*(found[name][0] for name in _WANTED))


def form_boundary(content_type: bytes) -> bytes | None:
    """The boundary of multipart/form-data."""
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


def _read_multipart(body: bytes, boundary: bytes, found: dict[bytes, list[bytes]]) -> None:
    """Without copying a file: only where each part's head stands is looked for."""
    delimiter, position = b"--" + boundary, 0
    for _ in range(MAX_PARTS):
        start = body.find(delimiter, position)
        if start < 0:
            return
        position = start + len(delimiter)
        head_end = body.find(b"\r\n\r\n", position, position + _MAX_PART_HEAD)
        if head_end < 0:
            continue
        match = _NAME.search(body, position, head_end)
        if match is not None and match[1] in found:
            end = body.find(b"\r\n", head_end + 4, head_end + 4 + _MAX_FIELD_BYTES + 2)
            found[match[1]].append(b"" if end < 0 else body[head_end + 4 : end])


def _read_urlencoded(body: bytes, found: dict[bytes, list[bytes]]) -> None:
    position = 0
    for _ in range(MAX_FORM_FIELDS):
        end = body.find(b"&", position)
        end = len(body) if end < 0 else end
        equals = body.find(b"=", position, min(end, position + 64))
        name = body[position:equals] if equals >= 0 else b""
        if name in found:
            value = body[equals + 1 : min(end, equals + 1 + 3 * _MAX_FIELD_BYTES)]
            found[name].append(unquote_to_bytes(value))
        if end >= len(body):
            return
        position = end + 1
