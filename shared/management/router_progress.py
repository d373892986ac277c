"""Adopting: a person tells the router where to go on, after a restore, a re-created topic, or offsets that somebody moved."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from shared.adapters.avro import Codec
from shared.adapters.group_members import group_members
from shared.adapters.kafka import full_name
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.router_store import RouterStore
from shared.adapters.topic_declarations import declarations
from shared.adapters.topic_reader import TopicReader, TopicRecord
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import Conflict, CorruptData, NotFound
from shared.domain.records import AuditRecorded
from shared.domain.topics import Topic
from shared.management.lost_holds import LostHold, end_lost_holds, lost_holds, unfinished_holds
from shared.management.router_positions import Book, Finding, Found, Position, judged, needed

_SESSION_SECONDS = 15.0  # a static member is in the group until its session ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What adopting would do. `moved`: partition -> Kafka's offset, where another one would be set. `lost`: held rows of an
    earlier incarnation; `held`: unfinished rows of any."""

    topic_id: str
    positions: tuple[Position, ...]
    moved: Mapping[int, int]
    findings: tuple[Finding, ...]
    lost: tuple[LostHold, ...]
    held: int


class RouterProgress:
    """The router's group on the raw topic of one installation. Close it, or use it as a context manager. All calls block.

    Raises Unavailable, ConfigError (no such topic), NotFound (no offsets).
    """

    def __init__(self, bootstrap: str, topic_prefix: str, worker_url: str, codec: Codec) -> None:
        (group,) = declarations()[Topic.WEBHOOK_RECEIVED].groups
        self._bootstrap, self._prefix, self._codec = bootstrap, topic_prefix, codec
        self._group = f"{topic_prefix}{group}"
        self._topic = full_name(topic_prefix, Topic.WEBHOOK_RECEIVED)
        self._store = RouterStore(worker_url)

    def __enter__(self) -> RouterProgress:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def standing(self, *, to_emitted: bool = False) -> Standing:
        """As it is; `to_emitted`: as it would be with Kafka's offsets set to where the events end that came out."""
        topic_id = topic_incarnation(self._bootstrap, self._topic)
        positions = self._positions(topic_id)
        before = {each.partition: each.committed for each in positions}
        if to_emitted:
            positions = [replace(each, committed=_emitted(each)) for each in positions]
        return Standing(
            topic_id=topic_id,
            positions=tuple(positions),
            moved={each.partition: old for each in positions if (old := before[each.partition]) != each.committed},
            findings=tuple(finding for each in positions for finding in judged(each, topic_id)),
            lost=tuple(lost_holds(self._store, topic_id)),
            held=unfinished_holds(self._store),
        )

    def adopt(self, standing: Standing, agreed: Collection[Found], *, now_ms: int) -> None:
        """Set Kafka's offsets and the database's book to this standing, and end the held rows that are lost.

        Raises Conflict (`not_agreed`, `beyond_the_end`, `routers_running`) before anything is changed.
        """
        refuse_unagreed(standing.findings, agreed)
        self._wait_for_empty_group()
        offsets = {each.partition: each.committed for each in standing.positions if each.partition in standing.moved}
        if offsets:
            KafkaAdmin(self._bootstrap).commit(self._group, self._topic, offsets)
        end_lost_holds(self._bootstrap, self._prefix, self._codec, self._store, standing.lost, now_ms)
        changed = {finding.partition for finding in standing.findings} | {
            each.partition for each in standing.positions if _outside(each, standing.topic_id)
        }
        for each in standing.positions:
            if each.partition in changed:
                self._store.start_progress(self._topic, standing.topic_id, each.partition, each.committed, replace=True)

    def _wait_for_empty_group(self) -> None:
        deadline = time.monotonic() + _SESSION_SECONDS
        while members := group_members(self._bootstrap, self._group, self._topic):
            if time.monotonic() > deadline:
                names = ", ".join(f"{member.name} on {member.host}" for member in members)
                raise Conflict(f"stop the routers first; in the group: {names}", reason="routers_running")
            time.sleep(0.5)

    def _positions(self, topic_id: str) -> list[Position]:
        admin = KafkaAdmin(self._bootstrap)
        partitions = admin.cluster()[1][self._topic].partitions
        committed = admin.committed(self._group, self._topic, partitions)
        if not committed:
            raise NotFound(f"group {self._group} has committed nothing on {self._topic}; run `channels topics apply`")
        bounds, book = admin.bounds(self._topic, partitions), self._store.progress(self._topic)
        emitted = last_emitted(self._bootstrap, self._prefix, self._codec, topic_id, committed)
        return [
            Position(
                partition=partition,
                committed=offset,
                log_first=bounds[partition][0],
                log_end=bounds[partition][1],
                book=Book(topic_id=row[0], first=row[1], end=row[2]) if (row := book.get(partition)) else None,
                emitted=emitted.get(partition),
            )
            for partition, offset in sorted(committed.items())
        ]


def last_emitted(bootstrap: str, topic_prefix: str, codec: Codec, topic_id: str, partitions: Iterable[int]) -> Mapping[int, int]:
    """Raw partition -> end of the last range in the books of this incarnation of the raw topic."""
    ends: dict[int, int] = {}

    def end_of(record: TopicRecord, partition: int) -> int | None:
        if record.key != str(partition) or record.value is None:
            return None
        try:
            event: AuditRecorded = codec.decode(Topic.AUDIT, record.value)
        except CorruptData:
            return None
        return event.end_offset if event.epoch == topic_id and event.end_offset > event.first_offset else None

    try:
        with TopicReader(bootstrap, full_name(topic_prefix, Topic.AUDIT)) as reader:
            for partition in partitions:
                found = reader.read_last(1, lambda record, number=partition: end_of(record, number) is not None)  # type: ignore[misc]
                if found:
                    ends[partition] = end_of(found[-1], partition) or 0
    except NotFound:  # the books were never opened
        return {}
    return ends


def refuse_unagreed(findings: Iterable[Finding], agreed: Collection[Found]) -> None:
    """Raise Conflict for what a person has not agreed to, or nobody can."""
    findings = tuple(findings)
    if any(finding.found is Found.BEYOND for finding in findings):
        raise Conflict(
            "a committed offset lies beyond the topic's end; --to-emitted sets them to where the events end that came out",
            reason="beyond_the_end",
        )
    missing = [found for found in needed(findings) if found not in agreed]
    if missing:
        flags = " ".join(f"--{found.value}" for found in missing)
        raise Conflict(f"nothing was changed: adopting this needs {flags}", reason="not_agreed")


def _emitted(position: Position) -> int:
    if position.emitted is None:
        return position.committed
    return min(max(position.emitted, position.log_first), position.log_end)


def _outside(position: Position, topic_id: str) -> bool:
    """Whether the router would refuse, though nothing comes of it: an old incarnation that was never worked on, say."""
    book = position.book
    return book is not None and (book.topic_id != topic_id or not book.first <= position.committed <= book.end)
