"""Clients that stall or drip, by the thousand, and the honest traffic beside them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial

from tests.bench.measurement import percentile
from tests.edge import BODY, signature
from tests.hostile.traffic import Ledger, flow

_WAVE = 100  # connections opened at once
_DRIP_SECONDS = 0.4
_GIVE_UP_SECONDS = 30.0
_HONEST = 10
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


@dataclass(frozen=True, slots=True)
class Manner:
    """`at_once` is sent first, then `dripped` byte by byte."""

    at_once: bytes
    dripped: bytes = b""


def manners(path: str) -> dict[str, tuple[Manner, ...]]:
    """The kinds of slow clients; each kind is mixed of these."""
    line = f"POST {path} HTTP/1.1\r\n".encode()
    head = line + b"Host: a\r\nX-Hub-Signature-256: " + signature(BODY).encode() + b"\r\n"
    sized, chunked = head + b"Content-Length: 5000\r\n\r\n", head + b"Transfer-Encoding: chunked\r\n\r\n"
    return {
        "stalled heads": (Manner(line[:4]), Manner(line), Manner(head), Manner(b"\r\n" + line[:9])),
        "stalled bodies": (Manner(sized), Manner(sized + BODY[:9]), Manner(chunked), Manner(chunked + b"ff\r\nabc")),
        "one-byte drips": (
            Manner(b"", head + b"X: " + b"y" * 500),
            Manner(sized, b"z" * 500),
            Manner(chunked, b"1\r\nx\r\n" * 99),
        ),
    }


class Slow(asyncio.Protocol):
    """One such client. `ended` is None while the server lets it be."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.began = time.monotonic()
        self.ended: float | None = None
        self.got = b""
        self._transport: asyncio.Transport | None = None
        self._position = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send what comes at once."""
        self._transport = transport  # type: ignore[assignment]
        self._transport.write(self.manner.at_once)  # type: ignore[union-attr]
        self.began = time.monotonic()

    def drip(self) -> None:
        """One more byte, as long as somebody listens."""
        if self.ended is None and self._transport is not None and self._position < len(self.manner.dripped):
            self._transport.write(self.manner.dripped[self._position : self._position + 1])
            self._position += 1

    def data_received(self, data: bytes) -> None:
        """Perhaps a 408."""
        self.got += data

    def eof_received(self) -> bool:
        """The server has closed its side; so do we."""
        self._note()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The end."""
        self._note()

    def abort(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    def _note(self) -> None:
        self.ended = self.ended or time.monotonic()


@dataclass(frozen=True, slots=True)
class Siege:
    """How one kind of slow clients fared, and the honest ones beside them (milliseconds)."""

    clients: int
    left_open: int
    longest_seconds: float
    answers: dict[str, int]
    honest_answers: int
    honest_failures: int
    p50_ms: float
    p99_ms: float


async def besiege(port: int, path: str, kind: tuple[Manner, ...], clients: int) -> Siege:
    """Open so many, wait until the server has closed all; honest traffic flows meanwhile."""
    stop, ledger = asyncio.Event(), Ledger()
    honest = asyncio.create_task(flow(port, path, ledger, stop, _HONEST))
    slow = await _open(port, kind, clients)
    until = time.monotonic() + _GIVE_UP_SECONDS
    while time.monotonic() < until and any(one.ended is None for one in slow):
        for one in slow:
            one.drip()
        await asyncio.sleep(_DRIP_SECONDS)
    stop.set()
    await honest
    left = [one for one in slow if one.ended is None]
    for one in slow:
        one.abort()
    ordered = sorted(ledger.seconds)
    return Siege(
        clients=clients,
        left_open=len(left),
        longest_seconds=max((one.ended or time.monotonic()) - one.began for one in slow),
        answers=dict(Counter(" ".join(part.decode() for part in _STATUS.findall(one.got)) or "none" for one in slow)),
        honest_answers=len(ledger.accepted),
        honest_failures=len(ledger.answered) - len(ledger.accepted) + len(ledger.unanswered),
        p50_ms=percentile(ordered, 0.5) * 1e3,
        p99_ms=percentile(ordered, 0.99) * 1e3,
    )


async def _open(port: int, kind: tuple[Manner, ...], clients: int) -> list[Slow]:
    loop, opened = asyncio.get_running_loop(), list[Slow]()
    for begin in range(0, clients, _WAVE):
        wave = [Slow(kind[number % len(kind)]) for number in range(begin, min(begin + _WAVE, clients))]
        await asyncio.gather(*(loop.create_connection(partial(_itself, one), "127.0.0.1", port) for one in wave))
        opened += wave
    return opened


def _itself(one: Slow) -> Slow:
    return one
