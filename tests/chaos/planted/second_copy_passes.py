"""A copy whose row is settled already goes its way like anything that arrives, and takes the claim over from the first copy."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate
from shared.domain.holding import HeldRow
from tests.chaos.planted.blind_take_over import plant as take_over_blindly
from tests.chaos.planted.start import start


def plant() -> None:
    """Both nets are gone: the row, and the owner of the claim."""
    take_over_blindly()
    copy = gate._Fold._copy

    def all_alike(self: Any, candidate: Candidate, row: HeldRow | None) -> None:
        if (row is None or not row.unfinished) and candidate.ending is None:
            self._consider(candidate, None)
        else:
            copy(self, candidate, row)

    gate._Fold._copy = all_alike  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
