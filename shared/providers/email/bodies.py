"""The bytes of one part, decoded: a bounded beginning for text, all of it in pieces for whoever stores a file."""

from __future__ import annotations

import binascii
from collections.abc import Iterator

from shared.providers.email.decoding import text_of
from shared.providers.email.mime import MimePart

MAX_TEXT_BYTES = 786_432  # of the encoded body of one text part; 65 536 characters are kept of it in the end
_PIECE_BYTES = 1_048_576
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))


def transfer_encoding(part: MimePart) -> str:
    """`base64`, `quoted-printable`, or `identity` for everything else."""
    stated = (part.head.first("content-transfer-encoding") or "").split(";", 1)[0].strip().lower()
    return stated if stated in ("base64", "quoted-printable") else "identity"


def part_text(body: bytes, part: MimePart) -> str:
    """The text of a part, at most the first 768 KiB of it, lines ended by `\\n`."""
    data = decoded(body[part.start : min(part.end, part.start + MAX_TEXT_BYTES)], transfer_encoding(part))
    return text_of(data, part.head.parameter("content-type", "charset")).replace("\r\n", "\n").replace("\r", "\n")


def decoded(data: bytes, encoding: str) -> bytes:
    """What an encoded piece says; never raises, what is not of the encoding's alphabet is passed over."""
    if encoding == "base64":
        return _from_base64(data.translate(None, _NOT_BASE64))
    return binascii.a2b_qp(data) if encoding == "quoted-printable" else data


def _from_base64(letters: bytes) -> bytes:
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]  # a letter too many says nothing
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def pieces(body: bytes, part: MimePart) -> Iterator[bytes]:
    """The decoded body in pieces of about a megabyte (quoted-printable in one, as it is for text)."""
    encoding = transfer_encoding(part)
    if encoding == "quoted-printable":
        yield decoded(body[part.start : part.end], encoding)
        return
    left = b""
    for start in range(part.start, part.end, _PIECE_BYTES):
        data = body[start : min(part.end, start + _PIECE_BYTES)]
        if encoding == "identity":
            yield data
            continue
        letters = left + data.translate(None, _NOT_BASE64)
        whole = len(letters) - len(letters) % 4
        left = letters[whole:]
        yield binascii.a2b_base64(letters[:whole])
    if left:
        yield _from_base64(left)


def decoded_size(body: bytes, part: MimePart) -> int | None:
    """How many bytes a part has once decoded, counted without decoding it; None for large quoted-printable."""
    encoding, length = transfer_encoding(part), part.end - part.start
    if encoding == "identity":
        return length
    if encoding == "quoted-printable":
        return len(decoded(body[part.start : part.end], encoding)) if length <= _PIECE_BYTES else None
    letters = 0
    for start in range(part.start, part.end, _PIECE_BYTES):
        letters += len(body[start : min(part.end, start + _PIECE_BYTES)].translate(None, _NOT_BASE64))
    return letters * 3 // 4
