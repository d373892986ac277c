"""The raw topic as redelivery works on it: reads held records in ranges, writes their copies, and says what became of each.

A partition that does not answer holds up the others once, for a few seconds; for a while after that it is left alone, and its
rows count as failed and come again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from confluent_kafka import KafkaException

from services.relay.copies import (
    MAX_COPY_BYTES,
    CopyOutcome,
    copy_of,
    reaches,
    sort_rows,
    target_partition,
    without_body,
)
from shared.adapters.avro import Codec
from shared.adapters.group_offsets import committed_offsets
from shared.adapters.placed_records import Bounds, Copy, Headers, PlacedRecord, PlacedRecords, Refused
from shared.adapters.redelivery_rows import DueRow, PartitionReach
from shared.domain.errors import ConfigError, CorruptData, NotFound, Unavailable
from shared.domain.topics import Topic

Tenants = Callable[[Collection[str]], Mapping[str, str]]
_ANSWER_SECONDS = 4.0
_OFFSETS_SECONDS = 2.0  # while a router's transaction is open, its offsets are not told
_LEFT_ALONE_SECONDS = 10.0
_CHUNK_BYTES = 8_000_000


@dataclass(slots=True)
class Copied:
    """What became of a batch: an outcome per row, and where the copies lie of those that have one."""

    outcomes: list[CopyOutcome] = field(default_factory=list)
    offsets: dict[DueRow, int] = field(default_factory=dict)
    too_large: list[DueRow] = field(default_factory=list)  # refused together with others, perhaps for their sake


class RawCopies:
    """Not for several threads; every call blocks, for seconds at most. Opens its connections when they are needed.

    Raises Unavailable when Kafka does not answer, NotFound when the raw topic is not there.
    """

    def __init__(self, bootstrap: str, topic: str, router_group: str, codec: Codec) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._router_group = router_group
        self._codec = codec
        self._placed: PlacedRecords | None = None
        self._away_until: dict[int, float] = {}

    def close(self) -> None:
        """Let go of the connections."""
        if self._placed is not None:
            self._placed.__exit__()
        self._placed = None

    def partitions_away(self) -> list[int]:
        """The partitions that are left alone now, because they did not answer."""
        now = time.monotonic()
        self._away_until = {partition: until for partition, until in self._away_until.items() if until > now}
        return sorted(self._away_until)

    def reaches(self) -> list[PartitionReach]:
        """How far the router has committed, and where each partition ends."""
        raw = self._raw()
        partitions = raw.partitions()
        try:
            committed = committed_offsets(self._bootstrap, self._router_group, self._topic, len(partitions), _OFFSETS_SECONDS)
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].name()}") from error
        return reaches(committed, {partition: self._bounds(raw, partition) for partition in partitions})

    def copy(self, rows: Sequence[DueRow], tenants: Tenants) -> Copied:
        """Write a copy of each row's item. Raises Unavailable before anything is written, if Kafka as a whole does not answer."""
        attempt = _Attempt(self._raw(), self._codec, tenants)
        copied = Copied()
        by_partition: dict[int, list[DueRow]] = {}
        for row in rows:
            by_partition.setdefault(row.partition, []).append(row)
        self._write(attempt, attempt.copies(by_partition, self._bounds, self._leave_alone), copied)
        for row in copied.too_large:
            self._write_alone(attempt, row, copied)
        copied.outcomes += [CopyOutcome.FAILED] * (len(rows) - len(copied.outcomes))
        return copied

    def _write(self, attempt: _Attempt, copies: Iterable[Copy], copied: Copied) -> None:
        places = attempt.raw.write(copies)
        for (row, outcome), place in zip(attempt.told, places, strict=True):
            if place is Refused.TOO_LARGE:
                copied.too_large.append(row)
            elif place is Refused.NOT_TAKEN:
                self._leave_alone(row.partition)
            else:
                copied.outcomes.append(outcome)
                copied.offsets[row] = place[1]
        attempt.told.clear()

    def _write_alone(self, attempt: _Attempt, row: DueRow, copied: Copied) -> None:
        """A copy that was refused together with others: by itself, and if it is still too large, without its body."""
        for copies in (attempt.whole(row, self._bounds(attempt.raw, row.partition)), attempt.empty([row], CopyOutcome.UNFIT)):
            alone = Copied()
            self._write(attempt, copies, alone)
            if not alone.too_large:
                copied.outcomes += alone.outcomes
                copied.offsets |= alone.offsets
                return

    def _bounds(self, raw: PlacedRecords, partition: int) -> Bounds | None:
        """None for a partition that does not answer, or did not a moment ago."""
        if self._away_until.get(partition, 0.0) > time.monotonic():
            return None
        try:
            return raw.bounds_of(partition)
        except Unavailable:
            self._leave_alone(partition)
            return None

    def _leave_alone(self, partition: int) -> None:
        self._away_until[partition] = time.monotonic() + _LEFT_ALONE_SECONDS

    def _raw(self) -> PlacedRecords:
        if self._placed is None:
            self._placed = PlacedRecords(self._bootstrap, self._topic, answer_seconds=_ANSWER_SECONDS)
        return self._placed


class _Attempt:
    """One pass over a batch. `told`: the rows whose copies were handed out, in that order, and what each will have been."""

    def __init__(self, raw: PlacedRecords, codec: Codec, tenants: Tenants) -> None:
        self.raw = raw
        self.told: list[tuple[DueRow, CopyOutcome]] = []
        self._codec = codec
        self._tenants = tenants
        self._partitions = raw.partitions()
        self._epoch = self._incarnation()

    def copies(
        self,
        by_partition: Mapping[int, list[DueRow]],
        bounds_of: Callable[[PlacedRecords, int], Bounds | None],
        leave_alone: Callable[[int], None],
    ) -> Iterator[Copy]:
        """The copies of all rows that can have one now."""
        for partition, rows in by_partition.items():
            bounds = None
            if partition in self._partitions:
                bounds = bounds_of(self.raw, partition)
                if bounds is None:
                    continue
            try:
                yield from self._of_partition(rows, bounds)
            except Unavailable:
                leave_alone(partition)

    def whole(self, row: DueRow, bounds: Bounds | None) -> Iterator[Copy]:
        """The copy of one row."""
        return self._of_partition([row], bounds) if bounds is not None else iter(())

    def empty(self, rows: Iterable[DueRow], outcome: CopyOutcome) -> Iterator[Copy]:
        """Copies without body."""
        wanted = list(rows)
        tenants = self._tenants({row.connector_id for row in wanted}) if wanted else {}
        for row in wanted:
            value = self._codec.encode(Topic.WEBHOOK_RECEIVED, without_body(row, tenants.get(row.connector_id)))
            self.told.append((row, outcome))
            yield Copy(target_partition(row, len(self._partitions)), row.connector_id.encode(), value, ())

    def _of_partition(self, rows: Sequence[DueRow], bounds: Bounds | None) -> Iterator[Copy]:
        split = sort_rows(rows, self._epoch, bounds)
        yield from self.empty(split.gone, CopyOutcome.GONE)
        waiting: dict[int, list[DueRow]] = {}
        for row in split.readable:
            waiting.setdefault(row.offset, []).append(row)
        if bounds is not None and waiting:
            partition = split.readable[0].partition
            places = [(partition, offset) for offset in waiting]
            with closing(self.raw.each(places, {partition: bounds})) as records:
                for chunk in _chunks(records):
                    # Asked after reading: had the topic been created anew meanwhile, this would be somebody else's record.
                    if self._incarnation() != self._epoch:
                        raise Unavailable(f"{self.raw.topic} has been created anew")
                    for record in chunk:
                        yield from self._of_record(waiting.pop(record.offset), record)
        yield from self.empty([row for left in waiting.values() for row in left], CopyOutcome.GONE)

    def _of_record(self, rows: Sequence[DueRow], record: PlacedRecord) -> Iterator[Copy]:
        try:
            event = self._codec.decode(Topic.WEBHOOK_RECEIVED, record.value)
        except CorruptData:
            yield from self.empty(rows, CopyOutcome.UNFIT)
            return
        for row in rows:
            value = self._codec.encode(Topic.WEBHOOK_RECEIVED, copy_of(row, event))
            if event.connector_id != row.connector_id:
                yield from self.empty([row], CopyOutcome.GONE)
            elif _size(record.key, value, record.headers) > MAX_COPY_BYTES:
                yield from self.empty([row], CopyOutcome.UNFIT)
            else:
                self.told.append((row, CopyOutcome.SENT))
                yield Copy(record.partition, record.key, value, record.headers)

    def _incarnation(self) -> str:
        try:
            return self.raw.incarnation()
        except ConfigError as error:
            raise NotFound(str(error)) from error


def _chunks(records: Iterator[PlacedRecord]) -> Iterator[list[PlacedRecord]]:
    chunk: list[PlacedRecord] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += len(record.value)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _size(key: bytes, value: bytes, headers: Headers) -> int:
    return len(key) + len(value) + sum(len(name) + len(data or b"") for name, data in headers)
