"""A copy goes on although something of its conversation that came before still waits: the relay would not have sent it."""

from __future__ import annotations

from services.router.facts import Candidate
from services.router.lines import Lines
from shared.domain.holding import HeldRow
from tests.chaos.planted.start import start


def plant() -> None:
    """Only what arrives looks at the line."""
    blocked = Lines.conversation_blocked

    def for_newcomers(self: Lines, conversation: str, candidate: Candidate, row: HeldRow | None) -> bool:
        return row is None and blocked(self, conversation, candidate, row)

    Lines.conversation_blocked = for_newcomers  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
