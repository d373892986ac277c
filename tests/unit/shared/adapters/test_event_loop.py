"""The greenlets that run plain functions on a loop: they are kept, and nothing of a call stays with them."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import greenlet
import pytest

from shared.adapters.event_loop import awaited, off_loop, on_loop

caller: ContextVar[object] = ContextVar("caller")


class Thing:
    """What can be looked for after it should have gone."""


class Refused(Exception):
    """The same, as an error."""


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 20))


async def refused() -> None:
    await asyncio.sleep(0)
    raise Refused


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What goes, goes because nobody holds it any more, not because the collector found a circle."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_one_worker_serves_call_after_call_however_they_end() -> None:
    def fail(error: BaseException) -> None:
        workers.append(greenlet.getcurrent())
        raise error

    workers: list[object] = []

    async def work() -> None:
        for _ in range(2):
            workers.append(await on_loop(greenlet.getcurrent))
            for error in (Refused(), asyncio.CancelledError()):
                with pytest.raises(type(error)):
                    await on_loop(fail, error)

    run(work)
    assert len(workers) == 6
    assert len(set(workers)) == 1


def test_loops_of_two_threads_have_workers_of_their_own() -> None:
    seen: list[tuple[int, object]] = []
    both = threading.Barrier(2)

    def look(number: int) -> None:
        seen.append((threading.get_ident(), greenlet.getcurrent()))
        if number == 0:
            off_loop(both.wait, 20)  # both loops are at work at the same time

    async def work() -> None:
        for number in range(3):
            await on_loop(look, number)

    with ThreadPoolExecutor(2) as threads:
        for ran in [threads.submit(run, work) for _ in range(2)]:
            ran.result(30)
    assert len({thread for thread, _ in seen}) == 2
    assert len({worker for _, worker in seen}) == 2
    assert len(set(seen)) == 2


def test_a_function_that_copes_with_a_failure_waits_for_the_next_thing() -> None:
    async def fine() -> str:
        await asyncio.sleep(0)
        return "fine"

    def cope() -> list[str]:
        said = []
        for _ in range(2):
            try:
                awaited(refused())
            except Refused:
                said.append(awaited(fine()))
        return said

    async def work() -> None:
        assert await on_loop(cope) == ["fine", "fine"]

    run(work)


def test_a_function_acts_in_the_context_of_its_caller() -> None:
    def change() -> object:
        before = caller.get()
        off_loop(Thing)
        caller.set("changed")
        return before

    async def call(name: str) -> tuple[object, object]:
        caller.set(name)
        return await on_loop(change), caller.get()

    async def work() -> None:
        for _ in range(2):
            assert await asyncio.gather(call("one"), call("two")) == [("one", "changed"), ("two", "changed")]

    run(work)


@pytest.mark.usefixtures("uncollected")
def test_nothing_of_a_call_is_held_after_it() -> None:
    held: list[weakref.ref[object]] = []

    def use(thing: Thing, refuses: bool) -> Thing:
        local = Thing()
        held.extend(map(weakref.ref, (thing, local)))
        if refuses:
            raise Refused
        return local

    async def call(refuses: bool) -> None:
        caller.set(thing := Thing())
        held.append(weakref.ref(thing))
        try:
            await on_loop(use, Thing(), refuses)
        except Refused as error:
            held.append(weakref.ref(error))

    async def work() -> None:
        for refuses, things in ((False, 3), (True, 7)):
            await asyncio.create_task(call(refuses))
            await asyncio.sleep(0)  # the loop lets go of a task's context a turn later
            assert [one() for one in held] == [None] * things

    run(work)
