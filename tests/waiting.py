"""Waiting for what other processes do, on machines of any speed.

A wait ends when its condition holds, so patience costs nothing but in a test that fails anyway. Seconds are those of a
quiet machine; a build server with two tests side by side on two shared cores gets PATIENCE times as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 4.0
_PAUSE_SECONDS = 0.01


def eventually(condition: Callable[[], object], seconds: float = 10, what: str | Callable[[], str] = "deadline passed") -> float:
    """Wait for the condition; how long it took, in seconds. AssertionError with `what` when patience is over."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start >= seconds * PATIENCE:
            raise AssertionError(what() if callable(what) else what)
        time.sleep(_PAUSE_SECONDS)
    return time.monotonic() - start


def allowed(promised_seconds: float) -> float:
    """The longest that a test takes for keeping the promise. What breaks it for good takes longer, or never ends."""
    return promised_seconds * PATIENCE
