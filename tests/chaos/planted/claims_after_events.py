"""The router commits its claims and mappings only after the events are out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from shared.adapters import router_store
from shared.adapters.kafka_transactions import OutMessage, TransactionalWorker
from shared.adapters.router_store import ClaimRow, RouterStore
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """A database transaction that has claimed stays open until Kafka's has ended."""
    claim, commit = router_store.claim, TransactionalWorker.commit
    claimed: list[Any] = []  # the connection whose transaction is to stay open

    def remember(cursor: Any, epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
        claimed[:] = [cursor.connection]
        return claim(cursor, epoch, rows)

    @contextmanager
    def transaction(self: RouterStore) -> Iterator[Any]:
        if claimed:  # of a batch that was given up
            claimed.clear()
            self.close()
        self.connect()
        connection = self._connection
        assert connection is not None
        try:
            with router_store._translated(), connection.cursor() as cursor:
                cursor.execute("BEGIN")
                yield cursor
                if not claimed:
                    cursor.execute("COMMIT")
        except Exception:
            claimed.clear()
            self.close()
            raise

    def commit_first(self: TransactionalWorker, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        commit(self, messages, offsets)
        moments.reach("between")
        for connection in claimed:
            connection.execute("COMMIT")
        claimed.clear()

    router_store.claim = remember
    RouterStore.transaction = transaction  # type: ignore[method-assign, assignment]
    TransactionalWorker.commit = commit_first  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
