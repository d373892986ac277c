"""Key-encryption keys in local files, one per purpose, readable by their owner only. For development; production has a KMS.

A file holds one line: 32 random bytes in base64url. A wrapped data key reads `1|<key file's fingerprint>|<nonce>|<ciphertext>`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.adapters.sealing import DATA_KEY_BYTES, FORMAT_VERSION, NONCE_BYTES, decode64, encode64
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, SealBroken

_CREATE = "run `channels keys create`"


class LocalKeyFiles:
    """Key provider over `<directory>/<purpose>.key`. Reads the files of `purposes` at once; raises ConfigError."""

    def __init__(self, directory: Path, purposes: frozenset[KeyPurpose]) -> None:
        self._directory = directory
        self._keys = {purpose: _KeyFile(directory / file_name(purpose)) for purpose in sorted(purposes)}

    @staticmethod
    def create(directory: Path) -> tuple[Path, ...]:
        """Make the missing key files, mode 0600 in a directory of mode 0700; never overwrites. Returns the new ones."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = [directory / file_name(purpose) for purpose in KeyPurpose]
        return tuple(path for path in paths if _create_file(path))

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        """Encrypt one data key."""
        held = self._held(purpose)
        nonce = os.urandom(NONCE_BYTES)
        sealed = held.cipher.encrypt(nonce, key, _wrap_aad(purpose, tenant_id, key_id))
        return f"{FORMAT_VERSION}|{held.fingerprint}|{encode64(nonce)}|{encode64(sealed)}"

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        """Decrypt one data key. Raises SealBroken, or ConfigError for a purpose whose key file this process does not hold."""
        held = self._held(purpose)
        try:
            version, fingerprint, nonce, sealed = wrapped.split("|")
            parts = decode64(nonce), decode64(sealed)
        except ValueError:
            raise SealBroken(f"data key {key_id} is not a wrapped key") from None
        if version != str(FORMAT_VERSION) or len(parts[0]) != NONCE_BYTES:
            raise SealBroken(f"data key {key_id} is not wrapped in format {FORMAT_VERSION}")
        if fingerprint != held.fingerprint:
            raise SealBroken(f"data key {key_id} was wrapped by key file {fingerprint}, not by {held.path} ({held.fingerprint})")
        try:
            return held.cipher.decrypt(*parts, _wrap_aad(purpose, tenant_id, key_id))
        except InvalidTag as error:
            raise SealBroken(f"data key {key_id} was altered, or belongs to another tenant or purpose") from error

    def _held(self, purpose: KeyPurpose) -> _KeyFile:
        held = self._keys.get(purpose)
        if held is None:
            raise ConfigError(f"this process holds no {file_name(purpose)}; it may not open keys of purpose {purpose}")
        return held

    def __repr__(self) -> str:
        return f"LocalKeyFiles({str(self._directory)!r}, {', '.join(self._keys)})"


def file_name(purpose: KeyPurpose) -> str:
    """Name of the key file of one purpose."""
    return f"{purpose.value}.key"


class _KeyFile:
    """One key file, read and checked. `fingerprint` names the key without telling anything about it."""

    __slots__ = ("cipher", "fingerprint", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        key = _read_key(path)
        self.cipher = AESGCM(key)
        self.fingerprint = hashlib.sha256(b"channels key file" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"_KeyFile({self.fingerprint})"


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(200)
    except FileNotFoundError as error:
        raise ConfigError(f"key file {path} does not exist; {_CREATE}, or set CHANNELS_KEYS_DIR") from error
    except OSError as error:
        raise ConfigError(f"key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(
            f"key file {path} is open to others (mode {mode:04o}); `chmod 600 {path}`, and think of the key as seen"
        )
    try:
        key = decode64(text.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != DATA_KEY_BYTES:
        # No cause: the message of a decoding error may quote the file.
        raise ConfigError(f"key file {path} is damaged: it must hold {DATA_KEY_BYTES} bytes in base64url") from None
    return key


def _create_file(path: Path) -> bool:
    """Write beside, then link: a crash leaves no half key behind, and an existing file is never touched."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode64(os.urandom(DATA_KEY_BYTES)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _wrap_aad(purpose: KeyPurpose, tenant_id: str, key_id: str) -> bytes:
    parts = [part.encode() for part in (purpose.value, tenant_id, key_id)]
    return bytes((FORMAT_VERSION,)) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
