"""Sealed text: AES-256-GCM under a data key, bound to the place it belongs to (design section 7).

Text form (columns): `1|<key id>|<nonce>|<ciphertext>`, the last two in unpadded base64url. Binary form (records): version byte,
16 bytes of key id, 12 of nonce, ciphertext. Both authenticate tenant, table, column and row id, so that text moved elsewhere does
not open. Nonces are random: retire a data key before it has sealed 2**32 texts (NIST SP 800-38D, section 8.3).
"""

from __future__ import annotations

import base64
import binascii
import os
import threading
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from shared.domain.errors import SealBroken, UnknownKey

FORMAT_VERSION = 1
NONCE_BYTES = 12
DATA_KEY_BYTES = 32
_KEY_ID_END = 1 + 16
_NONCE_END = _KEY_ID_END + NONCE_BYTES
_TAG_BYTES = 16


class Aad(NamedTuple):
    """The place that a sealed text belongs to. It opens nowhere else."""

    tenant_id: str
    table: str
    column: str
    row_id: str

    def encode(self) -> bytes:
        """Format version and every part with its length in front, so that no two places share an encoding."""
        return _aad_prefix(*self[:3]) + _sized(self.row_id)

    def encode_before(self, row_id_bytes: int) -> bytes:
        """What stands before a row id of so many bytes: `encode`, for places that differ in nothing but their row."""
        return _aad_prefix(*self[:3]) + row_id_bytes.to_bytes(4, "big")


class DataKey:
    """One data key, opened on first use. Threads that waited for an attempt share its end, good or bad."""

    __slots__ = ("_attempts", "_cipher", "_failure", "_key", "_lock", "_unwrap", "binary_header", "id", "text_header")

    def __init__(self, key_id: str, unwrap: Callable[[], bytes]) -> None:
        self.id = key_id
        self.binary_header = bytes((FORMAT_VERSION,)) + uuid.UUID(key_id).bytes
        self.text_header = f"{FORMAT_VERSION}|{key_id}|"
        self._unwrap = unwrap
        self._lock = threading.Lock()
        self._cipher: AESGCM | None = None
        self._key = b""
        self._attempts = 0
        self._failure: Exception | None = None

    @property
    def is_open(self) -> bool:
        """True once the key was unwrapped."""
        return self._cipher is not None

    def cipher(self) -> AESGCM:
        """The key, ready for use; the first call unwraps it and may block."""
        if self._cipher is not None:
            return self._cipher
        seen = self._attempts
        with self._lock:
            if self._cipher is not None:
                return self._cipher
            if self._attempts != seen and self._failure is not None:
                raise self._failure
            try:
                self._key = self._unwrap()
                self._cipher = AESGCM(self._key)
            except Exception as error:
                self._failure = error
                raise
            finally:
                self._attempts += 1
            return self._cipher

    def stream(self, aad: bytes) -> SealingStream:
        """Begin to seal something that comes in parts; may block as `cipher` does."""
        self.cipher()
        return SealingStream(self.binary_header, self._key, aad)


class SealingStream:
    """Seals parts as they come into the same binary form that `KeyRing.seal_bytes` makes of the whole."""

    def __init__(self, header: bytes, key: bytes, aad: bytes) -> None:
        nonce = os.urandom(NONCE_BYTES)
        self._start = header + nonce
        self._encryptor = Cipher(AES(key), GCM(nonce)).encryptor()
        self._encryptor.authenticate_additional_data(aad)

    def update(self, plain: bytes) -> bytes:
        """The sealed bytes that follow from this part."""
        start, self._start = self._start, b""
        return start + self._encryptor.update(plain)

    def finish(self) -> bytes:
        """The last sealed bytes; call it once, after all parts."""
        return self.update(b"") + self._encryptor.finalize() + self._encryptor.tag


class KeyRing:
    """Seals with its first key, opens with any. Raises UnknownKey for a key it lacks, SealBroken, and Unavailable."""

    __slots__ = ("_by_id", "_keys")

    def __init__(self, keys: tuple[DataKey, ...]) -> None:
        self._keys = keys
        self._by_id = {key.binary_header[1:]: key for key in keys}

    @property
    def ready(self) -> bool:
        """True if sealing will not block: the first key is open."""
        return bool(self._keys) and self._keys[0].is_open

    def warm(self) -> None:
        """Open the sealing key; may block on the key service (call it from a thread)."""
        self._sealing_key().cipher()

    def seal_bytes(self, plain: bytes, aad: Aad) -> bytes:
        """Seal into the binary form of records."""
        return b"".join(self.seal_parts(plain, aad.encode()))

    def seal_parts(self, plain: bytes, encoded_aad: bytes) -> tuple[bytes, bytes, bytes]:
        """As `seal_bytes`, for who joins the parts with others; `encoded_aad` from `Aad.encode`."""
        key = self._keys[0] if self._keys else self._sealing_key()
        nonce = os.urandom(NONCE_BYTES)
        return key.binary_header, nonce, key.cipher().encrypt(nonce, plain, encoded_aad)

    def seal_stream(self, aad: Aad) -> SealingStream:
        """As `seal_bytes`, for what is too large to be held in memory."""
        return self._sealing_key().stream(aad.encode())

    def open_bytes(self, sealed: bytes, aad: Aad) -> bytes:
        """Open the binary form."""
        if len(sealed) < _NONCE_END + _TAG_BYTES or sealed[0] != FORMAT_VERSION:
            raise SealBroken(f"not a sealed record of format {FORMAT_VERSION}")
        key = self._by_id.get(sealed[1:_KEY_ID_END])
        if key is None:
            raise UnknownKey(f"sealed under data key {uuid.UUID(bytes=sealed[1:_KEY_ID_END])}, which is not in the ring")
        try:
            return key.cipher().decrypt(sealed[_KEY_ID_END:_NONCE_END], sealed[_NONCE_END:], aad.encode())
        except InvalidTag as error:
            raise SealBroken(f"altered or moved: does not belong to {aad.table}.{aad.column} of row {aad.row_id}") from error

    @property
    def has_keys(self) -> bool:
        """False: it neither seals nor opens anything."""
        return bool(self._keys)

    @property
    def text_header(self) -> str:
        """How every text begins that is sealed from now on. Raises UnknownKey."""
        return self._sealing_key().text_header

    def seals_now(self, sealed: str) -> bool:
        """Whether this text is sealed with the key that seals now, told by its header; opens nothing."""
        return self.has_keys and sealed.startswith(self.text_header)

    def seal_text(self, plain: bytes, aad: Aad) -> str:
        """Seal into the text form of columns."""
        key = self._sealing_key()
        sealed = self.seal_bytes(plain, aad)
        return key.text_header + encode64(sealed[_KEY_ID_END:_NONCE_END]) + "|" + encode64(sealed[_NONCE_END:])

    def open_text(self, sealed: str, aad: Aad) -> bytes:
        """Open the text form. Only the one canonical spelling opens: case, padding and spare bits count as alterations."""
        try:
            version, key_id, nonce, ciphertext = sealed.split("|")
            header = uuid.UUID(key_id).bytes
            binary = bytes((int(version),)) + header + decode64(nonce) + decode64(ciphertext)
            canonical = f"{int(version)}|{uuid.UUID(bytes=header)}|{nonce}|{ciphertext}"
        except (ValueError, binascii.Error):
            # No cause: it quotes what it could not read, and that may be a secret somebody forgot to seal.
            raise SealBroken("not a sealed text") from None
        if canonical != sealed or len(decode64(nonce)) != NONCE_BYTES:
            raise SealBroken("not the canonical spelling of a sealed text")
        return self.open_bytes(binary, aad)

    def _sealing_key(self) -> DataKey:
        if not self._keys:
            raise UnknownKey("the ring holds no data key")
        return self._keys[0]

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.id for key in self._keys)})"


def encode64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode64(text: str) -> bytes:
    """Inverse of `encode64`; raises ValueError for every other spelling of the same bytes."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if encode64(data) != text:
        raise ValueError("not canonical base64url")
    return data


def _sized(part: str) -> bytes:
    data = part.encode()
    return len(data).to_bytes(4, "big") + data


@lru_cache(maxsize=4096)
def _aad_prefix(tenant_id: str, table: str, column: str) -> bytes:
    return bytes((FORMAT_VERSION,)) + _sized(tenant_id) + _sized(table) + _sized(column)
