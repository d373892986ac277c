"""The queue in an account's status: what was accepted and is not settled, against a real Kafka and a real router."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.control.app import create_app
from services.control.call import Parts
from shared.adapters.clock import new_uuid7
from shared.adapters.database import create_engine_for
from shared.adapters.kafka import full_name
from shared.adapters.kafka_admin import KafkaAdmin
from shared.adapters.raw_backlog import RawBacklog
from shared.domain.errors import Unavailable
from shared.domain.identity import Permission
from shared.domain.records import RawPosition
from shared.domain.topics import Topic
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.control.scene import Tokens
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import FLOW_NUMBER, UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import allowed

Queue = Callable[[str], dict[str, Any] | None]


@pytest.fixture
def pipeline(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Pipeline:
    return Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path, partitions=3)


@pytest.fixture
def backlog(pipeline: Pipeline) -> Iterator[RawBacklog]:
    made = RawBacklog(pipeline.bootstrap, pipeline.prefix, pipeline.codec)
    yield made
    made.close()


@pytest.fixture
def queue(pipeline: Pipeline, backlog: RawBacklog) -> Iterator[Queue]:
    """What GET of an account's status tells of its queue."""
    engine, tokens = create_engine_for(pipeline.database.api_url, pool_size=2), Tokens()
    headers = {"Authorization": f"Bearer {tokens.issue(pipeline.tenant_id, Permission.READ)}"}
    app = create_app(Parts(engine=engine, vault=pipeline.vault, edge_url="https://edge.example.org", backlog=backlog), tokens)

    def asked(account_id: str) -> dict[str, Any] | None:
        response = client.get(f"/v1/accounts/{account_id}/status", headers=headers)
        assert response.status_code == 200, response.text
        found: dict[str, Any] | None = response.json()["queue"]
        return found

    with TestClient(app) as client:
        yield asked
    engine.dispose()


def eventually(asked: Callable[[], Any], wanted: Any, seconds: float = 20) -> None:
    """One count is told for a second, so a change is seen a little later."""
    deadline = time.monotonic() + allowed(seconds)
    while (found := asked()) != wanted:
        assert time.monotonic() < deadline, f"{found} instead of {wanted}"
        time.sleep(0.05)


@pytest.mark.req(5)
def test_rule_05_fifty_posts_wait_until_the_router_has_settled_them(pipeline: Pipeline, queue: Queue) -> None:
    unit, flow = pipeline.unit_account_id, pipeline.flow_account_id
    told = queue(unit)
    assert told is not None
    assert (told["depth"], told["to_own_address"], told["complete"], told["oldest_at"]) == (0, 0, True, None)
    stranger = new_uuid7()
    pipeline.publish_connector(pipeline.connector(connector_id=stranger))
    for number in range(50):
        own = unit if number < 20 else None
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [text_item(f"wamid.{number}")])), url_account_id=own, flush=False)
        pipeline.post(b"{}", connector_id=stranger, flush=False)  # another connector's, beside them
    pipeline.flush()

    def counts(account: str) -> Callable[[], tuple[int, int]]:
        return lambda: ((one := queue(account) or {})["depth"], one["to_own_address"])

    eventually(counts(unit), (50, 20))
    eventually(counts(flow), (50, 0))  # they may be its own: a provider posts for all accounts to one address
    told = queue(unit)
    assert told is not None
    assert told["oldest_at"] <= told["counted_at"]
    router = RunningRouter(pipeline).start()
    try:
        eventually(counts(unit), (0, 0))
        pipeline.post(meta_body(messages_value(FLOW_NUMBER, [text_item("wamid.last")])))
        assert len(pipeline.read(Topic.MESSAGE_RECEIVED, 50)) == 50
        assert len(pipeline.read(Topic.INTAKE_REQUESTED, 1)) == 1
        eventually(counts(flow), (0, 0))
    finally:
        router.stop()
    assert router.failure is None


def test_what_is_settled_already_and_copies_are_not_counted(pipeline: Pipeline, backlog: RawBacklog) -> None:
    for _ in range(4):
        pipeline.post(b"{}")
    admin, topic = KafkaAdmin(pipeline.bootstrap), full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)
    (busy,) = [number for number, (_, end) in admin.bounds(topic, 3).items() if end]
    admin.commit(f"{pipeline.prefix}channels-router", topic, {busy: 3})
    position = RawPosition(epoch="e", partition=busy, offset=0, item="/0")
    pipeline.post(b"{}", copy_of=position, only_item="/0")
    pipeline.post_raw(pipeline.connector_id.encode(), b"no record at all")
    waiting = backlog.of(pipeline.connector_id, pipeline.unit_account_id)
    assert (waiting.records, waiting.complete) == (2, True)  # the fourth, and the one that nobody can read
    assert backlog.of(new_uuid7(), pipeline.unit_account_id).records == 0


def test_a_backlog_beyond_what_one_count_reads_is_told_as_incomplete(
    pipeline: Pipeline, backlog: RawBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.raw_backlog._MAX_RECORDS", 500)
    for _ in range(1_200):
        pipeline.post(b"{}", flush=False)
    pipeline.flush()
    waiting = backlog.of(pipeline.connector_id, pipeline.unit_account_id)
    assert waiting.complete is False
    assert 500 <= waiting.records < 1_200


def test_while_one_counts_the_others_are_served_by_what_was_known(
    pipeline: Pipeline, backlog: RawBacklog, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = backlog.of(pipeline.connector_id, pipeline.unit_account_id)
    assert backlog.of(pipeline.connector_id, pipeline.unit_account_id) == first  # one count for a second
    counted, entered, go_on = backlog._counted, threading.Event(), threading.Event()

    def slowly() -> Any:
        entered.set()
        assert go_on.wait(10)
        return counted()

    monkeypatch.setattr(backlog, "_counted", slowly)
    monkeypatch.setattr(backlog, "_monotonic", lambda: time.monotonic() + 60)
    pipeline.post(b"{}")
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(backlog.of, pipeline.connector_id, pipeline.unit_account_id)
        assert entered.wait(10)
        assert backlog.of(pipeline.connector_id, pipeline.unit_account_id) == first
        go_on.set()
        assert counting.result(10).records == 1


@pytest.mark.req(5)
def test_without_kafka_the_rest_of_the_status_is_told(pipeline: Pipeline) -> None:
    clock = [0.0]
    away = RawBacklog("127.0.0.1:1", pipeline.prefix, pipeline.codec, monotonic=lambda: clock[0])
    with pytest.raises(Unavailable):
        away.of(pipeline.connector_id, pipeline.unit_account_id)
    began = time.monotonic()
    for _ in range(100):  # nobody waits for Kafka again within two seconds
        with pytest.raises(Unavailable):
            away.of(pipeline.connector_id, pipeline.unit_account_id)
    assert time.monotonic() - began < allowed(0.5)
    engine, tokens = create_engine_for(pipeline.database.api_url, pool_size=1), Tokens()
    headers = {"Authorization": f"Bearer {tokens.issue(pipeline.tenant_id, Permission.READ)}"}
    app = create_app(Parts(engine=engine, vault=pipeline.vault, edge_url="https://edge.example.org", backlog=away), tokens)
    with TestClient(app) as client:
        told = client.get(f"/v1/accounts/{pipeline.unit_account_id}/status", headers=headers)
    assert (told.status_code, told.json()["queue"]) == (200, None)
    assert told.json()["connectivity"]["account"] == "pending"
    away.close()
    engine.dispose()
