"""Start a sync process: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from services.sync.app import Part, Sync
from services.sync.calls import HttpCaller, parts_for_edge
from services.sync.describing import Describe
from services.sync.edge import EdgeParts, EdgeProbe
from services.sync.errands import ErrandParts, Errands
from services.sync.following import Follower, FollowerParts, Taker
from services.sync.jobs import Worker, WorkerParts
from services.sync.references import References
from services.sync.registering import Registrar, RegistrarParts
from services.sync.requests import RequestParts, Requests
from services.sync.settings import SyncSettings
from services.sync.writing import ReferenceWriter
from shared.adapters.avro import Codec
from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.database import create_engine_for
from shared.adapters.database_clock import DatabaseClock
from shared.adapters.http_retries import ONCE
from shared.adapters.object_store import ObjectStore
from shared.domain.enums import KeyPurpose
from shared.management.sns_records import SnsRecords
from shared.providers import PROVIDERS
from shared.runtime.http import http_parts
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import SyncMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require

_NAME = "channels-sync"
_REQUESTS_AT_ONCE = 2_000  # a burst is to be counted together


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """How the three roles log in."""

    api: str
    worker: str
    credential: str


def main() -> None:
    """Run until SIGTERM; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(SyncSettings)
    configure_logging("sync", settings, {name for provider in PROVIDERS for name in provider.redact})
    registry, stop = CollectorRegistry(), StopRequest()
    on_signals(stop.set, settings.sync_drain_seconds)
    parts = http_parts(settings, registry)
    with (
        BlockingHttpClient(parts) as client,
        BlockingHttpClient(parts_for_edge(parts, settings.edge_url)) as edge,
        ThreadPoolExecutor(settings.sync_jobs, "sync-job") as executor,
    ):
        source = CertificateSource(client=client, tls=parts.tls, effort=ONCE)
        sync = Sync(_build(settings, registry, (HttpCaller(client), HttpCaller(edge), source), executor))
        operations = OperationsServer(
            settings.sync_operations_host, settings.sync_operations_port, registry, lambda: sync.readiness
        )
        operations.start()
        try:
            sync.run(stop)
        finally:
            operations.stop()


def _build(
    settings: SyncSettings,
    registry: CollectorRegistry,
    callers: tuple[HttpCaller, HttpCaller, CertificateSource],
    executor: ThreadPoolExecutor,
) -> list[Part]:
    metrics, codec = SyncMetrics(registry), Codec(settings.schema_registry_url)
    urls = Urls(
        api=require(settings.database_api_url, "CHANNELS_DATABASE_API_URL"),
        worker=require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL"),
        credential=require(settings.database_credential_url, "CHANNELS_DATABASE_CREDENTIAL_URL"),
    )
    worker = create_engine_for(urls.worker, pool_size=4, application_name=_NAME)
    clock = DatabaseClock(worker)
    requests = Requests(
        RequestParts(
            api=create_engine_for(urls.api, pool_size=1, application_name=_NAME),
            codec=codec,
            clock=clock,
            metrics=metrics,
            debounce_ms=round(settings.sync_debounce_seconds * 1000),
            longest_ms=round(settings.sync_debounce_longest_seconds * 1000),
        )
    )
    vault = open_vault(settings, tuple(KeyPurpose), registry)
    credential = create_engine_for(urls.credential, pool_size=4, application_name=_NAME)
    provider_caller, edge_caller, source = callers
    errands = Errands(
        ErrandParts(
            api=create_engine_for(urls.api, pool_size=2, application_name=_NAME),
            records=SnsRecords(
                bootstrap=settings.kafka_bootstrap,
                topic_prefix=settings.topic_prefix,
                codec=codec,
                vault=vault,
                objects=ObjectStore(settings.object_store_url),
            ),
            source=source,
            clock=clock,
        )
    )
    registrar = Registrar(
        RegistrarParts(
            worker=worker,
            credential=credential,
            vault=vault,
            caller=provider_caller,
            edge=EdgeProbe(
                EdgeParts(
                    url=settings.edge_url,
                    caller=edge_caller,
                    clock=clock,
                    in_a_row=settings.sync_edge_in_a_row,
                    seconds=settings.sync_edge_seconds,
                )
            ),
            clock=clock,
            policy=settings.policy(),
            steps=(Describe(),),
            connector_steps=(errands,),
        )
    )
    jobs = Worker(
        WorkerParts(
            worker=worker,
            api=create_engine_for(urls.api, pool_size=2, application_name=_NAME),
            credential=credential,
            vault=vault,
            registrar=registrar,
            executor=executor,
            clock=clock,
            metrics=metrics,
            at_once=settings.sync_jobs,
            lease_ms=round(settings.sync_lease_seconds * 1000),
            debounce_ms=round(settings.sync_debounce_seconds * 1000),
            poll_seconds=settings.sync_poll_seconds,
            adjust=clock.adjust,
        )
    )
    references = References(codec, ReferenceWriter(urls.api, urls.worker), metrics)
    at_once, most = settings.sync_batch_records, max(settings.sync_batch_records, _REQUESTS_AT_ONCE)
    return [
        _follower(settings, metrics, _NAME, references, at_once),
        _follower(settings, metrics, f"{_NAME}-requests", requests, most),
        jobs,
    ]


def _follower(settings: SyncSettings, metrics: SyncMetrics, name: str, taker: Taker, batch_records: int) -> Follower:
    return Follower(
        FollowerParts(
            name=name,
            bootstrap=settings.kafka_bootstrap,
            topic_prefix=settings.topic_prefix,
            metrics=metrics,
            poll_seconds=settings.sync_poll_seconds,
            batch_records=batch_records,
        ),
        taker,
    )


if __name__ == "__main__":
    run(main)
