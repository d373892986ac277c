"""Reads requests from one connection's bytes: llhttp parses, the limits are ours.

What a client can make us hold is bounded: a head by `Limits.head_bytes`, a body by the service's limit, all bodies together
by `Limits.body_memory_bytes`. Who calls looks after the deadlines, by `phase` and `since`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

import httptools

from services.ingest import answers
from services.ingest.answers import Answer
from services.ingest.exchange import Exchange, Limits, Responder, Service
from services.ingest.framing import ONLY_ONCE, body_length, check_head

SLICE_BYTES = 4_096


class Phase(IntEnum):
    """What is being read."""

    IDLE = 0
    HEAD = 1
    BODY = 2


_IDLE, _HEAD, _BODY = Phase  # the way to a member of an enumeration is long
_USUAL_NAMES = {
    spelling.encode("ascii"): name
    for name in (
        *("host", "user-agent", "accept", "accept-encoding", "connection", "content-type", "content-length", "traceparent"),
        *("x-hub-signature-256", "x-forwarded-for", "x-forwarded-proto"),
    )
    for spelling in (name, name.title())
}
"""Names as clients spell them → lower case: a look-up is cheaper than two conversions."""


class Bounds(Protocol):
    """What all connections share: limits, the count of body bytes in memory, the service, the loop's clock."""

    limits: Limits
    service: Service
    body_bytes: int

    def now(self) -> float:
        """Seconds of the loop's clock."""
        ...


class Taker(Responder, Protocol):
    """Where finished requests go."""

    def take(self, exchange: Exchange) -> bool:
        """One whole request; False: no further one is wanted."""
        ...


class Refusal(Exception):
    """Ends a connection's reading: with this answer, or (None) because the last request was read."""

    def __init__(self, answer: Answer | None) -> None:
        super().__init__()
        self.answer = answer


class RequestReader:
    """The state of one llhttp parser. Feed it slices; it hands whole requests to `taker` and raises Refusal."""

    __slots__ = (
        "_body",
        "_body_due",
        "_body_limit",
        "_chunked",
        "_current",
        "_fed_bytes",
        "_head_bytes",
        "_inside",
        "_limits",
        "_parser",
        "_raw_bytes",
        "_shared",
        "_taker",
        "expects_continue",
        "phase",
        "refusal",
        "since",
    )

    def __init__(self, taker: Taker, shared: Bounds) -> None:
        self._taker = taker
        self._shared = shared
        self._limits = shared.limits
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None
        self._body: bytearray | None = None  # once the body came in more than one part
        self.refusal: Refusal | None = None
        self.phase = _IDLE
        self.since = shared.now()  # begin of the phase
        self._reset()

    def _reset(self) -> None:
        self._head_bytes = self._fed_bytes = self._raw_bytes = self._body_due = self._body_limit = 0
        self._chunked = self.expects_continue = self._inside = False

    @property
    def slice_bytes(self) -> int:
        """How much to feed at once: little, lest one read of pipelined requests becomes thousands of them in memory."""
        return max(SLICE_BYTES, self._body_due)

    @property
    def body_seconds(self) -> float:
        """How long the body may take so far: a fixed time, and more for what did come."""
        limits, current = self._limits, self._current
        received = current.held_bytes if current is not None else 0
        return min(limits.body_seconds + received / limits.body_bytes_per_second, limits.request_seconds)

    def dressed(self, answer: Answer) -> Answer:
        """An answer that ends the request being read: a page that may read the usual answers may read this one, too."""
        return answer if self._current is None else self._current.dressed(answer)

    def feed(self, data: bytes) -> None:
        """Parse one slice. Raises Refusal, after which nothing more may be fed."""
        if self._parser is None:
            return
        self._inside = self.phase is not _BODY  # until a request ends within the slice
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.refusal is None and isinstance(error, httptools.HttpParserCallbackError):
                raise  # not the client's fault but a fault of ours
            raise self.refusal or Refusal(answers.NOT_HTTP) from None
        self._count(len(data))

    def _count(self, size: int) -> None:
        """What llhttp holds or skips without telling: an unfinished head, chunk sizes and extensions.

        A slice in which one request ends and the next begins is not counted for the next: a head within the limit is read
        however it comes, one beyond it may grow by two slices at most.
        """
        limits = self._limits
        if self.phase is not _BODY:
            self._fed_bytes += size if self._inside else 0
            if self._fed_bytes > limits.head_bytes:
                raise Refusal(answers.HEAD_TOO_LARGE)
        elif self._chunked and self._current is not None:
            self._raw_bytes += size
            if self._raw_bytes > 2 * self._current.held_bytes + limits.chunk_overhead_bytes:
                raise Refusal(answers.CHUNK_OVERHEAD)

    def close(self) -> None:
        """Give up what was being read. Without the parser, which holds our callbacks, no cycle is left to collect."""
        self._parser = None
        if self._current is not None:
            self._shared.body_bytes -= self._current.held_bytes
            self._current = None

    # --- llhttp calls these

    def on_message_begin(self) -> None:
        """The first byte of a request, perhaps right behind another one. Empty lines before it are nothing (RFC 9112 2.2)."""
        if self.phase is _IDLE:
            self.phase, self.since = _HEAD, self._shared.now()

    def on_url(self, url: bytes) -> None:
        """A request begins, or its target goes on."""
        self._head_bytes += len(url)
        if self._current is None:
            self._current = Exchange(self._taker, url)
        else:
            self._current.target += url
        if len(self._current.target) > self._limits.url_bytes:
            self._refuse(answers.URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer (counted and dropped)."""
        exchange = self._current
        if exchange is None:
            return
        headers, limits = exchange.headers, self._limits
        self._head_bytes = head_bytes = self._head_bytes + len(name) + len(value) + 3  # colon and line end
        if head_bytes > limits.head_bytes or len(headers) >= limits.header_count:
            self._refuse(answers.CHUNK_OVERHEAD if self.phase is _BODY else answers.HEAD_TOO_LARGE)
        if self.phase is _BODY:
            return
        key = _USUAL_NAMES.get(name) or name.decode("ascii").lower()
        if key not in headers:
            headers[key] = value
        else:
            headers[key] += b", " + value
            exchange.repeated = exchange.repeated or key in ONLY_ONCE

    def on_headers_complete(self) -> None:
        """Decide by the head, before a byte of the body is taken."""
        exchange, parser = self._current, self._parser
        if exchange is None or parser is None:
            return
        exchange.method = parser.get_method().decode("ascii")
        version = parser.get_http_version()
        exchange.http_1_0 = version == "1.0"
        upgrade = parser.should_upgrade()
        fault = check_head(version, exchange, upgrade=upgrade)
        if fault is not None:
            self._refuse(fault)
        length = body_length(exchange.headers)
        self.expects_continue = "expect" in exchange.headers and length != 0 and not exchange.http_1_0
        admitted = self._shared.service.admit(exchange, length)
        if isinstance(admitted, int):
            self._body_limit = admitted
        elif self._can_drop_body(length):
            exchange.early = admitted
        else:
            self._refuse(admitted)
        self.phase, self.since = _BODY, self._shared.now()
        self._head_bytes = 0
        self._chunked, self._body_due = length is None, length or 0

    def on_body(self, part: bytes) -> None:
        """Keep a part of the body, within the bounds."""
        exchange, shared = self._current, self._shared
        if exchange is None or exchange.early is not None:
            return
        self.expects_continue = False
        size = len(part)
        exchange.held_bytes += size
        shared.body_bytes += size
        if exchange.held_bytes > self._body_limit:
            self._refuse(shared.service.too_large(exchange))
        if shared.body_bytes > shared.limits.body_memory_bytes:
            self._refuse(answers.BODY_MEMORY)
        self._body_due = max(0, self._body_due - size)
        if exchange.held_bytes == size:
            exchange.body = part
            return
        if self._body is None:
            self._body, exchange.body = bytearray(exchange.body), b""
        self._body += part

    def on_message_complete(self) -> None:
        """A whole request is here."""
        exchange, parser = self._current, self._parser
        if exchange is None or parser is None:
            return
        if self._body is not None:
            exchange.body, self._body = bytes(self._body), None
        exchange.completed_at = self.since = self._shared.now()
        exchange.keep_alive = parser.should_keep_alive()
        self._current, self.phase = None, _IDLE
        self._reset()
        if not self._taker.take(exchange):
            self._refuse(None)

    def _can_drop_body(self, length: int | None) -> bool:
        """The connection can live on only if the refused body does come, and soon."""
        return length is not None and length <= self._limits.discarded_body_bytes and not self.expects_continue

    def _refuse(self, answer: Answer | None) -> None:
        """Noted, because llhttp turns every exception in a callback into one of its own."""
        self.refusal = Refusal(None if answer is None else self.dressed(answer))
        raise self.refusal
