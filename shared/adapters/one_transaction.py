"""Writes a few records in one Kafka transaction, for commands: all of them are seen, or none."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaException, Producer

from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.adapters.transaction_parts import OutMessage
from shared.domain.errors import Unavailable

_SECONDS = 15.0


def write_together(bootstrap: str, name: str, messages: Iterable[OutMessage]) -> None:
    """`name`: the transactional id; a second command of this name ends the first one's. Blocks; raises Unavailable."""
    config = client_config(bootstrap, name) | {"transactional.id": name, "transaction.timeout.ms": 30_000}
    producer = Producer(config, logger=KAFKA_LOGGER)
    try:
        producer.init_transactions(_SECONDS)
        producer.begin_transaction()
        for message in messages:
            while True:
                try:
                    producer.produce(message.topic, key=message.key, value=message.value, headers=list(message.headers))
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.commit_transaction(_SECONDS)
    except KafkaException as error:
        raise Unavailable(f"Kafka did not take it: {error.args[0].str()}") from error
