"""A rolling restart under load: two processes on one port, ended by SIGTERM in turn, again and again."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass

from tests.edge import Edge, EdgeProcess
from tests.hostile.traffic import Ledger, flow
from tests.waiting import eventually

_CLIENTS = 15
_LOAD_SECONDS = 0.3  # both processes serve before one is ended


@dataclass(frozen=True, slots=True)
class Restarts:
    """What came of it. `faults`: what a process said or did at its end that it should not have."""

    rounds: int
    sent: int
    accepted: int
    otherwise: dict[str, int]  # status and reason
    unanswered: tuple[str, ...]
    lost: int  # answered 200 and not in Kafka
    stored_twice: int
    stored_unanswered: int
    repeated: int
    connections: int
    longest_drain_seconds: float
    faults: tuple[str, ...]


async def restart(edge: Edge, rounds: int) -> Restarts:
    """So many SIGTERMs; blocks the loop for nothing but its own clients."""
    ledger, stop, faults, drains = Ledger(), asyncio.Event(), list[str](), list[float]()
    pair = [await asyncio.to_thread(edge.start), await asyncio.to_thread(edge.start)]
    load = asyncio.create_task(flow(edge.port, edge.url(), ledger, stop, _CLIENTS))
    for number in range(rounds):
        await asyncio.sleep(_LOAD_SECONDS)
        victim, began = pair[number % 2], time.monotonic()
        victim.terminate()
        starting = asyncio.create_task(asyncio.to_thread(edge.start))
        faults += await asyncio.to_thread(_end, victim)
        drains.append(time.monotonic() - began)
        pair[number % 2] = await starting
    stop.set()
    await load
    for process in pair:
        process.terminate()
        faults += await asyncio.to_thread(_end, process)
    numbers = [json.loads(stored.body)["number"] for stored in await asyncio.to_thread(edge.stored)]
    return _sum_up(rounds, ledger, numbers, max(drains), faults)


def _end(process: EdgeProcess) -> list[str]:
    eventually(lambda: process.process.poll() is not None, 40)
    found = [] if process.wait() == 0 else [f"exit code {process.wait()}"]
    lines = process.lines()
    found += [str(line) for line in lines if line["event"] in ("request_failed", "watchdog") or line.get("level") == "error"]
    last = [line for line in lines if line["event"] == "stopped"]
    if len(last) != 1 or last[0]["unanswered"] or last[0]["undelivered"]:
        found.append(f"the last word: {last}")
    return found


def _sum_up(rounds: int, ledger: Ledger, numbers: list[int], longest: float, faults: list[str]) -> Restarts:
    stored = set(numbers)
    return Restarts(
        rounds=rounds,
        sent=len(ledger.answered) + len(ledger.unanswered),
        accepted=len(ledger.accepted),
        otherwise=dict(ledger.refusals),
        unanswered=tuple(ledger.unanswered),
        lost=len(ledger.accepted - stored),
        stored_twice=len(numbers) - len(stored),
        stored_unanswered=len(stored - ledger.answered.keys()),
        repeated=ledger.repeated,
        connections=ledger.connections,
        longest_drain_seconds=longest,
        faults=tuple(faults),
    )
