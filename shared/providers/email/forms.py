"""Bodies of forms (multipart/form-data and urlencoded) by places: a file of 30 MB is found, not copied.

Source: RFC 7578 and the URL Standard's application/x-www-form-urlencoded. Names in these bodies are those of providers, so the
first of each name counts, and Mailgun's signed fields come once (verification refuses others).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shared.providers.contract import UnparseableBody
from shared.providers.email.decoding import text_of
from shared.providers.email.mime import Head, read_head
from shared.providers.email.signed_fields import MAX_FORM_FIELDS, MAX_PARTS, form_boundary

MAX_FIELD_BYTES = 2_097_152  # of a field that is read as text; files have no such bound
_PIECE_BYTES = 262_144
_MAX_PART_HEAD = 16_384
_NAME = re.compile(rb'(?i:content-disposition):\s*form-data;[^\r\n]*?\bname="([^"\r\n]{0,200})"')
_PERCENT_AT_END = re.compile(rb"%[0-9A-Fa-f]?\Z")


@dataclass(frozen=True, slots=True)
class Field:
    """Where one value lies in the body, and what the form says of it. `encoded`: percent-encoded."""

    start: int
    end: int
    raw_head: bytes = b""
    encoded: bool = False

    @property
    def head(self) -> Head:
        """The headers of one part of multipart/form-data."""
        return read_head(self.raw_head)[0]

    @property
    def filename(self) -> str | None:
        """The name of a file; None for a plain field."""
        return self.head.parameter("content-disposition", "filename") if b"filename" in self.raw_head else None

    def data(self, body: bytes, limit: int | None = None) -> bytes:
        """The bytes of the value, at most about `limit` of them."""
        end = self.end if limit is None else min(self.end, self.start + limit)
        return _unquoted(body[self.start : end]) if self.encoded else body[self.start : end]

    def text(self, body: bytes, charset: str | None = "utf-8") -> str:
        """The value as text, at most about 2 MB of it."""
        return text_of(self.data(body, MAX_FIELD_BYTES), charset)


def read_form(body: bytes, content_type: str) -> dict[str, Field]:
    """The fields by name; raises UnparseableBody for another content type or a body without any field."""
    kind = content_type.split(";", 1)[0].strip().lower()
    found: dict[str, Field] = {}
    if kind == "multipart/form-data":
        boundary = form_boundary(content_type.encode("latin-1", "replace"))
        pairs = iter(()) if boundary is None else _multipart(body, boundary)
    elif kind == "application/x-www-form-urlencoded":
        pairs = _urlencoded(body)
    else:
        raise UnparseableBody("not a form")
    for name, field in pairs:
        found.setdefault(name, field)
    if not found:
        raise UnparseableBody("a form without a field")
    return found


def _multipart(body: bytes, boundary: bytes) -> Iterator[tuple[str, Field]]:
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
            value = min(head_end + 4, stop)
            yield match[1].decode("utf-8", "replace"), Field(value, stop, body[begin:head_end])
        if end < 0:
            return
        start = end + 2


def _urlencoded(body: bytes) -> Iterator[tuple[str, Field]]:
    position = 0
    for _ in range(MAX_FORM_FIELDS):
        end = body.find(b"&", position)
        end = len(body) if end < 0 else end
        equals = body.find(b"=", position, min(end, position + 256))
        if equals > position:
            name = _unquoted(body[position:equals]).decode("utf-8", "replace")
            yield name, Field(equals + 1, end, encoded=True)
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
