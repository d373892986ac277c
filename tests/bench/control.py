"""Part 6: the management API with 50 callers at once on a large database, and what its readers take for so many accounts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import psutil

from shared.adapters.clock import new_uuid7
from tests.bench import directories
from tests.bench.estate import Estate, build
from tests.bench.measurement import Comparison, Part, Values, interleave
from tests.bench.processes import ROOT, Measured, free_port
from tests.bench.sides import sides_of
from tests.bench.site import Site
from tests.pipeline import Pipeline

READS, CONTROL, WRITES, MIXED = "reads", "reads again (control)", "writes", "mixed, one caller in ten writes"
P50, P99, P99_WRITES, RATE, CPU, DATABASE_CPU, CALLERS_CPU = (
    "p50",
    "p99",
    "p99 of writes",
    "calls per second",
    "CPU per call, control",
    "CPU per call, PostgreSQL",
    "CPU per call, callers",
)
UNITS = {P50: "ms", P99: "ms", P99_WRITES: "ms", RATE: "calls/s", CPU: "ms", DATABASE_CPU: "ms", CALLERS_CPU: "ms"}
_CALLERS = 50
_READS_P99_MS, _WRITES_P99_MS = 50, 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much stands in the database, and how long each round is."""

    connectors: int = 10_000
    accounts: int = 100_000
    rounds: int = 4
    seconds: float = 6.0
    starts: int = 2
    changes: int = 300
    callers: int = _CALLERS
    processes: int = 2  # one for each core

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(connectors=1_500, accounts=6_000, rounds=1, seconds=1.5, starts=1, changes=10, callers=10)


class Api:
    """One control process on an installation with a large database. A context manager."""

    def __init__(self, site: Site, pipeline: Pipeline, estate: Estate, sizes: Sizes) -> None:
        self.pipeline, self.estate = pipeline, estate
        self._site, self._sizes = site, sizes
        self._ports = [(free_port(), free_port()) for _ in range(sizes.processes)]
        self.processes = [
            Measured(
                [sys.executable, "-m", "services.control"],
                site.environment(
                    pipeline, control_port=port, control_operations_port=operations, database_api_url=pipeline.database.api_url
                ),
                site.logs / f"control-{port}.log",
            )
            for port, operations in self._ports
        ]
        self._plan = pipeline.keys_dir.parent / "callers.json"
        self._open = ExitStack()
        self.kinds: dict[str, list[dict[str, float]]] = {}

    def __enter__(self) -> Api:
        for process, (port, operations) in zip(self.processes, self._ports, strict=True):
            self._open.enter_context(process)
            process.wait_http(operations, "/readyz")
            process.wait_port(port)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    @property
    def port(self) -> int:
        """Of one process."""
        return self._ports[0][0]

    def cpu_seconds(self) -> float:
        """Of all its processes."""
        return sum(process.cpu_seconds() for process in self.processes)

    def load(self, mode: str, seconds: float | None = None) -> subprocess.Popen[str]:
        """Start the callers."""
        sides = sides_of(self.pipeline, self.estate, self._sizes.callers)
        plan = {"ports": [port for port, _ in self._ports], "seed": new_uuid7(), "sides": [asdict(side) for side in sides]}
        self._plan.write_text(json.dumps(plan))
        arguments = (self._plan, mode, self._sizes.callers, seconds or self._sizes.seconds)
        command = [sys.executable, "-m", "tests.bench.callers", *map(str, arguments)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def outcome(self, load: subprocess.Popen[str]) -> dict[str, Any]:
        """What the callers saw; raises RuntimeError if any call was refused."""
        told, errors = load.communicate(timeout=120)
        if load.returncode:
            raise RuntimeError(f"the callers failed: {errors[-800:]}")
        found: dict[str, Any] = json.loads(told)
        if found["refused"]:
            raise RuntimeError(f"refused: {found['refused']}\n{self.processes[0].last_words()}")
        return found

    def measure(self, mode: str) -> Values:
        """One round."""
        load = self.load(mode)
        before = self.cpu_seconds(), _database_cpu_seconds(self._site)
        found = self.outcome(load)
        for process in self.processes:
            process.check()
        used = self.cpu_seconds() - before[0], _database_cpu_seconds(self._site) - before[1]
        kinds = found["kinds"]
        for kind, values in kinds.items():
            self.kinds.setdefault(kind, []).append(values)
        first = kinds["writes" if mode == "writes" else "reads"]
        values = {P50: first["p50_ms"], P99: first["p99_ms"]}
        if mode == "mixed":
            values[P99_WRITES] = kinds["writes"]["p99_ms"]
        values[RATE] = sum(kinds[kind]["count"] for kind in kinds if kind not in ("reads", "writes")) / found["seconds"]
        costs = {CPU: used[0], DATABASE_CPU: used[1], CALLERS_CPU: found["cpu_seconds"]}
        return values | {name: seconds / found["calls"] * 1e3 for name, seconds in costs.items() if seconds}


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for some five minutes (quick: half a minute)."""
    part = Part(
        name="control",
        title="Management API and snapshots at 100 000 accounts",
        settings={
            "callers": sizes.callers,
            "control processes": sizes.processes,
            "rounds": sizes.rounds,
            "seconds per round": sizes.seconds,
        },
    )
    pipeline = site.installation()
    estate = build(pipeline.database, connectors=sizes.connectors, accounts=sizes.accounts)
    say(f"  {estate.connectors} connectors, {estate.accounts} accounts, {len(estate.tenants)} tenants")
    part.settings |= {"connectors": estate.connectors, "accounts": estate.accounts, "tenants": len(estate.tenants)}
    with Api(site, pipeline, estate, sizes) as api:
        modes = {READS: "reads", CONTROL: "reads", WRITES: "writes", MIXED: "mixed"}
        rounds = {name: (lambda mode=mode: api.measure(mode)) for name, mode in modes.items()}
        part.series = interleave(rounds, sizes.rounds, UNITS, say)
        part.comparisons += [
            _against(part, READS, P99, _READS_P99_MS),
            _against(part, WRITES, P99, _WRITES_P99_MS),
            _against(part, MIXED, P99, _READS_P99_MS),
            _against(part, MIXED, P99_WRITES, _WRITES_P99_MS),
        ]
        part.compare(P99, CONTROL, READS)
        part.tables["By kind of call, medians of all rounds"] = _table(api.kinds)
        directories.measure(part, site, api, sizes, say)
    part.notes = [
        f"{sizes.callers} callers, each with a connection of its own and the next call as soon as the last is answered, in a"
        " process of their own on the same machine; ten different tokens (EdDSA), four of five for the largest tenant.",
        "Reads: one account, one connector, first pages, pages from deep inside with filters, status of an account, audit log."
        " Writes: new accounts under an Idempotency-Key, updates with If-Match, changes of state of accounts and connectors.",
        *directories.NOTES,
    ]
    return part


def _against(part: Part, candidate: str, measure: str, most_ms: float) -> Comparison:
    return Comparison(
        measure=measure,
        unit="ms",
        candidate=candidate,
        rival="wanted",
        value=part.median(candidate, measure),
        rival_value=most_ms,
        target=1.0,
        at_most=True,
    )


def _table(kinds: dict[str, list[dict[str, float]]]) -> list[str]:
    def middle(rounds: list[dict[str, float]], name: str) -> float:
        ordered = sorted(each[name] for each in rounds)
        return ordered[len(ordered) // 2]

    lines = [f"{'call':<20}{'p50 ms':>9}{'p99 ms':>9}"]
    for kind in sorted(set(kinds) - {"reads", "writes"}):
        lines.append(f"{kind:<20}{middle(kinds[kind], 'p50_ms'):9.1f}{middle(kinds[kind], 'p99_ms'):9.1f}")
    return lines


def _database_cpu_seconds(site: Site) -> float:
    postmaster = next(site.home.glob("postgres/**/postmaster.pid"), None)
    if postmaster is None:
        return 0.0  # a stack of somebody else: that measure is left out
    process = psutil.Process(int(postmaster.read_text().split()[0]))
    return sum(sum(member.cpu_times()[:2]) for member in [process, *process.children(recursive=True)])
