"""Events as records of Kafka: topic by its full name, key, Avro value, CloudEvents headers."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

from shared.adapters.avro import Codec
from shared.adapters.kafka import fixed_event_headers, full_name, with_event
from shared.adapters.kafka_transactions import OutMessage
from shared.domain.outcomes import Publish
from shared.domain.topics import Topic

AT_ONCE = 64


def written_as_decided(publishes: Iterator[Publish], codec: Codec, topic_prefix: str) -> list[OutMessage]:
    """The records of events that are being decided. Raises as `written`, and what deciding raises.

    A few are decided, then written: of a whole batch the first would have left the processor's cache long ago.
    """
    messages: list[OutMessage] = []
    while some := list(islice(publishes, AT_ONCE)):
        messages += [written(publish, codec, topic_prefix) for publish in some]
    return messages


def written(publish: Publish, codec: Codec, topic_prefix: str) -> OutMessage:
    """The record of one event. Raises InvalidInput for an event that does not fit its schema."""
    topic, fixed = _fixed(topic_prefix, publish.topic, publish.connector_id)
    headers = with_event(fixed, event_id=publish.event_id, time_ms=publish.time_ms, traceparent=publish.traceparent)
    headers.append(("ce_subject", publish.subject.encode()))
    return OutMessage(
        topic=topic,
        key=publish.key.encode(),
        value=codec.encode(publish.topic, publish.event),
        headers=headers,
    )


@lru_cache(maxsize=4_096)
def _fixed(topic_prefix: str, topic: Topic, connector_id: str) -> tuple[str, tuple[tuple[str, bytes], ...]]:
    """The topic's full name, and the headers that all events of one connector in it share."""
    source = f"/channels/connectors/{connector_id}" if connector_id else "/channels/router"
    headers = fixed_event_headers(event_type=topic.value, source=source, subject="")
    return full_name(topic_prefix, topic), tuple(header for header in headers if header[0] != "ce_subject")
