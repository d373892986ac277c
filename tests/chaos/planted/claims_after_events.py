"""The router commits its claims and mappings only after the events are out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.adapters.kafka_transactions import OutMessage, TransactionalWorker
from shared.adapters.router_store import RouterStore
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """The database transaction stays open until Kafka's has ended."""
    commit = TransactionalWorker.commit
    open_ones: list[Any] = []

    @contextmanager
    def transaction(self: RouterStore) -> Iterator[Any]:
        self.connect()
        connection = self._connection
        assert connection is not None
        connection.execute("COMMIT" if open_ones else "BEGIN")
        if open_ones:
            connection.execute("BEGIN")
        open_ones[:] = [connection]
        with connection.cursor() as cursor:
            yield cursor

    def commit_first(self: TransactionalWorker, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        commit(self, messages, offsets)
        moments.reach("between")
        for connection in open_ones:
            connection.execute("COMMIT")
        open_ones.clear()

    RouterStore.transaction = transaction  # type: ignore[method-assign, assignment]
    TransactionalWorker.commit = commit_first  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
