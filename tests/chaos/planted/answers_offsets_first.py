"""The router notes that it has heard answers before it notes the answers."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.answers import IntakeAnswers
from shared.adapters.kafka_transactions import RawMessage
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """Offsets, then PostgreSQL."""
    hear = IntakeAnswers._hear

    def committed_first(self: IntakeAnswers, messages: Sequence[RawMessage]) -> None:
        self._parts.worker.commit([], {message.partition: message.offset + 1 for message in messages})
        moments.reach("between")
        hear(self, messages)

    IntakeAnswers._hear = committed_first  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
