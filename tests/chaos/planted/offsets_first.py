"""The router commits its offsets before it writes the events, in transactions of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shared.adapters.kafka_transactions import OutMessage, TransactionalWorker
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """Two transactions in place of one."""
    commit = TransactionalWorker.commit

    def split(self: TransactionalWorker, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        commit(self, [], offsets)
        moments.reach("between")
        commit(self, messages, {})

    TransactionalWorker.commit = split  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
