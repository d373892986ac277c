"""An open-model load generator: request i is due at start + i/rate, whatever became of those before it.

python -m tests.bench.open_load PORT PATH FILE RATE COUNT CONNECTIONS prints one line of JSON: `start` (seconds of the
monotonic clock, the same in all processes of the machine) and what came back, with latencies from the intended send time.
A request that finds no free connection waits, and its wait counts. Requests that are due within a millisecond go together.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from itertools import islice
from pathlib import Path

import uvloop

from tests.bench.closed_load import AnswerReader, Tally, read_requests

_TICK_SECONDS = 0.001
_GRACE_SECONDS = 10.0


class Line(AnswerReader):
    """One connection of the pool; carries one request at a time."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.tally)
        self._pool = pool
        self._due = 0.0

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time."""
        self._due = due
        self.transport.write(request)

    def answered(self) -> None:
        """Count from the intended send time, and take the next."""
        self._pool.tally.latencies.append(time.monotonic() - self._due)
        self._pool.free(self)


class Pool:
    """Connections and what waits for one."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.lines: deque[Line] = deque()
        self._waiting: deque[tuple[bytes, float]] = deque()

    def send(self, request: bytes, due: float) -> None:
        """Send on a free connection, or as soon as there is one."""
        if self.lines:
            self.lines.pop().send(request, due)
        else:
            self._waiting.append((request, due))

    def free(self, line: Line) -> None:
        """A connection got its answer."""
        if self._waiting:
            line.send(*self._waiting.popleft())
        else:
            self.lines.append(line)


async def send_at(port: int, requests: list[bytes], rate: float, connections: int) -> str:
    """Send all at `rate` per second; the result as JSON once all were answered, or the grace is over."""
    loop, pool = asyncio.get_running_loop(), Pool()
    for _ in range(connections):
        _, line = await loop.create_connection(lambda: Line(pool), "127.0.0.1", port)
        pool.lines.append(line)
    start = time.monotonic() + 0.2
    sent = 0
    while sent < len(requests):
        await asyncio.sleep(max(_TICK_SECONDS, start - time.monotonic()))
        until = min(len(requests), int((time.monotonic() - start) * rate) + 1)
        for number in range(sent, until):
            pool.send(requests[number], start + number / rate)
        sent = max(sent, until)
    deadline = time.monotonic() + _GRACE_SECONDS
    while len(pool.tally.latencies) < len(requests) and time.monotonic() < deadline:  # noqa: ASYNC110 - a bench may poll
        await asyncio.sleep(0.01)
    return json.dumps({"start": start} | json.loads(pool.tally.as_json(time.monotonic() - start)))


def main() -> None:
    """Read the arguments, run, print."""
    port, path, file, rate, count, connections = sys.argv[1:]
    requests = list(islice(read_requests(Path(file), int(port), path), int(count)))
    print(uvloop.run(send_at(int(port), requests, float(rate), int(connections))))


if __name__ == "__main__":
    main()
