"""Events as records of Kafka: topic by its full name, key, Avro value, CloudEvents headers."""

from __future__ import annotations

from shared.adapters.avro import Codec
from shared.adapters.kafka import event_headers, full_name
from shared.adapters.kafka_transactions import OutMessage
from shared.domain.outcomes import Publish


def written(publish: Publish, codec: Codec, topic_prefix: str) -> OutMessage:
    """The record of one event. Raises InvalidInput for an event that does not fit its schema."""
    return OutMessage(
        topic=full_name(topic_prefix, publish.topic),
        key=publish.key.encode(),
        value=codec.encode(publish.topic, publish.event),
        headers=event_headers(
            event_id=publish.event_id,
            event_type=publish.topic.value,
            source=f"/channels/connectors/{publish.connector_id}" if publish.connector_id else "/channels/router",
            subject=publish.subject,
            time_ms=publish.time_ms,
            traceparent=publish.traceparent,
        ),
    )
