"""The protocol class and the request reader under any bytes, cut anywhere: they never fail, and the cuts change nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.ingest.answers import Answer, Outcome
from services.ingest.exchange import Exchange, Limits
from tests.hostile.streams import Good, broken_streams, cuts, good_requests
from tests.unit.services.ingest.wire import Wire

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
DATE = re.compile(rb"Date: [^\r]*\r\n")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
NEVER = {500, 502, 504}  # 501 and 505 are what RFC 9110 calls the client's wishes; 503 asks it to come again


def send(wire: Wire, pieces: Iterable[bytes]) -> None:
    """As a socket would: nothing is read once the connection was torn down."""
    for piece in pieces:
        if not (wire.transport.closed or wire.transport.aborted):
            wire.send(piece)


def outcome(pieces: Sequence[bytes], *, half_close: bool) -> tuple[object, ...]:
    """All that the client sees and all that the service saw."""
    wire = Wire()
    send(wire, pieces)
    if half_close and not wire.transport.closed:
        wire.eof()
    assert not wire.failures
    written = DATE.sub(b"", wire.transport.written).replace(CONTINUE, b"")
    seen, ended = list(wire.service.seen), wire.ended
    wire.connection.connection_lost(None)
    assert wire.server.body_bytes == 0
    assert not wire.server.connections
    return written, seen, ended


@calm
@given(st.data())
def test_where_a_stream_is_cut_changes_nothing(data: st.DataObject) -> None:
    stream, half_close = data.draw(broken_streams()), data.draw(st.booleans())
    whole = outcome([stream], half_close=half_close)
    assert outcome(data.draw(cuts(stream)), half_close=half_close) == whole


@calm
@given(st.lists(good_requests(), min_size=1, max_size=30), st.data())
def test_every_good_request_is_answered_once_and_in_order(requests: list[Good], data: st.DataObject) -> None:
    wire = Wire()
    wire.service.keep()
    pieces = data.draw(cuts(b"".join(request.data for request in requests)))
    answered = 0
    while pieces or answered < len(wire.service.kept):
        if pieces and wire.transport.reading and (answered == len(wire.service.kept) or data.draw(st.booleans())):
            send(wire, [pieces.pop(0)])
        elif answered < len(wire.service.kept):
            wire.service.kept[answered].respond(_numbered(answered))
            answered += 1
    assert [body for _, _, body in wire.service.seen] == [request.body for request in requests]
    assert re.findall(rb"\r\n\r\n<(\d+)>", wire.transport.written) == [b"%d" % number for number in range(len(requests))]
    assert wire.statuses() == [200] * len(requests)
    assert not wire.failures


def _numbered(number: int) -> Answer:
    return Answer(status=200, outcome=Outcome.HANDSHAKE, body=b"<%d>" % number)


ACTIONS = st.one_of(
    st.binary(max_size=200),
    broken_streams(),
    st.sampled_from(["eof", "pause", "resume", "answer", "answer", "sleep", "drain"]),
)


@calm
@given(st.lists(ACTIONS, max_size=25), st.booleans())
def test_nothing_a_client_does_is_a_fault_of_ours(actions: list[bytes | str], at_once: bool) -> None:
    wire = Wire(Limits(pipelined_requests=3))
    if not at_once:
        wire.service.keep()
    answered = 0
    for action in actions:
        if wire.transport.closed or wire.transport.aborted:
            break
        if isinstance(action, bytes):
            if wire.transport.reading:
                wire.send(action)
        elif action == "eof":
            wire.eof()
            break
        elif action == "answer" and answered < len(wire.service.kept):
            wire.service.kept[answered].respond(_numbered(answered))
            answered += 1
        else:
            _act(wire, action)
        assert wire.server.body_bytes <= 40_000
        assert len(wire.connection._waiting) < 200
    assert not wire.failures
    assert NEVER.isdisjoint(wire.statuses())
    wire.connection.connection_lost(None)
    for exchange in wire.service.kept:
        exchange.respond(_numbered(0))
    assert wire.server.body_bytes == 0


def _act(wire: Wire, action: str) -> None:
    if action == "pause":
        wire.connection.pause_writing()
    elif action == "resume":
        wire.connection.resume_writing()
    elif action == "sleep":
        wire.sleep(0.5)
    elif action == "drain":
        wire.server.draining = True
        wire.connection.close_if_idle()


ENDLESS = {
    "target": (b"GET /", b"x" * 500),
    "header": (b"GET /w HTTP/1.1\r\nHost: a\r\nX: ", b"x" * 500),
    "header name": (b"GET /w HTTP/1.1\r\nHost: a\r\n", b"x" * 500),
    "padding": (b"GET /w HTTP/1.1\r\nHost: a\r\nX:", b" " * 500),
    "headers": (b"GET /w HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 80),
    "empty lines": (b"", b"\r\n" * 250),
    "chunk extension": (b"POST /w HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x" * 500),
    "tiny chunks": (b"POST /w HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;xxxxx\r\nx\r\n" * 40),
    "trailer": (b"POST /w HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 500),
    "trailers": (b"POST /w HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 80),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("read_bytes", [1, 37, 500, 4_096, 65_536])
def test_what_never_ends_is_ended(name: str, read_bytes: int) -> None:
    begin, more = ENDLESS[name]
    stream = begin + more * 200
    wire = Wire()
    for at in range(0, len(stream), read_bytes):
        send(wire, [stream[at : at + read_bytes]])
        if wire.ended:
            break
    assert wire.ended
    assert len(wire.statuses()) == 1
    assert wire.statuses()[0] in (400, 413, 414, 431)
    assert not wire.failures


def head_of(size: int, headers: int) -> bytes:
    """A legal head of exactly so many bytes."""
    begin, end = b"GET /w HTTP/1.1\r\nHost: a\r\n", b"\r\n"
    room, lines = size - len(begin) - len(end), []
    for number in range(headers):
        name = b"X%d: " % number
        length = room // (headers - number) - len(name) - 2
        lines.append(name + b"y" * length + b"\r\n")
        room -= len(lines[-1])
    return begin + b"".join(lines) + end


@calm
@example(9_000, 1, 1, 0)
@example(12_000, 20, 1_000, 10)
@example(16_384, 40, 5_000, 900)
@given(st.integers(60, Limits().head_bytes), st.integers(1, 40), st.integers(1, 5_000), st.integers(0, 900))
def test_a_head_within_the_limit_is_read_however_it_comes(size: int, headers: int, read_bytes: int, before: int) -> None:
    if size < 60 * headers:
        headers = 1
    good = b"POST /w HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (before, bytes(before))
    stream = good + head_of(size, headers)
    wire = Wire()
    send(wire, (stream[at : at + read_bytes] for at in range(0, len(stream), read_bytes)))
    assert wire.statuses() == [200, 200]


@pytest.mark.parametrize("read_bytes", [1, 100, 4_096, 100_000])
@pytest.mark.parametrize("headers", [1, 40])
def test_a_head_well_beyond_the_limit_is_refused_however_it_comes(read_bytes: int, headers: int) -> None:
    stream = head_of(Limits().head_bytes + 8_300, headers)
    wire = Wire()
    send(wire, (stream[at : at + read_bytes] for at in range(0, len(stream), read_bytes)))
    assert wire.statuses() == [431]


@pytest.mark.parametrize("half_close", [False, True])
def test_an_empty_line_behind_a_request_is_nothing(half_close: bool) -> None:
    request = b"POST /w HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    wire = Wire()
    send(wire, [request, b"\r\n"])
    wire.sleep(20)
    assert wire.statuses() == [200], "no 408 for what is no request"
    if half_close:
        wire.eof()
        assert wire.statuses() == [200]
    else:
        send(wire, [request])
        assert wire.statuses() == [200, 200]


def test_a_late_second_answer_to_a_hostile_client_is_dropped() -> None:
    wire = Wire()

    def twice(exchange: Exchange) -> None:
        exchange.respond(_numbered(1))
        exchange.respond(_numbered(2))

    wire.service.handler = twice
    wire.send(b"GET /w HTTP/1.1\r\nHost: a\r\n\r\n")
    assert wire.statuses() == [200]
