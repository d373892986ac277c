"""Reads the body of an answer that may be hostile: bounded as it comes and again as it is unpacked."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping

from shared.adapters.http_faults import AnswerTooLarge, AnswerUnreadable

ACCEPTED_ENCODINGS = "gzip, deflate"
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32  # told apart by its first bytes
_BARE_DEFLATE = -zlib.MAX_WBITS


class BoundedBody:
    """Collects one body. `max_bytes` bounds what comes over the wire, and what comes out of its compression."""

    def __init__(self, encoding: str, max_bytes: int) -> None:
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise AnswerUnreadable("the answer is compressed in a way that was not asked for", may_have_left=True)
        self._packed = name not in ("", "identity")
        self._is_deflate = name == "deflate"
        self._max_bytes = max_bytes
        self._wire_bytes = 0
        self._found = bytearray()
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)

    def feed(self, piece: bytes) -> None:
        """Take the next piece; raises AnswerTooLarge, AnswerUnreadable."""
        is_first = self._wire_bytes == 0
        self._wire_bytes += len(piece)
        if self._wire_bytes > self._max_bytes:
            raise self._too_large()
        if not self._packed:
            self._found += piece
            return
        # "deflate" means zlib's form, and some servers send it bare (RFC 9110 §8.4.1.2)
        if is_first and piece and self._is_deflate and piece[0] & 0x0F != 8:
            self._inflater = zlib.decompressobj(_BARE_DEFLATE)
        try:
            self._inflate(piece)
        except zlib.error:
            raise AnswerUnreadable("the answer's compression is broken", may_have_left=True) from None

    def _inflate(self, piece: bytes) -> None:
        while piece:
            if self._inflater.eof:  # gzip may have several members
                self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            self._found += self._inflater.decompress(piece, self._max_bytes + 1 - len(self._found))
            if len(self._found) > self._max_bytes:
                raise self._too_large()
            piece = self._inflater.unused_data

    def whole(self) -> bytes:
        """The body; raises AnswerUnreadable where its compression broke off."""
        if self._packed and self._wire_bytes and not self._inflater.eof:
            raise AnswerUnreadable("the answer's compression broke off", may_have_left=True)
        return bytes(self._found)

    def _too_large(self) -> AnswerTooLarge:
        return AnswerTooLarge(f"the answer has more than {self._max_bytes} bytes", may_have_left=True)


async def read_body(headers: Mapping[str, str], pieces: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """The whole body, unpacked; raises AnswerTooLarge, AnswerUnreadable, and what `pieces` raises."""
    body = BoundedBody(headers.get("content-encoding", ""), max_bytes)
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:19]) > max_bytes:
        raise AnswerTooLarge(f"the answer announces more than {max_bytes} bytes", may_have_left=True)
    async for piece in pieces:
        body.feed(piece)
    return body.whole()
