"""Time and identifiers, behind one small port so that tests can move them."""

from __future__ import annotations

import time
from typing import Protocol

import uuid_utils


class Clock(Protocol):
    """Tells the time."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC."""
        return time.time_ns() // 1_000_000


def new_uuid7() -> str:
    """A new UUIDv7 (RFC 9562: ordered by time) as canonical text."""
    return str(uuid_utils.uuid7())
