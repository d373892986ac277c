"""What is about a message that is not known comes out alone at once."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate
from shared.domain.enums import HoldReason
from shared.domain.holding import HeldRow, Waiting
from tests.chaos.planted.start import start


def plant() -> None:
    """As if the deadline were over."""
    wants = gate._Fold._target_wants

    def impatient(self: Any, candidate: Candidate, row: HeldRow | None) -> Waiting | None:
        waiting = wants(self, candidate, row)
        if waiting is None or waiting.reason is not HoldReason.TARGET_UNKNOWN:
            return waiting
        candidate.orphan_reason = gate.TARGET_UNKNOWN
        return None

    gate._Fold._target_wants = impatient  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
