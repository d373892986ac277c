"""Callers of the management API: each keeps one connection and makes its next call as soon as the last is answered.

python -m tests.bench.callers PLAN MODE CALLERS SECONDS prints a line of JSON: per kind of call how often and how long it took.
MODE is reads, writes, or mixed (one caller in ten writes). The plan is a JSON file, see `Plan`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.measurement import percentile

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ETAG = re.compile(rb"\r\netag: *([^\r]+)", re.IGNORECASE)
_WARM_UP_SHARE = 0.2
UNCOUNTED = "read before a write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One tenant as its callers see it. `pages`: queries of lists that begin deep inside. `own`: what writers may change."""

    token: str
    unit: str
    accounts: list[str]
    connectors: list[str]
    pages: list[str]
    own: list[list[str]]  # connector id, then ids of accounts of it; a writer takes one such entry for itself


@dataclass(frozen=True, slots=True)
class Answered:
    """What a caller looks at."""

    status: int
    etag: str


Calls = Generator[tuple[str, bytes], Answered, None]  # (kind of call, request) -> its answer


def reads(side: Side, draw: random.Random) -> Calls:
    """What people and dashboards ask for."""
    while True:
        account = draw.choice(side.accounts)
        kind, path = draw.choices(
            (
                ("account", f"accounts/{account}"),
                ("connector", f"connectors/{draw.choice(side.connectors)}"),
                ("first page", draw.choice(("accounts", "connectors", "connectors?status=active"))),
                ("deep page", draw.choice(side.pages)),
                ("status", f"accounts/{account}/status"),
                ("audit", draw.choice(("audit-log", f"audit-log?subject_id={account}"))),
            ),
            (30, 15, 10, 15, 20, 10),
        )[0]
        yield kind, _request(side, "GET", path)


def writes(side: Side, own: list[str], draw: random.Random) -> Calls:
    """What administrators and their scripts change: half of it updates, the rest new accounts and changes of state."""
    connector, *accounts = own
    tags: dict[str, str] = {}
    for number in range(sys.maxsize):
        kind = draw.choices(("create", "update", "account state", "connector state"), (25, 50, 15, 10))[0]
        path = f"connectors/{connector}" if kind == "connector state" else f"accounts/{draw.choice(accounts)}"
        if kind == "create":
            body = {
                "identidade": f"55119{draw.randrange(10**8):08d}",
                "org_unit_id": side.unit,
                "config": {"phone_number_id": str(draw.randrange(10**14, 10**15))},
            }
            yield kind, _request(side, "POST", f"connectors/{connector}/accounts", body, ("Idempotency-Key", f"{draw.random()}"))
            continue
        if path not in tags or kind == "account state":  # a state follows its connector's, so what was read may be old
            answer = yield UNCOUNTED, _request(side, "GET", path)
            tags[path] = answer.etag
        states = ("pending", "active") if kind == "connector state" else ("inactive", "pending")
        change = {"nome_exibicao": f"Account {number}"} if kind == "update" else {"status": states[number % 2]}
        answer = yield kind, _request(side, "PATCH", path, change, ("If-Match", tags.pop(path)))
        if kind == "connector state":
            tags.clear()  # its accounts went with it
        elif kind == "update" and answer.status == 200:
            tags[path] = answer.etag


class Caller(asyncio.Protocol):
    """One connection. Times go to `tally` once the warm-up is over."""

    def __init__(self, calls: Calls, tally: Tally) -> None:
        self._calls = calls
        self._tally = tally
        self._held = b""
        self._kind = ""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._send(next(self._calls))

    def data_received(self, data: bytes) -> None:
        """A part of the answer; there is one at a time."""
        self._held += data
        end = self._held.find(_HEAD_END)
        if end < 0:
            return
        length = _LENGTH.search(self._held, 0, end)
        if len(self._held) < end + 4 + (int(length[1]) if length else 0):
            return
        etag = _ETAG.search(self._held, 0, end)
        answered = Answered(int(self._held[9:12]), etag[1].decode() if etag else "")
        told = self._held[end:]
        self._held = b""
        now = time.perf_counter()
        self._tally.note(self._kind, answered.status, now, now - self._sent, told)
        if now < self._tally.until:
            self._send(self._calls.send(answered))
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """The server hung up, or the time is over."""
        if time.perf_counter() < self._tally.until:
            self._tally.refused[f"connection lost: {error}"] += 1
        self._tally.closed()

    def _send(self, call: tuple[str, bytes]) -> None:
        self._kind, request = call
        self._sent = time.perf_counter()
        self._transport.write(request)


class Tally:
    """What came back, in seconds per kind of call."""

    def __init__(self, callers: int, seconds: float) -> None:
        began = time.perf_counter()
        self.over = asyncio.Event()
        self._open = callers
        self.counted_from = began + seconds * _WARM_UP_SHARE
        self.until = began + seconds
        self.times: dict[str, list[float]] = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self.calls = 0

    def note(self, kind: str, status: int, now: float, seconds: float, told: bytes) -> None:
        """One answer."""
        self.calls += 1
        if not 200 <= status < 300:
            self.refused[f"{kind}: {status} {told[:160].decode(errors='replace').strip()}"] += 1
        elif now >= self.counted_from:
            self.times[kind].append(seconds)

    def closed(self) -> None:
        """One caller less."""
        self._open -= 1
        if not self._open:
            self.over.set()

    def as_json(self) -> str:
        """One line."""
        kinds = {kind: sorted(times) for kind, times in sorted(self.times.items())}
        seconds = self.until - self.counted_from
        told = {
            kind: {
                "count": len(times),
                "p50_ms": percentile(times, 0.5) * 1e3,
                "p99_ms": percentile(times, 0.99) * 1e3,
            }
            for kind, times in (*kinds.items(), *self._groups(kinds))
            if times
        }
        found = {"seconds": seconds, "calls": self.calls, "cpu_seconds": time.process_time(), "kinds": told}
        return json.dumps(found | {"refused": dict(self.refused.most_common(5))})

    @staticmethod
    def _groups(kinds: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
        written = ("create", "update", "account state", "connector state")
        groups: dict[str, Callable[[str], bool]] = {
            "reads": lambda kind: kind not in written and kind != UNCOUNTED,
            "writes": lambda kind: kind in written,
        }
        return [(name, sorted(chain.from_iterable(kinds[kind] for kind in kinds if of(kind)))) for name, of in groups.items()]


async def run(plan: dict[str, Any], mode: str, callers: int, seconds: float) -> str:
    """Let so many callers work; the outcome as JSON."""
    sides = [Side(**side) for side in plan["sides"]]
    tally, ports = Tally(callers, seconds), plan["ports"]
    loop = asyncio.get_running_loop()
    for number in range(callers):
        draw = random.Random(f"{plan['seed']} {mode} {number}")
        side = sides[number % len(sides)]
        writing = mode == "writes" or (mode == "mixed" and number % 9 == 8)
        calls = writes(side, side.own[number // len(sides)], draw) if writing else reads(side, draw)
        await loop.create_connection(lambda calls=calls: Caller(calls, tally), "127.0.0.1", ports[number % len(ports)])  # type: ignore[misc]
    async with asyncio.timeout(seconds + 30):
        await tally.over.wait()
    return tally.as_json()


def _request(side: Side, method: str, path: str, body: Any = None, header: tuple[str, str] | None = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} /v1/{path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {side.token}"]
    if header:
        lines.append(": ".join(header))
    if content:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


if __name__ == "__main__":
    _, file, mode, callers, seconds = sys.argv
    print(uvloop.run(run(json.loads(Path(file).read_text()), mode, int(callers), float(seconds))))
