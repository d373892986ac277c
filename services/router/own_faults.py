"""A cap on our own exceptions: one odd record is set aside, a bad release must not drain a healthy topic into dead letters.

The faults must be spread: over several connectors, because one alone may send what is odd, and over several tenants, because one
tenant with many connectors must not stop the others' traffic. Where there is one tenant only, its connectors suffice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from shared.domain.errors import ChannelsError

OWN_EXCEPTION = "own_exception"
MAX_CONNECTORS = 5
MAX_TENANTS = 2
WINDOW_MS = 600_000


class TooManyOwnFaults(ChannelsError):
    """Raised when records of several connectors failed in our own code: the fault is the release's. Stop."""

    code = "too_many_own_faults"


class OwnFaults:
    """Remembers on whose records our code failed.

    `are_others(tenant_id)`: whether the installation has a tenant beside this one; asked only near the cap.
    """

    def __init__(self, are_others: Callable[[str], bool]) -> None:
        self._are_others = are_others
        self._last: dict[tuple[str, str], int] = {}  # (tenant, connector) -> when it last happened

    def note(self, connectors: Iterable[tuple[str, str]], now_ms: int) -> None:
        """Take in failures (tenant, connector), before they are committed as dead letters. Raises TooManyOwnFaults at the cap."""
        self._last.update(dict.fromkeys(connectors, now_ms))
        self._last = {place: at for place, at in self._last.items() if now_ms - at < WINDOW_MS}
        if len(self._last) < MAX_CONNECTORS:
            return
        tenants = {tenant for tenant, _ in self._last}
        if len(tenants) >= MAX_TENANTS or not self._are_others(*tenants):
            raise TooManyOwnFaults(
                f"our code failed on records of {len(self._last)} connectors of {len(tenants)} tenants within"
                f" {WINDOW_MS // 60_000} minutes: roll the release back; none of these records is lost or set aside"
            )
