"""Reads one topic without a consumer group, for people and tests: the last records, everything, or what comes next."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from shared.adapters.kafka import KAFKA_LOGGER, client_config, read_headers
from shared.domain.errors import NotFound, Unavailable

_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRecord:
    """One record as it lies in the topic. `value` None: a deletion in a compacted topic. `time_ms`: the topic's clock."""

    partition: int
    offset: int
    key: str | None
    headers: dict[str, str]
    time_ms: int
    value: bytes | None


def _any_record(_: TopicRecord) -> bool:
    return True


class TopicReader:
    """A read_committed reader of all partitions of one topic (full name). Close it, or use it as a context manager.

    Raises Unavailable when Kafka does not answer within `timeout_seconds`, NotFound for a topic that is not there.
    """

    def __init__(self, bootstrap: str, topic: str, timeout_seconds: float = 5.0) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._timeout = timeout_seconds
        config: dict[str, Any] = {
            **client_config(bootstrap, "channels-reader"),
            "group.id": f"channels-reader-{uuid.uuid4()}",  # the client wants one; assign() never joins it
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,  # the end of an idle partition is reported only after this
        }
        self._consumer = Consumer(config, logger=KAFKA_LOGGER)
        self._ends: dict[int, int] = {}

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()

    def read_all(self) -> list[TopicRecord]:
        """Every committed record that is there now, by (time, partition, offset)."""
        return self._read_window({number: first for number, (first, _) in self._bounds().items()}, _any_record)

    def read_last(self, count: int, wanted: Callable[[TopicRecord], bool] = _any_record) -> list[TopicRecord]:
        """The last `count` records that are `wanted`, by (time, partition, offset).

        Looks back in growing steps, since transactions, compaction and `wanted` all leave gaps in the offsets.
        """
        bounds = self._bounds()
        if count <= 0:
            self._ends = {number: end for number, (_, end) in bounds.items()}
            return []
        window = max(count, 1)
        while True:
            starts = {number: max(first, end - window) for number, (first, end) in bounds.items()}
            found = self._read_window(starts, wanted)
            complete = all(starts[number] == first for number, (first, _) in bounds.items())
            if complete or self._holds_last(found, starts, bounds, count):
                return found[-count:]
            window *= 4

    def scan(self) -> Iterator[TopicRecord]:
        """Every committed record that is there now, one at a time, each partition in its order: for what memory cannot hold."""
        yield from self._scan({number: first for number, (first, _) in self._bounds().items()})

    def follow(self) -> Iterator[TopicRecord]:
        """Records as they come, for ever, from where the last read ended. Blocks; rides out a broker that goes away."""
        starts = self._ends or {number: end for number, (_, end) in self._bounds().items()}
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in starts.items()])
        while True:
            message = self._consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield _record(message)
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotFound(f"topic {self._topic} is gone")

    def _holds_last(
        self, found: list[TopicRecord], starts: dict[int, int], bounds: dict[int, tuple[int, int]], count: int
    ) -> bool:
        """Enough records, and no partition that was cut off could hold one as late as the first of them."""
        if len(found) < count:
            return False
        oldest = found[-count].time_ms
        earliest: dict[int, int] = {}
        for record in found:
            earliest.setdefault(record.partition, record.time_ms)
        cut = (number for number, (first, _) in bounds.items() if starts[number] > first)
        return all(number in earliest and earliest[number] <= oldest for number in cut)

    def _bounds(self) -> dict[int, tuple[int, int]]:
        deadline = time.monotonic() + self._timeout
        try:
            metadata = self._consumer.list_topics(self._topic, timeout=self._timeout).topics[self._topic]
            if metadata.error is not None or not metadata.partitions:
                raise NotFound(f"topic {self._topic} is not on this cluster; `channels topics apply` creates it")
            return {
                number: self._consumer.get_watermark_offsets(
                    TopicPartition(self._topic, number), timeout=max(0.1, deadline - time.monotonic())
                )
                for number in metadata.partitions
            }
        except KafkaException as error:
            raise self._away(error.args[0].str()) from error

    def _read_window(self, starts: dict[int, int], wanted: Callable[[TopicRecord], bool]) -> list[TopicRecord]:
        found = [record for record in self._scan(starts) if wanted(record)]
        return sorted(found, key=lambda record: (record.time_ms, record.partition, record.offset))

    def _scan(self, starts: dict[int, int]) -> Iterator[TopicRecord]:
        self._ends = dict(starts)
        open_partitions = set(starts)
        self._consumer.assign([TopicPartition(self._topic, number, offset) for number, offset in starts.items()])
        deadline = time.monotonic() + self._timeout
        while open_partitions:
            message = self._consumer.poll(_POLL_SECONDS)
            error = None if message is None else message.error()
            if message is not None and error is None:
                record = _record(message)
                self._ends[record.partition] = record.offset + 1
                yield record
            elif message is not None and error is not None and error.code() == KafkaError._PARTITION_EOF:
                number, end = message.partition() or 0, message.offset() or 0
                open_partitions.discard(number)
                self._ends[number] = end
            elif time.monotonic() >= deadline:
                raise self._away("it stopped sending" if error is None else error.str())
            else:
                continue
            deadline = time.monotonic() + self._timeout

    def _away(self, detail: str) -> Unavailable:
        return Unavailable(
            f"no answer from Kafka at {self._bootstrap} ({detail}); start the embedded stack with `channels up`, "
            "or set CHANNELS_KAFKA_BOOTSTRAP"
        )


def _record(message: Message) -> TopicRecord:
    key = message.key()
    value = message.value()
    return TopicRecord(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=key.decode("utf-8", "replace") if isinstance(key, bytes) else key,
        headers=read_headers(message.headers()),
        time_ms=message.timestamp()[1],
        value=value.encode() if isinstance(value, str) else value,
    )
