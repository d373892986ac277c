"""Edits, reactions and deletions do not wait for the message that they are about."""

from __future__ import annotations

from services.router import gate
from services.router.facts import Candidate
from services.router.lookups import target_of
from shared.domain.items import MessageItem
from tests.chaos.planted.start import start


def plant() -> None:
    """Only states of delivery have a target."""

    def of_states(candidate: Candidate) -> str | None:
        return None if isinstance(candidate.item, MessageItem) else target_of(candidate)

    gate.target_of = of_states


if __name__ == "__main__":
    start("router", plant)
