"""What the edge is made of: the ports to the configuration, to Kafka and to the object store, and its bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from services.ingest.client_address import ClientAddresses
from services.ingest.connector_keys import ConnectorKeys
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock
from shared.adapters.durable_producer import Delivered
from shared.domain.snapshots import ConnectorSnapshot
from shared.runtime.metrics import IngestMetrics


class Connectors(Protocol):
    """What the edge knows of the configuration."""

    @property
    def ready(self) -> bool:
        """True once all snapshots were read."""
        ...

    def connector(self, connector_id: str) -> ConnectorSnapshot | None:
        """The snapshot of one connector."""
        ...


class Log(Protocol):
    """Where raw records go (`DurableProducer`)."""

    def produce(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]], delivered: Delivered) -> None:
        """Write one record; `delivered` is called once Kafka has it, or refuses."""
        ...


class Objects(Protocol):
    """Where large bodies go (`ObjectStore`)."""

    async def put_async(self, key: str, data: bytes) -> None:
        """Store one object."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeParts:
    """What the edge is made of. `topic`: full name of the raw topic."""

    topic: str
    connectors: Connectors
    keys: ConnectorKeys
    codec: Codec
    log: Log
    objects: Objects
    clock: Clock
    metrics: IngestMetrics
    inflight_requests: int
    slow_seconds: float
    addresses: ClientAddresses = field(default_factory=ClientAddresses)
