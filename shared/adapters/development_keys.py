"""The key that signs tokens on a developer's machine: Ed25519, in a file that only its owner reads, its public half beside it.

Its id begins with `development-`; outside development no key of such an id is believed, whatever set it comes in.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from shared.domain.errors import ConfigError

DEVELOPMENT_ISSUER = "channels-development"
_PREFIX = "development-"


def is_development_key(key_id: str | None) -> bool:
    """Whether a key of this id was made by `DevelopmentKey`."""
    return key_id is not None and key_id.startswith(_PREFIX)


def development_directory(home: Path) -> Path:
    """Where the key of an installation lies."""
    return home / "identity"


def key_set_path(directory: Path) -> Path:
    """Where the public half lies, as a JSON Web Key Set."""
    return directory / "development-jwks.json"


class DevelopmentKey:
    """The private half, opened. Signs anything for anybody: it proves who holds the file, and no more."""

    def __init__(self, directory: Path) -> None:
        """Open the key of this directory, or make one (mode 0600 in a directory of mode 0700). Raises ConfigError."""
        path = directory / "development-token.key"
        if not path.exists():
            _create(path)
        self._key = _read(path)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key_id = f"{_PREFIX}{hashlib.sha256(public).hexdigest()[:16]}"
        entry = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.key_id, "x": _encoded(public)}
        _write(key_set_path(directory), json.dumps({"keys": [entry]}, indent=2).encode() + b"\n", mode=0o644)

    def sign(self, claims: Mapping[str, Any], *, seconds: int) -> str:
        """A token with these claims, issued now, that ends in `seconds`; `iss` is `channels-development` unless given."""
        now = int(time.time())
        payload = {"iss": DEVELOPMENT_ISSUER, "iat": now, "exp": now + seconds, **claims}
        return jwt.encode(payload, self._key, algorithm="EdDSA", headers={"kid": self.key_id})


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = load_pem_private_key(file.read(10_000), password=None)
    except OSError as error:
        raise ConfigError(f"key file {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError):
        # No cause: the message of a decoding error may quote the file.
        raise ConfigError(f"key file {path} is damaged; remove it, and a new one is made") from None
    if mode & 0o077:
        raise ConfigError(f"key file {path} is open to others (mode {mode:04o}); remove it, and a new one is made")
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"key file {path} holds a key of another kind; remove it, and a new one is made")
    return key


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(path, Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    try:
        os.link(draft, path)  # of two that make one at once, the first stays
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _write(path: Path, content: bytes, *, mode: int) -> None:
    if not path.exists() or path.read_bytes() != content:
        _draft(path, content, mode).replace(path)


def _draft(path: Path, content: bytes, mode: int) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
