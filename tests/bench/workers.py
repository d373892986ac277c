"""One router and two on the same work: two connectors whose records lie in different partitions."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import ExitStack

import psycopg

from shared.adapters.clock import new_uuid7
from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.bench.measurement import Values
from tests.bench.output import Output, rates
from tests.bench.processes import Measured
from tests.bench.site import Site
from tests.pipeline import Pipeline

PARTITIONS = 2


class WorkerRounds:
    """An installation with two partitions, measured with any number of workers."""

    def __init__(self, site: Site, items: int, bodies: Callable[[int], list[bytes]], units: tuple[str, str]) -> None:
        self._site = site
        self._items = items
        self._bodies = bodies
        self._measures = units
        self._pipeline = site.installation(partitions=PARTITIONS)
        self._connectors = (self._pipeline.connector_id, _second_connector(self._pipeline))

    def measure(self, workers: int) -> Values:
        """One round: half of the records in each partition, until all events are visible."""
        for connector_id in self._connectors:
            for body in self._bodies(self._items // len(self._connectors)):
                self._pipeline.post(body, connector_id=connector_id, flush=False)
        self._pipeline.flush()
        processes = [self._site.router(self._pipeline, slot=slot)[0] for slot in range(workers)]
        with (
            Output(self._pipeline.bootstrap, full_name(self._pipeline.prefix, Topic.MESSAGE_RECEIVED)) as output,
            ExitStack() as all_of,
        ):
            for process in processes:
                all_of.enter_context(process)
            samples = output.watch(self._items, 180, lambda: _cpu_seconds(processes), lambda: _check(processes))
        return dict(zip(self._measures, rates(samples), strict=True))


def _cpu_seconds(processes: list[Measured]) -> float:
    return sum(process.cpu_seconds() for process in processes)


def _check(processes: list[Measured]) -> None:
    for process in processes:
        process.check()


def _second_connector(pipeline: Pipeline) -> str:
    """A connector with one account, whose key leads to the other partition."""
    connector_id = new_uuid7()
    while _partition(connector_id) == _partition(pipeline.connector_id):
        connector_id = new_uuid7()
    account = pipeline.unit_account(account_id=new_uuid7(), connector_id=connector_id, identidade="5511900000003")
    url = pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO channel_connector (id, tenant_id, tipo, nome, config, status)"
            " VALUES (%s, %s, 'whatsapp_official', 'Example', '{}', 'pending')",
            (connector_id, pipeline.tenant_id),
        )
        connection.execute(
            "INSERT INTO channel_account (id, connector_id, identidade, status, org_unit_id) VALUES (%s, %s, %s, 'pending', %s)",
            (account.account_id, connector_id, account.identidade, pipeline.unit_id),
        )
    pipeline.publish_connector(pipeline.connector(connector_id=connector_id))
    pipeline.publish_account(account)
    return connector_id


def _partition(key: str) -> int:
    """As librdkafka's usual partitioner chooses it."""
    return zlib.crc32(key.encode()) % PARTITIONS
