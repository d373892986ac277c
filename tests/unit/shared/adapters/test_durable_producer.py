"""What a producer owes its receivers when its client behaves at its worst. A stand-in for the client; no broker, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from shared.adapters import durable_producer
from shared.adapters.durable_producer import DurableProducer
from shared.adapters.kafka_presence import KafkaPresence
from shared.domain.errors import ChannelsError, Unavailable
from tests.on_loop import on_loop

FATAL = KafkaError(KafkaError._FATAL, "as the library says it", True)


class Client:
    """Reports records only when told to; after a purge only with the poll after next, as threads may have it."""

    made: list[Client]
    refusals = 0

    def __init__(self, *_: object, **__: object) -> None:
        if Client.refusals:
            Client.refusals -= 1
            raise RuntimeError("no thread can be started")
        self.waiting: list[Callable[[KafkaError | None, Any], None]] = []
        self.polls_until_reports: int | None = None
        self.error: KafkaError | None = None
        Client.made.append(self)

    def __len__(self) -> int:
        return len(self.waiting)

    def produce(self, *_: object, on_delivery: Callable[[KafkaError | None, Any], None], **__: object) -> None:
        self.waiting.append(on_delivery)

    def poll(self, _: float) -> int:
        if self.polls_until_reports is None:
            return 0
        if self.polls_until_reports > 0:
            self.polls_until_reports -= 1
            return 0
        reports, self.waiting = self.waiting, []
        for report in reports:
            report(self.error, None)
        return len(reports)

    def flush(self, _: float) -> int:
        self.poll(0)
        return len(self.waiting)

    def purge(self) -> None:
        self.error, self.polls_until_reports = KafkaError(KafkaError._PURGE_INFLIGHT), 2


@pytest.fixture(autouse=True)
def clients(monkeypatch: pytest.MonkeyPatch) -> list[Client]:
    Client.made, Client.refusals = [], 0
    monkeypatch.setattr(durable_producer, "Producer", Client)
    monkeypatch.setattr(KafkaPresence, "start", lambda presence, _: presence._found())
    return Client.made


def started() -> DurableProducer:
    producer = DurableProducer({}, watched_topic="t")
    producer.start()
    return producer


async def turns(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a state of the stand-in, no event
            await asyncio.sleep(0.001)


@on_loop
async def test_what_a_failed_client_still_held_is_reported_however_late(clients: list[Client]) -> None:
    producer, told = started(), list[ChannelsError | None]()
    for _ in range(3):
        producer.produce("t", b"k", b"v", [], told.append)
    producer._on_error(FATAL)
    await turns(lambda: len(told) == 3)
    assert len(clients) == 2
    assert [type(one) for one in told] == [Unavailable] * 3
    assert producer._owed == 0
    assert producer._retired == []


@on_loop
async def test_a_client_that_cannot_be_replaced_at_once_is_replaced_later(clients: list[Client]) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    producer = started()
    Client.refusals = 2
    producer._on_error(FATAL)
    await turns(lambda: len(clients) == 2)
    assert [producer._producer] == clients[1:]


@on_loop
async def test_a_receiver_that_raises_costs_no_other_its_report(clients: list[Client]) -> None:
    seen, told = list[object](), list[ChannelsError | None]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
    producer = started()

    def raises(_: ChannelsError | None) -> None:
        raise ValueError("a fault of ours")

    for receiver in (told.append, raises, told.append):
        producer.produce("t", b"k", b"v", [], receiver)
    clients[0].polls_until_reports = 0
    await turns(lambda: told == [None, None])
    assert [type(one) for one in seen] == [ValueError]
    assert producer._owed == 0


@on_loop
async def test_after_its_stop_it_takes_and_polls_nothing_more(clients: list[Client]) -> None:
    producer, told = started(), list[ChannelsError | None]()
    producer.produce("t", b"k", b"v", [], told.append)
    clients[0].polls_until_reports = 0
    assert await producer.stop(1) == 0
    assert told == [None]
    with pytest.raises(Unavailable):
        producer.produce("t", b"k", b"v", [], told.append)
    assert clients[0].waiting == []
