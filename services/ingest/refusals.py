"""One log line per refused request, but a flood of them does not fill the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LINES_PER_SECOND = 20.0
_BURST = 100.0


class RefusalLog:
    """A token bucket in front of the log; what it held back is told with the next line that passes."""

    def __init__(self, write: Callable[..., Any], now: Callable[[], float]) -> None:
        self._write = write
        self._now = now
        self._tokens = _BURST
        self._filled_at = now()
        self._held_back = 0

    def write(self, **fields: object) -> None:
        """One line with these fields, or one more held back."""
        now = self._now()
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _LINES_PER_SECOND)
        self._filled_at = now
        if self._tokens < 1:
            self._held_back += 1
            return
        self._tokens -= 1
        if self._held_back:
            fields["held_back_lines"], self._held_back = self._held_back, 0
        self._write("request_refused", **fields)
