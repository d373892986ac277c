"""Publishes numbered batches exactly once, when together with a table that remembers which rows are in which batch.

A batch and its number go into one Kafka transaction, the number as a committed offset of a consumer group that nobody consumes
with. After any doubt the owner asks for the number that is committed: up to it everything is out, beyond it nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from shared.adapters.bounded_call import Overdue, call_bounded
from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.domain.errors import Unavailable

_OVERDUE_SECONDS = 6.0  # beyond the call's own limit, which it does not always keep
_CALL_SECONDS = 4.0  # two calls in a row stay below the session time of the outbox's lease


class PublishFailed(Unavailable):
    """Raised when it is not known that a batch is out. Whether it is, the next `open` tells."""

    code = "publish_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingRecord:
    """One record to write, topic by its full name; a value of None is a deletion."""

    topic: str
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherIdentity:
    """`name` is transactional id and group in one: whoever opens under it last is the only one who can publish."""

    bootstrap: str
    name: str
    number_topic: str  # the number is the committed offset of its partition 0
    transaction_timeout_ms: int = 10_000


class NumberedPublisher:
    """Not for several threads; every call blocks, for seconds at most."""

    def __init__(self, identity: PublisherIdentity) -> None:
        self._identity = identity
        self._producer: Producer | None = None
        self._numbers: Consumer | None = None

    def open(self) -> int:
        """Fence every other publisher of this name, end its transaction, and return the number committed (0: none yet)."""
        self.close()
        try:
            producer = self._producer = Producer(
                {
                    **client_config(self._identity.bootstrap, self._identity.name),
                    "transactional.id": self._identity.name,
                    "transaction.timeout.ms": self._identity.transaction_timeout_ms,
                    "message.timeout.ms": self._identity.transaction_timeout_ms,
                    "linger.ms": 0,
                },
                logger=KAFKA_LOGGER,
            )
            self._numbers = Consumer(
                {
                    **client_config(self._identity.bootstrap, self._identity.name),
                    "group.id": self._identity.name,
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",  # a number of an open transaction is none
                },
                logger=KAFKA_LOGGER,
            )
            producer.init_transactions(_CALL_SECONDS)
            [committed] = self._numbers.committed([self._position(0)], timeout=_CALL_SECONDS)
        except KafkaException as error:
            self.close()
            raise PublishFailed(f"Kafka: {_name(error)}") from error
        if committed.error is not None:
            self.close()
            raise PublishFailed(f"Kafka: {committed.error.name()}")
        return max(committed.offset, 0)

    def publish(self, records: Sequence[OutgoingRecord], number: int) -> None:
        """Write all records and commit `number`, or none of it. Raises PublishFailed; then `open` is to be called."""
        producer, numbers = self._producer, self._numbers
        if producer is None or numbers is None:
            raise PublishFailed("not open")
        try:
            producer.begin_transaction()
            for record in records:
                _produce(producer, record)
            group = numbers.consumer_group_metadata()
            call_bounded(
                lambda: producer.send_offsets_to_transaction([self._position(number)], group, _CALL_SECONDS), _OVERDUE_SECONDS
            )
            producer.commit_transaction(_CALL_SECONDS)
        except Overdue as error:
            self._producer = None  # still in its call; the next `open` fences it
            self.close()
            raise PublishFailed(f"Kafka: {error}") from error
        except KafkaException as error:
            self.close()
            raise PublishFailed(f"Kafka: {_name(error)}") from error

    def close(self) -> None:
        """Let go of the connections; an unfinished transaction is ended by the next `open`, or by its timeout."""
        if self._producer is not None:
            self._producer.purge()
        if self._numbers is not None:
            self._numbers.close()
        self._producer = self._numbers = None

    def _position(self, number: int) -> TopicPartition:
        return TopicPartition(self._identity.number_topic, 0, number)


def _produce(producer: Producer, record: OutgoingRecord) -> None:
    while True:
        try:
            producer.produce(record.topic, key=record.key, value=record.value, headers=list(record.headers))
            break
        except BufferError:
            producer.poll(0.05)
    producer.poll(0)


def _name(error: KafkaException) -> str:
    return str(error.args[0].name())
