"""The router writes its events without a transaction, and commits its offsets afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from confluent_kafka import Producer, TopicPartition

from shared.adapters.kafka import client_config
from shared.adapters.kafka_transactions import OutMessage, TransactionalWorker
from tests.chaos.planted import moments
from tests.chaos.planted.start import start


def plant() -> None:
    """Produce, flush, commit: what most consumers do."""
    producers: list[Producer] = []

    def plain(self: TransactionalWorker, messages: Sequence[OutMessage], offsets: Mapping[int, int]) -> None:
        if not producers:
            producers.append(Producer(client_config(self._identity.bootstrap, "at-least-once")))
        for message in messages:
            producers[0].produce(message.topic, key=message.key, value=message.value, headers=list(message.headers))
        producers[0].flush(10)
        moments.reach("between")
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        self._need_consumer().commit(offsets=positions, asynchronous=False)

    TransactionalWorker.commit = plain  # type: ignore[method-assign]


if __name__ == "__main__":
    start("router", plant)
