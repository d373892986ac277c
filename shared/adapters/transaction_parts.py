"""What a transactional worker takes, gives and is called; and the incarnation of its topic."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, TopicCollection
from confluent_kafka.admin import AdminClient

from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.domain.errors import ChannelsError, ConfigError, Unavailable


class Aborted(ChannelsError):
    """Raised when the transaction did not commit; the worker must `rewind` and do the batch again."""

    code = "transaction_aborted"
    retryable = True


class RawMessage(NamedTuple):
    """One consumed record; a null value comes as empty bytes."""

    partition: int
    offset: int
    key: bytes
    value: bytes
    traceparent: str | None


class OutMessage(NamedTuple):
    """One record to write, topic by its full name."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerIdentity:
    """Who this worker is: names the group member and the transactional id, both stable per slot."""

    bootstrap: str
    group: str
    slot: int
    session_timeout_ms: int = 10_000
    transaction_timeout_ms: int = 10_000

    @property
    def name(self) -> str:
        """Client id, static member id and transactional id in one."""
        return f"{self.group}-{self.slot}"


def raw_message(message: Message) -> RawMessage:
    """A consumed record without the client around it."""
    traceparent: str | None = None
    headers: Any = message.headers()
    for name, value in headers or ():
        if name == "traceparent" and value is not None:
            traceparent = value.decode("ascii", "replace")
    partition, offset = message.partition(), message.offset()
    if partition is None or offset is None:
        raise TypeError("a consumed record has a position")
    return RawMessage(partition, offset, message.key() or b"", message.value() or b"", traceparent)


def topic_incarnation(bootstrap: str, topic: str) -> str:
    """The topic's id as a UUID: a re-created topic has another. Raises Unavailable, ConfigError (no such topic)."""
    return incarnation_of(AdminClient(dict(client_config(bootstrap, "topic-incarnation")), logger=KAFKA_LOGGER), topic)


def incarnation_of(admin: AdminClient, topic: str) -> str:
    """The same for who asks often."""
    try:
        description = admin.describe_topics(TopicCollection([topic]), request_timeout=10)[topic].result(15)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise ConfigError(f"topic {topic} does not exist; run `channels topics apply`") from error
        raise Unavailable(f"Kafka: {error.args[0].name()}") from error
    high = description.topic_id.get_most_significant_bits() & (2**64 - 1)
    low = description.topic_id.get_least_significant_bits() & (2**64 - 1)
    return str(uuid.UUID(int=(high << 64) | low))
