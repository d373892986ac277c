from __future__ import annotations

import time

import psycopg
import pytest
from confluent_kafka import Producer

from shared.adapters.kafka import client_config
from shared.adapters.kafka_admin import KafkaAdmin
from shared.domain.errors import ConfigError, Conflict, Fenced
from shared.domain.topics import Topic
from shared.management.router_positions import Found
from shared.management.router_progress import RouterProgress
from tests.integration.services.router.conftest import RunningRouter
from tests.pipeline import UNIT_NUMBER, Pipeline, messages_value, meta_body, text_item
from tests.waiting import allowed


def post_numbers(pipeline: Pipeline, numbers: range, sender: str = "5511900000009") -> None:
    for number in numbers:
        item = text_item(f"wamid.{sender}.{number:05d}", str(number), sender)
        pipeline.post(meta_body(messages_value(UNIT_NUMBER, [item])), flush=False)
    pipeline.flush()


def assert_each_once_in_order(pipeline: Pipeline, total: int, seconds: float = 60) -> None:
    reads = pipeline.read(Topic.MESSAGE_RECEIVED, total, seconds, settle_seconds=2)
    assert [read.event.message.content.text for read in reads] == [str(number) for number in range(total)]


@pytest.fixture
def runs(pipeline):
    """Starts routers and stops them at the end, whatever became of them."""
    started: list[RunningRouter] = []

    def start(slot: int = 0, **options) -> RunningRouter:
        started.append(RunningRouter(pipeline, slot, **options).start())
        return started[-1]

    yield start
    for router in started:
        router.stop()


def test_cut_database_connections_lose_and_double_nothing(pipeline, runs):
    runs(batch_items=20)
    for start in range(0, 300, 30):
        post_numbers(pipeline, range(start, start + 30))
        _cut_worker_connections(pipeline)
    assert_each_once_in_order(pipeline, 300)
    assert pipeline.books(10, 300) == {("emitted", "org_unit"): 300}


def _cut_worker_connections(pipeline: Pipeline) -> None:
    url = pipeline.database.superuser_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'channels-router'",
            (pipeline.database.name,),
        )


def test_a_stolen_transactional_id_aborts_and_the_work_goes_on(pipeline, runs):
    runs(batch_items=20)
    thief = Producer(client_config(pipeline.bootstrap, "thief") | {"transactional.id": f"{pipeline.prefix}channels-router-0"})
    for start in range(0, 300, 60):
        post_numbers(pipeline, range(start, start + 60))
        thief = Producer(client_config(pipeline.bootstrap, "thief") | {"transactional.id": f"{pipeline.prefix}channels-router-0"})
        thief.init_transactions(10)
    assert_each_once_in_order(pipeline, 300)


def test_a_second_process_of_one_slot_ends_the_first(pipeline, runs):
    first = runs()
    post_numbers(pipeline, range(10))
    assert_each_once_in_order(pipeline, 10)
    runs()
    deadline = time.monotonic() + allowed(20)
    while first.thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert isinstance(first.failure, Fenced)
    post_numbers(pipeline, range(10, 20))
    assert_each_once_in_order(pipeline, 20)


def test_workers_come_and_go_without_a_doubled_effect(kafka_bootstrap, topic_prefix, database, tmp_path):
    pipeline = Pipeline.create(kafka_bootstrap, topic_prefix, database, tmp_path, partitions=3)
    routers: list[RunningRouter] = []
    try:
        # one connector is one partition; strangers' junk on other keys keeps the other partitions busy
        for number, change in enumerate(("start", "start", "start", "stop", "stop")):
            if change == "start":
                routers.append(RunningRouter(pipeline, len(routers), batch_items=10).start())
            else:
                routers.pop().stop()
            for junk in range(30):
                pipeline.post_raw(f"junk-{junk}".encode(), f"{number}-{junk}".encode())
            post_numbers(pipeline, range(number * 40, number * 40 + 40))
        assert_each_once_in_order(pipeline, 200)
        books = pipeline.books(20, 350)
        assert books == {("emitted", "org_unit"): 200, ("dead_lettered", "undecodable_record"): 150}
        letters = pipeline.read(Topic.WEBHOOK_RECEIVED_DLQ, 150, 10, settle_seconds=1)
        positions = {(read.event.origin.partition, read.event.origin.offset) for read in letters}
        assert len(letters) == len(positions) == 150
    finally:
        for router in routers:
            router.stop()
            assert router.failure is None


def test_an_offset_that_the_database_does_not_know_is_refused(pipeline, runs):
    first = runs()
    post_numbers(pipeline, range(10))
    assert_each_once_in_order(pipeline, 10)
    first.stop()
    _owner_sql(pipeline, "UPDATE router_progress SET first_offset = 0, end_offset = 5")  # a restored, older database
    refused = runs()
    refused.thread.join(20)
    assert isinstance(refused.failure, ConfigError)
    assert "channels router adopt" in str(refused.failure)
    post_numbers(pipeline, range(10, 20))
    refused.stop()
    with RouterProgress(pipeline.bootstrap, pipeline.prefix, pipeline.database.worker_url, pipeline.codec) as progress:
        standing = progress.standing()
        assert [(each.found, each.first, each.end) for each in standing.findings] == [(Found.FORGET, 5, 10)]
        progress.adopt(standing, {Found.FORGET}, now_ms=0)
    runs()
    assert_each_once_in_order(pipeline, 20)


def test_offsets_that_went_back_behind_the_database_are_refused(pipeline, runs):
    first = runs(batch_items=5)
    post_numbers(pipeline, range(50))
    assert_each_once_in_order(pipeline, 50)
    first.stop()
    _set_offset(pipeline, 0)
    _owner_sql(pipeline, "UPDATE router_progress SET first_offset = 40")
    refused = runs()
    refused.thread.join(20)
    assert isinstance(refused.failure, ConfigError)


def _owner_sql(pipeline: Pipeline, statement: str) -> None:
    with psycopg.connect(pipeline.database.owner_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as connection:
        connection.execute(statement)


def _set_offset(pipeline: Pipeline, offset: int) -> None:
    admin, deadline = KafkaAdmin(pipeline.bootstrap), time.monotonic() + allowed(20)
    while True:
        try:
            group, topic = f"{pipeline.prefix}channels-router", f"{pipeline.prefix}channels.webhook.received"
            return admin.commit(group, topic, {0: offset})
        except Conflict:  # the stopped router is a static member until its session ends
            assert time.monotonic() < deadline
            time.sleep(0.2)
