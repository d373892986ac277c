"""A load generator for machines without wrk: keeps a number of connections busy with requests signed beforehand.

python -m tests.bench.closed_load PORT PATH FILE CONNECTIONS SECONDS prints the same line of JSON as wrk.lua.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from array import array
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path

import uvloop

from tests.bench.measurement import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def http_request(port: int, path: str, signature: str, body: bytes) -> bytes:
    """The bytes of one POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def read_requests(file: Path, port: int, path: str) -> list[bytes]:
    """Requests from a file of `signature, tab, body` lines."""
    lines = (line.partition(b"\t") for line in file.read_bytes().splitlines())
    return [http_request(port, path, signature.decode(), body) for signature, _, body in lines]


class Tally:
    """What came back. Times in seconds."""

    def __init__(self) -> None:
        self.latencies = array("d")
        self.refused = self.broken = 0

    def as_json(self, seconds: float) -> str:
        """One line, as wrk.lua prints it."""
        ordered = sorted(self.latencies) or [0.0]
        found = {
            "answers": len(self.latencies),
            "seconds": seconds,
            "refused": self.refused,
            "broken": self.broken,
            "p50_ms": percentile(ordered, 0.5) * 1e3,
            "p99_ms": percentile(ordered, 0.99) * 1e3,
        }
        return json.dumps(found)


class AnswerReader(asyncio.Protocol):
    """Finds the end of each answer of one connection; a subclass says what comes next."""

    transport: asyncio.Transport

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """A part of an answer, one, or several."""
        data = self._held + data if self._held else data
        while data:
            end = data.find(b"\r\n\r\n")
            length = _LENGTH.search(data, 0, end) if end >= 0 else None
            if end < 0 or (whole := end + 4 + (int(length[1]) if length else 0)) > len(data):
                break
            if not data.startswith(b"HTTP/1.1 200"):
                self.tally.refused += 1
            data = data[whole:]
            self.answered()
        self._held = data

    def answered(self) -> None:
        """One answer came."""
        raise NotImplementedError

    def connection_lost(self, error: Exception | None) -> None:
        """The server, or we, hung up."""
        if error is not None:
            self.tally.broken += 1


class Busy(AnswerReader):
    """Sends the next request as soon as the last is answered."""

    def __init__(self, tally: Tally, requests: Iterator[bytes], until: float) -> None:
        super().__init__(tally)
        self._requests = requests
        self._until = until
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._send(time.perf_counter())

    def answered(self) -> None:
        """Count and go on."""
        now = time.perf_counter()
        self.tally.latencies.append(now - self._sent)
        if now < self._until:
            self._send(now)
        else:
            self.transport.close()

    def _send(self, now: float) -> None:
        self._sent = now
        self.transport.write(next(self._requests))


async def keep_busy(port: int, requests: Iterable[bytes], connections: int, seconds: float) -> str:
    """Run the load; the result as JSON."""
    loop, tally, source = asyncio.get_running_loop(), Tally(), cycle(requests)
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Busy(tally, source, began + seconds), "127.0.0.1", port)
    await asyncio.sleep(began + seconds - time.perf_counter())
    return tally.as_json(time.perf_counter() - began)


def main() -> None:
    """Read the arguments, run, print."""
    port, path, file, connections, seconds = sys.argv[1:]
    requests = read_requests(Path(file), int(port), path)
    print(uvloop.run(keep_busy(int(port), requests, int(connections), float(seconds))))


if __name__ == "__main__":
    main()
