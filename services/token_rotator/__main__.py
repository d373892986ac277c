"""Start a token rotator: settings, logging, metrics, build, run; SIGTERM drains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from services.token_rotator.app import Rotator, RotatorParts
from services.token_rotator.provider_calls import HttpCaller
from services.token_rotator.schedule import Schedule, ScheduleParts, translated
from services.token_rotator.settings import TokenRotatorSettings
from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.database import create_engine_for
from shared.adapters.database_clock import DatabaseClock
from shared.domain.enums import KeyPurpose
from shared.providers import PROVIDERS, provider_of
from shared.runtime.http import http_parts
from shared.runtime.keys import open_vault
from shared.runtime.lifecycle import StopRequest, on_signals, run
from shared.runtime.logging import configure_logging
from shared.runtime.metrics import TokenRotatorMetrics
from shared.runtime.operations import OperationsServer
from shared.runtime.settings import load, require


def main() -> None:
    """Run until SIGTERM; exit code 2 for a wrong setting or a schema that is not up to date."""
    settings = load(TokenRotatorSettings)
    configure_logging("token_rotator", settings, {name for provider in PROVIDERS for name in provider.redact})
    registry = CollectorRegistry()
    stop = StopRequest()
    on_signals(stop.set, settings.token_rotator_drain_seconds)
    with (
        BlockingHttpClient(http_parts(settings, registry)) as client,
        ThreadPoolExecutor(settings.token_rotator_calls, "renewal") as executor,
    ):
        rotator = _build(settings, registry, client, executor)
        operations = OperationsServer(
            settings.token_rotator_operations_host,
            settings.token_rotator_operations_port,
            registry,
            lambda: rotator.readiness,
        )
        operations.start()
        try:
            rotator.run(stop)
        finally:
            operations.stop()


def _build(
    settings: TokenRotatorSettings, registry: CollectorRegistry, client: BlockingHttpClient, executor: ThreadPoolExecutor
) -> Rotator:
    name = "channels-token-rotator"
    credential = create_engine_for(
        require(settings.database_credential_url, "CHANNELS_DATABASE_CREDENTIAL_URL"), pool_size=2, application_name=name
    )
    api = create_engine_for(require(settings.database_api_url, "CHANNELS_DATABASE_API_URL"), pool_size=1, application_name=name)
    clock = DatabaseClock(credential)
    policy = settings.policy()

    def adjust() -> None:
        try:
            clock.adjust()
        except SQLAlchemyError as error:
            raise translated(error) from error

    schedule = Schedule(
        ScheduleParts(
            credential=credential,
            api=api,
            vault=open_vault(settings, {KeyPurpose.CREDENTIAL}, registry),
            clock=clock,
            provider_of=provider_of,
            policy=policy,
            budget=settings.budget(),
            lease_seconds=settings.token_rotator_lease_seconds,
        )
    )
    return Rotator(
        RotatorParts(
            schedule=schedule,
            caller=HttpCaller(client),
            clock=clock,
            executor=executor,
            metrics=TokenRotatorMetrics(registry),
            policy=policy,
            rhythm=settings.rhythm(),
            calls=settings.token_rotator_calls,
            adjust=adjust,
        )
    )


if __name__ == "__main__":
    run(main)
