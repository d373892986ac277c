"""A cap on our own exceptions: one odd record is set aside, a bad release must not drain a healthy topic into dead letters."""

from __future__ import annotations

from collections.abc import Iterable

from shared.domain.errors import ChannelsError

OWN_EXCEPTION = "own_exception"
MAX_CONNECTORS = 5
WINDOW_MS = 600_000


class TooManyOwnFaults(ChannelsError):
    """Raised when records of several connectors failed in our own code: the fault is the release's. Stop."""

    code = "too_many_own_faults"


class OwnFaults:
    """Remembers on whose records our code failed. Several connectors are asked for: one alone may send what is odd."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # connector -> when it last happened

    def note(self, connectors: Iterable[str], now_ms: int) -> None:
        """Take in failures, before they are committed as dead letters. Raises TooManyOwnFaults at the cap."""
        self._last.update(dict.fromkeys(connectors, now_ms))
        self._last = {connector: at for connector, at in self._last.items() if now_ms - at < WINDOW_MS}
        if len(self._last) >= MAX_CONNECTORS:
            raise TooManyOwnFaults(f"our code failed on records of {len(self._last)} connectors: roll the release back")
