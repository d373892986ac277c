"""All connections of one process: their bounds, their deadlines, the sockets they come from, and the drain at the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import formatdate

from services.ingest.exchange import Exchange, Limits, Service
from services.ingest.listener import refuse_new_connections
from services.ingest.protocol import Connection

_SWEEP_SECONDS = 0.5
_CROWDED = 0.75
_BACKLOG = 2_048
_ACCEPT_SECONDS = 0.1  # connections that the kernel has already accepted for us are still taken in
_POLL_SECONDS = 0.02


class Server:
    """State shared by the connections of one event loop. `now` is its clock; `on_failure` gets what should not have happened."""

    def __init__(
        self, service: Service, limits: Limits, now: Callable[[], float], on_failure: Callable[[Exception], None]
    ) -> None:
        self.service = service
        self.limits = limits
        self.body_bytes = 0  # of all bodies in memory
        self.draining = False
        self.date = b""  # value of the Date header, renewed by the sweep
        self.connections: set[Connection] = set()
        self.failed = on_failure
        self.now = now
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        self._renew_date()

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Serve these bound sockets from now on."""
        loop = asyncio.get_running_loop()
        for bound in sockets:
            listener = await loop.create_server(self._connection, sock=bound, backlog=_BACKLOG)
            self._sockets.append(bound)
            self._listeners.append(listener)
        self._sweep(loop)

    @property
    def listening(self) -> bool:
        """True once clients can connect."""
        return bool(self._listeners)

    def _connection(self) -> Connection:
        return Connection(self)

    @property
    def idle_seconds(self) -> float:
        """How long a connection may be idle; short while connections are scarce."""
        crowded = len(self.connections) > self.limits.connections * _CROWDED
        return self.limits.crowded_idle_seconds if crowded else self.limits.idle_seconds

    def enter(self, connection: Connection) -> bool:
        """Take a new connection in; False if there are too many, and it must go."""
        self.connections.add(connection)
        return len(self.connections) <= self.limits.connections

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)

    def release(self, exchange: Exchange) -> None:
        """The body of this request is no longer needed."""
        self.body_bytes -= exchange.held_bytes
        exchange.held_bytes = 0
        exchange.body = b""

    def check_deadlines(self) -> None:
        """Hold every connection to its deadlines, and renew the date."""
        self._renew_date()
        now = self.now()
        for connection in list(self.connections):
            connection.check(now)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Twice a second over all: cheaper than a timer each up to some 100 000 connections."""
        self.check_deadlines()
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep, loop)

    def _renew_date(self) -> None:
        self.date = formatdate(usegmt=True).encode("ascii")

    async def drain(self, grace_seconds: float, seconds: float) -> int:
        """Take no new connection, answer what has begun, close the rest; how many requests were left unanswered.

        During the grace each client gets its next answer with `Connection: close`: closing a connection that looks idle may
        cross with a request under way.
        """
        self.draining = True
        until = self.now() + seconds
        for bound in self._sockets:
            refuse_new_connections(bound)
        await asyncio.sleep(_ACCEPT_SECONDS)
        for listener in self._listeners:
            listener.close()
        await self._until_gone(min(self.now() + grace_seconds, until))
        while self.connections and self.now() < until:
            for connection in list(self.connections):
                connection.close_if_idle()
            await asyncio.sleep(_POLL_SECONDS)
        left = sum(connection.owes for connection in self.connections)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return left

    async def _until_gone(self, until: float) -> None:
        while self.connections and self.now() < until:  # noqa: ASYNC110 - there is no event for the last of many
            await asyncio.sleep(_POLL_SECONDS)
