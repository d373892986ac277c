"""Start a control process: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import anyio.to_thread
import structlog
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from services.control.app import create_app
from services.control.call import Parts
from services.control.identity import verifier_of
from services.control.openapi import query_names
from services.control.settings import ControlSettings
from services.control.token_gauge import TokenGauge
from shared.adapters.avro import Codec
from shared.adapters.database import create_engine_for
from shared.adapters.event_loop import LoopPool
from shared.adapters.loop_engine import LoopEngine
from shared.adapters.raw_backlog import RawBacklog
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError
from shared.providers import PROVIDERS
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import ControlMetrics
from shared.runtime.operations import OperationsServer, Readiness
from shared.runtime.settings import load, require


def main() -> None:
    """Run until SIGTERM or SIGINT; exit code 2 for a wrong setting."""
    settings = load(ControlSettings)
    configure_logging("control", settings, {name for provider in PROVIDERS for name in provider.redact})
    registry = CollectorRegistry()
    url = require(settings.database_api_url, "CHANNELS_DATABASE_API_URL")
    engine = create_engine_for(url, pool_size=settings.control_threads, application_name="channels-control")
    readers = LoopPool(url, size=settings.control_readers, application_name="channels-control-readers")
    writers = LoopEngine(url, size=settings.control_threads, application_name="channels-control-writers")
    probe = create_engine_for(url, pool_size=2, application_name="channels-control-probe")
    backlog = _backlog_of(settings)
    vault = open_vault(settings, tuple(KeyPurpose), registry)
    parts = Parts(engine=engine, vault=vault, edge_url=settings.edge_url, backlog=backlog, readers=readers, writers=writers)
    metrics = ControlMetrics(registry)
    app = create_app(parts, verifier_of(settings, settings), metrics, body_bytes=settings.control_body_bytes)
    gauge = TokenGauge(probe, metrics)
    query_names(app, "/v1/connectors", "GET")  # describes the application now, not while the first callers wait
    operations = OperationsServer(
        settings.control_operations_host, settings.control_operations_port, registry, _readiness_of(probe)
    )
    operations.start()
    gauge.start()
    _settle()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(app, settings))
    finally:
        operations.stop()
        gauge.stop()
        if backlog is not None:
            backlog.close()
        engine.dispose()
        readers.close()
        writers.close()
        probe.dispose()


def _settle() -> None:
    # What start-up made (routes, validators, mappings: 170 000 objects) stays. Looked through again and again by the collector
    # it would stop every call of this process for a quarter of a second, many times a minute, to find nothing.
    gc.collect()
    gc.freeze()


async def _serve(app: Callable[..., object], settings: ControlSettings) -> None:
    server = Server(
        app,
        address=settings.control_host,
        port=settings.control_port,
        interface=Interfaces.ASGINL,  # without lifespan: nothing is started inside the application
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(server.stop)

    on_signals(stop, settings.control_drain_seconds)
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.control_threads
    structlog.get_logger().info("control_started", host=settings.control_host, port=settings.control_port)
    try:
        await server.serve()
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"port {settings.control_host}:{settings.control_port} cannot be opened: {error}") from error


def _backlog_of(settings: ControlSettings) -> RawBacklog | None:
    if not settings.kafka_bootstrap:
        return None
    return RawBacklog(settings.kafka_bootstrap, settings.topic_prefix, Codec(settings.schema_registry_url))


def _readiness_of(probe: Engine) -> Readiness:
    def readiness() -> tuple[bool, str]:
        try:
            with probe.connect() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False, "postgresql away"
        return True, "ready"

    return readiness


if __name__ == "__main__":
    run(main)
