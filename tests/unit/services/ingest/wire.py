"""A connection without a socket: bytes in, answers out, a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from services.ingest.answers import Answer, Outcome
from services.ingest.exchange import Exchange, Limits
from services.ingest.protocol import Connection
from services.ingest.server import Server

OK = Answer(status=200, outcome=Outcome.ACCEPTED)
MAX_BODY_BYTES = 1_000


class FakeTransport(asyncio.Transport):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = self.closed = self.aborted = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        ended = self.ended or self.closed
        assert not ended, "written after the end"
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered here."""


@dataclass
class FakeService:
    """Accepts every request, or keeps it for the test to answer."""

    handler: Callable[[Exchange], None] = lambda exchange: exchange.respond(OK)
    admission: int | Answer = MAX_BODY_BYTES
    seen: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    kept: list[Exchange] = field(default_factory=list)
    counted: list[tuple[str, str]] = field(default_factory=list)

    def admit(self, exchange: Exchange, length_bytes: int | None) -> int | Answer:
        if isinstance(self.admission, int) and length_bytes is not None and length_bytes > self.admission:
            return self.too_large(exchange)
        return self.admission

    def too_large(self, exchange: Exchange) -> Answer:
        return Answer(status=413, outcome=Outcome.TOO_LARGE, reason="body_too_large")

    def handle(self, exchange: Exchange) -> None:
        self.seen.append((exchange.method, exchange.target, exchange.body))
        self.kept.append(exchange)
        self.handler(exchange)

    def answered(self, exchange: Exchange | None, answer: Answer, seconds: float) -> None:
        self.counted.append((answer.outcome.value, answer.reason))

    def keep(self) -> None:
        """Answer nothing by itself from now on."""
        self.handler = lambda exchange: None


class Wire:
    """One client of one server."""

    def __init__(self, limits: Limits | None = None, server: Server | None = None) -> None:
        self.now = 1_000.0
        self.failures: list[Exception] = []
        self.service = FakeService()
        self.server = server or Server(self.service, limits or Limits(), lambda: self.now, self.failures.append)
        self.transport = FakeTransport()
        self.connection = Connection(self.server)
        self.connection.connection_made(self.transport)

    def send(self, *parts: bytes) -> None:
        """Bytes from the client, in reads of their own."""
        for part in parts:
            self.connection.data_received(part)

    def drip(self, data: bytes) -> None:
        """One byte per read."""
        self.send(*(data[index : index + 1] for index in range(len(data))))

    def eof(self) -> bool:
        """The client closes its side."""
        return self.connection.eof_received()

    def sleep(self, seconds: float) -> None:
        """Let time pass, and the sweep with it."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.5
            self.server.check_deadlines()

    def statuses(self) -> list[int]:
        """Status of every answer so far, 100 included."""
        return [int(part[:3]) for part in self.transport.written.split(b"HTTP/1.1 ")[1:]]

    @property
    def ended(self) -> bool:
        """True once our side is closed."""
        return self.transport.ended or self.transport.closed or self.transport.aborted
