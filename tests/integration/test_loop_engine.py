"""Units of work on an event loop: the loop goes on, turns come in order, and who hangs up leaves nothing behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import bindparam, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.adapters.database import DatabaseFault, classify
from shared.adapters.event_loop import on_loop
from shared.adapters.loop_engine import LoopEngine
from shared.adapters.tables import ChannelConnector
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import Management, management_of

NAME = "channels-test-loop-engine"
NAMES = select(ChannelConnector.nome).order_by(ChannelConnector.id)
RENAME = update(ChannelConnector.__table__).values(nome=bindparam("called"))
SLEEP = text("SELECT pg_sleep(:seconds)")


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        made.connector(nome="before")
        yield made


@pytest.fixture
def writers(database: DatabaseUnderTest) -> Iterator[LoopEngine]:
    made = LoopEngine(database.api_url, size=1, application_name=NAME)  # one connection: whatever it keeps, the next one finds
    yield made
    assert made.at_work == 0
    made.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(work(), 30)

    asyncio.run(whole())


def renamed(writers: LoopEngine, tenant: str, name: str, seconds: float = 0.0) -> str:
    """What it was called before."""
    with writers.work(tenant) as session:
        [before] = session.execute_all((NAMES, {}))
        session.send_later(RENAME, {"called": name})
        session.execute(SLEEP, {"seconds": seconds})  # by the session's own way; the loop waits for it all the same
        session.commit()
    return str(before.one().nome)


@pytest.mark.req(7)
def test_it_acts_for_one_tenant_and_leaves_nothing(management: Management, writers: LoopEngine) -> None:
    other = management.another_tenant()

    def names(tenant: str) -> list[str]:
        with writers.work(tenant) as session:
            return list(session.scalars(NAMES))

    async def work() -> None:
        for _ in range(7):
            assert await on_loop(names, management.tenant) == ["before"]
            assert await on_loop(names, other) == []

    run(work)


def test_the_loop_goes_on_while_a_statement_runs(management: Management, writers: LoopEngine) -> None:
    async def work() -> None:
        sleeping = asyncio.create_task(on_loop(renamed, writers, management.tenant, "after", 0.5))
        turns = 0
        while not sleeping.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert await sleeping == "before"
        assert turns > 5

    run(work)
    assert management.read("SELECT nome FROM channel_connector") == [("after",)]


def test_first_ones_at_once_open_one_connection_and_come_in_order(management: Management, writers: LoopEngine) -> None:
    async def work() -> None:
        found = await asyncio.gather(*(on_loop(renamed, writers, management.tenant, f"{number}") for number in range(20)))
        assert found == ["before", *(f"{number}" for number in range(19))]

    run(work)


def test_several_at_once_open_their_connections_side_by_side(management: Management, database: DatabaseUnderTest) -> None:
    many = LoopEngine(database.api_url, size=4, application_name=NAME)

    def slept() -> None:
        with many.work(management.tenant) as session:
            session.execute(SLEEP, {"seconds": 1.0})

    async def work() -> None:
        began = time.monotonic()
        await asyncio.gather(*(on_loop(slept) for _ in range(4)))
        assert time.monotonic() - began < 3.9  # one after the other it would be 4

    run(work)
    many.close()


def test_who_waits_too_long_for_a_turn_is_told(
    management: Management, writers: LoopEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.adapters.loop_engine._TURN_SECONDS", 0.2)

    async def work() -> None:
        long = asyncio.create_task(on_loop(renamed, writers, management.tenant, "first", 1.0))
        await asyncio.sleep(0.3)
        with pytest.raises(PoolTimeout):
            await on_loop(renamed, writers, management.tenant, "never")
        assert await long == "before"
        assert await on_loop(renamed, writers, management.tenant, "second") == "first"

    run(work)


@pytest.mark.parametrize("asking", ["in one piece", "through the session"])
def test_who_hangs_up_in_the_middle_changes_nothing(management: Management, writers: LoopEngine, asking: str) -> None:
    def hanging() -> None:
        with writers.work(management.tenant) as session:
            session.send_later(RENAME, {"called": "half done"})
            if asking == "in one piece":
                session.execute_all((select(text("pg_sleep(20)")), {}))
            session.execute(SLEEP, {"seconds": 20})
            session.commit()

    async def work() -> None:
        hung = asyncio.create_task(on_loop(hanging))
        await asyncio.sleep(0.3)
        waiting = asyncio.create_task(on_loop(renamed, writers, management.tenant, "after"))  # for the one place there is
        await asyncio.sleep(0.05)
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
        # The server learns at its next word that nobody listens; until then the row is locked.
        management.read(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
        )
        assert await waiting == "before"

    run(work)
    assert management.read("SELECT nome FROM channel_connector") == [("after",)]


def test_who_hangs_up_while_connecting_leaves_no_connection_behind(
    management: Management, writers: LoopEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, closed = psycopg.Connection.connect.__func__, threading.Event()  # type: ignore[attr-defined]  # a class's method

    def slowly(kind: type, *arguments: object, **named: object) -> object:
        made = connect(kind, *arguments, **named)
        time.sleep(2.0)
        made.close = lambda close=made.close: (close(), closed.set())
        return made

    async def work() -> None:
        await on_loop(renamed, writers, management.tenant, "first")  # so that the engine knows the server
        writers.close()
        monkeypatch.setattr(psycopg.Connection, "connect", classmethod(slowly))
        hung = asyncio.create_task(on_loop(renamed, writers, management.tenant, "never"))
        began = time.monotonic()
        await asyncio.sleep(0.1)
        assert time.monotonic() - began < 1.9  # the loop does not wait for the connection
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung
        assert await asyncio.to_thread(closed.wait, 5)
        assert await on_loop(renamed, writers, management.tenant, "after") == "first"  # and its place is free

    run(work)


def test_a_connection_that_was_killed_is_replaced(
    management: Management, writers: LoopEngine, database: DatabaseUnderTest
) -> None:
    url = database.superuser_url.replace("postgresql+psycopg", "postgresql")

    async def work() -> None:
        assert await on_loop(renamed, writers, management.tenant, "first") == "before"
        with psycopg.connect(url, autocommit=True) as killer:
            ended = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s AND datname = %s"
            assert killer.execute(ended, (NAME, database.name)).fetchall() == [(True,)]
        assert await on_loop(renamed, writers, management.tenant, "second") == "first"

    run(work)


def test_a_server_that_is_away_is_told_as_by_an_engine(management: Management) -> None:
    away = LoopEngine("postgresql+psycopg://nobody@127.0.0.1:1/nothing", size=1, application_name=NAME)

    async def work() -> None:
        for _ in range(3):
            with pytest.raises(DBAPIError) as refused:
                await on_loop(renamed, away, management.tenant, "never")
            assert classify(refused.value) is DatabaseFault.RETRY

    run(work)
