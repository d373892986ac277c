"""Malformed and unusual requests, each with its one right answer (services/ingest/README.md has the table)."""

from __future__ import annotations

from typing import Final

import pytest

from services.ingest.exchange import Limits
from tests.unit.services.ingest.wire import MAX_BODY_BYTES, Wire

KEPT, ENDED = False, True
P: Final = b"POST /w HTTP/1.1\r\nHost: a\r\n"
G: Final = b"GET /w HTTP/1.1\r\nHost: a\r\n"
CHUNKED: Final = P + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT: Final = G + b"\r\n"


def big(size: int) -> bytes:
    return b"x" * size


# name: (bytes, statuses, does our side end the connection?)
CASES: Final[dict[str, tuple[bytes, list[int], bool]]] = {
    "good": (P + b"Content-Length: 3\r\n\r\nabc", [200], KEPT),
    "good, no body": (P + b"\r\n", [200], KEPT),
    "good, twice": (P + b"Content-Length: 3\r\n\r\nabc" + NEXT, [200, 200], KEPT),
    "empty lines before the request": (b"\r\n\r\n" + NEXT, [200], KEPT),
    "absolute form": (b"POST http://a/w HTTP/1.1\r\nHost: a\r\n\r\n", [200], KEPT),
    "connection: close": (G + b"Connection: close\r\n\r\n", [200], ENDED),
    "data after connection: close": (G + b"Connection: close\r\n\r\n" + NEXT, [200], ENDED),
    "http/1.0": (b"GET /w HTTP/1.0\r\n\r\n", [200], ENDED),
    "http/1.0 keep-alive": (b"GET /w HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", [200], KEPT),
    "http/0.9": (b"GET /w\r\n\r\n", [505], ENDED),
    "http/0.9 by name": (b"GET /w HTTP/0.9\r\n\r\n", [505], ENDED),
    "http/1.2": (b"GET /w HTTP/1.2\r\nHost: a\r\n\r\n", [400], ENDED),
    "http/2 by name": (b"GET /w HTTP/2.0\r\nHost: a\r\n\r\n", [505], ENDED),
    "http/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400], ENDED),
    "tls hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", [400], ENDED),
    "other protocol": (b"SOURCE /w ICE/1.0\r\n\r\n", [200], ENDED),
    "unknown method": (b"FOO /w HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "method in lower case": (b"post /w HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "space in the target": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "bytes in the target": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "fragment in the target": (b"GET /w#x HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "target without slash": (b"GET w HTTP/1.1\r\nHost: a\r\n\r\n", [400], ENDED),
    "target too long": (b"GET /" + big(3_000) + b" HTTP/1.1\r\nHost: a\r\n\r\n", [414], ENDED),
    "bare line feeds": (b"GET /w HTTP/1.1\nHost: a\n\n", [400], ENDED),
    "host missing": (b"GET /w HTTP/1.1\r\n\r\n", [400], ENDED),
    "host twice": (G + b"Host: b\r\n\r\n", [400], ENDED),
    "host twice, spelled in two ways": (G + b"HOST: b\r\n\r\n", [400], ENDED),
    "host with a path": (b"GET /w HTTP/1.1\r\nHost: a/b\r\n\r\n", [400], ENDED),
    "host is a list": (b"GET /w HTTP/1.1\r\nHost: a, b\r\n\r\n", [400], ENDED),
    "folded header": (G + b"X: a\r\n b\r\n\r\n", [400], ENDED),
    "first header folded": (b"GET /w HTTP/1.1\r\n Host: a\r\n\r\n", [400], ENDED),
    "space before the colon": (G + b"X : a\r\n\r\n", [400], ENDED),
    "header without a name": (G + b": a\r\n\r\n", [400], ENDED),
    "header name not ascii": (G + b"X\x80: a\r\n\r\n", [400], ENDED),
    "nul in a value": (G + b"X: a\x00b\r\n\r\n", [400], ENDED),
    "carriage return in a value": (G + b"X: a\rb\r\n\r\n", [400], ENDED),
    "value not ascii": (G + b"X: \xff\r\n\r\n", [200], KEPT),
    "too many headers": (G + b"".join(b"X-%d: a\r\n" % number for number in range(70)) + b"\r\n", [431], ENDED),
    "header too large": (G + b"X: " + big(20_000) + b"\r\n\r\n", [431], ENDED),
    "headers too large together": (G + b"".join(b"X-%d: %s\r\n" % (n, big(600)) for n in range(40)) + b"\r\n", [431], ENDED),
    "head never ends": (G + big(40_000), [431], ENDED),
    "length twice, equal": (P + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", [400], ENDED),
    "length twice, different": (P + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", [400], ENDED),
    "length twice, spelled in two ways": (P + b"Content-Length: 3\r\ncontent-length: 3\r\n\r\nabc", [400], ENDED),
    "length in a spelling of its own": (P + b"conTent-lenGth: 3\r\n\r\nabc" + NEXT, [200, 200], KEPT),
    "length is a list": (P + b"Content-Length: 3, 3\r\n\r\nabc", [400], ENDED),
    "length signed": (P + b"Content-Length: +3\r\n\r\nabc", [400], ENDED),
    "length negative": (P + b"Content-Length: -3\r\n\r\nabc", [400], ENDED),
    "length hexadecimal": (P + b"Content-Length: 0x3\r\n\r\nabc", [400], ENDED),
    "length empty": (P + b"Content-Length:\r\n\r\n", [400], ENDED),
    "length beyond 64 bits": (P + b"Content-Length: 99999999999999999999\r\n\r\n", [400], ENDED),
    "length and coding": (P + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding and length": (P + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding and length in capitals": (P + b"TRANSFER-ENCODING: chunked\r\nCONTENT-LENGTH: 3\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding in http/1.0": (b"POST /w HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding twice": (P + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding unknown": (P + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [501], ENDED),
    "coding gzip, chunked": (P + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501], ENDED),
    "coding chunked, gzip": (P + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding with a vertical tab": (P + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", [400], ENDED),
    "coding in capitals": (P + b"Transfer-Encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [200], KEPT),
    "chunked": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", [200], KEPT),
    "chunked, then another": (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + NEXT, [200, 200], KEPT),
    "chunk extension": (CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n", [200], KEPT),
    "trailers are dropped": (CHUNKED + b"3\r\nabc\r\n0\r\nHost: b\r\nX: y\r\n\r\n" + NEXT, [200, 200], KEPT),
    "trailers too large": (CHUNKED + b"0\r\n" + b"".join(b"X: %s\r\n" % big(900) for _ in range(30)) + b"\r\n", [400], ENDED),
    "chunk size not a number": (CHUNKED + b"g\r\nabc\r\n0\r\n\r\n", [400], ENDED),
    "chunk size negative": (CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n", [400], ENDED),
    "chunk size beyond 64 bits": (CHUNKED + b"fffffffffffffffff\r\nabc", [400], ENDED),
    "chunk longer than it says": (CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", [400], ENDED),
    "chunk with bare line feeds": (CHUNKED + b"3\nabc\n0\n\n", [400], ENDED),
    "chunk extension without end": (CHUNKED + b"3;" + big(40_000), [400], ENDED),
    "chunked body too large": (CHUNKED + b"ffff\r\n" + big(MAX_BODY_BYTES + 1), [413], ENDED),
    "many small chunks": (CHUNKED + b"1\r\nx\r\n" * 900 + b"0\r\n\r\n", [200], KEPT),
    "announced body too large": (P + b"Content-Length: 99999999\r\n\r\n", [413], ENDED),
    "announced body a little too large": (P + b"Content-Length: 1001\r\n\r\n" + big(1_001) + NEXT, [413, 200], KEPT),
    "expect 100": (P + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", [100], KEPT),
    "expect 100 for no body": (P + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", [200], KEPT),
    "expect 100 with the body at once": (P + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", [200], KEPT),
    "expect 100 for too large a body": (P + b"Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n", [413], ENDED),
    "expect twice": (P + b"expect: 100-continue\r\nEXPECT: 100-continue\r\nContent-Length: 3\r\n\r\nabc", [400], ENDED),
    "expect another thing": (P + b"Expect: tea\r\nContent-Length: 3\r\n\r\nabc", [417], ENDED),
    "expect in http/1.0": (b"POST /w HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", [], KEPT),
    "upgrade to websocket": (G + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [400], ENDED),
    "upgrade with a body": (P + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", [400], ENDED),
    "upgrade without connection": (G + b"Upgrade: h2c\r\n\r\n", [200], KEPT),
    "request smuggled in a body": (P + b"Content-Length: %d\r\n\r\n" % len(NEXT) + NEXT, [200], KEPT),
    "underscore is no dash": (P + b"Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", [200], KEPT),
    "get with a body": (G + b"Content-Length: 3\r\n\r\nabc" + NEXT, [200, 200], KEPT),
    "garbage after a request": (NEXT + b"\x00\x01\x02", [200, 400], ENDED),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dripped", [False, True], ids=["at once", "byte by byte"])
def test_each_request_has_its_answer(name: str, dripped: bool) -> None:
    data, statuses, ended = CASES[name]
    wire = Wire()
    (wire.drip if dripped else wire.send)(data)
    got = wire.statuses()
    if dripped and name == "expect 100 with the body at once":
        got.remove(100)  # rightly sent: the body had not yet come
    assert got == statuses
    assert wire.ended is ended
    assert not wire.failures
    assert len(wire.service.counted) == len([status for status in got if status != 100])
    wire.connection.connection_lost(None)
    assert wire.server.body_bytes == 0
    assert not wire.server.connections


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize("name", [name for name, (_, statuses, ended) in CASES.items() if ended and statuses != [200]])
def test_a_refused_client_gets_a_reason_and_is_counted(name: str) -> None:
    wire = Wire()
    wire.send(CASES[name][0])
    assert b"Connection: close\r\n" in wire.transport.written
    outcome, reason = wire.service.counted[-1]
    assert outcome in ("malformed", "too_large")
    assert wire.transport.written.endswith(b"\r\n\r\n" + reason.encode() + b"\n")


def test_a_smuggled_request_is_not_worked_on() -> None:
    wire = Wire()
    wire.send(P + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n" + NEXT)
    assert wire.service.seen == []


def test_what_comes_after_a_refusal_is_dropped() -> None:
    wire = Wire(Limits())
    wire.send(b"\x00", NEXT, NEXT)
    assert wire.statuses() == [400]
    assert wire.service.seen == []
