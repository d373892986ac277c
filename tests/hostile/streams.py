"""Streams of bytes for fuzzing: good requests, requests with something broken in them, and ways to cut a stream into reads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import strategies as st

SPLINTERS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"Content-Length: 5\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Host: b\r\n",
    b"GET /w HTTP/1.1\r\n",
    b"POST /w HTTP/1.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b" HTTP/1.2\r\n",
    b"\xff",
)


@dataclass(frozen=True, slots=True)
class Good:
    """A request that must be accepted, and the body that must arrive."""

    data: bytes
    body: bytes


@st.composite
def good_requests(draw: st.DrawFn, max_body: int = 900) -> Good:
    """A legal POST or GET in any of the legal framings."""
    body = draw(st.binary(max_size=max_body))
    extra = draw(st.lists(st.sampled_from([b"X: y", b"Accept: */*", b"X-Empty:", b"User-Agent:  t \t"]), max_size=3))
    lines = [draw(st.sampled_from([b"POST", b"GET"])) + b" /w HTTP/1.1", b"Host: a", *extra]
    framing = draw(st.sampled_from(["length", "chunked", "none"]))
    if framing == "none":
        return Good(b"\r\n".join([*lines, b"", b""]), b"")
    if framing == "length":
        return Good(b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body]), body)
    return Good(b"\r\n".join([*lines, b"Transfer-Encoding: Chunked", b"", _chunks(draw, body)]), body)


def _chunks(draw: st.DrawFn, body: bytes) -> bytes:
    sizes = draw(st.lists(st.integers(1, 300), min_size=1, max_size=8))
    extension = draw(st.sampled_from([b"", b";a", b';a="b"']))
    trailer = draw(st.sampled_from([b"", b"X: y\r\n"]))
    out, position, turn = b"", 0, 0
    while position < len(body):
        part = body[position : position + sizes[turn % len(sizes)]]
        out += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
        position, turn = position + len(part), turn + 1
    return out + b"0\r\n" + trailer + b"\r\n"


@st.composite
def broken_streams(draw: st.DrawFn) -> bytes:
    """Good requests in a row, with up to four faults anywhere."""
    data = bytearray(b"".join(good.data for good in draw(st.lists(good_requests(120), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["insert", "flip", "cut", "repeat"]))
        length = draw(st.integers(1, 40))
        if kind == "insert":
            data[at:at] = draw(st.sampled_from(SPLINTERS) | st.binary(max_size=8))
        elif kind == "flip" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + length]
        else:
            data[at:at] = data[at : at + length]
    return bytes(data)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The stream in reads of any sizes, one byte each included."""
    if draw(st.booleans()):
        points = sorted(draw(st.lists(st.integers(0, len(data)), max_size=30)))
    else:
        step = draw(st.integers(1, 7))
        points = list(range(step, len(data), step))
    edges = [0, *points, len(data)]
    return [data[begin:end] for begin, end in pairwise(edges) if end > begin]
