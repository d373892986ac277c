"""`make hostile`: the whole campaign against real processes and a real Kafka; writes build/hostile.* and docs/HOSTILE_CLIENTS.md.

It starts a stack of its own, or uses the one of CHANNELS_TEST_HOME. Ends with 1 when a promise did not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from deploy.local.stack import LocalStack
from tests.edge import Edge
from tests.hostile import parts, report
from tests.hostile.parts import Finding

_WAIT_SECONDS = 180.0
FULL = {"slow": 1_000, "idle": 10_000, "forged": 1_000_000, "schemes": 100_000, "sockets": 10_000, "restarts": 100, "fuzz": 2_000}


def main() -> int:
    """Run the parts asked for; all of them write the page."""
    arguments = argparse.ArgumentParser(prog="python -m tests.hostile")
    arguments.add_argument("part", nargs="*", help="matrix slow idle fuzz forged schemes restarts (all)")
    arguments.add_argument("--restarts", type=int, default=FULL["restarts"], help="SIGTERMs")
    given = arguments.parse_args()
    began, findings = time.monotonic(), dict[str, Finding]()
    with ExitStack() as stack:
        make_edge = _installation(stack)
        todo: dict[str, Callable[[], Finding]] = {
            "matrix": lambda: parts.matrix(make_edge, _say),
            "slow": lambda: parts.slow(make_edge, FULL["slow"]),
            "idle": lambda: parts.idle(make_edge, FULL["idle"]),
            "fuzz": lambda: parts.fuzz(FULL["fuzz"]),
            "forged": lambda: parts.forged(make_edge, FULL["forged"], FULL["sockets"]),
            "schemes": lambda: parts.schemes(FULL["schemes"], _say),
            "restarts": lambda: parts.restarts(make_edge, given.restarts),
        }
        for name in given.part or todo:
            findings[name] = todo[name]()
            _say(report.as_text(findings[name]))
    report.write(findings, time.monotonic() - began)
    return 1 if any(finding.faults for finding in findings.values()) else 0


def _installation(stack: ExitStack) -> Callable[[], Edge]:
    """Makes edges, each with topics of its own; everything started ends with `stack`."""
    kept = os.environ.get("CHANNELS_TEST_HOME")
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="channels-hostile-")))
    local = LocalStack(Path(kept) if kept else folder / "stack", say=_say)
    addresses = local.start(_WAIT_SECONDS)
    if not kept:
        stack.callback(local.stop)

    def make_edge() -> Edge:
        prefix = f"h{uuid4().hex[:12]}."
        (folder / prefix).mkdir()
        edge = Edge.create(addresses.kafka_bootstrap, prefix, folder / prefix)
        stack.callback(edge.stop)
        return edge

    return make_edge


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
