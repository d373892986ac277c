"""A batch that is tried again does not look for the rows that it has written itself."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate, held_position
from tests.chaos.planted.start import start


def plant() -> None:
    """No row stands at a record's own position."""
    take = gate._Fold.take

    def unaware(self: Any, candidate: Candidate) -> None:
        self._facts.held.pop(held_position(self._epoch, candidate), None)
        take(self, candidate)

    gate._Fold.take = unaware  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
