"""The vault: makes data keys, one set per tenant and purpose, and opens them once (design section 7).

What sealed text looks like is in `sealing.py`; where key-encryption keys come from, in the key providers (`local_keys.py`,
`aws_kms.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.adapters.clock import new_uuid7
from shared.adapters.local_keys import LocalKeyFiles
from shared.adapters.sealing import Aad, DataKey, KeyRing
from shared.domain.enums import KeyPurpose
from shared.domain.snapshots import WrappedDataKey

__all__ = ["Aad", "KeyProvider", "KeyRing", "LocalKeyFiles", "Vault"]


class KeyProvider(Protocol):
    """Holds the key-encryption keys. `key_id` (of the data key), purpose and tenant are authenticated with the wrapped key."""

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        """Encrypt one data key under the newest key; may block on a key service. Raises Unavailable, KeyRefused."""
        ...

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        """Decrypt one data key; may block. Raises SealBroken (altered, moved), KeyRefused (disabled, not ours), Unavailable."""
        ...

    def is_newest(self, purpose: KeyPurpose, wrapped: str) -> bool:
        """Whether the key that wraps now wrapped it; asks nobody."""
        ...


class Vault:
    """Makes data keys and opens them once: unwrapped keys stay in memory until `forget`. Safe for threads."""

    def __init__(self, provider: KeyProvider) -> None:
        self._provider = provider
        self._keys: dict[tuple[KeyPurpose, str, str], tuple[str, DataKey]] = {}  # by data key: as it was wrapped, and it

    def new_data_key(self, purpose: KeyPurpose, tenant_id: str) -> WrappedDataKey:
        """A new random data key, wrapped; store it in `data_key`. May block on the key service."""
        key_id = new_uuid7()
        wrapped = self._provider.wrap(purpose, tenant_id, AESGCM.generate_key(bit_length=256), key_id=key_id)
        return WrappedDataKey(key_id=key_id, wrapped=wrapped)

    def is_newest(self, purpose: KeyPurpose, key: WrappedDataKey) -> bool:
        """Whether the newest key-encryption key wrapped this data key; asks nobody."""
        return self._provider.is_newest(purpose, key.wrapped)

    def rewrap(self, purpose: KeyPurpose, tenant_id: str, key: WrappedDataKey) -> WrappedDataKey | None:
        """The same data key under the newest key-encryption key; None if it is so already. May block; raises as the provider."""
        if self.is_newest(purpose, key):
            return None
        plain = self._provider.unwrap(purpose, tenant_id, key.wrapped, key_id=key.key_id)
        return WrappedDataKey(key_id=key.key_id, wrapped=self._provider.wrap(purpose, tenant_id, plain, key_id=key.key_id))

    def ring(self, purpose: KeyPurpose, tenant_id: str, wrapped: Sequence[WrappedDataKey]) -> KeyRing:
        """The keys of one tenant and purpose, newest first. Cheap: nothing is unwrapped before it is needed."""
        if not wrapped:
            self._drop(lambda place: place[:2] == (purpose, tenant_id))  # the tenant was erased
        return KeyRing(tuple(self._key(purpose, tenant_id, key) for key in wrapped))

    def forget(self, tenant_id: str) -> None:
        """Drop the opened keys of a tenant (its connectors are gone); rings still held keep theirs."""
        self._drop(lambda place: place[1] == tenant_id)

    def _key(self, purpose: KeyPurpose, tenant_id: str, key: WrappedDataKey) -> DataKey:
        place = (purpose, tenant_id, key.key_id)
        found = self._keys.get(place)
        # A data key that was rewrapped is still the same: opened once, it needs no key service.
        if found is not None and (found[0] == key.wrapped or found[1].is_open):
            return found[1]

        def unwrap() -> bytes:
            return self._provider.unwrap(purpose, tenant_id, key.wrapped, key_id=key.key_id)

        new = (key.wrapped, DataKey(key.key_id, unwrap))
        if found is None:
            return self._keys.setdefault(place, new)[1]  # atomic: threads share one
        self._keys[place] = new
        return new[1]

    def _drop(self, which: Callable[[tuple[KeyPurpose, str, str]], bool]) -> None:
        for place in [place for place in list(self._keys) if which(place)]:
            self._keys.pop(place, None)

    def __repr__(self) -> str:
        return f"Vault({self._provider!r})"
