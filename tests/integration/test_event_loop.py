"""Plain functions on an event loop: they wait for a real database, and the loop does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import greenlet
import psycopg
import pytest
import uvloop
from psycopg.waiting import Ready
from sqlalchemy import func, literal, select
from sqlalchemy.exc import DBAPIError

from shared.adapters.database import DatabaseFault, classify
from shared.adapters.event_loop import LoopConnection, LoopPool, is_on_loop, off_loop, on_loop
from shared.adapters.reading import reading_on_loop
from shared.adapters.tables import ChannelConnector
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of

NAME = "channels-test-loop"
NAMES = select(ChannelConnector.nome).order_by(ChannelConnector.id)
ACTING_FOR = select(func.current_setting("channels.tenant", True).label("tenant"))


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


@pytest.fixture
def pool(database: DatabaseUnderTest) -> Iterator[LoopPool]:
    made = LoopPool(database.api_url, size=1, application_name=NAME)  # one connection: whatever it keeps, the next one finds
    yield made
    made.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(work(), 30)

    asyncio.run(whole())


def slept(pool: LoopPool, tenant: str, seconds: float) -> None:
    with reading_on_loop(pool, tenant) as reader:
        reader.execute(select(func.pg_sleep(literal(seconds))))


def names(pool: LoopPool, tenant: str) -> list[str]:
    with reading_on_loop(pool, tenant) as reader:
        return [row.nome for row in reader.execute(NAMES)]


@pytest.mark.req(10)
def test_a_reader_on_a_loop_sees_one_tenant_and_leaves_nothing(management: Management, pool: LoopPool) -> None:
    management.connector(nome="ours")
    other = management.another_tenant()

    def acting_for() -> str | None:
        with pool.connection() as connection:
            [(found,)] = connection.execute("SELECT nullif(current_setting('channels.tenant', true), '')")
            return str(found) if found else None

    async def work() -> None:
        for _ in range(7):
            assert await on_loop(names, pool, management.tenant) == ["ours"]
            assert await on_loop(names, pool, other) == []
            assert await on_loop(acting_for) is None

    run(work)


def test_the_loop_goes_on_while_a_statement_runs(management: Management, pool: LoopPool) -> None:
    async def work() -> None:
        sleeping = asyncio.create_task(on_loop(slept, pool, management.tenant, 0.5))
        turns = 0
        while not sleeping.done():
            await asyncio.sleep(0.01)
            turns += 1
        await sleeping
        assert turns > 5

    run(work)


def test_who_came_first_is_served_first(management: Management, pool: LoopPool) -> None:
    served: list[int] = []

    def read(number: int) -> None:
        names(pool, management.tenant)
        served.append(number)

    async def work() -> None:
        await asyncio.gather(*(on_loop(read, number) for number in range(20)))
        assert served == list(range(20))

    run(work)


def test_a_read_that_is_cancelled_takes_its_connection_with_it(management: Management, pool: LoopPool) -> None:
    management.connector(nome="ours")

    async def work() -> None:
        sleeping = asyncio.create_task(on_loop(slept, pool, management.tenant, 20.0))
        await asyncio.sleep(0.2)
        waiting = asyncio.create_task(on_loop(names, pool, management.tenant))  # for the one place there is
        await asyncio.sleep(0.05)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert await waiting == ["ours"]

    run(work)


def test_a_connection_that_was_killed_is_replaced(management: Management, pool: LoopPool, database: DatabaseUnderTest) -> None:
    management.connector(nome="ours")
    url = database.superuser_url.replace("postgresql+psycopg", "postgresql")

    async def work() -> None:
        assert await on_loop(names, pool, management.tenant) == ["ours"]
        with psycopg.connect(url, autocommit=True) as killer:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
            assert killer.execute(ended, (NAME, database.name)).fetchall() == [(True,)]
        assert await on_loop(names, pool, management.tenant) == ["ours"]

    run(work)


@pytest.mark.parametrize("busy", [False, True])
def test_the_socket_of_a_connection_that_ended_can_be_another_s(
    management: Management, pool: LoopPool, database: DatabaseUnderTest, busy: bool
) -> None:
    """On uvloop, where a place that is still watched for one who has gone would never tell of its next owner."""
    management.connector(nome="ours")
    url = database.superuser_url.replace("postgresql+psycopg", "postgresql")
    sockets = []

    def socket_of() -> int:
        with pool.connection() as connection:
            return connection.pgconn.socket

    def end() -> None:
        with psycopg.connect(url, autocommit=True) as killer:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
            assert killer.execute(ended, (NAME, database.name)).fetchall() == [(True,)]

    async def work() -> None:
        for _ in range(2):
            assert await on_loop(names, pool, management.tenant) == ["ours"]
            sockets.append(await on_loop(socket_of))
            if busy:
                sleeping = asyncio.create_task(on_loop(slept, pool, management.tenant, 20.0))
                await asyncio.sleep(0.2)
                await asyncio.to_thread(end)
                with pytest.raises(DBAPIError):
                    await sleeping
            else:
                end()  # at once: the loop hears of it from the next reader
        assert await on_loop(names, pool, management.tenant) == ["ours"]
        assert sockets[0] == sockets[1]

    uvloop.run(asyncio.wait_for(work(), 20))


def test_a_server_that_ends_an_idle_connection_is_heard_once(
    management: Management, pool: LoopPool, database: DatabaseUnderTest
) -> None:
    url, told = database.superuser_url.replace("postgresql+psycopg", "postgresql"), []

    async def work() -> None:
        await on_loop(names, pool, management.tenant)
        [(connection, _)] = pool._idle
        tell, heard, (loop, socket) = connection._tell, asyncio.Event(), connection._watched

        def counted() -> None:
            told.append(1)
            heard.set()
            tell(Ready.R)

        loop.add_reader(socket, counted)
        with psycopg.connect(url, autocommit=True) as killer:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
            await asyncio.to_thread(killer.execute, ended, (NAME,))
        await heard.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        assert told == [1]

    uvloop.run(asyncio.wait_for(work(), 20))


def test_a_server_that_is_away_is_told_as_by_an_engine(database: DatabaseUnderTest, management: Management) -> None:
    away = LoopPool("postgresql+psycopg://nobody@127.0.0.1:1/nothing", size=1, application_name=NAME)

    async def work() -> None:
        with pytest.raises(DBAPIError) as refused:
            await on_loop(names, away, management.tenant)
        assert classify(refused.value) is DatabaseFault.RETRY

    run(work)


def test_what_waits_for_something_else_takes_a_thread() -> None:
    async def work() -> None:
        together = threading.Barrier(4)  # one after the other they would wait for ever
        await asyncio.gather(*(on_loop(off_loop, together.wait, 20) for _ in range(4)))
        assert await on_loop(is_on_loop)
        assert not is_on_loop()

    run(work)


def test_one_function_after_the_other_has_its_own_context_and_its_own_end() -> None:
    caller: ContextVar[str] = ContextVar("caller")
    seen, workers = [], set()

    def said(name: str, error: Exception | None) -> str:
        workers.add(id(greenlet.getcurrent()))
        off_loop(time.sleep, 0.01)  # others come in between
        seen.append((name, caller.get()))
        if error is not None:
            raise error
        return name

    async def call(name: str) -> str:
        caller.set(name)
        if name.startswith("bad"):
            with pytest.raises(ZeroDivisionError, match=name):
                await on_loop(said, name, ZeroDivisionError(name))
            return name
        return await on_loop(said, name, None)

    async def work() -> None:
        for _ in range(3):
            names = ["bad one", "good one", "bad two", "good two"]
            assert await asyncio.gather(*map(call, names)) == names
        assert all(name == of for name, of in seen)
        assert len(seen) == 12
        assert len(workers) == 4

    run(work)


def test_who_hangs_up_while_connecting_leaves_no_connection_behind(
    management: Management, pool: LoopPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, made, closed = pool._connect, [], threading.Event()

    def slowly() -> LoopConnection:
        time.sleep(0.2)
        made.append(connect())
        made[-1].close = lambda close=made[-1].close: (close(), closed.set())
        return made[-1]

    monkeypatch.setattr(pool, "_connect", slowly)

    async def work() -> None:
        reading = asyncio.create_task(on_loop(names, pool, management.tenant))
        await asyncio.sleep(0.05)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await asyncio.to_thread(closed.wait, 5)
        assert await on_loop(names, pool, management.tenant) == []  # and its place is free

    run(work)
