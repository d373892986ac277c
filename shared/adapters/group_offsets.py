"""Offsets of a consumer group, read and set from outside of the group.

By a consumer that never joins, not by the administrative client: that one's `list_consumer_group_offsets` ends the whole
process with a segmentation fault when the coordinator has moved or is not there yet (librdkafka 2.16.1:
rd_kafka_handle_OffsetFetch asks a consumer group object that an administrative client does not have).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.adapters.kafka import KAFKA_LOGGER, client_config

T = TypeVar("T")
_PAUSE_SECONDS = 0.1
_SOON = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # a topic just created, not yet known everywhere
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNSTABLE_OFFSET_COMMIT,
        KafkaError._WAIT_COORD,
        KafkaError._TIMED_OUT,
    }
)


def committed_offsets(bootstrap: str, group: str, topic: str, partitions: int, seconds: float) -> dict[int, int]:
    """Partition → committed offset; partitions without one are left out. Waits for an open transaction's end.

    Raises KafkaException.
    """
    asked = [TopicPartition(topic, number) for number in range(partitions)]
    with closing(_consumer(bootstrap, group)) as consumer:
        found = _again(lambda: _checked(consumer.committed(asked, timeout=min(seconds, 5.0))), seconds)
    return {entry.partition: entry.offset for entry in found if entry.offset >= 0}


def commit_offsets(bootstrap: str, group: str, topic: str, offsets: Mapping[int, int], seconds: float) -> None:
    """Set the group's offsets (partition → offset). Raises KafkaException; refused while the group has members."""
    positions = [TopicPartition(topic, partition, offset) for partition, offset in sorted(offsets.items())]
    with closing(_consumer(bootstrap, group)) as consumer:
        _again(lambda: _checked(consumer.commit(offsets=positions, asynchronous=False) or []), seconds)


def _consumer(bootstrap: str, group: str) -> Consumer:
    config = client_config(bootstrap, "channels-admin") | {
        "group.id": group,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",  # makes the offsets asked for the stable ones
    }
    return Consumer(config, logger=KAFKA_LOGGER)


def _checked(found: list[TopicPartition]) -> list[TopicPartition]:
    for entry in found:
        if entry.error is not None:
            raise KafkaException(entry.error)
    return found


def _again(ask: Callable[[], T], seconds: float) -> T:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in _SOON or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
