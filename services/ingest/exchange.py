"""One request and the promise of one answer; the limits of connections; the two ports between HTTP and the edge's own work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

from services.ingest.answers import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may take of us. A client that wants more gets a defined answer (README.md has the table)."""

    connections: int = 10_000
    url_bytes: int = 2_048
    head_bytes: int = 16_384
    header_count: int = 64
    pipelined_requests: int = 8  # waiting behind the one in work; then the socket is not read
    chunk_overhead_bytes: int = 16_384  # beyond as much again as the body: chunk sizes, extensions, trailers
    discarded_body_bytes: int = 65_536  # a refused body up to this size is read and dropped, so that the connection lives
    body_memory_bytes: int = 268_435_456  # all bodies in memory together
    head_seconds: float = 5.0
    body_seconds: float = 5.0
    body_bytes_per_second: int = 65_536  # a body may take longer by one second for so many bytes that did come
    request_seconds: float = 60.0
    answer_seconds: float = 6.0  # for our part of the work
    idle_seconds: float = 75.0  # above the 60 s of common load balancers, so that they close first
    crowded_idle_seconds: float = 2.0  # the same while three quarters of the connections are taken
    write_seconds: float = 5.0  # a client that does not read its answers
    linger_seconds: float = 2.0  # after the last answer: unread input would make the kernel destroy the answer


class Exchange:
    """One request; `respond` answers it, once, now or later. Header names are lower-case, repeated values joined by `, `."""

    __slots__ = (
        "answer_headers",
        "body",
        "caller",
        "completed_at",
        "early",
        "headers",
        "held_bytes",
        "http_1_0",
        "keep_alive",
        "method",
        "owner",
        "repeated",
        "target",
    )

    def __init__(self, owner: Responder, target: bytes) -> None:
        self.owner = owner
        self.target = target
        self.method = ""
        self.headers: dict[str, bytes] = {}
        self.body = b""
        self.repeated = False
        self.keep_alive = True
        self.http_1_0 = False
        self.held_bytes = 0
        self.early: Answer | None = None  # decided by the head; the body is only dropped
        self.completed_at = 0.0  # of the loop's clock: when the last byte had come
        self.caller: Any = None  # what `admit` of the service found out
        self.answer_headers: tuple[tuple[str, str], ...] = ()  # what every answer to this request must carry

    def respond(self, answer: Answer) -> None:
        """Send the answer when its turn has come. A second answer, or one to a client that has gone, is dropped."""
        self.owner.respond(self, self.dressed(answer) if self.answer_headers else answer)

    def dressed(self, answer: Answer) -> Answer:
        """The answer with what every answer to this request must carry."""
        return replace(answer, headers=(*answer.headers, *self.answer_headers)) if self.answer_headers else answer


class Responder(Protocol):
    """Where an exchange's answer goes: its connection."""

    @property
    def peer(self) -> str | None:
        """Address of the socket's other end; None once it is gone."""
        ...

    def respond(self, exchange: Exchange, answer: Answer) -> None:
        """Take the answer of `exchange`."""
        ...


class Service(Protocol):
    """What the connections serve."""

    def admit(self, exchange: Exchange, length_bytes: int | None) -> int | Answer:
        """Decide by the head: the bytes that the body may have at most, or the refusal. None: length not announced."""
        ...

    def too_large(self, exchange: Exchange) -> Answer:
        """The answer to a body that grew beyond what `admit` allowed."""
        ...

    def handle(self, exchange: Exchange) -> None:
        """Take a whole request; must call `exchange.respond` once, now or later."""
        ...

    def answered(self, exchange: Exchange | None, answer: Answer, seconds: float) -> None:
        """An answer was sent (None: to no whole request), so many seconds after the request's last byte."""
        ...
