"""Key-encryption keys in local files, one per purpose, readable by their owner only. For development; production has a KMS.

A line of a file is one generation: 32 random bytes in base64url, the newest first. The first wraps, any unwraps, so that both
hold while data keys are rewrapped. A wrapped data key reads `1|<fingerprint of the generation>|<nonce>|<ciphertext>`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.adapters.sealing import DATA_KEY_BYTES, FORMAT_VERSION, NONCE_BYTES, decode64, encode64
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, KeyRefused, SealBroken

_CREATE = "run `channels keys create`"
_MAX_GENERATIONS = 64


class LocalKeyFiles:
    """Key provider over `<directory>/<purpose>.key`. Reads the files of `purposes` at once; raises ConfigError.

    A generation that was added since is found when the first data key that it wrapped comes by.
    """

    def __init__(self, directory: Path, purposes: frozenset[KeyPurpose]) -> None:
        self._directory = directory
        self._keys = {purpose: _KeyFile(directory / file_name(purpose)) for purpose in sorted(purposes)}

    @staticmethod
    def create(directory: Path) -> tuple[Path, ...]:
        """Make the missing key files, mode 0600 in a directory of mode 0700; never overwrites. Returns the new ones."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = [directory / file_name(purpose) for purpose in KeyPurpose]
        return tuple(path for path in paths if _create_file(path))

    @staticmethod
    def add_generation(directory: Path, *, wanted: Callable[[], bool] = lambda: True) -> tuple[Path, ...]:
        """Put a new key in front of those of each file. Returns the files, none if it was not `wanted`; raises ConfigError.

        `wanted` is asked while no other command changes the files. A call that was killed between two files is ended first.
        """
        paths = tuple(directory / file_name(purpose) for purpose in KeyPurpose)
        with _alone(directory):
            if ended := _end_half_done(paths):
                return ended
            if not wanted():
                return ()
            kept = [_read_lines(path) for path in paths]  # all files are sound before the first is touched
            for path, lines in zip(paths, kept, strict=True):
                _write(_next(path), [_new_line(), *lines])
            for path in paths:
                os.replace(_next(path), path)
        return paths

    @staticmethod
    def drop_old_generations(directory: Path, *, check: Callable[[], None] = lambda: None) -> tuple[Path, ...]:
        """Leave only the newest key in each file; what an older one wrapped never opens again. Returns the files it changed.

        `check` raises if an older one is needed; it is called while no other command changes the files.
        """
        paths = tuple(directory / file_name(purpose) for purpose in KeyPurpose)
        with _alone(directory):
            _end_half_done(paths)
            check()
            several = [(path, lines) for path in paths if len(lines := _read_lines(path)) > 1]
            for path, lines in several:
                os.replace(_write_draft(path, lines[:1]), path)
        return tuple(path for path, _ in several)

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        """Encrypt one data key under the newest generation."""
        held = self._held(purpose)
        held.read()  # a process may run for months: the generation that was the newest at its start may be dropped by now
        newest = held.newest
        nonce = os.urandom(NONCE_BYTES)
        sealed = newest.cipher.encrypt(nonce, key, _wrap_aad(purpose, tenant_id, key_id))
        return f"{FORMAT_VERSION}|{newest.fingerprint}|{encode64(nonce)}|{encode64(sealed)}"

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        """Decrypt one data key. Raises SealBroken, KeyRefused, and ConfigError for a purpose whose file is not held here."""
        held = self._held(purpose)
        try:
            version, fingerprint, nonce, sealed = wrapped.split("|")
            parts = decode64(nonce), decode64(sealed)
        except ValueError:
            raise SealBroken(f"data key {key_id} is not a key wrapped by a key file") from None
        if version != str(FORMAT_VERSION) or len(parts[0]) != NONCE_BYTES:
            raise SealBroken(f"data key {key_id} is not wrapped in format {FORMAT_VERSION}")
        generation = held.generation(fingerprint)
        if generation is None:
            raise KeyRefused(f"data key {key_id} was wrapped by another key file than {held.path}", reason="not_configured")
        try:
            return generation.cipher.decrypt(*parts, _wrap_aad(purpose, tenant_id, key_id))
        except InvalidTag as error:
            raise SealBroken(f"data key {key_id} was altered, or belongs to another tenant or purpose") from error

    def is_newest(self, purpose: KeyPurpose, wrapped: str) -> bool:
        """Whether the newest generation wrapped it."""
        return wrapped.split("|")[1:2] == [self._held(purpose).newest.fingerprint]

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


class _Generation:
    """One key. `fingerprint` names it without telling anything about it."""

    __slots__ = ("cipher", "fingerprint")

    def __init__(self, key: bytes) -> None:
        self.cipher = AESGCM(key)
        self.fingerprint = hashlib.sha256(b"channels key file" + key).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"_Generation({self.fingerprint})"


class _KeyFile:
    """One key file, read and checked."""

    __slots__ = ("_generations", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._generations = _read_generations(path)

    @property
    def newest(self) -> _Generation:
        """The key that wraps."""
        return next(iter(self._generations.values()))

    def generation(self, fingerprint: str) -> _Generation | None:
        """The key of this fingerprint; the file is read anew for one that it did not have."""
        if fingerprint not in self._generations:
            self.read()
        return self._generations.get(fingerprint)

    def read(self) -> None:
        """Read the file anew. Raises ConfigError."""
        self._generations = _read_generations(self.path)

    def __repr__(self) -> str:
        return f"_KeyFile({', '.join(self._generations)})"


def _read_generations(path: Path) -> dict[str, _Generation]:
    generations = [_Generation(decode64(line)) for line in _read_lines(path)]
    return {one.fingerprint: one for one in generations}


def _read_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_MAX_GENERATIONS * 64)
    except FileNotFoundError as error:
        raise ConfigError(f"key file {path} does not exist; {_CREATE}, or set CHANNELS_KEYS_DIR") from error
    except OSError as error:
        raise ConfigError(f"key file {path} cannot be read: {error.strerror}") from error
    if mode & 0o077:
        raise ConfigError(
            f"key file {path} is open to others (mode {mode:04o}); `chmod 600 {path}`, and think of the key as seen"
        )
    try:
        lines = text.decode("ascii").split()
        sound = bool(lines) and all(len(decode64(line)) == DATA_KEY_BYTES for line in lines)
    except ValueError:
        sound = False
    if not sound:
        # No cause: the message of a decoding error may quote the file.
        raise ConfigError(f"key file {path} is damaged: each line must hold {DATA_KEY_BYTES} bytes in base64url") from None
    return lines


def _new_line() -> str:
    return encode64(os.urandom(DATA_KEY_BYTES))


def _create_file(path: Path) -> bool:
    """Write beside, then link: a crash leaves no half key behind, and an existing file is never touched."""
    if path.exists():
        return False
    draft = _write_draft(path, [_new_line()])
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def _write_draft(path: Path, lines: list[str]) -> Path:
    """A file beside `path`, on the disk for sure, that takes its place in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    _write(draft, lines)
    return draft


def _write(path: Path, lines: list[str]) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())


def _next(path: Path) -> Path:
    return path.with_name(f".{path.name}.next")


def _end_half_done(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """What a killed `add_generation` left: all drafts are written before the first one takes its place.

    So without the first draft the others are whole, and their files still lack the new key; with it, none was begun.
    """
    left = tuple(path for path in paths if _next(path).exists())
    for path in left:
        if paths[0] in left:
            _next(path).unlink()
        else:
            os.replace(_next(path), path)
    return () if paths[0] in left else paths if left else ()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two commands at once would each lose the other's new key."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(f"{directory} cannot be opened: {error.strerror}; {_CREATE}, or set CHANNELS_KEYS_DIR") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _wrap_aad(purpose: KeyPurpose, tenant_id: str, key_id: str) -> bytes:
    parts = [part.encode() for part in (purpose.value, tenant_id, key_id)]
    return bytes((FORMAT_VERSION,)) + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
