"""Part 4: memory of each process over many webhooks, and how long stack and fleet take to start."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.fleet import Fleet
from deploy.local.fleet_plan import plan_fleet
from deploy.local.installation import install
from deploy.local.stack import LocalStack
from tests.bench.chain import Chain
from tests.bench.measurement import Comparison, Part, Values, interleave
from tests.bench.processes import Measured
from tests.bench.site import Site

FIRST_START, START, FLEET = "stack, first start", "stack, later starts", "fleet (relay, router, ingest)"
SECONDS = "seconds until ready"
MIB = 2**20
_SAMPLE_SECONDS = 0.5
_WARM_UP_SHARE, _WINDOW_SHARE = 0.3, 0.1
_RATE_SHARE = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Webhooks in all, and rounds of starting. `rate`: per second; None takes 70 % of the maximum."""

    webhooks: int = 200_000
    rounds: int = 3
    rate: float | None = None

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(webhooks=1_500, rounds=1, rate=300)


class Scale:
    """Weighs processes while messages go through: (messages seen, bytes) per process."""

    def __init__(self, processes: Mapping[str, Measured]) -> None:
        self.samples: dict[str, list[tuple[int, int]]] = {name: [] for name in processes}
        self._processes = processes
        self._next = 0.0

    def weigh(self, seen: int) -> None:
        """Take a sample if one is due."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SAMPLE_SECONDS
            for name, process in self._processes.items():
                self.samples[name].append((seen, process.memory_bytes()))

    def around(self, name: str, begin: float, end: float) -> float:
        """The median weight in MiB while between these shares of all messages were seen."""
        samples = self.samples[name]
        total = samples[-1][0]
        inside = [weight for seen, weight in samples if begin * total <= seen <= end * total]
        return statistics.median(inside or [samples[-1][1]]) / MIB


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about two minutes (quick: fifteen seconds)."""
    part = Part(name="memory", title="Memory and start-up", settings={"webhooks": sizes.webhooks, "rounds": sizes.rounds})
    _weigh(part, site, sizes, say)
    _time_starts(part, sizes, say)
    part.notes = [
        "Memory is what a process has for itself (USS). Before: the median around the time when "
        f"{_WARM_UP_SHARE:.0%} of the webhooks had passed; after: the median over the last {_WINDOW_SHARE:.0%}.",
        "Starts: the embedded Kafka and PostgreSQL until both answer (the first start creates the database); then relay, one"
        " router and one ingest until all are ready. Jars and packages were there already.",
    ]
    return part


def _weigh(part: Part, site: Site, sizes: Sizes, say: Callable[[str], None]) -> None:
    with Chain(site) as chain:
        rate = sizes.rate or chain.maximum(say, seconds=2) * _RATE_SHARE
        say(f"  {sizes.webhooks} webhooks at {rate:.0f} per second")
        part.settings["rate"] = f"{rate:.0f} webhooks/s"
        processes = {"ingest": chain.ingest, "router": chain.router}
        scale = Scale(processes)
        chain.pass_through(rate, sizes.webhooks / rate, scale.weigh)
        for name in processes:
            before = scale.around(name, _WARM_UP_SHARE - _WINDOW_SHARE / 2, _WARM_UP_SHARE + _WINDOW_SHARE / 2)
            after = scale.around(name, 1 - _WINDOW_SHARE, 1)
            part.comparisons.append(
                Comparison(
                    measure="memory",
                    unit="MiB",
                    candidate=f"{name}, at the end",
                    rival=f"{name}, after the warm-up",
                    value=after,
                    rival_value=before,
                    target=1.05,
                    at_most=True,
                )
            )


def _time_starts(part: Part, sizes: Sizes, say: Callable[[str], None]) -> None:
    home = Path(tempfile.mkdtemp(prefix="channels-bench-start-"))
    stack, fleet = LocalStack(home), Fleet(home)
    try:
        first = _seconds(stack.start)
        install(stack.start(), home, say=lambda _: None)

        def start_again() -> Values:
            stack.stop()
            return {SECONDS: _seconds(stack.start)}

        def start_fleet() -> Values:
            fleet.stop_all()
            return {SECONDS: _seconds(lambda: _bring_up(home, fleet))}

        part.series = interleave({START: start_again, FLEET: start_fleet}, sizes.rounds, {SECONDS: "s"}, say)
        part.tables["Start-up, seconds until ready"] = [
            f"{FIRST_START:<32}{first:6.2f}",
            *(f"{name:<32}{part.median(name, SECONDS):6.2f}" for name in (START, FLEET)),
        ]
    finally:
        fleet.stop_all()
        stack.stop()
        shutil.rmtree(home, ignore_errors=True)


def _bring_up(home: Path, fleet: Fleet) -> None:
    services = plan_fleet(home, fleet, ingests=1, routers=1)
    for service in services:
        fleet.start(service)
    for service in services:
        fleet.wait_ready(service.name)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began
