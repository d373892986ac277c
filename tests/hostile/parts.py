"""The parts of the campaign, each a function that measures, says whether its promise held, and returns figures."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.contract.providers.forging import forge
from tests.contract.providers.schemes import SCHEMES
from tests.edge import Edge
from tests.hostile import rivals
from tests.hostile.cases import CASES
from tests.hostile.conversation import Seen, converse_all, expected
from tests.hostile.forgery import judge_many, send_many
from tests.hostile.idle import hold, possible
from tests.hostile.slow import besiege, manners
from tests.hostile.terminations import restart
from tests.hostile.timing import measure

MakeEdge = Callable[[], Edge]
_PATIENCE_SECONDS = 8.0


@dataclass(slots=True)
class Finding:
    """One part's outcome. `faults` is empty where the promise held; `lines` are for people, `figures` for programs."""

    title: str
    lines: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    table: list[tuple[str, ...]] = field(default_factory=list)


def matrix(make_edge: MakeEdge, say: Callable[[str], None]) -> Finding:
    """Every hostile request: the edge must be right, each difference to the rivals must have a reason."""
    found, edge = Finding("Hostile requests"), make_edge()
    edge.start()
    ours = asyncio.run(converse_all(edge.port, edge.connector_id, CASES, _PATIENCE_SECONDS))
    found.faults += [
        f"{case.name}: {ours[case.name]}, not {expected(case)}" for case in CASES if ours[case.name] != expected(case)
    ]
    stored, due = len(edge.stored()), sum(case.stored for case in CASES)
    found.faults += [] if stored == due else [f"{stored} records in Kafka, not {due}"]
    interpreter, theirs = rivals.python(say), dict[str, dict[str, Seen]]()
    for name in rivals.COMMANDS:
        with rivals.serving(name, interpreter) as port:
            theirs[name] = asyncio.run(converse_all(port, edge.connector_id, CASES, _PATIENCE_SECONDS))
    found.table.append(("request", "the edge", *theirs, "why"))
    for case in CASES:
        row = [str(seen[case.name]) for seen in theirs.values()]
        differs = any(text != str(expected(case)) for text in row)
        if differs and not case.rivals:
            found.faults.append(f"{case.name}: {row} without an explanation")
        why = [case.why[:1].upper() + case.why[1:] + "." if case.why else "", case.rivals if differs else ""]
        found.table.append((case.name, str(expected(case)), *row, " ".join(why).strip()))
    same = sum(row[1] == row[2] == row[3] for row in found.table[1:])
    found.lines.append(
        f"{len(CASES)} requests, all answered as they should be; {stored} records in Kafka, as many as were accepted"
    )
    found.lines.append(f"compared with {rivals.versions()}: {same} the same on all three, {len(CASES) - same} differ")
    found.figures = {"cases": len(CASES), "same_on_all": same, "stored": stored}
    return found


def slow(make_edge: MakeEdge, clients: int) -> Finding:
    """Thousands that stall or drip."""
    found, edge = Finding("Slow clients"), make_edge()
    edge.start()
    for name, kind in manners(edge.url()).items():
        siege = asyncio.run(besiege(edge.port, edge.url(), kind, clients))
        found.lines.append(
            f"{siege.clients} {name}: {siege.left_open} left open, the last closed after {siege.longest_seconds:.1f} s, answers "
            f"{siege.answers}; beside them {siege.honest_answers} good requests, {siege.honest_failures} failed, "
            f"p50 {siege.p50_ms:.1f} ms, p99 {siege.p99_ms:.1f} ms"
        )
        found.faults += [f"{name}: {siege}"] if siege.left_open or siege.longest_seconds >= 10 or siege.honest_failures else []
        found.figures[name] = asdict(siege)
    return found


def idle(make_edge: MakeEdge, connections: int) -> Finding:
    """Ten thousand that do nothing."""
    found, edge = Finding("Idle connections"), make_edge()
    process = edge.start(ingest_connections=20_000)  # below three quarters of the bound, so that none has to go early
    result = asyncio.run(hold(edge, process.process.pid, possible(connections)))
    found.lines.append(
        f"{result.connections} idle connections: {result.silent_bytes / 1024:.1f} KiB each before the first byte, "
        f"{result.used_bytes / 1024:.1f} KiB each after one answered request (resident memory of the process)"
    )
    found.faults += [] if result.good_answer == 200 else [f"an honest request got {result.good_answer}"]
    found.figures = asdict(result)
    return found


def fuzz(examples: int) -> Finding:
    """The fuzzing tests with many more examples."""
    found = Finding("Fuzzing")
    command = [sys.executable, "-m", "pytest", "-q", "tests/hostile/test_fuzz.py", "--hypothesis-profile=hostile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found.lines.append(f"{examples} streams per property (hypothesis): {done.stdout.strip().splitlines()[-1].strip('= ')}")
    found.faults += [] if done.returncode == 0 else [done.stdout[-3_000:]]
    found.figures = {"examples": examples}
    return found


def forged(make_edge: MakeEdge, in_process: int, over_sockets: int) -> Finding:
    """A million forgeries, and how long their refusal takes."""
    found, edge = Finding("Forged webhooks"), make_edge()
    verdicts = judge_many(in_process, seed=1)
    rate = in_process / verdicts.seconds
    found.lines.append(
        f"{in_process} forgeries of {len(verdicts.kinds)} kinds: {len(verdicts.accepted)} accepted ({rate:.0f}/s, one core)"
    )
    found.faults += [f"accepted: {forgery}" for forgery in verdicts.accepted[:5]]
    process = edge.start()
    statuses = asyncio.run(send_many(edge.port, edge.url(), over_sockets, seed=2))
    failures = [line for line in process.lines() if line["event"] == "request_failed"]
    found.lines.append(f"{over_sockets} over sockets: answers {dict(statuses)}, {edge.end_offset()} records in Kafka")
    if statuses != {401: over_sockets} or edge.end_offset() or failures:
        found.faults.append(f"over sockets: {dict(statuses)}, {failures[:3]}")
    timing = measure(4_000)
    shown = ", ".join(f"{digits}: {value:.0f}" for digits, value in timing.median_ns.items())
    found.lines.append(
        f"nanoseconds per refusal by right leading digits of the signature: {shown}; "
        f"largest difference {timing.difference_ns:.0f}, the same class against itself {timing.noise_ns:.0f} "
        "(to look at; the test holds that hmac.compare_digest compares)"
    )
    found.figures = {"kinds": verdicts.kinds, "per_second": round(rate), "sockets": dict(statuses), "timing": asdict(timing)}
    return found


def schemes(count: int, say: Callable[[str], None]) -> Finding:
    """So many forgeries of the scheme of each provider, dialect and way of proof."""
    found = Finding("Forged webhooks of every provider")
    found.table.append(("scheme", "forgeries", "kinds", "accepted", "errors", "per second"))
    for name in SCHEMES:
        campaign = forge(name, count, seed=1)
        rate = round(campaign.tried / campaign.seconds)
        say(f"  {name}: {campaign.tried} forgeries, {len(campaign.accepted)} accepted, {len(campaign.raised)} errors, {rate}/s")
        row = (name, campaign.tried, len(campaign.kinds), len(campaign.accepted), len(campaign.raised), rate)
        found.table.append(tuple(str(cell) for cell in row))
        found.faults += [f"{name}: accepted {one}" for one in campaign.accepted[:3]]
        found.faults += [f"{name}: raised {one}" for one in campaign.raised[:3]]
        found.figures[name] = {"forgeries": campaign.tried, "kinds": len(campaign.kinds)}
    found.lines.append(
        f"{len(SCHEMES)} schemes, {count} forgeries of each, through the edge's decision; made and signed by the simulator"
    )
    return found


def restarts(make_edge: MakeEdge, rounds: int) -> Finding:
    """SIGTERM under load, again and again. A 503 with its reason is an answer: counted and shown, no fault."""
    found = Finding("SIGTERM under load")
    result = asyncio.run(restart(make_edge(), rounds))
    found.lines += [
        f"{result.rounds} SIGTERMs, two processes on one port, {result.sent} requests: {len(result.unanswered)} unanswered, "
        f"{result.lost} answered 200 and lost, {result.stored_twice} stored twice, other answers {result.otherwise or 'none'}",
        f"{result.connections} connections; {result.repeated} pipelined requests behind a `Connection: close` were sent again; "
        f"the longest end of a process took {result.longest_drain_seconds:.1f} s",
    ]
    clean = not (result.unanswered or result.lost or result.stored_twice or result.stored_unanswered or result.faults)
    found.faults += [] if clean else [str(result)[:3_000]]
    found.figures = asdict(result)
    return found
