"""A state of delivery is written down when it arrives, also if it has to wait; its copy then finds it there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.router.facts import Candidate, Facts
from services.router.gathering import Gathering
from tests.chaos.planted.start import start


def plant() -> None:
    """Before the gate, not after it."""
    held = Gathering.held

    def written_first(self: Gathering, candidates: Any, mine: Sequence[Candidate], facts: Facts, ranges: Any) -> None:
        self.receipts(mine, facts)
        held(self, candidates, mine, facts, ranges)

    Gathering.held = written_first  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
