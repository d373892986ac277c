"""When the first record at or behind an offset was written: how long the oldest of a backlog has waited."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing

from confluent_kafka import Consumer, TopicPartition

from shared.adapters.kafka import KAFKA_LOGGER, client_config


def first_record_times(bootstrap: str, topic: str, offsets: Mapping[int, int], seconds: float) -> dict[int, int]:
    """Partition -> the topic's time (milliseconds since 1970) of the first record from its offset on, where one comes in time.

    Joins no group. Raises KafkaException.
    """
    found: dict[int, int] = {}
    if not offsets:
        return found
    config: dict[str, str | int | bool] = {
        **client_config(bootstrap, "channels-oldest"),
        "group.id": "channels-oldest",  # demanded by the library; nothing is ever committed to it
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 20,
        "queued.max.messages.kbytes": 1024,
    }
    with closing(Consumer(config, logger=KAFKA_LOGGER)) as consumer:
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in offsets.items()])
        deadline = time.monotonic() + seconds
        while len(found) < len(offsets) and time.monotonic() < deadline:
            for message in consumer.consume(1, 0.1):
                partition = message.partition() or 0
                if message.error() is None and partition not in found:
                    found[partition] = message.timestamp()[1]
                    consumer.pause([TopicPartition(topic, partition)])
    return found
