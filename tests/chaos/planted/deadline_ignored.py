"""A message whose flow does not answer waits on when its time is over."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate
from shared.domain.enums import HoldReason
from shared.domain.holding import HeldRow, Waiting
from tests.chaos.planted.start import start


def plant() -> None:
    """It is held again until the end of its days."""
    wants = gate._Fold._wants

    def for_ever(self: Any, candidate: Candidate, row: HeldRow | None) -> Waiting | None:
        if row is None or row.reason is not HoldReason.INTAKE or "answer" in (row.decision or {}):
            return wants(self, candidate, row)
        return Waiting(reason=row.reason, due_ms=row.expires_ms, conversation_id=row.conversation_id, request_id=row.request_id)

    gate._Fold._wants = for_ever  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
