"""Start a relay: settings, logging, metrics, build, run."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.relay.app import Relay, RelayParts
from services.relay.raw_copies import RawCopies
from services.relay.redelivery import Redelivery, RedeliveryParts
from services.relay.settings import RelaySettings
from shared.adapters.avro import Codec
from shared.adapters.kafka import full_name
from shared.adapters.numbered_publisher import NumberedPublisher, PublisherIdentity
from shared.adapters.outbox import RelayLease
from shared.adapters.redelivery_rows import RedeliveryRows
from shared.domain.topics import Topic
from shared.providers import PROVIDERS, provider_of
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import RelayMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require


def main() -> None:
    """Run until SIGTERM; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(RelaySettings)
    configure_logging("relay", settings, {name for provider in PROVIDERS for name in provider.redact})
    registry = CollectorRegistry()
    relay = _build(settings, RelayMetrics(registry))
    stop = StopRequest()
    on_signals(stop.set, settings.relay_drain_seconds)
    operations = OperationsServer(
        settings.relay_operations_host, settings.relay_operations_port, registry, lambda: relay.readiness
    )
    operations.start()
    try:
        relay.run(stop)
    finally:
        operations.stop()


def _build(settings: RelaySettings, metrics: RelayMetrics) -> Relay:
    prefix = settings.topic_prefix
    identity = PublisherIdentity(
        bootstrap=settings.kafka_bootstrap,
        name=f"{prefix}channels-relay",
        number_topic=full_name(prefix, Topic.CONNECTOR_SNAPSHOT),
    )
    codec = Codec(settings.schema_registry_url)
    database_url = require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    raw_topic = full_name(prefix, Topic.WEBHOOK_RECEIVED)
    redelivery = Redelivery(
        RedeliveryParts(
            rows=RedeliveryRows(database_url),
            raw=RawCopies(settings.kafka_bootstrap, raw_topic, f"{prefix}channels-router", codec),
            metrics=metrics,
            poll_seconds=settings.relay_held_poll_seconds,
            batch_rows=settings.relay_held_batch_rows,
        )
    )
    return Relay(
        RelayParts(
            lease=RelayLease(database_url),
            publisher=NumberedPublisher(identity),
            redelivery=redelivery,
            codec=codec,
            provider_of=provider_of,
            metrics=metrics,
            topic_prefix=prefix,
            poll_seconds=settings.relay_poll_seconds,
            batch_rows=settings.relay_batch_rows,
        )
    )


if __name__ == "__main__":
    run(main)
