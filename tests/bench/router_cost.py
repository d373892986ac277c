"""What one item costs in CPU time, by process: the router, PostgreSQL and Kafka. Of this checkout, or of two in turns.

python -m tests.bench.router_cost [--against CHECKOUT] [--items N] [--rounds N] [--profile FILE]

A machine that is shared makes every rate worthless, CPU time much less so; rounds of both checkouts alternate, and what
counts is the median of the pairs' ratios. Both work on tables as this checkout's migrations make them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import psutil

from deploy.local.stack import LocalStack
from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.bench.output import Output
from tests.bench.processes import ROOT
from tests.bench.router import Bodies
from tests.bench.site import Site
from tests.pipeline import Pipeline

PARTS = ("router", "kafka", "postgres", "all", "wall")
START_SHARE = 0.2  # of the items: starting and warming up are left out; of the usual number, one full batch


class Checkout:
    """One version of the router on an installation of its own."""

    def __init__(self, site: Site, stack: LocalStack, folder: Path) -> None:
        self._site = site
        self._stack = stack
        self._folder = folder
        self._bodies = Bodies()
        self._pipeline: Pipeline = site.installation()

    def measure(self, items: int, profile: Path | None = None) -> dict[str, float]:
        """Microseconds of CPU per item and part: a loaded topic, a fresh process."""
        for body in self._bodies.take(items):
            self._pipeline.post(body, flush=False)
        self._pipeline.flush()
        process, _ = self._site.router(self._pipeline, profile=profile, folder=self._folder)
        with Output(self._pipeline.bootstrap, full_name(self._pipeline.prefix, Topic.MESSAGE_RECEIVED)) as output, process:
            warm = output.watch(round(items * START_SHARE), 600, process.cpu_seconds, process.check)[-1]
            before = self._seconds(warm[2])
            last = output.watch(items - warm[1], 600, process.cpu_seconds, process.check)[-1]
            after = self._seconds(last[2])
        found = {name: (after[name] - before[name]) / last[1] * 1e6 for name in after}
        wall = (last[0] - warm[0]) / last[1] * 1e6
        return found | {"all": sum(found.values()), "wall": wall}

    def _seconds(self, router: float) -> dict[str, float]:
        daemons = self._stack.kafka.daemon, self._stack.postgres.daemon
        return {"router": router} | {one.name: _tree_seconds(one.pid) for one in daemons if one.pid is not None}


def _tree_seconds(pid: int) -> float:
    total = 0.0
    root = psutil.Process(pid)
    for member in (root, *root.children(recursive=True)):
        try:
            total += sum(member.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Measure, and print a line per round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="channels-cost-") as name:
        site, stack = Site.open(Path(name)), LocalStack(Path(name))
        try:
            _compare(site, stack, arguments)
        finally:
            stack.stop()


def _compare(site: Site, stack: LocalStack, arguments: argparse.Namespace) -> None:
    folders = {"this": ROOT} | ({"other": arguments.against.absolute()} if arguments.against else {})
    checkouts = {name: Checkout(site, stack, folder) for name, folder in folders.items()}
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for number in range(-1, arguments.rounds):  # the first is not counted
        for name in list(checkouts)[:: 1 if number % 2 else -1]:
            values = checkouts[name].measure(arguments.items)
            print(f"{number + 1}/{arguments.rounds} {name:<6}" + _shown(values), file=sys.stderr, flush=True)
            if number >= 0:
                rounds[name].append(values)
    for name, values in rounds.items():
        print(f"{name:<10}" + _shown({part: statistics.median(value[part] for value in values) for part in PARTS}))
    if arguments.against:
        pairs = list(zip(rounds["this"], rounds["other"], strict=True))
        print("this/other" + _shown({part: statistics.median(a[part] / b[part] for a, b in pairs) for part in PARTS}))
    if arguments.profile:
        checkouts["this"].measure(arguments.items, arguments.profile)


def _shown(values: dict[str, float]) -> str:
    return "".join(f"  {name} {value:8.2f}" for name, value in values.items())


if __name__ == "__main__":
    main()
