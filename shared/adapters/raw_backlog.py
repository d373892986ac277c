"""How many raw records of a connector Kafka has accepted and the router has not settled yet, counted one by one.

Nearly always the router's committed offsets stand at the end, and nothing is read. Else the records between are read and
counted by connector and by the account in the URL they were posted to; whose items they hold, only the router finds out.
Copies that relay brought back are left out: what they copy was settled once, and is held under its own count.

One count serves all who ask within a second, or within ten times what it took: a page that everybody opens costs Kafka one
question, and a long backlog does not keep the process busy.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.avro import Codec
from shared.adapters.kafka import KAFKA_LOGGER, client_config, full_name
from shared.adapters.topic_declarations import declarations
from shared.domain.errors import CorruptData, Unavailable
from shared.domain.records import WebhookReceived
from shared.domain.topics import Topic

_FRESH_SECONDS = 1.0
_PAUSES = 10  # counting takes at most a tenth of the time, however much waits
_ANSWER_SECONDS = 1.0  # of Kafka to one question
_AGAIN_SECONDS = 2.0  # after Kafka did not answer
_READ_SECONDS = 1.0
_MAX_RECORDS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`records`: of the connector; `to_address`: of these, posted to the account's own address. `complete` False: there are
    more of all connectors than were read. `oldest_at_ms`, `counted_at_ms`: milliseconds since 1970."""

    records: int
    to_address: int
    complete: bool
    oldest_at_ms: int | None
    counted_at_ms: int


@dataclass(slots=True)
class _Count:
    at: float  # when the count began
    at_ms: int
    took: float = 0.0
    complete: bool = True
    records: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    oldest_ms: dict[str, int] = field(default_factory=dict)


class RawBacklog:
    """Safe for threads. Connects at the first question. `monotonic`: a clock in seconds, for tests."""

    def __init__(
        self, bootstrap: str, topic_prefix: str, codec: Codec, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        (group,) = declarations()[Topic.WEBHOOK_RECEIVED].groups
        self._topic = full_name(topic_prefix, Topic.WEBHOOK_RECEIVED)
        self._config = {
            **client_config(bootstrap, "channels-backlog"),
            "group.id": f"{topic_prefix}{group}",  # whose offsets are asked for; it never joins and commits nothing
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            # As committed now: read_committed would wait for the router's open transactions.
            "isolation.level": "read_uncommitted",
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 4096,
            "fetch.queue.backoff.ms": 10,  # with a second, as the library would, every 4 MB would cost one
        }
        self._codec = codec
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._partitions: tuple[int, ...] = ()
        self._known: _Count | None = None
        self._failed_at = float("-inf")

    def of(self, connector_id: str, account_id: str) -> Waiting:
        """Blocks for a few milliseconds, with a backlog for a second or two. Raises Unavailable."""
        count = self._current()
        own = {account: number for (connector, account), number in count.records.items() if connector == connector_id}
        return Waiting(
            records=sum(own.values()),
            to_address=own.get(account_id, 0),
            complete=count.complete,
            oldest_at_ms=count.oldest_ms.get(connector_id),
            counted_at_ms=count.at_ms,
        )

    def is_fresh(self) -> bool:
        """Whether `of` answers from what was counted a moment ago, without asking Kafka."""
        known = self._known
        return known is not None and self._fresh(known)

    def close(self) -> None:
        """Let go of Kafka."""
        with self._lock:
            self._drop()

    def _current(self) -> _Count:
        known = self._known
        if known is not None and self._fresh(known):
            return known
        # While somebody counts anew, the others are served by what was known; `counted_at_ms` tells how old it is.
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101  otherwise it would have waited
            return known
        try:
            if self._known is not None and self._fresh(self._known):  # counted while this caller waited
                return self._known
            if self._monotonic() - self._failed_at < _AGAIN_SECONDS:
                raise Unavailable("Kafka does not answer")
            self._known = self._counted()
            return self._known
        except KafkaException as error:
            self._drop()
            self._known, self._failed_at = None, self._monotonic()
            raise Unavailable(f"Kafka does not answer: {error}") from error
        finally:
            self._lock.release()

    def _fresh(self, count: _Count) -> bool:
        return self._monotonic() - count.at < max(_FRESH_SECONDS, _PAUSES * count.took)

    def _counted(self) -> _Count:
        count = _Count(at=self._monotonic(), at_ms=time.time_ns() // 1_000_000)
        consumer = self._connected()
        wanted = [TopicPartition(self._topic, number) for number in self._partitions]
        left: dict[int, int] = {}  # partition -> end to be reached
        starts = []
        for place in consumer.committed(wanted, timeout=_ANSWER_SECONDS):
            first, end = consumer.get_watermark_offsets(place, timeout=_ANSWER_SECONDS)
            start = max(first, place.offset)  # a group that has committed nothing has a negative one
            if start < end:
                left[place.partition] = end
                starts.append(TopicPartition(self._topic, place.partition, start))
        if starts:
            self._read(consumer, starts, left, count)
        count.took = self._monotonic() - count.at
        return count

    def _read(self, consumer: Consumer, starts: list[TopicPartition], left: dict[int, int], count: _Count) -> None:
        deadline = self._monotonic() + _READ_SECONDS
        consumer.assign(starts)
        try:
            while left and self._monotonic() < deadline and count.records.total() < _MAX_RECORDS:
                for message in consumer.consume(500, timeout=0.05):
                    self._note(message, left, count)
        finally:
            consumer.unassign()
        count.complete = not left

    def _note(self, message: Message, left: dict[int, int], count: _Count) -> None:
        partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            left.pop(partition, None)  # its last offsets may be marks of transactions, which nobody sees
            return
        if offset >= left.get(partition, 0):
            return  # came in after the count began
        if offset == left[partition] - 1:
            del left[partition]
        key, value = message.key(), message.value()
        connector_id, account_id, received_at_ms = (key or b"").decode(errors="replace"), None, message.timestamp()[1]
        with suppress(CorruptData):  # the router will dead-letter it; until then it waits like any other
            record = self._codec.decode(Topic.WEBHOOK_RECEIVED, value or b"")
            assert isinstance(record, WebhookReceived)  # noqa: S101  the topic's type
            if record.redelivery_of is not None:
                return
            account_id, received_at_ms = record.url_account_id, record.received_at_ms
        count.records[connector_id, account_id] += 1
        count.oldest_ms[connector_id] = min(received_at_ms, count.oldest_ms.get(connector_id, received_at_ms))

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._config, logger=KAFKA_LOGGER)
        if not self._partitions:
            found = self._consumer.list_topics(self._topic, timeout=_ANSWER_SECONDS).topics[self._topic]
            if found.error is not None:
                raise KafkaException(found.error)
            self._partitions = tuple(found.partitions)
        return self._consumer

    def _drop(self) -> None:
        consumer, self._consumer, self._partitions = self._consumer, None, ()
        if consumer is not None:
            consumer.close()
