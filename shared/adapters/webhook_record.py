"""The raw record of a webhook, written as Avro field by field: the one record that is made for each request of the edge.

Same bytes as `Codec.encode` of a `WebhookReceived` with a sealed body (tests/contract holds them equal), at a quarter of its
cost: what is the same for all requests of one URL is encoded once, and no record is built only to be taken apart.
https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from shared.adapters.avro import Codec
from shared.domain.enums import RecordSource
from shared.domain.topics import Topic

_NULL: Final = b"\x00"  # branch 0 of every union here
_VALUE: Final = b"\x02"  # branch 1
_WITHOUT_REFERENCE: Final = _NULL * 4  # body_reference, redelivery_of, only_item, redrive

RECORD_ID_BYTES: Final = 36  # a UUID as canonical text


class WebhookRecords:
    """Writes raw records under the codec's framing."""

    def __init__(self, codec: Codec) -> None:
        self._start = codec.framing(Topic.WEBHOOK_RECEIVED) + _long(RECORD_ID_BYTES)

    def encode(
        self,
        origin: bytes,
        *,
        record_id: bytes,
        received_at_ms: int,
        headers: tuple[tuple[str, str], ...],
        secret_id: str | None,
        body_size_bytes: int,
        sealed_body: tuple[bytes, bytes, bytes],
    ) -> bytes:
        """One record. `origin`: from `origin_of`; `record_id`: of RECORD_ID_BYTES; `sealed_body`: from `KeyRing.seal_parts`.

        The rest as in `WebhookReceived`. No text may hold a lone surrogate.
        """
        header, nonce, ciphertext = sealed_body
        return b"".join(
            (
                self._start,
                record_id,
                origin,
                _time(received_at_ms),
                _headers(headers),
                _optional(secret_id),
                _long(body_size_bytes),
                _VALUE,
                _long(len(header) + len(nonce) + len(ciphertext)),
                header,
                nonce,
                ciphertext,
                _WITHOUT_REFERENCE,
            )
        )


def origin_of(tenant_id: str, connector_id: str, url_account_id: str | None) -> bytes:
    """The fields `source` to `url_account_id`: the same for every request of one URL."""
    return _text(RecordSource.WEBHOOK.value) + _text(tenant_id) + _text(connector_id) + _optional(url_account_id)


@lru_cache(maxsize=1024)  # a provider sends the same few
def _headers(items: tuple[tuple[str, str], ...]) -> bytes:
    if not items:
        return _NULL
    return _long(len(items)) + b"".join(_text(name) + _text(value) for name, value in items) + _NULL


@lru_cache(maxsize=16)  # requests of one millisecond share it
def _time(time_ms: int) -> bytes:
    return _long(time_ms)


@lru_cache(maxsize=1024)
def _optional(text: str | None) -> bytes:
    return _NULL if text is None else _VALUE + _text(text)


def _text(text: str) -> bytes:
    data = text.encode()
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    """A number that is not negative: doubled (zig-zag), then seven bits a byte, the lowest first."""
    left = number << 1
    if left < 0x80:
        return _ONE_BYTE[left]
    if left < 0x4000:
        return bytes((left & 0x7F | 0x80, left >> 7))
    groups = bytearray()
    while left >= 0x80:
        groups.append(left & 0x7F | 0x80)
        left >>= 7
    groups.append(left)
    return bytes(groups)


_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(0x80))
