"""The router's consumer and producer against a broker that is killed and comes back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.kafka import KafkaNode
from deploy.local.stack import LocalStack
from shared.adapters.kafka import KAFKA_LOGGER, client_config
from shared.adapters.kafka_transactions import Aborted, OutMessage, RawMessage, TransactionalWorker, WorkerIdentity
from shared.domain.errors import Unavailable

SESSION_MS = 3_000
IN, OUT = "in", "out"


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A broker of this test's own: it is killed."""
    node = LocalStack(tmp_path_factory.mktemp("broker")).kafka
    try:
        node.start()
        admin = AdminClient(dict(client_config(node.bootstrap, "test")), logger=KAFKA_LOGGER)
        for future in admin.create_topics([NewTopic(IN, 1, 1), NewTopic(OUT, 1, 1)]).values():
            future.result(20)
        yield node
    finally:
        node.stop()


def worker_on(node: KafkaNode) -> TransactionalWorker:
    identity = WorkerIdentity(bootstrap=node.bootstrap, group="g", slot=0, session_timeout_ms=SESSION_MS)
    worker = TransactionalWorker(identity, IN)
    worker.start()
    return worker


def write(node: KafkaNode, value: bytes) -> None:
    producer = Producer(client_config(node.bootstrap, "test"), logger=KAFKA_LOGGER)
    producer.produce(IN, value)
    assert producer.flush(30) == 0


def settle(worker: TransactionalWorker, wanted: bytes, seconds: float) -> float:
    """Work as the router does until `wanted` is committed; how long it took. Fenced ends the test."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        messages: list[RawMessage] = worker.consume(10, 1_000_000, 0.2)
        if not messages:
            continue
        try:
            worker.commit([OutMessage(OUT, b"", one.value, []) for one in messages], {0: messages[-1].offset + 1})
        except (Aborted, Unavailable):
            worker.rewind()
            continue
        if messages[-1].value == wanted:
            return time.monotonic() - began
    pytest.fail(f"{wanted!r} was not committed within {seconds} s")


def test_an_idle_worker_outlives_its_broker_by_more_than_a_session(node: KafkaNode) -> None:
    """The session ends while the broker is away; the member rejoins, and no commit waits for the old coordinator."""
    begin_offsets(node)
    worker = worker_on(node)
    try:
        for number in range(2):
            value = b"%d" % number
            write(node, value)
            settle(worker, value, 60)
            node.kill()
            away_until = time.monotonic() + SESSION_MS / 1000 + 1
            while time.monotonic() < away_until:
                assert worker.consume(10, 1_000_000, 0.2) == []
            node.start(same_address=True)
        write(node, b"last")
        settle(worker, b"last", 60)
    finally:
        worker.close()


def begin_offsets(node: KafkaNode) -> None:
    """As `channels topics apply` does: a group without an offset is a fault, not a beginning."""
    consumer = Consumer(client_config(node.bootstrap, "test") | {"group.id": "g"}, logger=KAFKA_LOGGER)
    consumer.commit(offsets=[TopicPartition(IN, 0, 0)], asynchronous=False)
    consumer.close()
