"""One client connection: the order of answers, reading ahead, back-pressure, deadlines, and a clean end.

A connection reads ahead but works on one request at a time, so answers come in order. Once `Limits.pipelined_requests` wait, or
the client does not read its answers, the socket is not read either. The server's sweep calls `check` for the deadlines.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.ingest import answers
from services.ingest.answers import Answer
from services.ingest.exchange import Exchange
from services.ingest.reader import SLICE_BYTES, Phase, Refusal, RequestReader

if TYPE_CHECKING:
    from services.ingest.server import Server

_UNREAD_ANSWERS_BYTES = 16_384


class Connection(asyncio.Protocol):
    """The callbacks of the transport and what follows from them."""

    __slots__ = (
        "_active",
        "_busy",
        "_closing",
        "_eof",
        "_final",
        "_last",
        "_paused_since",
        "_reader",
        "_reading",
        "_server",
        "_since",
        "_transport",
        "_unfed",
        "_waiting",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._reader: RequestReader | None = None  # made with the first byte: an idle connection is small
        self._active: Exchange | None = None  # being worked on
        self._waiting: list[Exchange] = []  # read ahead
        self._unfed = b""  # read from the socket, not yet parsed
        self._final: Answer | None = None  # the refusal to be sent after all other answers
        self._last = False  # no further request is read
        self._closing = False  # the last answer was sent
        self._eof = False  # the client sends no more
        self._busy = False  # further up the stack somebody will call `_settle`
        self._reading = True
        self._paused_since: float | None = None  # the client does not read
        self._since = server.now()  # when it last began to be idle, or to close

    # --- the transport calls these

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; over the bound it is told so and sent away."""
        self._transport = transport  # type: ignore[assignment]  # of a TCP server
        self._transport.set_write_buffer_limits(high=_UNREAD_ANSWERS_BYTES)  # type: ignore[union-attr]
        if not self._server.enter(self):
            self._eof = True  # no lingering: there are too many already
            self._finish(answers.TOO_MANY_CONNECTIONS)
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone; a request in work goes on, and its answer is dropped."""
        self._closing = self._last = True
        self._transport = None
        if self._reader is not None:
            self._reader.close()
        for exchange in self._waiting:
            self._server.release(exchange)
        self._waiting, self._unfed = [], b""
        self._server.leave(self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, as far as answers may be owed."""
        if self._last:
            return
        if self._unfed:
            self._unfed += data  # one more read may have been under way when reading was paused
            return
        self._busy = True
        self._feed(data)
        self._busy = False
        if self._active is None or self._waiting or self._unfed or self._paused_since is not None:
            self._settle()  # else one request is being worked on, and there is nothing else to do

    def eof_received(self) -> bool:
        """The client will send nothing more; what it has asked for is still answered. True keeps our side open."""
        self._eof = True
        if self._closing:
            return False
        if not self._unfed and self._is_mid_request():
            self._finish(answers.TRUNCATED)
        self._settle()
        return True

    def pause_writing(self) -> None:
        """The client does not read: neither do we."""
        self._paused_since = self._server.now()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused_since = None
        self._advance()

    # --- the reader calls this

    def take(self, exchange: Exchange) -> bool:
        """One whole request, to be worked on at its turn; False after the last one."""
        self._waiting.append(exchange)
        self._last = self._last or not exchange.keep_alive
        self._dispatch()
        return not self._last

    # --- the service calls these

    @property
    def peer(self) -> str | None:
        """Address of the socket's other end; None once it is gone."""
        return None if self._transport is None else str((self._transport.get_extra_info("peername") or ("",))[0])

    def respond(self, exchange: Exchange, answer: Answer) -> None:
        """Send the answer of the request in work; late and second answers are dropped."""
        server = self._server
        server.release(exchange)
        if exchange is not self._active:
            return
        self._active = None
        now = server.now()
        server.service.answered(exchange, answer, now - exchange.completed_at)
        if self._transport is not None and not self._closing:
            self._write(exchange, answer, now)
        if self._busy:
            return
        if self._waiting or self._unfed:
            self._advance()
        else:
            self._settle()

    # --- the server calls these

    def check(self, now: float) -> None:
        """Hold the client, and ourselves, to the deadlines."""
        limits, transport = self._server.limits, self._transport
        if transport is None:
            return
        if self._closing:
            if now - self._since > limits.linger_seconds:
                transport.abort()
        elif self._paused_since is not None:
            if now - self._paused_since > limits.write_seconds:
                self._server.service.answered(None, answers.WRITE_TIMEOUT, 0.0)
                transport.abort()
        elif self._active is not None:
            if now - self._active.completed_at > limits.answer_seconds:
                self._active.respond(answers.OVERDUE)
        else:
            self._check_reading(now)

    def close_if_idle(self) -> None:
        """End the connection now, unless a request has begun."""
        if not self._closing and self._is_idle():
            self._end()

    @property
    def owes(self) -> bool:
        """True while a request has begun and is not answered."""
        return self._transport is not None and not self._closing and not self._is_idle()

    # --- what follows from them

    def _check_reading(self, now: float) -> None:
        limits, reader = self._server.limits, self._reader
        if reader is None or reader.phase is Phase.IDLE:
            if now - self._since > self._server.idle_seconds:
                self._end()
        elif reader.phase is Phase.HEAD:
            if now - reader.since > limits.head_seconds:
                self._finish(answers.HEAD_TIMEOUT)
        elif now - reader.since > reader.body_seconds:
            self._finish(reader.dressed(answers.BODY_TIMEOUT))
        self._settle()

    def _is_mid_request(self) -> bool:
        return self._reader is not None and self._reader.phase is not Phase.IDLE and not self._last

    def _is_idle(self) -> bool:
        return self._active is None and not self._waiting and not self._unfed and not self._is_mid_request()

    def _must_wait(self) -> bool:
        return len(self._waiting) >= self._server.limits.pipelined_requests or self._paused_since is not None

    def _feed(self, data: bytes) -> None:
        """Parse slice by slice until all is parsed, the client must wait, or nothing more is wanted."""
        reader = self._reader
        if reader is None:
            reader = self._reader = RequestReader(self, self._server)
        position = 0
        while position < len(data) and not self._last:
            if self._must_wait():
                self._unfed = data[position:]
                return
            end = position + (SLICE_BYTES if position + SLICE_BYTES >= len(data) else reader.slice_bytes)
            piece = data if position == 0 and end >= len(data) else data[position:end]
            position = end
            try:
                reader.feed(piece)
            except Refusal as refusal:
                self._finish(refusal.answer)
            except Exception as error:  # whatever it is, it ends this connection and no other
                self._server.failed(error)
                self._finish(answers.FAILED)

    def _dispatch(self) -> None:
        """Begin the next request. Answers that come at once make this a loop, not a recursion."""
        while self._waiting and self._active is None and self._paused_since is None and not self._closing:
            exchange = self._active = self._waiting.pop(0)
            if exchange.early is not None:
                exchange.respond(exchange.early)
                continue
            try:
                self._server.service.handle(exchange)
            except Exception as error:  # as above; the client may come again
                self._server.failed(error)
                exchange.respond(answers.FAILED)

    def _advance(self) -> None:
        """Go on with what was read ahead, then with what was not yet parsed."""
        self._busy = True
        self._dispatch()
        while self._unfed and not self._last and not self._must_wait():
            data, self._unfed = self._unfed, b""
            self._feed(data)
        self._busy = False
        self._settle()

    def _finish(self, answer: Answer | None) -> None:
        """Read nothing more; send this answer after all others."""
        self._last, self._unfed = True, b""
        if self._final is None:
            self._final = answer
        if self._reader is not None:
            self._reader.close()

    def _settle(self) -> None:
        """With nothing left to work on: the last answer, the end, or permission to go on."""
        transport = self._transport
        if transport is None or self._closing:
            return
        if self._active is None and not self._waiting:
            if self._final is not None:
                self._server.service.answered(None, self._final, 0.0)
                self._transmit(self._final, "close", without_body=False)
                self._end()
            elif self._last or (self._eof and not self._unfed):
                self._end()
            elif self._reader is not None and self._reader.expects_continue:
                self._reader.expects_continue = False
                transport.write(answers.CONTINUE)
        may_read = not self._unfed and not self._must_wait()
        if may_read is not self._reading and not self._closing and not self._eof:
            self._reading = may_read
            (transport.resume_reading if may_read else transport.pause_reading)()

    def _write(self, exchange: Exchange, answer: Answer, now: float) -> None:
        """Send one answer; the last one says so, and no request after it is worked on."""
        keep = exchange.keep_alive and (not (self._server.draining or self._eof) or self._has_more())
        connection = "close" if not keep else "keep-alive" if exchange.http_1_0 else ""
        self._since = now
        self._transmit(answer, connection, without_body=exchange.method == "HEAD")
        if not keep:
            self._end()

    def _has_more(self) -> bool:
        """True while further requests of this client have begun."""
        return bool(self._waiting or self._unfed or self._final) or self._is_mid_request()

    def _transmit(self, answer: Answer, connection: str, *, without_body: bool) -> None:
        if self._transport is not None:
            self._transport.write(
                answers.render(answer, connection=connection, without_body=without_body, date=self._server.date)
            )

    def _end(self) -> None:
        """Close our side and wait a little for the client's: input left unread would make the kernel destroy the answer."""
        self._closing = self._last = True
        self._since = self._server.now()
        transport = self._transport
        if transport is None:
            return
        if self._eof or not transport.can_write_eof():
            transport.close()
        else:
            if not self._reading:
                transport.resume_reading()
            transport.write_eof()
