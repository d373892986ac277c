"""Units of work for functions on an event loop: the same sessions, on connections whose waiting the loop does.

A pool of SQLAlchemy's waits with a thread's lock, and so does whoever opens the first connection of an engine; on a loop either
would stop it for good. So the turn of who finds no connection free is waited for on the loop, first come first served, and
the first connection is opened in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.adapters.database import create_engine_for
from shared.adapters.event_loop import LoopConnection, awaited, connected_off_loop, off_loop
from shared.adapters.pipelined_work import PipelinedSession, pipelined_work

_TURN_SECONDS = 10.0  # as long as others wait for a lock


class LoopEngine:
    """For functions called through `on_loop` alone. Opens nothing before it is asked."""

    def __init__(self, url: str, *, size: int, application_name: str) -> None:
        self._engine = create_engine_for(url, pool_size=size, application_name=application_name)
        self._size = size
        self._free: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._known = False  # whether SQLAlchemy has asked the server what it is
        event.listen(self._engine, "do_connect", _connect)

    @contextmanager
    def work(self, tenant_id: str) -> Iterator[PipelinedSession]:
        """A `pipelined_work`, once it is its turn. Raises sqlalchemy's TimeoutError if that takes longer than 10 s."""
        free = self._free.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._size))
        awaited(_turn(free))
        try:
            if not self._known:
                off_loop(self._meet)
            with pipelined_work(self._engine, tenant_id=tenant_id) as session:
                yield session
        finally:
            free.release()

    @property
    def at_work(self) -> int:
        """Connections that are in use."""
        pool: Any = self._engine.pool
        return int(pool.checkedout())

    def close(self) -> None:
        """Close what is not in use."""
        self._engine.dispose()

    def _meet(self) -> None:
        with self._engine.connect():
            self._known = True


async def _turn(free: asyncio.Semaphore) -> None:
    try:
        async with asyncio.timeout(_TURN_SECONDS if free.locked() else None):
            await free.acquire()
    except TimeoutError as error:
        raise PoolTimeout(f"no connection was free for {_TURN_SECONDS:g} s") from error


def _connect(_dialect: object, _record: object, arguments: tuple[Any, ...], named: dict[str, Any]) -> LoopConnection:
    return connected_off_loop(partial(LoopConnection.connect, *arguments, **named))
