"""A server of the tests' own that says byte by byte what it is told to, and a clock whose sleep takes no time."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.http_client import HttpClient, HttpParts
from shared.adapters.http_pool import HttpLimits
from shared.providers.calling import PlacedCall, Placement, ProviderCall, placed

HOST = "127.0.0.1"
FOREVER = 3_600.0
SECRET = "canary-secret-5511900000001"
BEARER = Placement(credential="access_token", place="header", name="authorization", template="Bearer {}")


@dataclass
class Asked:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """`asked`: every request that came; `connections`: how many were opened; `most`: how many requests at once."""

    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    now: int = 0
    most: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_busy(self, requests: int) -> None:
        """Come back once so many requests are being answered."""
        async with asyncio.timeout(30):
            while self.now < requests:
                self.moved.clear()
                await self.moved.wait()

    def url(self, tail: str = "/", *, host: str = HOST, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{tail}"


# Answers one request; False ends the connection.
Answering = Callable[[Asked, asyncio.StreamWriter], Awaitable[bool | None]]


@asynccontextmanager
async def peer(answering: Answering, tls: ssl.SSLContext | None = None, *, reads: bool = True) -> AsyncIterator[Peer]:
    """Serves on the loopback until the end of the block."""
    about = Peer()
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.append(writer)
        about.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                asked = await _read(reader) if reads else Asked("", {}, b"")
                about.asked.append(asked)
                about.now += 1
                about.most = max(about.most, about.now)
                about.moved.set()
                try:
                    if await answering(asked, writer) is False:
                        break
                    await writer.drain()
                finally:
                    about.now -= 1
        writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, HOST, 0, ssl=tls)
    about.port = server.sockets[0].getsockname()[1]
    try:
        yield about
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # the loop closes what was aborted in its next round


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(head[0], headers, body)


def reply(status: int = 200, body: bytes = b"ok", *headers: str) -> bytes:
    """An answer of the plain kind."""
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def saying(*replies: bytes) -> Answering:
    """Each answer in turn; the last for ever."""
    turns = list(replies)

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(turns.pop(0) if len(turns) > 1 else turns[0])

    return answer


class HandTimer:
    """Sleeping moves its time, and takes none."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def seconds(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class HandClock:
    """Stands still."""

    at_ms: int = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.at_ms


async def all_here(name: str) -> Sequence[str]:
    """A name service that knows one machine: this one."""
    return [HOST]


def client_of(*allowed: str, tls: ssl.SSLContext | None = None, limits: HttpLimits | None = None, **more: object) -> HttpClient:
    """A client whose tenants' rules list these origins."""
    return HttpClient(parts_of(*allowed, tls=tls, limits=limits, **more))


def parts_of(*allowed: str, tls: ssl.SSLContext | None = None, limits: HttpLimits | None = None, **more: object) -> HttpParts:
    given: dict[str, object] = {
        "fixed": Egress(only_hosts=frozenset()),
        "tenant": Egress(allow=read_allow_list(allowed, "tests")),
        "tls": tls or ssl.create_default_context(),
        "limits": limits or HttpLimits(),
        "lookup": all_here,
        "chance": lambda: 0.0,
    }
    return HttpParts(**{**given, **more})  # type: ignore[arg-type]


def call(url: str, *, method: str = "GET", secret: bool = False, seconds: float = 5.0, **about: object) -> PlacedCall:
    placements = (BEARER,) if secret else ()
    made = ProviderCall(step="look", method=method, url=url, timeout_seconds=seconds, placements=placements, **about)  # type: ignore[arg-type]
    return placed(made, {"access_token": SECRET})
