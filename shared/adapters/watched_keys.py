"""A key provider that tells how each call ended: counted for Prometheus, and a line in the log for what a person must look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from shared.adapters.vault import KeyProvider
from shared.domain.enums import KeyPurpose
from shared.domain.errors import KeyRefused, SealBroken, Unavailable

QUIET_SECONDS = 10.0  # a refused key fails every tenant's calls, each once a second: one line tells of all
Result = TypeVar("Result")


class KeyWatch(Protocol):
    """Who is told (`VaultMetrics`)."""

    def ended(self, operation: str, purpose: KeyPurpose, tenant_id: str, outcome: str) -> None:
        """`operation`: wrap, unwrap; `outcome`: ok, refused, broken, unavailable, failed."""
        ...


class WatchedKeys:
    """Passes calls on to `provider`. Safe for threads."""

    def __init__(self, provider: KeyProvider, watch: KeyWatch, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._watch = watch
        self._now = now_seconds
        self._quiet: dict[tuple[KeyPurpose, str], tuple[float, int]] = {}  # until when, and how many lines were held back

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        """As the provider's."""
        return self._watched("wrap", purpose, tenant_id, lambda: self._provider.wrap(purpose, tenant_id, key, key_id=key_id))

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        """As the provider's."""
        return self._watched(
            "unwrap", purpose, tenant_id, lambda: self._provider.unwrap(purpose, tenant_id, wrapped, key_id=key_id)
        )

    def is_newest(self, purpose: KeyPurpose, wrapped: str) -> bool:
        """As the provider's."""
        return self._provider.is_newest(purpose, wrapped)

    def _watched(self, operation: str, purpose: KeyPurpose, tenant_id: str, call: Callable[[], Result]) -> Result:
        outcome = "failed"
        try:
            result = call()
            outcome = "ok"
            return result
        except KeyRefused as error:
            outcome = "refused"
            self._tell("key_refused", error.reason, purpose, tenant_id, error)
            raise
        except SealBroken as error:
            outcome = "broken"
            self._tell("data_key_broken", error.code, purpose, tenant_id, error)
            raise
        except Unavailable as error:
            outcome = "unavailable"
            self._tell("key_service_away", error.code, purpose, tenant_id, error)
            raise
        finally:
            self._watch.ended(operation, purpose, tenant_id, outcome)

    def _tell(self, event: str, reason: str, purpose: KeyPurpose, tenant_id: str, error: Exception) -> None:
        place, now = (purpose, reason), self._now()
        until, held_back = self._quiet.get(place, (0.0, 0))
        if now < until:
            self._quiet[place] = (until, held_back + 1)
            return
        self._quiet[place] = (now + QUIET_SECONDS, 0)
        more = {"held_back_lines": held_back} if held_back else {}
        structlog.get_logger().error(event, purpose=purpose.value, tenant_id=tenant_id, reason=reason, error=str(error), **more)

    def __repr__(self) -> str:
        return f"WatchedKeys({self._provider!r})"
