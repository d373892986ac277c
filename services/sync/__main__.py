"""Start a sync process: settings, logging, metrics, build, run."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.sync.app import Sync, SyncParts
from services.sync.settings import SyncSettings
from services.sync.writing import ReferenceWriter
from shared.adapters.avro import Codec
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import SyncMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require


def main() -> None:
    """Run until SIGTERM; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(SyncSettings)
    configure_logging("sync", settings, set())
    registry = CollectorRegistry()
    sync = _build(settings, SyncMetrics(registry))
    stop = StopRequest()
    on_signals(stop.set, settings.sync_drain_seconds)
    operations = OperationsServer(settings.sync_operations_host, settings.sync_operations_port, registry, lambda: sync.readiness)
    operations.start()
    try:
        sync.run(stop)
    finally:
        operations.stop()


def _build(settings: SyncSettings, metrics: SyncMetrics) -> Sync:
    return Sync(
        SyncParts(
            bootstrap=settings.kafka_bootstrap,
            topic_prefix=settings.topic_prefix,
            codec=Codec(settings.schema_registry_url),
            writer=ReferenceWriter(
                require(settings.database_api_url, "CHANNELS_DATABASE_API_URL"),
                require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL"),
            ),
            metrics=metrics,
            poll_seconds=settings.sync_poll_seconds,
            batch_records=settings.sync_batch_records,
        )
    )


if __name__ == "__main__":
    run(main)
