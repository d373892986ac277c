"""Reads topics from offsets that the caller keeps: no consumer group, `read_committed`, tombstones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.domain.errors import Unavailable

_CALL_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRecord:
    """One record; `value` None is a deletion. A key that is no text is None."""

    topic: str
    partition: int
    offset: int
    key: str | None
    value: bytes | None


class OffsetReader:
    """One consumer. An offset that is no longer there begins at the oldest one that is: right for compacted topics only."""

    def __init__(self, bootstrap: str, name: str) -> None:
        config: dict[str, str | int | bool] = {
            **client_config(bootstrap, name),
            "group.id": name,  # demanded by the library; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
        self._consumer = Consumer(config, logger=KAFKA_LOGGER)

    def partitions(self, topic: str) -> Sequence[int]:
        """Numbers of the topic's partitions. Blocks; raises Unavailable, also for a topic that is not there yet."""
        try:
            found = self._consumer.list_topics(topic, timeout=_CALL_SECONDS).topics[topic]
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error.args[0].name()}") from error
        if found.error is not None or not found.partitions:
            raise Unavailable(f"topic {topic} does not exist yet; run `channels topics apply`")
        return sorted(found.partitions)

    def read_from(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """(topic, partition) -> offset of the next record to read."""
        self._consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()])

    def read(self, limit: int, seconds: float) -> list[ReadRecord]:
        """At most `limit` records of what arrives within `seconds`. Raises Unavailable for a fault that does not mend itself."""
        records = []
        for message in self._consumer.consume(limit, seconds):
            error = message.error()
            if error is None:
                key = message.key()
                value = message.value()
                records.append(
                    ReadRecord(
                        topic=message.topic() or "",
                        partition=message.partition() or 0,
                        offset=message.offset() or 0,
                        key=_text(key if isinstance(key, bytes) else None),
                        value=value.encode() if isinstance(value, str) else value,
                    )
                )
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Unavailable(f"Kafka: {error.name()}")
        return records

    def close(self) -> None:
        """Release the connection."""
        self._consumer.close()


def _text(key: bytes | None) -> str | None:
    try:
        return None if key is None else key.decode()
    except UnicodeDecodeError:
        return None
