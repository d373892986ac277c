"""Start one ingest process: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

import asyncio
import gc
import resource
from contextlib import suppress

import structlog
import uvloop
from prometheus_client import CollectorRegistry

from services.ingest.app import Edge
from services.ingest.connector_keys import ConnectorKeys
from services.ingest.listener import open_sockets
from services.ingest.parts import EdgeParts
from services.ingest.server import Server
from services.ingest.settings import IngestSettings
from shared.adapters.avro import Codec
from shared.adapters.clock import SystemClock
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.kafka import client_config, full_name
from shared.adapters.object_store import ObjectStore
from shared.adapters.snapshots import Directory, SnapshotReader
from shared.domain.enums import KeyPurpose
from shared.domain.snapshots import ConnectorSnapshot
from shared.domain.topics import Topic
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import IngestMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load

_FLUSH_SECONDS = 6.0
_WATCHDOG_SECONDS = 10.0  # beyond the drain
_FIRST_SNAPSHOTS_SECONDS = 10.0  # then we listen all the same, and say 503
_POLL_SECONDS = 0.02


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 for a wrong setting."""
    settings = load(IngestSettings)
    configure_logging("ingest", settings)
    uvloop.run(_serve(settings))


class _Connectors:
    """The snapshots, as the edge wants to see them."""

    def __init__(self, reader: SnapshotReader) -> None:
        self._reader = reader
        self.connector = reader.directory.connector

    @property
    def ready(self) -> bool:
        return self._reader.ready


async def _serve(settings: IngestSettings) -> None:
    loop, log, registry = asyncio.get_running_loop(), structlog.get_logger(), CollectorRegistry()
    stop = asyncio.Event()

    def stop_soon() -> None:
        loop.call_soon_threadsafe(stop.set)

    on_signals(stop_soon, settings.ingest_drain_seconds + _FLUSH_SECONDS + _WATCHDOG_SECONDS)
    metrics, topic = IngestMetrics(registry), full_name(settings.topic_prefix, Topic.WEBHOOK_RECEIVED)
    sockets = open_sockets(settings.ingest_host, settings.ingest_port)
    codec = Codec(settings.schema_registry_url)
    codec.prepare([Topic.WEBHOOK_RECEIVED, Topic.SYNC_REQUIRED])
    keys = ConnectorKeys(open_vault(settings, {KeyPurpose.INGEST}, registry), loop.time)

    def changed(connector_id: str, snapshot: ConnectorSnapshot | None) -> None:
        if snapshot is None:
            loop.call_soon_threadsafe(_forget, keys, reader.directory, connector_id)

    reader = SnapshotReader(settings.kafka_bootstrap, settings.topic_prefix, codec, changed)
    producer = DurableProducer(
        client_config(settings.kafka_bootstrap, "ingest"),
        watched_topic=topic,
        delivery_seconds=settings.ingest_delivery_seconds,
        queued_records=2 * settings.ingest_inflight_requests,
    )
    edge = Edge(
        EdgeParts(
            topic=topic,
            connectors=_Connectors(reader),
            keys=keys,
            codec=codec,
            log=producer,
            objects=ObjectStore(settings.object_store_url),
            clock=SystemClock(),
            metrics=metrics,
            inflight_requests=settings.ingest_inflight_requests,
            slow_seconds=settings.ingest_slow_seconds,
            addresses=settings.addresses(),
        )
    )

    def failed(error: Exception) -> None:
        log.error("request_failed", exc_info=error)

    server = Server(edge, settings.limits(_raise_open_files()), loop.time, failed)

    def readiness() -> tuple[bool, str]:
        if server.draining:
            return False, "draining"
        if not server.listening:
            return False, "not listening yet"
        return (producer.ready, producer.reason) if reader.ready else (False, "the snapshots are not read yet")

    metrics.connections.set_function(lambda: len(server.connections))
    metrics.inflight.set_function(lambda: edge.inflight)
    metrics.ready.set_function(lambda: readiness()[0])
    operations = OperationsServer(settings.ingest_operations_host, settings.ingest_operations_port, registry, readiness)
    operations.start()
    reader.start()
    producer.start()
    await _first_snapshots(reader, stop)
    await server.listen(sockets)
    _calm_collector()
    log.info("listening", host=settings.ingest_host, port=settings.ingest_port, operations_port=operations.port)
    try:
        await stop.wait()
        unanswered = await server.drain(settings.ingest_drain_grace_seconds, settings.ingest_drain_seconds)
        await edge.close()
        log.info("stopped", unanswered=unanswered, undelivered=await producer.stop(_FLUSH_SECONDS))
    finally:
        keys.close()
        await asyncio.to_thread(reader.stop)
        operations.stop()


async def _first_snapshots(reader: SnapshotReader, stop: asyncio.Event) -> None:
    """Processes that share the port know the connectors already: until we do, requests are better off with them."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _FIRST_SNAPSHOTS_SECONDS
    while not reader.ready and not stop.is_set() and loop.time() < until:  # noqa: ASYNC110 - set by a thread
        await asyncio.sleep(_POLL_SECONDS)


def _forget(keys: ConnectorKeys, directory: Directory, connector_id: str) -> None:
    """A deleted connector's secrets leave the memory, and its tenant's keys with its last connector."""
    tenant_id = keys.tenant_of(connector_id)
    last = all(connector.tenant_id != tenant_id for connector in directory.connectors())
    keys.forget(connector_id, tenant_id if last else None)


def _raise_open_files() -> int:
    """Every connection is a file; take as many as we are allowed to. Returns the limit in force."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _calm_collector() -> None:
    """What was built at start stays; requests leave no cycles behind, so the collector need not look often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


if __name__ == "__main__":
    run(main)
