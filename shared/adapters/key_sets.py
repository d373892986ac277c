"""The public keys that bearer tokens are proved with: a JSON Web Key Set from an address or a file, kept and kept fresh.

Who asks for a key waits only while no set was ever read, after a long silence, or for a key that the set does not have.
Everything else is served from what is there while a new one is fetched beside; a source that fails leaves the old keys in force,
for a bounded time.
RFC 7517 (https://www.rfc-editor.org/rfc/rfc7517).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from shared.domain.errors import Unavailable

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_MIN_RSA_BITS = 2_048
_MAX_KEYS = 100
# kty -> crv and the one algorithm that a key of this kind is believed for: the token has no say in it
_ALGORITHMS = {"RSA": (None, "RS256"), "EC": ("P-256", "ES256"), "OKP": ("Ed25519", "EdDSA")}


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """One public key, and the only algorithm it is used with."""

    key_id: str | None
    algorithm: str
    key: PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """Seconds. `max_age`: then a new set is fetched; `retry`: the least time between two fetches, whatever is asked for;
    `stale`: how long keys stay in force while the source does not answer."""

    max_age: float = 300.0
    retry: float = 10.0
    stale: float = 86_400.0


class KeySet:
    """Finds keys by id. Safe for threads; at most one fetch is under way at any time."""

    def __init__(
        self,
        fetch: Callable[[], bytes],
        freshness: Freshness | None = None,
        *,
        allowed: Callable[[str | None], bool] = lambda _: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._freshness = freshness or Freshness()
        self._allowed = allowed
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: Mapping[str | None, VerifyingKey] | None = None
        self._fetched_at = self._tried_at = -float("inf")
        self._asking = False
        self._fault = ""

    def find(self, key_id: str | None) -> VerifyingKey | None:
        """The key of this id; without an id the only key there is. None: the set, as new as it may be, has none.

        Blocks for a fetch if there is no set yet, nobody asked for a new one for long, or it lacks the key. Raises Unavailable
        when no set can be had, or another caller is just fetching one that may have the key.
        """
        keys = self._current()
        if keys is None or self._forgotten():
            keys = self._refreshed()
        elif self._age() > self._freshness.max_age and self._may_try():
            threading.Thread(target=self._refresh_beside, name="key-set", daemon=True).start()
        found = _pick(keys, key_id)
        if found is None and self._may_try():
            found = _pick(self._refreshed(), key_id)
        if found is None and self._asking:
            raise Unavailable("the keys that prove tokens are just being fetched")  # not waited for: strangers could hold us up
        return found

    def held(self, key_id: str | None) -> VerifyingKey | None:
        """The key of this id in a set that is fresh; None wherever `find` would have more to do. Never blocks."""
        keys = self._keys
        return _pick(keys, key_id) if keys is not None and self._age() <= self._freshness.max_age else None

    def _current(self) -> Mapping[str | None, VerifyingKey] | None:
        return self._keys if self._age() <= self._freshness.max_age + self._freshness.stale else None

    def _age(self) -> float:
        return self._clock() - self._fetched_at

    def _may_try(self) -> bool:
        return self._clock() - self._tried_at >= self._freshness.retry

    def _forgotten(self) -> bool:
        # After a quiet night a key may long have been taken out: `stale` is for a source that is away, not for one never asked.
        return self._clock() - self._tried_at > 2 * self._freshness.max_age

    def _refreshed(self) -> Mapping[str | None, VerifyingKey]:
        with self._lock:
            if self._may_try():  # else another thread has just asked while we waited for the lock
                self._ask()
            keys = self._current()
        if keys is None:
            raise Unavailable(f"the keys that prove tokens cannot be had: {self._fault}")
        return keys

    def _refresh_beside(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                if self._may_try():
                    self._ask()
            finally:
                self._lock.release()

    def _ask(self) -> None:
        self._tried_at, self._asking = self._clock(), True
        try:
            keys = parse_key_set(self._fetch(), self._allowed)
        except Unavailable as error:
            self._fault = str(error)
            return
        finally:
            self._tried_at, self._asking = self._clock(), False  # a source that takes its time is left alone for as long again
        self._keys, self._fetched_at = keys, self._clock()


def parse_key_set(text: bytes, allowed: Callable[[str | None], bool] = lambda _: True) -> Mapping[str | None, VerifyingKey]:
    """Key id -> key, of those that may sign tokens here; others (secrets, for encryption, weak, unknown) are passed over.

    Raises Unavailable if the text is no key set, or none of its keys is usable: the keys in force then stay.
    """
    try:
        listed = json.loads(text)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unavailable("what the source gave is no JSON Web Key Set") from None
    found: dict[str | None, VerifyingKey] = {}
    for entry in listed[:_MAX_KEYS] if isinstance(listed, list) else ():
        key = _verifying_key(entry) if isinstance(entry, dict) else None
        if key is not None and allowed(key.key_id):
            found.setdefault(key.key_id, key)
    if not found:
        raise Unavailable("the key set holds no key that could be used")
    return MappingProxyType(found)


def _verifying_key(entry: Mapping[str, Any]) -> VerifyingKey | None:
    key_id, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    curve, algorithm = _ALGORITHMS.get(str(entry.get("kty")), ("", ""))
    if not algorithm or entry.get("crv") != curve or entry.get("alg", algorithm) != algorithm:
        return None
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    if "d" in entry or not isinstance(key_id, str | None):  # a private key in a public set is nobody's proof
        return None
    try:
        key = jwt.PyJWK(dict(entry), algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey) and key.key_size < _MIN_RSA_BITS:
        return None
    return VerifyingKey(key_id, algorithm, key)


def _pick(keys: Mapping[str | None, VerifyingKey], key_id: str | None) -> VerifyingKey | None:
    if key_id is None and len(keys) == 1:
        return next(iter(keys.values()))
    return keys.get(key_id)
