"""A message that its flow has settled comes out all the same."""

from __future__ import annotations

from typing import Any

from services.router import gate
from services.router.facts import Candidate
from shared.domain.enums import HoldReason
from shared.domain.holding import HeldRow
from shared.domain.routing import after_deadline
from shared.domain.snapshots import AccountSnapshot
from tests.chaos.planted.start import start


def plant() -> None:
    """Whatever the flow says but where to, it goes where it goes without a flow."""
    answered = gate._Fold._answered

    def regardless(self: Any, candidate: Candidate, row: HeldRow, account: AccountSnapshot) -> None:
        answered(self, candidate, row, account)
        if candidate.ending is not None:
            candidate.ending, candidate.decision = None, after_deadline(account, HoldReason.INTAKE)

    gate._Fold._answered = regardless  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
