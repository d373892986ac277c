"""1 → 3 → 1 router processes under load, by SIGTERM and by SIGKILL: every message once and in order, whatever moves where."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from shared.adapters.clock import new_uuid7
from shared.adapters.group_members import group_members
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.router.router_process import RouterProcess
from tests.integration.services.router.test_router_own_faults import write_rows
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import allowed

PARTITIONS, CONNECTORS = 6, 12


class Load:
    """Posts to many connectors, and so to many partitions, until it is stopped; counts per connector."""

    def __init__(self, pipeline: Pipeline, per_second: int) -> None:
        self.pipeline, self.pause = pipeline, 1 / per_second
        self.counts: dict[str, int] = {}
        for _ in range(CONNECTORS):
            connector, account = new_uuid7(), new_uuid7()
            write_rows(pipeline, connector, account)
            pipeline.publish_connector(pipeline.connector(connector_id=connector))
            pipeline.publish_account(pipeline.unit_account(connector_id=connector, account_id=account))
            self.counts[connector] = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        connectors = list(self.counts)
        number = 0
        while not self.stopping.wait(self.pause):
            connector = connectors[number % CONNECTORS]
            count = self.counts[connector]
            item = text_item(f"wamid.{connector}.{count}", f"{connector} {count}")
            self.pipeline.post(meta_body(messages_value(UNIT_NUMBER, [item])), connector_id=connector, flush=False)
            self.counts[connector] += 1
            number += 1

    def stop(self) -> int:
        self.stopping.set()
        self.thread.join(10)
        self.pipeline.flush()
        return sum(self.counts.values())


def wait_for_members(pipeline: Pipeline, wanted: int, routers: list[RouterProcess], seconds: float = 60) -> None:
    """Until so many members share all the partitions."""
    group, topic = f"{pipeline.prefix}channels-router", f"{pipeline.prefix}{Topic.WEBHOOK_RECEIVED.value}"
    deadline = time.monotonic() + allowed(seconds)
    while True:
        members = [member for member in group_members(pipeline.bootstrap, group, topic) if member.partitions]
        shared = sorted(number for member in members for number in member.partitions)
        if len(members) == wanted and shared == list(range(PARTITIONS)):
            return
        assert time.monotonic() < deadline, (members, [router.log()[-500:] for router in routers])
        time.sleep(0.2)


@pytest.mark.req(64, 91)
@pytest.mark.parametrize("end", ["terminate", "kill"])
def test_workers_that_come_and_go_lose_and_double_nothing(
    kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path, end: str
) -> None:
    pipeline = Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path, partitions=PARTITIONS)
    load = Load(pipeline, per_second=150)
    routers = [RouterProcess(pipeline, 0, tmp_path, CHANNELS_ROUTER_BATCH_ITEMS="20")]
    try:
        wait_for_members(pipeline, 1, routers)
        routers += [RouterProcess(pipeline, slot, tmp_path, CHANNELS_ROUTER_BATCH_ITEMS="20") for slot in (1, 2)]
        wait_for_members(pipeline, 3, routers)
        for router in routers[1:]:
            time.sleep(0.5)  # in the middle of work
            assert end == "kill" or router.terminate() == 0
            router.kill()
        wait_for_members(pipeline, 1, routers)
        total = load.stop()
        reads = pipeline.read(Topic.MESSAGE_RECEIVED, total, 90, settle_seconds=2)
        assert routers[0].process.poll() is None, routers[0].log()
    finally:
        load.stop()
        for router in routers:
            router.kill()
    texts: dict[str, list[int]] = {connector: [] for connector in load.counts}
    for read in reads:
        connector, number = read.event.message.content.text.split()
        texts[connector].append(int(number))
    assert len(reads) == total > 1_000
    assert texts == {connector: list(range(count)) for connector, count in load.counts.items()}
    assert pipeline.books(20, total) == {("emitted", "org_unit"): total}
