"""The relay writes every copy twice."""

from __future__ import annotations

from typing import Any

from services.relay.raw_copies import Copied, RawCopies
from tests.chaos.planted.start import start


def plant() -> None:
    """As after a time-out that was none."""
    copy = RawCopies.copy

    def twice(self: RawCopies, *arguments: Any) -> Copied:
        copied = copy(self, *arguments)
        copy(self, *arguments)
        return copied

    RawCopies.copy = twice  # type: ignore[method-assign]


if __name__ == "__main__":
    start("relay", plant)
