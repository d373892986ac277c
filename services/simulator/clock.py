"""Virtual time: it stands still until somebody advances it, so that a week of repeats takes a moment."""

from __future__ import annotations

START_MS = 1_790_000_000_000


class VirtualClock:
    """Milliseconds since the Unix epoch. Time never goes back."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._now_ms = start_ms

    @property
    def now_ms(self) -> int:
        """The present moment."""
        return self._now_ms

    @property
    def now_seconds(self) -> int:
        """The present moment in whole seconds, as most providers write it."""
        return self._now_ms // 1000

    def move_to(self, moment_ms: int) -> None:
        """Set the present; a moment that is over changes nothing."""
        self._now_ms = max(self._now_ms, moment_ms)
