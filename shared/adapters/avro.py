"""The codec: records of `shared.domain.records` and `shared.domain.snapshots` to the bytes of a topic and back.

Two framings (design section 4). Without a registry: Avro single-object encoding, `C3 01` + fingerprint of the writer's
schema (https://avro.apache.org/docs/1.12.0/specification/#single-object-encoding). With one: a zero byte + the id that
the registry gave (https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/#wire-format).
A decoder takes both, by the first bytes, and resolves older writers' schemas to the one of today.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, Final

import msgspec
from fastavro import schemaless_reader

from shared.adapters.avro_writer import Write, compile_writer
from shared.adapters.schema_files import AvroSchema, current_schemas, parse_text, released_schemas
from shared.adapters.schema_registry import SchemaRegistry
from shared.domain.errors import ChannelsError, ConfigError, CorruptData, InvalidInput, NotFound
from shared.domain.records import (
    AuditRecorded,
    ConnectorStatusChanged,
    ContactUpdated,
    DeadLetter,
    DeliveryUpdated,
    HealthChecked,
    IntakeCompleted,
    IntakeRequested,
    MessageReceived,
    RouteStatusChanged,
    SyncRequired,
    TokenExpiring,
    WebhookReceived,
)
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot, FlowSnapshot, OrgUnitSnapshot
from shared.domain.topics import Topic

RECORD_TYPES: Final[dict[Topic, type]] = {
    Topic.WEBHOOK_RECEIVED: WebhookReceived,
    Topic.WEBHOOK_RECEIVED_DLQ: DeadLetter,
    Topic.MESSAGE_RECEIVED: MessageReceived,
    Topic.DELIVERY_UPDATED: DeliveryUpdated,
    Topic.CONTACT_UPDATED: ContactUpdated,
    Topic.INTAKE_REQUESTED: IntakeRequested,
    Topic.INTAKE_COMPLETED: IntakeCompleted,
    Topic.INTAKE_COMPLETED_DLQ: DeadLetter,
    Topic.AUDIT: AuditRecorded,
    Topic.SYNC_REQUIRED: SyncRequired,
    Topic.CONNECTOR_STATUS_CHANGED: ConnectorStatusChanged,
    Topic.TOKEN_EXPIRING: TokenExpiring,
    Topic.HEALTH_CHECKED: HealthChecked,
    Topic.ROUTE_STATUS_CHANGED: RouteStatusChanged,
    Topic.CONNECTOR_SNAPSHOT: ConnectorSnapshot,
    Topic.ACCOUNT_SNAPSHOT: AccountSnapshot,
    Topic.ORG_UNIT_SNAPSHOT: OrgUnitSnapshot,
    Topic.FLOW_SNAPSHOT: FlowSnapshot,
}

_SINGLE_OBJECT = b"\xc3\x01"
_SINGLE_OBJECT_HEADER_BYTES = 10
_CONFLUENT = b"\x00"
_CONFLUENT_HEADER_BYTES = 5


class Codec:
    """Encodes and decodes the records of all topics. Safe to share between threads.

    `registry_url`: None writes single-object framing and never opens a socket; a URL writes Confluent framing.
    """

    def __init__(self, registry_url: str | None = None) -> None:
        self._registry = SchemaRegistry(registry_url) if registry_url else None
        schemas = current_schemas()
        self._current: dict[Topic, AvroSchema] = {topic: schemas[kind.__name__] for topic, kind in RECORD_TYPES.items()}
        self._writers = {
            topic: _known_writers(self._current[topic], [version.get(kind.__name__) for version in released_schemas().values()])
            for topic, kind in RECORD_TYPES.items()
        }
        self._encoders: dict[Topic, tuple[type, bytes, Write]] = {}  # made when they are first needed
        self._headers: dict[Topic, bytes] = {}
        self._registered: dict[tuple[Topic, int], Any] = {}

    def prepare(self, topics: Iterable[Topic]) -> None:
        """Register the schemas of these topics now, so that no later `encode` blocks. Raises as `encode` does."""
        for topic in topics:
            self.framing(topic)

    def framing(self, topic: Topic) -> bytes:
        """What stands before every record of this topic. Blocks and raises as `encode` does, the first time."""
        return self._headers.get(topic) or self._header(topic)

    def single_object_framing(self, topic: Topic) -> bytes:
        """What stands before a record of today's schema that was written without a registry; asks nobody."""
        return _SINGLE_OBJECT + self._current[topic].fingerprint

    def encode(self, topic: Topic, value: object) -> bytes:
        """The record as the topic's bytes.

        Raises InvalidInput for a value that is not the topic's record. With a registry, the first call per topic blocks
        for one HTTP exchange and raises Unavailable or ConfigError.
        """
        kind, framing, write = self._encoders.get(topic) or self._encoder(topic)
        if type(value) is not kind:
            raise InvalidInput(f"{topic.value} carries {kind.__name__}, not {type(value).__name__}")
        parts = [framing]
        try:
            write(parts, value)
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            # without the cause: its text may quote the value, which may be what somebody wrote to us
            raise InvalidInput(f"a {type(value).__name__} does not fit its schema ({type(error).__name__})") from None
        return b"".join(parts)

    def decode(self, topic: Topic, data: bytes) -> Any:
        """The record in the bytes, as the topic's dataclass.

        Raises CorruptData for anything that is not exactly one record of this topic, written under a schema that is
        known here. With a registry, the first meeting with a schema id blocks for one HTTP exchange and raises
        Unavailable or ConfigError.
        """
        reader = self._current[topic]
        if data[:2] == _SINGLE_OBJECT:
            start = _SINGLE_OBJECT_HEADER_BYTES
            try:
                writer = self._writers[topic][data[2:start]]
            except KeyError:
                raise CorruptData(f"{topic.value}: no known schema has the fingerprint {data[2:start].hex()}") from None
        elif data[:1] == _CONFLUENT and len(data) >= _CONFLUENT_HEADER_BYTES:
            start = _CONFLUENT_HEADER_BYTES
            writer = self._writer_by_id(topic, int.from_bytes(data[1:start], "big"))
        else:
            raise CorruptData(f"{topic.value}: {len(data)} bytes without an Avro header")
        stream = BytesIO(data)
        stream.seek(start)
        try:
            fields = schemaless_reader(stream, writer, None if writer is reader.parsed else reader.parsed)
            value: Any = msgspec.convert(fields, RECORD_TYPES[topic])
        except Exception as error:  # fastavro lets through whatever the garbage provoked
            raise CorruptData(f"{topic.value}: the bytes are not a {reader.name} ({type(error).__name__})") from error
        if stream.tell() != len(data):
            raise CorruptData(f"{topic.value}: {len(data) - stream.tell()} bytes follow the {reader.name}")
        return value

    def _encoder(self, topic: Topic) -> tuple[type, bytes, Write]:
        """What a topic carries, what stands before each record, and how it is written."""
        made = RECORD_TYPES[topic], self.framing(topic), compile_writer(self._current[topic].parsed)
        self._encoders[topic] = made
        return made

    def _header(self, topic: Topic) -> bytes:
        schema = self._current[topic]
        if self._registry is None:
            header = self.single_object_framing(topic)
        else:
            schema_id = self._registry.register(f"{topic.value}-value", schema.text)
            header = _CONFLUENT + schema_id.to_bytes(4, "big")
            self._registered[(topic, schema_id)] = schema.parsed
        self._headers[topic] = header
        return header

    def _writer_by_id(self, topic: Topic, schema_id: int) -> Any:
        known = self._registered.get((topic, schema_id))
        if known is not None:
            return known
        if self._registry is None:
            raise CorruptData(
                f"{topic.value}: registry framing (schema {schema_id}), but CHANNELS_SCHEMA_REGISTRY_URL is not set"
            )
        try:
            schema = parse_text(self._registry.schema_text(schema_id))
        except NotFound as error:
            raise CorruptData(f"{topic.value}: the registry does not know schema {schema_id}") from error
        except (ChannelsError, ConfigError):
            raise
        except Exception as error:
            raise CorruptData(f"{topic.value}: schema {schema_id} of the registry is not an Avro record") from error
        current = self._current[topic]
        writer = current.parsed if schema.fingerprint == current.fingerprint else schema.parsed
        self._registered[(topic, schema_id)] = writer
        return writer


def _known_writers(current: AvroSchema, released: Iterable[AvroSchema | None]) -> dict[bytes, Any]:
    """Fingerprint → parsed schema of every writer whose records may still lie in the topic; today's schema wins."""
    writers = {schema.fingerprint: schema.parsed for schema in released if schema is not None}
    writers[current.fingerprint] = current.parsed
    return writers
