"""Connections that do nothing: what one of them costs the edge."""

from __future__ import annotations

import asyncio
import resource
import socket
from dataclasses import dataclass

import psutil

from tests.edge import BODY, Edge, signature

_SPARE_FILES = 500
_PER_ADDRESS = 8_000  # below the number of local ports
_WAVE = 200
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Idle:
    """Bytes of the process's resident memory per connection: silent ones, and ones that have had one answer each."""

    connections: int
    silent_bytes: float
    used_bytes: float
    good_answer: int  # status of an honest request while all of them are open


def possible(wanted: int) -> int:
    """How many connections this process may open; raises its own bound as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - _SPARE_FILES)


async def hold(edge: Edge, pid: int, connections: int) -> Idle:
    """Open them, weigh, use each once, weigh again, close."""
    process, opened = psutil.Process(pid), list[socket.socket]()
    before = process.memory_info().rss
    try:
        for begin in range(0, connections, _WAVE):
            wave = range(begin, min(begin + _WAVE, connections))
            opened += await asyncio.gather(*(_connect(edge.port, number) for number in wave))
        await asyncio.sleep(_SETTLE_SECONDS)
        silent = process.memory_info().rss
        signed = f"X-Hub-Signature-256: {signature(BODY)}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        head = f"POST {edge.url()} HTTP/1.1\r\nHost: a\r\n{signed}"
        for begin in range(0, connections, _WAVE):
            await asyncio.gather(*(_ask(one, head.encode() + BODY) for one in opened[begin : begin + _WAVE]))
        await asyncio.sleep(_SETTLE_SECONDS)
        used = process.memory_info().rss
        answer = await asyncio.to_thread(edge.post)
        return Idle(connections, (silent - before) / connections, (used - before) / connections, answer.status)
    finally:
        for one in opened:
            one.close()


async def _connect(port: int, number: int) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    one.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
    await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", port))
    return one


async def _ask(one: socket.socket, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(one, request)
    got = await loop.sock_recv(one, 4_096)
    if not got.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"an honest request got {got[:40]!r}")
