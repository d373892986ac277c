"""Lets one of many equal requests through per interval. In memory: after a restart one more may pass."""

from __future__ import annotations

from collections import OrderedDict

MAX_ENTRIES = 10_000


class Debounce:
    """Remembers when a key last passed; bounded, the oldest key is forgotten first."""

    def __init__(self, interval_ms: int) -> None:
        self._interval_ms = interval_ms
        self._last: OrderedDict[tuple[str, str], int] = OrderedDict()

    def due(self, key: tuple[str, str], now_ms: int) -> bool:
        """True if the key has not passed within the interval; it passes now."""
        last = self._last.get(key)
        if last is not None and now_ms - last < self._interval_ms:
            return False
        self._last[key] = now_ms
        self._last.move_to_end(key)
        if len(self._last) > MAX_ENTRIES:
            self._last.popitem(last=False)
        return True
