"""The rival of part `health`: the same checks with the same statements, a transaction and a new connection each, in threads."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import CollectorRegistry

from services.health.activity import Activity
from services.health.calls import HttpCaller
from services.health.checks import CheckParts, Checks
from services.health.credentials import Credentials
from services.health.policies import Policies
from services.health.settings import HealthSettings
from services.health.writing import CheckWriter
from shared.adapters.clock import SystemClock
from shared.adapters.database import create_engine_for, unit_of_work
from shared.adapters.health_rows import take_due
from shared.adapters.http_client import HttpClient
from shared.domain.enums import KeyPurpose
from shared.runtime.http import http_parts
from shared.runtime.keys import open_vault
from shared.runtime.logging import configure_logging
from shared.runtime.settings import load

_THREADS = 8


def _check_one(settings: HealthSettings) -> None:
    """Take one, open, ask, write; everything anew."""
    urls = (settings.database_worker_url, settings.database_api_url, settings.database_credential_url)
    worker, api, credential = (create_engine_for(str(url), pool_size=1) for url in urls)
    clock, registry = SystemClock(), CollectorRegistry()
    try:
        with unit_of_work(worker) as session:
            subjects = take_due(session, now_ms=clock.now_ms(), lease_ms=60_000, most=1)
            session.commit()

        async def ask() -> None:
            async with HttpClient(http_parts(settings, registry)) as client:
                vault = open_vault(settings, {KeyPurpose.CREDENTIAL}, registry)
                checks = Checks(
                    CheckParts(
                        credentials=Credentials(credential, vault, keep_ms=1),
                        activity=Activity(worker),
                        policies=Policies(settings.policy(), {}),
                        caller=HttpCaller(client),
                        clock=clock,
                    )
                )
                outcomes = [await checks.run(ready) for ready in checks.prepare(subjects)]
                CheckWriter(worker, api).write(outcomes)

        asyncio.run(ask())
    finally:
        for engine in (worker, api, credential):
            engine.dispose()


def _forever(settings: HealthSettings) -> None:
    while True:
        _check_one(settings)


def main() -> None:
    settings = load(HealthSettings)
    configure_logging("health", settings, set())
    with ThreadPoolExecutor(_THREADS) as threads:
        for done in [threads.submit(_forever, settings) for _ in range(_THREADS)]:
            done.result()


if __name__ == "__main__":
    main()
