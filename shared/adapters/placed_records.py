"""Records of one topic by the place where they lie: read again, and copied to the end of a partition that the caller names.

For what happens later to something that arrived once: redriven dead letters, held records. The bytes and headers of a
record are handed out as they are; what a copy says is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.adapters.transaction_parts import incarnation_of
from shared.domain.errors import NotFound, Unavailable

T = TypeVar("T")
Place = tuple[int, int]  # partition, offset
Bounds = tuple[int, int]  # first offset that retention has left, offset after the last one
Headers = tuple[tuple[str, bytes | None], ...]

_ANSWER_SECONDS = 10.0
_DELIVERY_SECONDS = 10.0
_POLL_SECONDS = 0.2
_AT_ONCE = 500
_WORTH_A_SEEK = 200  # a gap of so many records is cheaper to leap over than to read
_SOON = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)  # a broker has just come back
_MOVED_ON = (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


@dataclass(frozen=True, slots=True)
class PlacedRecord:
    """One record as it lies there; a deletion has empty bytes."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Headers


class Refused(StrEnum):
    """Why a copy has no place."""

    TOO_LARGE = "too_large"  # it, or one that Kafka was handed together with it
    NOT_TAKEN = "not_taken"  # not in time, as far as is known: it may lie there all the same


@dataclass(frozen=True, slots=True)
class Copy:
    """One record to be appended to `partition`."""

    partition: int
    key: bytes
    value: bytes
    headers: Headers


class PlacedRecords:
    """One topic (full name), read_committed, without a consumer group. Blocks; not for several threads.

    Raises Unavailable when Kafka does not answer in time, NotFound for a topic that is not there. Use it as a context manager.
    """

    def __init__(self, bootstrap: str, topic: str, *, answer_seconds: float = _ANSWER_SECONDS) -> None:
        self.topic = topic
        self._bootstrap = bootstrap
        self._answer_seconds = answer_seconds
        self._producer: Producer | None = None
        self._admin: AdminClient | None = None
        config: dict[str, Any] = {
            **client_config(bootstrap, "channels-places"),
            "group.id": "channels-places",  # the client wants one; assign() never joins it
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
            "queued.max.messages.kbytes": 16_384,
        }
        self._consumer = Consumer(config, logger=KAFKA_LOGGER)

    def __enter__(self) -> PlacedRecords:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def incarnation(self) -> str:
        """The topic's id: a topic that was created anew has another, and its offsets mean something else."""
        if self._admin is None:
            self._admin = AdminClient(dict(client_config(self._bootstrap, "channels-places")), logger=KAFKA_LOGGER)
        return incarnation_of(self._admin, self.topic)

    def bounds(self) -> dict[int, Bounds]:
        """Partition -> bounds, of every partition."""
        return {partition: self.bounds_of(partition) for partition in self.partitions()}

    def partitions(self) -> list[int]:
        """The topic's partitions, sorted."""

        def ask() -> list[int]:
            metadata = self._consumer.list_topics(self.topic, timeout=self._answer_seconds).topics[self.topic]
            if metadata.error is not None or not metadata.partitions:
                raise NotFound(f"topic {self.topic} is not on this cluster; `channels topics apply` creates it")
            return sorted(metadata.partitions)

        return self._asked(ask)

    def bounds_of(self, partition: int) -> Bounds:
        """The bounds of one partition; Unavailable also while it has no leader."""
        place = TopicPartition(self.topic, partition)

        def ask() -> Bounds:
            found: Bounds = self._consumer.get_watermark_offsets(place, timeout=self._answer_seconds)
            return found

        return self._asked(ask)

    def read_at(self, places: Iterable[Place]) -> dict[Place, PlacedRecord]:
        """What lies at these places, in ranges; a place that holds nothing (any more) is absent."""
        wanted = set(places)
        bounds = self.bounds() if wanted else {}
        return {(record.partition, record.offset): record for record in self.each(wanted, bounds)}

    def each(self, places: Iterable[Place], bounds: Mapping[int, Bounds]) -> Generator[PlacedRecord, None, None]:
        """As `read_at`, one record after the other in order, so that few are in memory. Close it if you leave it early.

        `bounds`: asked for just before.
        """
        wanted = set(places)
        there = sorted(place for place in wanted if place[0] in bounds and _within(place[1], bounds[place[0]]))
        try:
            for partition, first, last in _ranges(there):
                for record in self._range(partition, first, last):
                    if (partition, record.offset) in wanted:
                        yield record
        finally:
            if there:
                self._consumer.unassign()  # or it would go on fetching what nobody reads

    def append(self, copies: Iterable[Copy]) -> list[Place | None]:
        """Write all (acks=all, idempotent), in order; where each lies now, None for one that Kafka did not take in time."""
        return [None if isinstance(place, Refused) else place for place in self.write(copies)]

    def write(self, copies: Iterable[Copy]) -> list[Place | Refused]:
        """As `append`, and says why one has no place. Takes the next copy only when there is room for it in the queue."""
        places: list[Place | Refused] = []
        producer = self._connected()
        for index, copy in enumerate(copies):
            places.append(Refused.NOT_TAKEN)

            def delivered(error: KafkaError | None, message: Message, index: int = index) -> None:
                if error is None:
                    places[index] = message.partition() or 0, message.offset() or 0
                else:
                    places[index] = self._refused(error)

            while True:
                try:
                    producer.produce(self.topic, copy.value, copy.key, copy.partition, delivered, headers=list(copy.headers))
                    break
                except BufferError:
                    producer.poll(_POLL_SECONDS)
                except KafkaException as error:  # refused at once
                    places[index] = self._refused(error.args[0])
                    break
        producer.flush(_DELIVERY_SECONDS + 2.0)
        return places

    def _refused(self, error: KafkaError) -> Refused:
        if error.fatal():
            self._producer = None  # it will never write again: the next write has a new one
        return Refused.TOO_LARGE if error.code() == KafkaError.MSG_SIZE_TOO_LARGE else Refused.NOT_TAKEN

    def _asked(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + self._answer_seconds
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in _SOON or time.monotonic() >= deadline:
                    raise self._away(error.args[0].str()) from error
            time.sleep(_POLL_SECONDS)

    def _range(self, partition: int, first: int, last: int) -> Iterator[PlacedRecord]:
        """Every record from `first` to `last`."""
        self._consumer.assign([TopicPartition(self.topic, partition, first)])
        deadline = time.monotonic() + self._answer_seconds
        while time.monotonic() < deadline:
            # What is there, and no waiting for more: a call that asks for many waits until it has them.
            messages = self._consumer.consume(1, _POLL_SECONDS) + self._consumer.consume(_AT_ONCE, 0)
            for message in messages:
                error = message.error()
                if error is None:
                    record = _record(message)
                    if record.offset <= last:
                        yield record
                    if record.offset >= last:
                        return
                elif error.code() == KafkaError._PARTITION_EOF:
                    if (message.offset() or 0) > last:
                        return  # else there was more a moment ago, and a new leader has yet to learn of it
                elif error.code() in _MOVED_ON:
                    raise Unavailable(f"retention has just taken records of {self.topic}/{partition}: try again")
            if messages:
                deadline = time.monotonic() + self._answer_seconds  # from now: whoever takes the records may take their time
        raise self._away("it stopped sending")

    def _connected(self) -> Producer:
        if self._producer is None:
            config: dict[str, Any] = {
                **client_config(self._bootstrap, "channels-places"),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "message.timeout.ms": int(_DELIVERY_SECONDS * 1000),
                "queue.buffering.max.kbytes": 65_536,
            }
            self._producer = Producer(config, logger=KAFKA_LOGGER)
        return self._producer

    def _away(self, detail: str) -> Unavailable:
        return Unavailable(f"no answer from Kafka at {self._bootstrap} ({detail})")


def _within(offset: int, bounds: Bounds) -> bool:
    return bounds[0] <= offset < bounds[1]


def _ranges(places: Sequence[Place]) -> Iterator[tuple[int, int, int]]:
    """Sorted places as (partition, first, last), where what lies between is worth reading too."""
    start: Place | None = None
    previous: Place | None = None
    for place in places:
        if start is None or previous is None:
            start = place
        elif place[0] != previous[0] or place[1] - previous[1] > _WORTH_A_SEEK:
            yield start[0], start[1], previous[1]
            start = place
        previous = place
    if start is not None and previous is not None:
        yield start[0], start[1], previous[1]


def _record(message: Message) -> PlacedRecord:
    headers: Any = message.headers() or ()
    key, value = message.key(), message.value()
    return PlacedRecord(message.partition() or 0, message.offset() or 0, key or b"", value or b"", tuple(headers))
