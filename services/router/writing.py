"""Events as records of Kafka: topic by its full name, key, Avro value, CloudEvents headers."""

from __future__ import annotations

from functools import lru_cache

from shared.adapters.avro import Codec
from shared.adapters.kafka import fixed_event_headers, full_name, with_event
from shared.adapters.kafka_transactions import OutMessage
from shared.domain.outcomes import Publish
from shared.domain.topics import Topic


def written(publish: Publish, codec: Codec, topic_prefix: str) -> OutMessage:
    """The record of one event. Raises InvalidInput for an event that does not fit its schema."""
    topic, fixed = _fixed(topic_prefix, publish.topic, publish.connector_id)
    own = with_event(fixed, event_id=publish.event_id, time_ms=publish.time_ms, traceparent=publish.traceparent)
    return OutMessage(
        topic=topic,
        key=publish.key.encode(),
        value=codec.encode(publish.topic, publish.event),
        headers=(*own, ("ce_subject", publish.subject.encode())),
    )


@lru_cache(maxsize=4_096)
def _fixed(topic_prefix: str, topic: Topic, connector_id: str) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The topic's full name, and the headers that all events of one connector in it share."""
    source = f"/channels/connectors/{connector_id}" if connector_id else "/channels/router"
    headers = fixed_event_headers(event_type=topic.value, source=source, subject="")
    return full_name(topic_prefix, topic), tuple(header for header in headers if header[0] != "ce_subject")
