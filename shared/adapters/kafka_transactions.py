"""Consume, then produce and commit in one Kafka transaction: exactly once for a `read_committed` reader.

Fencing: the group's metadata travels with every commit (KIP-447), so a worker whose partitions have moved on is refused
by the broker; the member is static (`group.instance.id`), so a killed worker's slot is back within a second of its
restart; a producer whose transaction failed in an unclear way is rebuilt, which ends the old transaction
(`transactional_producer`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from shared.adapters.bounded_call import Overdue, call_bounded
from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.adapters.transaction_parts import Aborted, OutMessage, RawMessage, WorkerIdentity, raw_message, topic_incarnation
from shared.adapters.transactional_producer import TransactionalProducer
from shared.domain.errors import ConfigError, Fenced, Unavailable

__all__ = ["Aborted", "OutMessage", "RawMessage", "TransactionalWorker", "WorkerIdentity"]

_log = structlog.get_logger()
_CHUNK = 256
_DOUBT_SECONDS = 120.0  # a fencing so soon after Kafka was away may be our own doing; but only once
_CLOSE_SECONDS = 5.0
_GONE = (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL)


class TransactionalWorker:
    """One consumer of one topic with its transactional producer. Not for several threads; all calls may block."""

    def __init__(self, identity: WorkerIdentity, topic: str) -> None:
        self._identity = identity
        self._topic = topic
        self._consumer: Consumer | None = None
        self._writer = TransactionalProducer(identity)
        self._assigned: set[int] = set()
        self._new: set[int] = set()
        self._joined = False
        self._away_at = float("-inf")  # when Kafka was last out of reach
        self._rejoined_at = float("-inf")

    @property
    def assigned(self) -> frozenset[int]:
        """Partitions that are ours now."""
        return frozenset(self._assigned)

    @property
    def joined(self) -> bool:
        """Whether the group has given this member its part, even if that is nothing."""
        return self._joined

    def take_new(self) -> frozenset[int]:
        """Partitions assigned since the last call; check their progress before working on them.

        The client keeps a pause beyond the loss of a partition: one that was paused, went elsewhere and came back would
        never be fetched again, without any error.
        """
        new = frozenset(self._new & self._assigned)
        self._new.clear()
        if new:
            self._need_consumer().resume([TopicPartition(self._topic, partition) for partition in sorted(new)])
        return new

    def start(self) -> None:
        """Join the group and fence an earlier process of this slot. Raises Unavailable."""
        self._writer.restore()
        self._join()

    def _join(self) -> None:
        config: dict[str, Any] = client_config(self._identity.bootstrap, self._identity.name) | {
            "group.id": self._identity.group,
            "group.instance.id": self._identity.name,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": self._identity.session_timeout_ms,
            "heartbeat.interval.ms": max(200, self._identity.session_timeout_ms // 5),
            "queued.max.messages.kbytes": 65_536,
            "fetch.wait.max.ms": 50,
            "error_cb": self._on_error,
        }
        self._consumer = Consumer(config, logger=KAFKA_LOGGER)
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def topic_id(self) -> str:
        """The topic's incarnation. Raises Unavailable, ConfigError."""
        return topic_incarnation(self._identity.bootstrap, self._topic)

    def consume(self, limit: int, limit_bytes: int, seconds: float) -> list[RawMessage]:
        """What has arrived, of the partitions that are ours: waits up to `seconds` for the first record, for no other.

        Stops at `limit` records or beyond `limit_bytes`. Raises Fenced, ConfigError; passing faults are logged.
        """
        consumer = self._need_consumer()
        messages: list[RawMessage] = []
        size = 0
        # A timed consume of many would wait for all of them; so: one with patience, then what lies ready.
        fetched = consumer.consume(1, seconds)
        while fetched:
            for message in fetched:
                error = message.error()
                if error is not None:
                    self._judge(error)
                    if self._consumer is not consumer:  # joined anew: whatever came before is fetched again
                        return []
                elif message.partition() in self._assigned:
                    raw = raw_message(message)
                    size += len(raw.value)
                    messages.append(raw)
            if len(messages) >= limit or size > limit_bytes:
                break
            fetched = consumer.consume(min(_CHUNK, limit - len(messages)), 0)
        return messages

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """partition -> committed offset. Raises Unavailable; ConfigError where nothing was ever committed."""
        wanted = [TopicPartition(self._topic, partition) for partition in sorted(partitions)]
        if not wanted:
            return {}
        try:
            found = self._need_consumer().committed(wanted, timeout=10)
        except KafkaException as error:
            self._judge(error.args[0])
            raise Unavailable(f"Kafka: {error.args[0].name()}") from error
        offsets = {}
        for entry in found:
            if entry.error is not None:
                raise Unavailable(f"Kafka: {entry.error.name()}")
            if entry.offset == OFFSET_INVALID:
                raise ConfigError(
                    f"group {self._identity.group} has no offset for {self._topic}/{entry.partition}; run `channels topics apply`"
                )
            offsets[entry.partition] = entry.offset
        return offsets

    def commit(self, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        """Write `messages` and move the group to `offsets` in one transaction.

        Raises Aborted (nothing of it is visible: rewind and do it again), Unavailable (the same), InvalidInput (the same, but
        again would not help: a message is too large).
        """
        self._writer.renew_if_older(self._away_at)
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in sorted(offsets.items())]
        self._writer.commit(messages, positions, self._need_consumer().consumer_group_metadata())

    def rewind(self) -> dict[int, int]:
        """Go back to the committed offsets of every partition that is ours, with a working producer; returns them.

        Raises Unavailable.
        """
        self._writer.restore()
        offsets = self.committed(self._assigned)
        self.seek(offsets)
        return offsets

    def seek(self, offsets: Mapping[int, int]) -> None:
        """Fetch next from these offsets. Raises Unavailable while a partition's fetcher is not there yet."""
        for partition, offset in offsets.items():
            try:
                self._need_consumer().seek(TopicPartition(self._topic, partition, offset))
            except KafkaException as error:
                raise Unavailable(f"Kafka: {error.args[0].name()}") from error

    def pause(self) -> None:
        """Stop fetching but stay in the group: `consume` goes on being called and returns nothing."""
        partitions = [TopicPartition(self._topic, partition) for partition in self._assigned]
        if partitions:
            self._need_consumer().pause(partitions)

    def resume(self) -> None:
        """Fetch again."""
        partitions = [TopicPartition(self._topic, partition) for partition in self._assigned]
        if partitions:
            self._need_consumer().resume(partitions)

    def close(self) -> None:
        """Leave. A static member keeps its partitions until the session ends, so that a restart is quick."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None
        self._writer.close()

    def _judge(self, error: KafkaError) -> None:
        code = error.code()
        if code in _GONE or (error.fatal() and code != KafkaError._MAX_POLL_EXCEEDED):
            if self._may_be_own_doing():
                self._rejoin(error)
                return
            raise Fenced(f"{self._identity.name}: {error.name()}: another process has this slot")
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise ConfigError(
                f"{self._topic}: the committed offset is not in the topic any more ({error.str()}); see `channels router adopt`"
            )
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID):
            _log.warning("topic_missing", topic=self._topic, mend="channels topics apply")
        else:
            _log.warning("consume_error", error=error.name())

    def _may_be_own_doing(self) -> bool:
        """A static member whose session ended while Kafka was away can fence itself with the requests of its two lives.

        https://github.com/confluentinc/librdkafka/issues/3437. A real twin in this slot fences us again, and then we go.
        """
        now = time.monotonic()
        return now - self._away_at < _DOUBT_SECONDS and now - self._rejoined_at > _DOUBT_SECONDS

    def _rejoin(self, error: KafkaError) -> None:
        """A new member in the old one's place, as a restart of the process would make it."""
        _log.warning("rejoining", cause=error.str())
        self._rejoined_at = time.monotonic()
        old, self._consumer = self._consumer, None
        if old is not None:
            try:
                call_bounded(old.close, _CLOSE_SECONDS)
            except (Overdue, KafkaException, RuntimeError) as failure:
                _log.warning("consumer_abandoned", cause=str(failure))
        self._assigned.clear()
        self._new.clear()
        self._joined = False
        self._join()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            self._away_at = time.monotonic()

    def _on_assign(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        added = {entry.partition for entry in partitions}
        self._assigned |= added
        self._new |= added
        self._joined = True
        _log.info("partitions_assigned", partitions=sorted(self._assigned))

    def _on_revoke(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._assigned -= {entry.partition for entry in partitions}
        _log.info("partitions_revoked", partitions=sorted(self._assigned))

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._joined = False  # Kafka has been away for a whole session, or another member has our place
        self._on_revoke(consumer, partitions)

    def _need_consumer(self) -> Consumer:
        if self._consumer is None:
            raise Unavailable("the worker was not started")
        return self._consumer
