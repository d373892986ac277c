"""The error tree.

ChannelsError            code, retryable
├── InvalidInput         what was handed in breaks a rule; the caller must change it
├── NotFound             the named object does not exist (or is another tenant's)
├── Conflict             the object's present state forbids the change
├── Unauthenticated      the caller did not prove who it is
├── Forbidden            the caller is known, but may not do this
├── Unavailable          a part we depend on does not answer; try again (retryable)
│   └── KeyRefused       a key-encryption key may not be used: disabled, deleted, denied, or not ours (a person can heal it)
├── CorruptData          stored or received bytes do not decode
├── SealBroken           sealed text was altered, moved to another place, or sealed under another key
│   └── UnknownKey       it names a data key that is not in the ring (yet: a newer snapshot may bring it)
└── Fenced               another process owns this work now; stop
ConfigError              a wrong setting; outside the tree, so that no message loop can swallow it
"""

from __future__ import annotations

from typing import ClassVar


class ChannelsError(Exception):
    """Base of all expected errors. `code` is stable and may be shown to callers; `retryable` says if time may heal it."""

    code: ClassVar[str] = "channels_error"
    retryable: ClassVar[bool] = False


class InvalidInput(ChannelsError):
    """Raised when what was handed in breaks a rule. `reason` is a stable code, `pointer` a JSON pointer to the field."""

    code = "invalid_input"

    def __init__(self, message: str, *, reason: str | None = None, pointer: str = "") -> None:
        super().__init__(message)
        self.reason = reason or self.code
        self.pointer = pointer


class NotFound(ChannelsError):
    """Raised when a named object does not exist, or belongs to somebody else."""

    code = "not_found"


class Conflict(ChannelsError):
    """Raised when the present state forbids the change. `reason` is a stable code (`connector_in_use`, …)."""

    code = "conflict"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.code


class Unauthenticated(ChannelsError):
    """Raised when a token is missing or not to be believed. `reason` is a stable code (`token_missing`, `token_expired`, …)."""

    code = "unauthenticated"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.code


class Forbidden(ChannelsError):
    """Raised when the caller is known, but lacks the permission that the act needs."""

    code = "forbidden"


class Unavailable(ChannelsError):
    """Raised when Kafka, PostgreSQL, the key service or the object store does not answer in time."""

    code = "unavailable"
    retryable = True


class KeyRefused(Unavailable):
    """Raised when the key service answers and refuses: nothing new opens until a person gives the key back.

    `reason` is one of REASONS. It is no SealBroken: what is sealed under the key is sound, and must not be set aside as broken.
    """

    code = "key_refused"
    REASONS: ClassVar[frozenset[str]] = frozenset({"disabled", "deleted", "not_found", "denied", "not_configured", "unfit"})

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class CorruptData(ChannelsError):
    """Raised when bytes do not decode as what they claim to be."""

    code = "corrupt_data"


class SealBroken(ChannelsError):
    """Raised when sealed text was altered, moved to another row, or belongs to another key."""

    code = "seal_broken"


class UnknownKey(SealBroken):
    """Raised when sealed text names a data key that the ring lacks: forged, erased, or newer than the snapshot in hand."""

    code = "unknown_key"


class Fenced(ChannelsError):
    """Raised when another process has taken over this one's work; it must stop without a further write."""

    code = "fenced"


class ConfigError(Exception):
    """Raised at start for a setting that cannot work; the message says what to set. Never caught by a message loop."""
