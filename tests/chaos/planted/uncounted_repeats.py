"""The books leave repeats out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.router import app
from services.router.facts import Candidate
from shared.domain.enums import ItemOutcome
from shared.domain.outcomes import Publish
from tests.chaos.planted.start import start


def plant() -> None:
    """What was dropped is not told."""
    audit = app.audit

    def partial(candidates: Iterable[Candidate], *rest: Any) -> list[Publish]:
        told = [one for one in candidates if one.ending is None or one.ending.outcome is not ItemOutcome.DUPLICATE]
        return audit(told, *rest)

    app.audit = partial


if __name__ == "__main__":
    start("router", plant)
