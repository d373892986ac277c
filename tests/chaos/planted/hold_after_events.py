"""The router writes down what it holds only after the events of the batch, and its offsets, are out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.router import app
from shared.adapters import held_rows
from shared.adapters.kafka_transactions import OutMessage, TransactionalWorker
from shared.domain.holding import NewHold
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """The rows of a batch are kept until Kafka's transaction has ended, and written in a transaction of their own."""
    insert, commit, settle = held_rows.insert_holds, TransactionalWorker.commit, app.Router._settle
    kept: list[NewHold] = []
    routers: list[app.Router] = []

    def keep(_cursor: Any, holds: Sequence[NewHold]) -> None:
        kept.extend(holds)

    def remember(self: app.Router, batch: Any) -> None:
        routers[:] = [self]
        kept.clear()
        settle(self, batch)

    def commit_first(self: TransactionalWorker, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        commit(self, messages, offsets)
        if not kept:
            return
        moments.reach("between")
        with routers[0]._parts.store.transaction() as cursor:
            insert(cursor, list(kept))
        kept.clear()

    held_rows.insert_holds = keep
    TransactionalWorker.commit = commit_first  # type: ignore[method-assign]
    app.Router._settle = remember  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
