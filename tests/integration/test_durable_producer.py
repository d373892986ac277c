"""The durable producer against a broker that is killed, frozen and started again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.local.kafka import KafkaNode
from deploy.local.stack import LocalStack
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.kafka import client_config
from shared.domain.errors import ChannelsError, InvalidInput, Unavailable
from tests.on_loop import on_loop
from tests.waiting import allowed

DELIVERY_SECONDS = 3.0
FLIP_SECONDS = 2.0  # issue 3, item 7


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    """A broker of this file's own: it is killed and frozen here."""
    node = LocalStack(tmp_path_factory.mktemp("broker")).kafka
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def topic(broker: KafkaNode, topic_prefix: str) -> str:
    name = f"{topic_prefix}raw"
    admin = AdminClient(client_config(broker.bootstrap, "test"))
    for future in admin.create_topics([NewTopic(name, 2, 1)]).values():
        future.result(20)
    return name


@asynccontextmanager
async def producing(bootstrap: str, topic: str) -> AsyncIterator[DurableProducer]:
    producer = DurableProducer(client_config(bootstrap, "test"), watched_topic=topic, delivery_seconds=DELIVERY_SECONDS)
    producer.start()
    try:
        await turns(lambda: producer.ready, 20)
        yield producer
    finally:
        await producer.stop(1)


async def turns(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until the condition holds; how long it took."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, "deadline passed"
        await asyncio.sleep(0.005)
    return time.monotonic() - start


def values(bootstrap: str, topic: str) -> list[bytes]:
    """All that lies in the topic."""
    consumer = Consumer({**client_config(bootstrap, "test"), "group.id": "none", "isolation.level": "read_committed"})
    try:
        found = []
        for partition in (0, 1):
            end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)[1]
            consumer.assign([TopicPartition(topic, partition, 0)])
            taken = 0
            while taken < end:
                message = consumer.poll(10)
                assert message is not None
                assert message.error() is None
                found.append(message.value() or b"")
                taken += 1
        return found
    finally:
        consumer.close()


async def acknowledged(producer: DurableProducer, topic: str, value: bytes) -> bool:
    try:
        await producer.send(topic, b"k", value, [("n", b"v")])
    except Unavailable:
        return False
    return True


@on_loop
async def test_a_burst_is_reported_whole_and_lies_in_the_topic(broker: KafkaNode, topic: str) -> None:
    async with producing(broker.bootstrap, topic) as producer:
        sent = [b"%d" % number for number in range(5_000)]
        assert all(await asyncio.gather(*(acknowledged(producer, topic, value) for value in sent)))
    assert values(broker.bootstrap, topic) == sent


@on_loop
async def test_a_frozen_broker_is_noticed_and_nothing_is_acknowledged_falsely(broker: KafkaNode, topic: str) -> None:
    pid = broker.daemon.pid
    assert pid is not None
    async with producing(broker.bootstrap, topic) as producer:
        assert await acknowledged(producer, topic, b"before")
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            waiting = asyncio.create_task(acknowledged(producer, topic, b"during"))
            assert await turns(lambda: not producer.ready, allowed(10)) < allowed(FLIP_SECONDS)
            with pytest.raises(Unavailable):  # no longer queued: refused at once
                await producer.send(topic, b"k", b"refused", [])
            assert not await waiting
            # the client looks for overdue records once a second
            assert time.monotonic() - start < allowed(DELIVERY_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await turns(lambda: producer.ready, allowed(10)) < allowed(FLIP_SECONDS)
        assert await acknowledged(producer, topic, b"after")
    found = values(broker.bootstrap, topic)
    assert [value for value in found if value != b"during"] == [b"before", b"after"]


@on_loop
async def test_a_killed_broker_is_noticed_and_used_again_after_its_return(broker: KafkaNode, topic: str) -> None:
    pid = broker.daemon.pid
    assert pid is not None
    async with producing(broker.bootstrap, topic) as producer:
        assert await acknowledged(producer, topic, b"before")
        os.kill(pid, signal.SIGKILL)
        assert await turns(lambda: not producer.ready, allowed(10)) < allowed(FLIP_SECONDS)
        assert not await acknowledged(producer, topic, b"during")
        await asyncio.to_thread(partial(broker.start, same_address=True))
        # the topic's leader may take a moment more than the broker's port
        assert await turns(lambda: producer.ready, allowed(10)) < allowed(FLIP_SECONDS)
        assert await acknowledged(producer, topic, b"after")
    assert values(broker.bootstrap, topic) == [b"before", b"after"]


@on_loop
async def test_a_client_that_ended_itself_is_replaced(broker: KafkaNode, topic: str) -> None:
    async with producing(broker.bootstrap, topic) as producer:
        assert await acknowledged(producer, topic, b"before")
        first = producer._producer
        producer._on_error(KafkaError(KafkaError._FATAL, "as the library says it", True))
        await turns(lambda: producer._producer is not first, 5)
        assert await acknowledged(producer, topic, b"after")


@on_loop
async def test_a_stop_with_reports_in_flight_hands_each_over_once(broker: KafkaNode, topic: str) -> None:
    """The flush runs in a thread while the loop still polls: both get reports from the client."""
    told: list[ChannelsError | None] = []
    async with producing(broker.bootstrap, topic) as producer:
        for number in range(3_000):
            producer.produce(topic, b"k", str(number).encode(), [], told.append)
        assert await producer.stop(10) == 0
        assert told == [None] * 3_000
        with pytest.raises(Unavailable):
            producer.produce(topic, b"k", b"late", [], told.append)
    assert len(values(broker.bootstrap, topic)) == 3_000


@on_loop
async def test_a_full_queue_refuses_at_once(broker: KafkaNode, topic: str) -> None:
    config = client_config(broker.bootstrap, "test")
    producer = DurableProducer(config, watched_topic=topic, queued_records=2, linger_ms=500)
    producer.start()
    await turns(lambda: producer.ready, 20)
    first = [producer.send(topic, b"k", b"x", []) for _ in range(2)]
    with pytest.raises(Unavailable, match="queue is full"):
        producer.send(topic, b"k", b"x", [])
    await asyncio.gather(*first)
    assert await producer.stop(5) == 0


@on_loop
async def test_a_record_that_can_never_fit_is_no_fault_of_kafka(broker: KafkaNode, topic: str) -> None:
    async with producing(broker.bootstrap, topic) as producer:
        with pytest.raises(InvalidInput):
            await producer.send(topic, b"k", bytes(2_000_000), [])
        assert producer.ready


@on_loop
async def test_a_missing_topic_means_not_ready(broker: KafkaNode, topic_prefix: str) -> None:
    producer = DurableProducer(client_config(broker.bootstrap, "test"), watched_topic=f"{topic_prefix}none")
    producer.start()
    await turns(lambda: "Unknown topic" in producer.reason, 20)
    assert not producer.ready
    await producer.stop(1)
