"""Follows topics from where the database stands: read, hand over in order, wait out the loss of Kafka or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import structlog

from shared.adapters.kafka import full_name
from shared.adapters.offset_reader import OffsetReader, ReadRecord
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import Fenced, Unavailable
from shared.domain.topics import Topic
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import SyncMetrics

_STANDBY_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A partition of a topic (by its full name, in this incarnation), and the offset of the first record that is handed over."""

    topic: str
    partition: int
    topic_id: str
    start: int


class Taker(Protocol):
    """What takes records in. Keeps the offset in the transaction of their effect; raises Fenced, Unavailable, ConfigError."""

    @property
    def topics(self) -> Sequence[Topic]:
        """What is followed."""
        ...

    def begin(self, topic: str, partition: int, topic_id: str) -> int:
        """Offset of the next record to read."""
        ...

    def take(self, kind: Topic, place: Place, records: Sequence[ReadRecord]) -> None:
        """The records of one partition, in order."""
        ...

    def rest(self) -> None:
        """After each reading, whether or not anything came."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowerParts:
    """What a follower works with; `name` is that of its Kafka client."""

    name: str
    bootstrap: str
    topic_prefix: str
    metrics: SyncMetrics
    poll_seconds: float
    batch_records: int


class Follower:
    """`run` follows until it is asked to stop. Who comes second to a record leaves it to the first, and stands by."""

    def __init__(self, parts: FollowerParts, taker: Taker) -> None:
        self._parts = parts
        self._taker = taker
        self._kinds = {full_name(parts.topic_prefix, kind): kind for kind in taker.topics}
        self._log = structlog.get_logger()
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._state = (False, "starting")

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`."""
        return self._state

    def run(self, stop: StopRequest) -> None:
        """Survives the loss of PostgreSQL and Kafka. Raises ConfigError for a schema that is not ours."""
        try:
            while not stop:
                reader = OffsetReader(self._parts.bootstrap, f"{self._parts.topic_prefix}{self._parts.name}")
                try:
                    self._follow(reader, stop)
                except Fenced:
                    self._state = (True, "standby")
                    stop.wait(_STANDBY_SECONDS)
                except Unavailable as error:
                    self._fault(error, stop)
                finally:
                    reader.close()
        finally:
            self._taker.close()

    def _follow(self, reader: OffsetReader, stop: StopRequest) -> None:
        ids = {topic: topic_incarnation(self._parts.bootstrap, topic) for topic in self._kinds}
        offsets = {
            (topic, partition): self._taker.begin(topic, partition, ids[topic])
            for topic in self._kinds
            for partition in reader.partitions(topic)
        }
        reader.read_from(offsets)
        self._become("active")
        while not stop:
            records = reader.read(self._parts.batch_records, self._parts.poll_seconds)
            self._hand_over(sorted(records, key=lambda record: (record.topic, record.partition, record.offset)), ids, offsets)
            self._taker.rest()
            self._pause_seconds = _FIRST_PAUSE_SECONDS

    def _hand_over(self, records: Sequence[ReadRecord], ids: Mapping[str, str], offsets: dict[tuple[str, int], int]) -> None:
        for (topic, partition), part in groupby(records, key=lambda record: (record.topic, record.partition)):
            ours = list(part)
            place = Place(topic=topic, partition=partition, topic_id=ids[topic], start=offsets[topic, partition])
            self._taker.take(self._kinds[topic], place, ours)
            offsets[topic, partition] = ours[-1].offset + 1

    def _become(self, state: str) -> None:
        if self._state != (True, state):
            self._log.info("sync_state", state=state, follows=[kind.value for kind in self._taker.topics])
        self._state = (True, state)

    def _fault(self, error: Unavailable, stop: StopRequest) -> None:
        self._parts.metrics.faults.inc()
        if self._state != (False, str(error)):
            self._log.warning("dependency_away", error=str(error))
        self._state = (False, str(error))
        stop.wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
