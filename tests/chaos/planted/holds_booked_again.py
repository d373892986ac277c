"""What is held again is booked as held again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.router import app
from services.router.facts import Candidate
from shared.domain.enums import ItemOutcome
from shared.domain.outcomes import Publish
from tests.chaos.planted.start import start


def plant() -> None:
    """The books do not know that it stands there already."""
    audit = app.audit

    def anew(candidates: Iterable[Candidate], *rest: Any) -> list[Publish]:
        told = list(candidates)
        for one in told:
            if one.ending is not None and one.ending.outcome is ItemOutcome.HELD:
                one.row = None
        return audit(told, *rest)

    app.audit = anew


if __name__ == "__main__":
    start("router", plant)
