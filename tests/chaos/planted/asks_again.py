"""The copy of a message whose flow has answered asks the flow once more."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate
from shared.domain.holding import HeldRow
from shared.domain.records import Decision
from shared.domain.snapshots import AccountSnapshot
from tests.chaos.planted.start import start


def plant() -> None:
    """The request goes out with the end."""
    answered = gate._Fold._answered

    def twice(self: Any, candidate: Candidate, row: HeldRow, account: AccountSnapshot) -> None:
        answered(self, candidate, row, account)
        candidate.asks = Decision(**((row.decision or {})["request"] | {"labels": ()}))

    gate._Fold._answered = twice  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
