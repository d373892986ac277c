"""What was fetched and is not settled yet: records as they came, cut into batches that are opened one ahead.

Opening (decrypt, split, sort) is pure work on the processor, settling mostly waits for PostgreSQL and Kafka; so while one
batch is settled, a thread opens the next one. It asks the snapshots and nobody else: no claim and no id is looked up ahead.
What lies ready is thrown away with everything else when the batch before it fails or its partition goes elsewhere.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from services.router.facts import Candidate, Opened
from services.router.opening import Opener
from services.router.precedence import Precedence
from services.router.sorting import Accounts, sort_out
from shared.adapters.kafka_transactions import RawMessage
from shared.domain.errors import Unavailable
from shared.domain.records import RawPosition
from shared.runtime.metrics import RouterMetrics

AT_ONCE = 64  # records that are opened together: more makes it no quicker


@dataclass(frozen=True, slots=True)
class Batch:
    """Opened records and their items, in order of arrival. `candidates` is None where sorting them failed: whoever
    settles the batch sorts again, and finds the record at fault."""

    records: Sequence[Opened]
    candidates: list[Candidate] | None


class Settling:
    """What is in a batch so far, as far as copies care: a copy must not be settled together with what it is a copy of."""

    def __init__(self) -> None:
        self._places: set[tuple[int, int]] = set()
        self._copied: set[RawPosition] = set()

    def add(self, opened: Opened) -> None:
        """The record is in the batch."""
        self._places.add((opened.partition, opened.offset))
        if opened.record is not None and opened.record.redelivery_of is not None:
            self._copied.add(opened.record.redelivery_of)

    def repeats(self, opened: Opened) -> bool:
        """Whether this is a copy whose original, or an earlier copy of it, is in the batch: that one must be settled first."""
        of = opened.record.redelivery_of if opened.record is not None else None
        return of is not None and ((of.partition, of.offset) in self._places or of in self._copied)


class Batches:
    """The queue before the router. One thread uses it; between `open_ahead` and its next call another thread works in it.

    `max_items`, `max_bytes`: where a batch ends. A record is never split, one above the bounds goes alone.
    """

    def __init__(self, opener: Opener, accounts: Accounts, metrics: RouterMetrics, max_items: int, max_bytes: int) -> None:
        self.precedence = Precedence()  # who settles what is taken here goes first
        self._opener = opener
        self._accounts = accounts
        self._seconds = metrics.batch_seconds.labels("open")
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._waiting: deque[RawMessage] = deque()
        self._waiting_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._ahead: Future[Batch | None] | None = None
        self._unwanted = False  # what is opened ahead will be thrown away

    @property
    def empty(self) -> bool:
        """Nothing waits and nothing lies ready."""
        return self._ahead is None and not self._waiting

    def wanted(self) -> int:
        """How many more records to fetch, so that one batch lies ready and one waits; 0 while enough is in hand."""
        self._join()
        if len(self._waiting) >= self._max_items or self._waiting_bytes >= self._max_bytes:
            return 0
        return self._max_items * (2 if self._ahead is None else 1) - len(self._waiting)

    def add(self, messages: Iterable[RawMessage]) -> None:
        """Take in what was fetched, in order of arrival."""
        self._join()
        for message in messages:
            self._waiting.append(message)
            self._waiting_bytes += len(message.value)

    def partitions(self) -> set[int]:
        """Whose records are here."""
        self._join()
        ready = self._ready()
        found = {message.partition for message in self._waiting}
        return found if ready is None else found | {record.partition for record in ready.records}

    def drop(self, partitions: Collection[int]) -> None:
        """Forget the records of these partitions, also those that lie ready."""
        self._join()
        waiting = [message for message in self._waiting if message.partition not in partitions]
        self._waiting.clear()
        self._waiting_bytes = 0
        self.add(waiting)
        ready = self._ready()
        if ready is not None:
            left = [record for record in ready.records if record.partition not in partitions]
            self._ahead = Future()
            self._ahead.set_result(self._sorted(left))

    def clear(self) -> None:
        """Forget everything; whoever calls it fetches it again."""
        self._unwanted = True
        self._join()
        self._unwanted = False
        self._ahead = None
        self._waiting.clear()
        self._waiting_bytes = 0

    def take(self) -> Batch | None:
        """The next batch, opened ahead or now; None if there is none. Raises Unavailable when a part it needs is away."""
        ahead, self._ahead = self._ahead, None
        batch = ahead.result() if ahead is not None else None
        return batch if batch is not None and batch.records else self._open_next()

    def open_ahead(self) -> None:
        """Begin to open the next batch in the other thread, if anything waits."""
        if self._ahead is None and self._waiting:
            self._ahead = self._thread.submit(self._open_next)

    def close(self) -> None:
        """End the other thread."""
        self.clear()
        self._thread.shutdown()

    def _join(self) -> None:
        if self._ahead is not None:
            self._ahead.exception()  # waits; `take` will raise it

    def _ready(self) -> Batch | None:
        return None if self._ahead is None or self._ahead.exception() is not None else self._ahead.result()

    def _open_next(self) -> Batch | None:
        began = time.perf_counter()
        records = self._open_records()
        if not records:
            return None
        batch = self._sorted(records)
        self._seconds.observe(time.perf_counter() - began)
        return batch

    def _open_records(self) -> list[Opened]:
        records: list[Opened] = []
        settling = Settling()
        items = size = 0
        while self._waiting and not self._unwanted:
            self.precedence.give_way()
            some = self._open_some(bool(records), self._max_items - items, self._max_bytes - size)
            for opened in some:
                items, size = items + len(opened.items), size + opened.size_bytes
                if settling.repeats(opened) or (records and (items > self._max_items or size > self._max_bytes)):
                    return records
                records.append(opened)
                settling.add(opened)
                self._waiting_bytes -= len(self._waiting.popleft().value)
            if not some:
                break
        return records

    def _open_some(self, begun: bool, items: int, size: int) -> list[Opened]:
        """The next records, for a batch with so much room; none if a part is away but the batch that is `begun` can go on."""
        messages = list(islice(self._waiting, min(AT_ONCE, max(items, 1))))
        try:
            return self._opener.open_some(messages, items, size)
        except Unavailable:
            if begun:
                return []
            raise

    def _sorted(self, records: Sequence[Opened]) -> Batch:
        try:
            return Batch(records, sort_out(records, self._accounts))
        except Exception:  # a fault of ours: it is told, and its record found, when the batch is settled
            return Batch(records, None)
