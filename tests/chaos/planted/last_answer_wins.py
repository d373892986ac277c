"""A flow's second answer is put in the place of its first."""

from __future__ import annotations

from typing import Any

from shared.adapters import intake_rows
from shared.adapters.intake_rows import Heard
from tests.chaos.planted.start import start


def plant() -> None:
    """That a message has its answer is not asked."""
    verdict = intake_rows._verdict

    def forgetful(row_id: Any, state: str, reason: str, _answered: bool, unit_known: bool) -> Heard:
        return verdict(row_id, state, reason, False, unit_known)

    intake_rows._verdict = forgetful
    intake_rows.TAKE = intake_rows.TAKE.replace(" AND NOT h.decision ? 'answer'", "")


if __name__ == "__main__":
    start("router", plant)
