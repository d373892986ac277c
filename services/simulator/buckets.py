"""Rate limits as the providers count them, on virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.simulator.clock import VirtualClock


@dataclass(slots=True)
class Buckets:
    """One bucket per key: `burst` at once, refilled by `per_second`."""

    clock: VirtualClock
    per_second: float
    burst: float
    _levels: dict[str, tuple[float, int]] = field(default_factory=dict)

    def wait_seconds(self, key: str) -> float:
        """Take one; 0 if it was there, else the seconds until it will be (nothing is taken then)."""
        level, at_ms = self._levels.get(key, (self.burst, self.clock.now_ms))
        level = min(self.burst, level + (self.clock.now_ms - at_ms) / 1000 * self.per_second)
        taken = level >= 1.0
        self._levels[key] = (level - 1.0 if taken else level, self.clock.now_ms)
        return 0.0 if taken else (1.0 - level) / self.per_second
