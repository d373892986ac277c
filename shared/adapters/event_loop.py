"""Plain functions on an event loop: where one waits for the database, the loop goes on with others.

The use cases are written once, as plain functions that block (CLI, threads). Called through `on_loop` the same function runs in
a greenlet of its own: what it waits for at a `LoopConnection` is awaited by the loop. A read then needs no thread, and dozens
of them no longer fight for the interpreter; the next in the queue is served in the order of arrival. This is how SQLAlchemy's
own asyncio extension works (https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html#synopsis-orm), but for greenlets that
are kept.
"""

from __future__ import annotations

import asyncio
import select
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import greenlet
import psycopg
from psycopg.waiting import Ready, Wait
from sqlalchemy import make_url

from shared.adapters.database import at_rest, connect_arguments, lives

T = TypeVar("T")


class _Worker(greenlet.greenlet):  # type: ignore[misc]  # has no types
    """Runs plain functions, one after the other: to make a greenlet for each is to have the system map and unmap its memory."""

    at_work = False
    error: BaseException | None = None
    outcome: Any = None

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """What a greenlet does; each `switch` to one that rests brings the next function."""
        while True:
            try:
                self.outcome, self.error = function(*arguments), None
            except BaseException as error:
                self.outcome, self.error = None, error
            self.at_work = False
            del function, arguments
            function, arguments = self.parent.switch()


class _Resting(threading.local):
    """Workers without work: a greenlet belongs to its thread."""

    def __init__(self) -> None:
        self.workers: list[_Worker] = []


_resting = _Resting()


def is_on_loop() -> bool:
    """Whether the caller was called through `on_loop`: nothing may block then."""
    return isinstance(greenlet.getcurrent(), _Worker)


async def on_loop(function: Callable[..., T], *arguments: Any) -> T:
    """Call a plain function that waits for nothing but `LoopConnection`s, `off_loop`, `awaited` and a `Queue`."""
    resting = _resting.workers
    worker = resting.pop() if resting else _Worker()
    worker.gr_context = greenlet.getcurrent().gr_context  # the caller's, as in any function
    worker.at_work = True
    wanted = worker.switch(function, arguments)
    while worker.at_work:
        try:
            found = await wanted
        except BaseException as error:
            wanted = worker.throw(error)
        else:
            wanted = worker.switch(found)
    outcome: Any = worker.outcome
    raised, worker.outcome, worker.error, worker.gr_context = worker.error, None, None, None
    resting.append(worker)
    if raised is None:
        return outcome  # type: ignore[no-any-return]
    try:
        raise raised
    finally:
        del raised  # its traceback knows this very frame


def awaited(wanted: Awaitable[T]) -> T:
    """What a coroutine gives, for a function that was called through `on_loop`."""
    driver: Any = greenlet.getcurrent().parent
    return driver.switch(wanted)  # type: ignore[no-any-return]


def off_loop(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that waits for something else: in a thread, if the caller runs on a loop."""
    if not is_on_loop():
        return function(*arguments)
    return awaited(asyncio.get_running_loop().run_in_executor(None, function, *arguments))


class LoopConnection(psycopg.Connection[Any]):
    """A connection that also waits on the loop; elsewhere it blocks, as any other.

    The loop watches its socket from the first wait on. To begin and end that with each wait took longer than the statement:
    two system calls, and what the loop keeps of each.
    """

    prepared: Any = None  # what its user has prepared in it
    _watched: tuple[asyncio.AbstractEventLoop, int] | None = None  # by this loop, at this socket
    _waiting: asyncio.Future[Ready] | None = None

    def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
        """The one place in which the driver waits, for whatever one of its generators wants next."""
        if not is_on_loop():
            return super().wait(gen, *arguments, **more)
        try:
            wanted = next(gen)
            while True:
                wanted = gen.send(self._ready(wanted))
        except StopIteration as end:
            return end.value

    def close(self) -> None:
        """Close it, at once where it is lost: the driver lets the socket go by itself, and its number may soon be another's."""
        self._unwatch()
        super().close()

    def _ready(self, wanted: int) -> Ready:
        socket = self.pgconn.socket
        if wanted & Wait.W and _takes_more(socket):
            return Ready.W
        loop = asyncio.get_running_loop()
        if self._watched != (loop, socket):
            self._unwatch()
            loop.add_reader(socket, self._tell, Ready.R)
            self._watched = loop, socket
        self._waiting = loop.create_future()
        if wanted & Wait.W:
            loop.add_writer(socket, self._tell, Ready.W)
        try:
            return awaited(self._waiting)
        finally:
            self._waiting = None
            if wanted & Wait.W:
                loop.remove_writer(socket)

    def _tell(self, ready: Ready) -> None:
        if self._waiting is None:  # nobody asked: it is the server's end, and would be told for ever
            self._unwatch()
        elif not self._waiting.done():
            self._waiting.set_result(ready)

    def _unwatch(self) -> None:
        if self._watched is None:
            return
        (loop, socket), self._watched = self._watched, None
        if loop is _running_loop():
            loop.remove_reader(socket)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(loop.remove_reader, socket)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _takes_more(socket: int) -> bool:
    room = select.poll()
    room.register(socket, select.POLLOUT)
    return bool(room.poll(0))


class _Making:
    """A connection that a thread makes for somebody who may have gone by then."""

    def __init__(self, connect: Callable[[], LoopConnection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._made: LoopConnection | None = None
        self._abandoned = False

    def run(self) -> LoopConnection:
        """In the thread."""
        connection = self._connect()
        with self._lock:
            self._made = connection
            if self._abandoned:
                connection.close()
        return connection

    def abandon(self) -> None:
        """Nobody takes it any more."""
        with self._lock:
            self._abandoned = True
            if self._made is not None:
                self._made.close()


def connected_off_loop(connect: Callable[[], LoopConnection]) -> LoopConnection:
    """A new one. Whoever is cancelled meanwhile leaves a thread behind that is about to have one: it closes it itself."""
    making = _Making(connect)
    try:
        return off_loop(making.run)
    except BaseException:
        making.abandon()
        raise


class LoopPool:
    """Connections for functions on a loop alone: who finds none waits on the loop, first come first served. (A pool of
    SQLAlchemy's for plain functions waits with a thread's lock, and so for ever.) Opens nothing before it is asked."""

    def __init__(self, url: str, *, size: int, application_name: str) -> None:
        self._address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._arguments = connect_arguments(application_name)
        self._size = size
        self._free: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._idle: deque[tuple[LoopConnection, float]] = deque()

    @contextmanager
    def connection(self) -> Iterator[LoopConnection]:
        """One for the length of the block; what is not at rest after it is closed. Raises psycopg.Error."""
        loop = asyncio.get_running_loop()
        free = self._free.get(loop)
        if free is None:
            free = self._free[loop] = asyncio.Semaphore(self._size)
        awaited(free.acquire())
        try:
            # To connect takes a thread: names have to be looked up, and a server that is away is waited for.
            connection = self._living() or connected_off_loop(self._connect)
            try:
                yield connection
            finally:
                if at_rest(connection):
                    self._idle.append((connection, time.monotonic()))
                else:
                    connection.close()
        finally:
            free.release()

    def close(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop()[0].close()

    def _living(self) -> LoopConnection | None:
        while self._idle:
            connection, returned_at = self._idle.pop()
            if lives(connection, returned_at):
                return connection
            connection.close()
        return None

    def _connect(self) -> LoopConnection:
        return LoopConnection.connect(self._address, autocommit=True, **self._arguments)
