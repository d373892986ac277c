"""After a batch was given up: back to the committed offsets, once everything that was away answers again."""

from __future__ import annotations

import time

from services.router.condition import Condition
from services.router.progress import check_progress
from shared.adapters.kafka_transactions import TransactionalWorker
from shared.adapters.router_store import RouterStore
from shared.domain.errors import Unavailable
from shared.runtime.lifecycle import StopRequest

_RETRY_SECONDS = 0.5
_POLL_SECONDS = 0.1


class Recovery:
    """Waits inside the group: a worker that stopped polling would lose its partitions."""

    def __init__(self, worker: TransactionalWorker, store: RouterStore, topic: str, condition: Condition) -> None:
        self._worker = worker
        self._store = store
        self._topic = topic
        self._condition = condition

    def after(self, error: Exception, epoch: str, stop: StopRequest) -> dict[int, int] | None:
        """Partition -> committed offset to go on from; None if a stop came first. What was fetched must be dropped before.

        Raises what `check_progress` raises: the offsets have been moved by somebody.
        """
        self._condition.waits(str(error))
        self._worker.pause()
        self._wait(self._condition.pause_seconds, stop)
        self._condition.failed()
        committed = None
        while not stop:
            committed = self._try_again(epoch)
            if committed is not None:
                break
            self._wait(_RETRY_SECONDS, stop)
        self._worker.resume()
        return committed

    def _wait(self, seconds: float, stop: StopRequest) -> None:
        """At least one look: a partition that went elsewhere must not be held anew."""
        deadline = time.monotonic() + seconds
        while not stop:
            self._worker.consume(1, 1, min(_POLL_SECONDS, seconds))  # paused partitions yield nothing
            self._condition.turned()
            if time.monotonic() >= deadline:
                return

    def _try_again(self, epoch: str) -> dict[int, int] | None:
        try:
            self._store.connect()
            with self._store.transaction() as cursor:
                cursor.execute("SELECT 1")
            self._store.hold(self._topic, self._worker.assigned)
            committed = self._worker.rewind()
            check_progress(self._store, self._topic, epoch, committed)
        except Unavailable as error:
            self._condition.waits(str(error))
            return None
        return committed
