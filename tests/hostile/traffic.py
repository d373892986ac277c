"""Honest clients: signed requests with a number each, on connections that are kept, renewed or pipelined; they note every end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.edge import APP_SECRET
from tests.hostile.forgery import sign

_ANSWER_SECONDS = 20.0


def body_of(number: int) -> bytes:
    """The body by which a request is found again in Kafka."""
    return b'{"entry":[],"number":%d}' % number


def numbered(path: str, number: int) -> bytes:
    """One signed request."""
    body = body_of(number)
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (path.encode(), sign(APP_SECRET, body), len(body)) + body


@dataclass
class Ledger:
    """What the clients saw. Times in seconds."""

    answered: dict[int, int] = field(default_factory=dict)  # number: status
    unanswered: list[str] = field(default_factory=list)  # sent whole on a connection whose end nobody had announced
    seconds: list[float] = field(default_factory=list)
    repeated: int = 0  # pipelined behind an announced end: not taken, so sent again
    connections: int = 0
    refusals: Counter[str] = field(default_factory=Counter)  # status and reason of what was not accepted

    @property
    def accepted(self) -> set[int]:
        """Numbers that were answered 200."""
        return {number for number, status in self.answered.items() if status == 200}


class Client:
    """One connection at a time, reopened when the server has announced its end."""

    def __init__(self, port: int, path: str, ledger: Ledger) -> None:
        self._port, self._path, self._ledger = port, path, ledger
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, numbers: list[int]) -> None:
        """Send these in one write and await every answer."""
        while numbers:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                self._ledger.connections += 1
            reader, writer = self._streams
            began, left = time.perf_counter(), list(numbers)
            try:
                writer.write(b"".join(numbered(self._path, number) for number in numbers))
                async with asyncio.timeout(_ANSWER_SECONDS):
                    left = await self._read(reader, left, began)
            except (OSError, EOFError, TimeoutError) as error:
                self._ledger.unanswered += [f"{number}: {type(error).__name__}" for number in left]
                self.close()
                return
            self._ledger.repeated += len(left)
            numbers = left

    async def _read(self, reader: asyncio.StreamReader, left: list[int], began: float) -> list[int]:
        """Note each answer; what is left when the server announces the end."""
        while left:
            head = await reader.readuntil(b"\r\n\r\n")
            text = await reader.readexactly(int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]))
            number = left[0]
            del left[0]  # in place: the caller sees what is unanswered if the next one fails
            status = self._ledger.answered[number] = int(head[9:12])
            if status != 200:
                self._ledger.refusals[f"{status} {text.decode().strip()}"] += 1
            self._ledger.seconds.append(time.perf_counter() - began)
            if b"\r\nConnection: close\r\n" in head:
                self.close()
                break
        return left

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How a client behaves: requests per write, whether it hangs up after each, seconds between."""

    together: int
    hang_up: bool
    pause_seconds: float


MANNERS = (Manner(1, False, 0.01), Manner(1, True, 0.02), Manner(3, False, 0.02), Manner(8, False, 0.05), Manner(1, False, 0.15))


async def flow(port: int, path: str, ledger: Ledger, stop: asyncio.Event, clients: int) -> None:
    """Clients of all manners until `stop`."""
    numbers: Iterator[int] = count()

    async def one(manner: Manner) -> None:
        client = Client(port, path, ledger)
        while not stop.is_set():
            await client.send([next(numbers) for _ in range(manner.together)])
            if manner.hang_up:
                client.close()
            await asyncio.sleep(manner.pause_seconds)
        client.close()

    await asyncio.gather(*(one(MANNERS[index % len(MANNERS)]) for index in range(clients)))
