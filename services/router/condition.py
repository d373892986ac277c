"""How a router is: whether it works, what it waits for, how many batches in a row it had to give up."""

from __future__ import annotations

import time
from typing import Protocol

_QUIET_SECONDS = 2.0  # after a failure, this long without another means that it is over
_STUCK_SECONDS = 30.0  # longer than the longest time limit of a single step


class Membership(Protocol):
    """What the condition is told of the group."""

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions that are ours."""

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its part, even if that is nothing."""


class Condition:
    """One thread writes it; `ready` may be read by any."""

    def __init__(self) -> None:
        self._state = (False, "starting")
        self._turned_at = time.monotonic()
        self._failures = 0  # batches in a row that had to be given up
        self._failed_at = 0.0

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether it works, and what it does or waits for."""
        silent = time.monotonic() - self._turned_at
        return self._state if silent < _STUCK_SECONDS else (False, f"no progress for {silent:.0f} s")

    @property
    def pause_seconds(self) -> float:
        """How long to wait before a batch is tried again: not at all for the first time."""
        return min(0.1 * self._failures, 1.0)

    def turned(self) -> None:
        """It is not stuck."""
        self._turned_at = time.monotonic()

    def waits(self, cause: str) -> None:
        """It cannot work because of this."""
        self._state = (False, cause)

    def failed(self) -> None:
        """A batch had to be given up."""
        self._failures, self._failed_at = self._failures + 1, time.monotonic()

    def settled(self) -> None:
        """A batch is done."""
        self._turned_at, self._failures = time.monotonic(), 0

    def goes_on(self, membership: Membership) -> None:
        """A round is through; what failed a moment ago is told a little longer."""
        if not self._failures or time.monotonic() - self._failed_at > _QUIET_SECONDS:
            self._state = _state_in(membership)


def _state_in(membership: Membership) -> tuple[bool, str]:
    if membership.assigned:
        return True, "working"
    if membership.joined:
        return True, "standby: no partition for this slot"
    return False, "not in the group: it forms, or Kafka is away"
