"""A small TCP proxy whose connections can be cut, delayed and frozen; it sits between the services and Kafka or PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.local.ports import LOCALHOST, choose_port

_CHUNK_BYTES = 65_536


class Proxy:
    """Listens on a port of its own and forwards to a TCP port or a unix socket. The loop runs in a thread of its own.

    Bytes are never changed, lost or reordered within a connection that lives: that is what TCP promises.
    """

    def __init__(self) -> None:
        self.port = choose_port(given=None, before=None, purpose="proxy", variable="")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)  # kept from others until we listen
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOCALHOST, self.port))
        self._socket.listen()  # what is only bound, others may bind as well
        self._upstream: int | Path | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._delay_seconds = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None
        self.connections_cut = 0

    def start(self, upstream: int | Path) -> None:
        """Listen, and forward to this port of the machine or to this unix socket."""
        self._upstream = upstream
        self._thread.start()
        self._do(self._listen())

    def stop(self) -> None:
        """Close everything."""
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
        self._socket.close()
        self._loop.close()

    def cut(self) -> int:
        """Reset every connection (RST, as a failing middle box would); how many there were. New ones are served."""
        return self._do(self._cut())

    @contextmanager
    def delayed(self, seconds: float) -> Iterator[None]:
        """Within the block every piece of data waits so long in each direction."""
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within the block nothing moves and nobody is told; new connections are taken and hang, too."""
        self._loop.call_soon_threadsafe(self._flowing.clear)
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._flowing.set)

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, sock=self._socket)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            for writer in pair:
                _reset(writer)
        self.connections_cut += len(pairs)
        return len(pairs)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._flowing.wait()
            back_reader, back_writer = await self._connect()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            self._tasks.discard(task)
            return
        pair = (writer, back_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pump(reader, back_writer), self._pump(back_reader, writer))
        except asyncio.CancelledError:
            pass
        finally:
            self._pairs.discard(pair)
            self._tasks.discard(task)
            for one in pair:
                one.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(str(self._upstream))
        return await asyncio.open_connection(LOCALHOST, self._upstream)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        if not writer.is_closing():
            writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if not writer.is_closing() and connection is not None and connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close sends RST, not FIN
    writer.transport.abort()
