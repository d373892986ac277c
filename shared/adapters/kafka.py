"""What every Kafka client here shares: connection settings, topic names, CloudEvents headers."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from shared.domain.topics import Topic

KAFKA_LOGGER = logging.getLogger("channels.kafka")
"""Hand it to a client as `logger=KAFKA_LOGGER`, else librdkafka writes its complaints straight to stderr. Services
send it on to their log (`shared.runtime.logging`); a command stays silent, its error message says what is needed."""
KAFKA_LOGGER.addHandler(logging.NullHandler())

_Headers: TypeAlias = Iterable[tuple[str, str | bytes | None]] | Mapping[str, str | bytes | None] | None
_EPOCH = datetime(1970, 1, 1)  # naive, so that isoformat leaves the place for the Z


def client_config(bootstrap: str, client_id: str) -> dict[str, str | int | bool]:
    """Settings for any confluent-kafka client (producer, consumer, admin); add the client's own to the copy.

    Reconnects within a second of the broker's return: services must notice it within two (issue 3, item 7).
    """
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 1000,
        "retry.backoff.max.ms": 1000,
        "socket.keepalive.enable": True,
        "log.connection.close": False,  # idle connections closing are no news
        "enable.metrics.push": False,  # our metrics are on /metrics; the broker needs no copy
    }


def full_name(prefix: str, topic: Topic) -> str:
    """The topic's name on this cluster; several installations share one by their prefixes."""
    return f"{prefix}{topic.value}"


def event_headers(
    *, event_id: str, event_type: str, source: str, subject: str, time_ms: int, traceparent: str | None = None
) -> list[tuple[str, bytes]]:
    """CloudEvents 1.0 attributes as `ce_*` headers, plus the W3C trace context if there is one.

    https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md (binary mode).
    """
    fixed = fixed_event_headers(event_type=event_type, source=source, subject=subject)
    return with_event(fixed, event_id=event_id, time_ms=time_ms, traceparent=traceparent)


def fixed_event_headers(*, event_type: str, source: str, subject: str) -> tuple[tuple[str, bytes], ...]:
    """The part of `event_headers` that all events of one kind about one subject share."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", event_type.encode()),
        ("ce_source", source.encode()),
        ("ce_subject", subject.encode()),
    )


def with_event(
    fixed: Iterable[tuple[str, bytes]], *, event_id: str, time_ms: int, traceparent: str | None
) -> list[tuple[str, bytes]]:
    """`fixed` completed with what is this one event's own."""
    headers = [*fixed, ("ce_id", event_id.encode()), ("ce_time", _rfc3339(time_ms))]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return headers


def read_headers(headers: _Headers) -> dict[str, str]:
    """Headers of a consumed message as text. Of a repeated name the first wins; bytes that are no UTF-8 are replaced."""
    found: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
        if name not in found and value is not None:
            found[name] = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return found


@lru_cache(maxsize=1_024)  # events of one batch, and requests of one millisecond, share their times
def _rfc3339(time_ms: int) -> bytes:
    return ((_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds") + "Z").encode()
