"""Ingest while its broker is frozen or killed, and while it is told to stop under load."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from deploy.local.kafka import KafkaNode
from deploy.local.stack import LocalStack
from tests.edge import Edge, EdgeProcess, Reply, signature
from tests.on_loop import on_loop
from tests.waiting import allowed, eventually

FLIP_SECONDS = 2.0  # issue 3, item 7
ANSWER_SECONDS = 6.0  # what a provider waits for at least
CLIENTS = 32


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaNode]:
    """A broker of the test's own: it is frozen and killed here."""
    node = LocalStack(tmp_path / "stack").kafka
    try:
        node.start()
        yield node
    finally:
        node.stop()


@pytest.fixture
def lonely(broker: KafkaNode, topic_prefix: str, tmp_path: Path) -> Iterator[Edge]:
    edge = Edge.create(broker.bootstrap, topic_prefix, tmp_path)
    try:
        yield edge
    finally:
        edge.stop()


def lose(process: EdgeProcess) -> None:
    assert eventually(lambda: not process.ready) < allowed(FLIP_SECONDS)


def regain(process: EdgeProcess) -> None:
    assert eventually(lambda: process.ready) < allowed(FLIP_SECONDS)


def refused_in_time(edge: Edge, body: bytes) -> None:
    start = time.monotonic()
    answer = edge.post(body)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert time.monotonic() - start < allowed(ANSWER_SECONDS)


@pytest.mark.parametrize("fault", ["frozen", "killed"])
def test_without_its_broker_nothing_is_acknowledged_and_all_resumes(lonely: Edge, broker: KafkaNode, fault: str) -> None:
    process = lonely.start()
    pid = broker.daemon.pid
    assert pid is not None
    assert lonely.post(b'"before"').status == 200
    os.kill(pid, signal.SIGSTOP if fault == "frozen" else signal.SIGKILL)
    waiting: list[Reply] = []
    first = Thread(target=lambda: waiting.append(lonely.post(b'"at once"')))
    first.start()
    try:
        lose(process)
        refused_in_time(lonely, b'"during"')
        first.join(ANSWER_SECONDS)
        assert [answer.status for answer in waiting] == [503]
        assert process.operations("/healthz")[0] == 200
    finally:
        if fault == "frozen":
            os.kill(pid, signal.SIGCONT)
        else:
            broker.start(same_address=True)
    regain(process)
    assert lonely.post(b'"after"').status == 200
    bodies = [stored.body for stored in lonely.stored()]
    # what was sent to a frozen broker may still arrive: it was not acknowledged, and the provider repeats it
    assert [body for body in bodies if body != b'"at once"'] == [b'"before"', b'"after"']


async def post_on(edge: Edge, number: int, stop: asyncio.Event, answered: set[bytes], unanswered: list[bytes]) -> None:
    """One client that posts until its server says that the connection ends, then on a new one, until told to stop."""
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    count = 0
    while not stop.is_set():
        if reader is None or writer is None:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
            except ConnectionRefusedError:
                return  # nobody listens any more: nothing was accepted
        body = b'"%d-%d"' % (number, count)
        count += 1
        lines = ("Host: a", f"X-Hub-Signature-256: {signature(body)}", f"Content-Length: {len(body)}")
        writer.write("\r\n".join([f"POST {edge.url()} HTTP/1.1", *lines, "", ""]).encode() + body)
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            unanswered.append(body)
            return
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        answered.add(body)
        if b"Connection: close" in answer:
            writer.close()
            reader = writer = None
    if writer is not None:
        writer.close()


@on_loop
async def test_a_stop_under_load_answers_all_it_accepted_and_loses_nothing(edge: Edge) -> None:
    answered: set[bytes] = set()
    unanswered: list[bytes] = []
    for round_number in range(3):
        process = await asyncio.to_thread(edge.start)
        stop = asyncio.Event()
        numbers = range(round_number * CLIENTS, (round_number + 1) * CLIENTS)
        clients = [asyncio.create_task(post_on(edge, number, stop, answered, unanswered)) for number in numbers]
        before = len(answered)
        async with asyncio.timeout(20):
            while len(answered) < before + 500:  # noqa: ASYNC110 - a count of many clients has no event
                await asyncio.sleep(0.01)
        process.terminate()
        assert await asyncio.to_thread(process.wait) == 0
        stop.set()
        await asyncio.gather(*clients)
        assert process.lines()[-1]["unanswered"] == 0
    assert unanswered == []
    stored = [one.body for one in await asyncio.to_thread(edge.stored)]
    assert answered <= set(stored)
    assert len(stored) == len(set(stored))


@on_loop
async def test_one_of_two_processes_stops_and_no_client_notices(edge: Edge) -> None:
    answered: set[bytes] = set()
    unanswered: list[bytes] = []
    processes = [await asyncio.to_thread(edge.start) for _ in range(2)]
    stop = asyncio.Event()
    clients = [asyncio.create_task(post_on(edge, number, stop, answered, unanswered)) for number in range(CLIENTS)]
    processes[0].terminate()
    assert await asyncio.to_thread(processes[0].wait) == 0
    before = len(answered)
    async with asyncio.timeout(20):
        while len(answered) < before + 500:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.gather(*clients)
    assert unanswered == []
    assert answered == {one.body for one in await asyncio.to_thread(edge.stored)}
