"""Start a health process: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog
from prometheus_client import CollectorRegistry

from services.health.activity import Activity
from services.health.app import AppParts, build_app
from services.health.calls import ByMethod, HttpCaller
from services.health.checks import CheckParts, Checks
from services.health.credentials import Credentials
from services.health.liveness import Beats
from services.health.policies import Policies
from services.health.rounds import RoundParts, Rounds
from services.health.settings import HealthSettings
from services.health.writing import CheckWriter
from shared.adapters.avro import Codec
from shared.adapters.clock import SystemClock
from shared.adapters.database import create_engine_for
from shared.adapters.http_client import HttpClient
from shared.domain.enums import KeyPurpose
from shared.providers import PROVIDERS
from shared.runtime.http import http_parts
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.mail import mail_logins
from shared.runtime.metrics import HealthMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require

_NAME = "channels-health"
_WATCHDOG_SECONDS = 10.0  # beyond the drain


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(HealthSettings)
    configure_logging("health", settings, {name for provider in PROVIDERS for name in provider.redact})
    asyncio.run(_serve(settings))


async def _serve(settings: HealthSettings) -> None:
    loop, registry, stop = asyncio.get_running_loop(), CollectorRegistry(), StopRequest()
    stopped = asyncio.Event()

    def ask_to_stop() -> None:
        stop.set()
        loop.call_soon_threadsafe(stopped.set)

    on_signals(ask_to_stop, settings.health_drain_seconds + _WATCHDOG_SECONDS)
    ways = http_parts(settings, registry)
    # A check asks two mail servers at most, so that none of them ever waits for a thread.
    mail = mail_logins(settings, ways.tenant, at_once=2 * settings.health_calls)
    async with HttpClient(ways) as client:
        parts = _parts(settings, registry, ByMethod(HttpCaller(client), mail))
        app = build_app(parts)
        operations = OperationsServer(
            settings.health_operations_host, settings.health_operations_port, registry, lambda: parts.rounds.state
        )
        operations.start()
        try:
            running = asyncio.create_task(app.start())
            ended = asyncio.create_task(stopped.wait())
            await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()  # raises what kept it from starting
            await stopped.wait()
        finally:
            parts.rounds.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.health_drain_seconds):
                    await parts.rounds.drained.wait()
                    await app.stop()
            mail.close()
            structlog.get_logger().info("stopped")
            operations.stop()


def _parts(settings: HealthSettings, registry: CollectorRegistry, caller: ByMethod) -> AppParts:
    worker = create_engine_for(
        require(settings.database_worker_url, "CHANNELS_DATABASE_WORKER_URL"), pool_size=4, application_name=_NAME
    )
    api = create_engine_for(require(settings.database_api_url, "CHANNELS_DATABASE_API_URL"), pool_size=1, application_name=_NAME)
    credential = create_engine_for(
        require(settings.database_credential_url, "CHANNELS_DATABASE_CREDENTIAL_URL"), pool_size=1, application_name=_NAME
    )
    clock, metrics, beats, activity = SystemClock(), HealthMetrics(registry), Beats(), Activity(worker)
    vault = open_vault(settings, {KeyPurpose.CREDENTIAL}, registry)
    checks = Checks(
        CheckParts(
            credentials=Credentials(credential, vault, keep_ms=settings.health_credential_seconds * 1000),
            activity=activity,
            policies=Policies(settings.policy(), settings.tenants()),
            caller=caller,
            clock=clock,
        )
    )
    share, at_least = settings.health_egress_share, settings.health_egress_connectors
    rounds = Rounds(
        RoundParts(
            worker=worker,
            checks=checks,
            writer=CheckWriter(worker, api, share=share, at_least=at_least),
            beats=beats,
            clock=clock,
            metrics=metrics,
            at_once=settings.health_calls,
            every_seconds=settings.health_every_seconds,
            keep_days=settings.health_keep_days,
        )
    )
    return AppParts(
        bootstrap=settings.kafka_bootstrap,
        topic_prefix=settings.topic_prefix,
        session_seconds=settings.health_session_seconds,
        codec=Codec(settings.schema_registry_url),
        rounds=rounds,
        activity=activity,
        beats=beats,
        clock=clock,
        metrics=metrics,
    )


if __name__ == "__main__":
    run(main)
