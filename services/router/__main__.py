"""Start one router process: settings, logging, metrics, build, run."""

from __future__ import annotations

import gc
import sys
from dataclasses import replace

import structlog
from prometheus_client import CollectorRegistry

from services.router.answers import AnswerParts, IntakeAnswers
from services.router.app import Router, RouterParts
from services.router.opening import Opener
from services.router.own_faults import TooManyOwnFaults
from services.router.settings import RouterSettings
from shared.adapters.avro import Codec
from shared.adapters.clock import SystemClock
from shared.adapters.kafka import full_name
from shared.adapters.kafka_transactions import TransactionalWorker, WorkerIdentity
from shared.adapters.object_store import ObjectStore
from shared.adapters.router_store import DatabaseBroken, RouterStore
from shared.adapters.snapshots import SnapshotReader
from shared.adapters.topic_declarations import declarations
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError, Fenced
from shared.domain.holding import DAY_MS, HoldLimits
from shared.domain.topics import Topic
from shared.providers import PROVIDERS
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import RouterMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require

SWITCH_SECONDS = 0.001


def main() -> None:
    """Run until SIGTERM; exit codes: 2 wrong setting, 3 fenced, 4 the database is broken, 5 faults of our own."""
    settings = load(RouterSettings)
    configure_logging(f"router-{settings.router_slot}", settings, {name for one in PROVIDERS for name in one.redact})
    registry = CollectorRegistry()
    stop = StopRequest()
    on_signals(stop.set, settings.router_drain_seconds)
    codec, clock = Codec(settings.schema_registry_url), SystemClock()
    snapshots = SnapshotReader(settings.kafka_bootstrap, settings.topic_prefix, codec)
    snapshots.start()
    vault = open_vault(settings, {KeyPurpose.INGEST}, registry)
    router = _build(settings, codec, clock, snapshots, vault, RouterMetrics(registry))
    operations = OperationsServer(
        settings.router_operations_host, settings.router_operations_port, registry, lambda: router.ready
    )
    operations.start()
    log = structlog.get_logger()
    try:
        while not stop and not snapshots.wait_ready(0.5):
            log.info("waiting_for_snapshots")
        _calm_interpreter()
        router.run(stop)
        log.info("stopped")
    except Fenced as error:
        log.error("fenced", cause=str(error))
        raise SystemExit(3) from error
    except TooManyOwnFaults as error:
        log.error("own_faults", cause=str(error))
        raise SystemExit(5) from error
    except DatabaseBroken as error:
        log.error("database_broken", cause=str(error))
        raise SystemExit(4) from error
    except ConfigError as error:
        log.error("refused", cause=str(error))
        raise
    finally:
        snapshots.stop()
        operations.stop()


def _calm_interpreter() -> None:
    """Values of a batch live as long as it and form no cycles, so looking for some often only costs (a fifth of the time).

    The thread that settles mostly waits; when an answer has come, it must not wait 5 ms for the one that opens.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(SWITCH_SECONDS)


def hold_limits(settings: RouterSettings) -> HoldLimits:
    """How long things wait; the raw topic's retention is what its declaration says."""
    return HoldLimits(
        intake_ms=settings.router_intake_deadline_seconds * 1000,
        target_ms=settings.router_target_wait_seconds * 1000,
        retention_ms=(declarations()[Topic.WEBHOOK_RECEIVED].retention_days or 0) * DAY_MS,
    )


def _build(
    settings: RouterSettings,
    codec: Codec,
    clock: SystemClock,
    snapshots: SnapshotReader,
    vault: Vault,
    metrics: RouterMetrics,
) -> Router:
    identity = WorkerIdentity(
        bootstrap=settings.kafka_bootstrap,
        group=f"{settings.topic_prefix}channels-router",
        slot=settings.router_slot,
        session_timeout_ms=settings.router_session_timeout_ms,
        transaction_timeout_ms=settings.router_transaction_timeout_ms,
    )
    objects = ObjectStore(settings.object_store_url)
    database_url = require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    answers = AnswerParts(
        worker=TransactionalWorker(
            replace(identity, group=f"{settings.topic_prefix}channels-router-intake"),
            full_name(settings.topic_prefix, Topic.INTAKE_COMPLETED),
        ),
        store=RouterStore(database_url),
        codec=codec,
        clock=clock,
        metrics=metrics,
        topic_prefix=settings.topic_prefix,
    )
    return Router(
        RouterParts(
            worker=TransactionalWorker(identity, full_name(settings.topic_prefix, Topic.WEBHOOK_RECEIVED)),
            store=RouterStore(database_url),
            opener=Opener(codec, vault, objects, snapshots.directory, clock.now_ms),
            directory=snapshots.directory,
            codec=codec,
            clock=clock,
            metrics=metrics,
            topic_prefix=settings.topic_prefix,
            batch_items=settings.router_batch_items,
            batch_bytes=settings.router_batch_bytes,
            limits=hold_limits(settings),
            answers=IntakeAnswers(answers),
        )
    )


if __name__ == "__main__":
    run(main)
