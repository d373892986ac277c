"""The transactional producer of one slot: one transaction per batch, abandoned and rebuilt where its state is not clear.

Whatever ends unclearly is ended by the next producer under the same `transactional.id`, which fences the one before it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from shared.adapters.bounded_call import Overdue, call_bounded
from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.adapters.transaction_parts import Aborted, OutMessage, WorkerIdentity
from shared.domain.errors import InvalidInput, Unavailable

_log = structlog.get_logger()
_OVERDUE_SECONDS = 15.0  # beyond the call's own limit of 10 s, which it does not always keep
_OFFSETS_SECONDS = 6.0  # the same for the call that is known to hang when the broker has just come back


class TransactionalProducer:
    """Writes batches, each in a transaction with the offsets it moves. Not for several threads; all calls may block."""

    def __init__(self, identity: WorkerIdentity) -> None:
        self._identity = identity
        self._producer: Producer | None = None
        self._built_at = float("-inf")

    def restore(self) -> None:
        """Have a producer: a new one if the last was lost. Raises Unavailable."""
        if self._producer is None:
            self._build()

    def renew_if_older(self, than: float) -> None:
        """A producer built before this time (monotonic) is replaced. Raises Unavailable.

        One that knew Kafka before it was away would look for the group's coordinator in vain until the limit.
        """
        if than > self._built_at:
            self._producer = None
            self._build()

    def commit(self, messages: Sequence[OutMessage], positions: list[TopicPartition], group: Any) -> None:
        """One transaction. `group`: the consumer's metadata, by which the broker refuses a worker that has lost its part.

        Raises Aborted (nothing of it is visible) and InvalidInput (the same, and again would not help: too large a message).
        """
        producer = self._producer
        if producer is None:
            raise Aborted("the producer was lost")
        try:
            producer.begin_transaction()
            for message in messages:
                _produce(producer, message)
            call_bounded(lambda: producer.send_offsets_to_transaction(positions, group, 5), _OFFSETS_SECONDS)
            _commit(producer)
        except Overdue as error:
            self._producer = None  # the next one, under the same id, fences it
            _log.error("producer_abandoned", cause=str(error))
            raise Aborted(str(error)) from error
        except KafkaException as error:
            self._recover(producer, error.args[0])
            if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise InvalidInput("an event is larger than Kafka takes") from error
            raise Aborted(error.args[0].name()) from error

    def close(self) -> None:
        """Let it go; what was not committed is never seen."""
        self._producer = None

    def _recover(self, producer: Producer, error: KafkaError) -> None:
        """Abort where that is enough, else drop the producer."""
        _log.warning("transaction_failed", error=error.name(), fatal=error.fatal(), abortable=error.txn_requires_abort())
        if not error.fatal():
            try:
                call_bounded(lambda: producer.abort_transaction(10), _OVERDUE_SECONDS)
                return
            except KafkaException as failure:
                _log.warning("abort_failed", error=failure.args[0].name())
            except Overdue as failure:
                _log.error("producer_abandoned", cause=str(failure))
        self._producer = None

    def _build(self) -> None:
        config = client_config(self._identity.bootstrap, self._identity.name) | {
            "transactional.id": self._identity.name,
            "transaction.timeout.ms": self._identity.transaction_timeout_ms,
            "message.timeout.ms": self._identity.transaction_timeout_ms,
            "linger.ms": 5,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 100_000,
        }
        producer = Producer(config, logger=KAFKA_LOGGER)
        began = time.monotonic()
        try:
            producer.init_transactions(15)
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].name()}") from error
        self._producer, self._built_at = producer, began


def _produce(producer: Producer, message: OutMessage) -> None:
    while True:
        try:
            producer.produce(message.topic, key=message.key, value=message.value, headers=list(message.headers))
            return
        except BufferError:
            producer.poll(0.05)


def _commit(producer: Producer) -> None:
    """Commit; a retriable answer is tried again, as librdkafka asks for it."""
    for attempt in range(5):
        try:
            call_bounded(lambda: producer.commit_transaction(10), _OVERDUE_SECONDS)
            return
        except KafkaException as error:
            if not error.args[0].retriable() or attempt == 4:
                raise
