"""`make bench`: measure side by side, print, and rewrite docs/PERFORMANCE.md.

python -m tests.bench [router|ingest|e2e|memory|normalise|control|redelivery|health ...] [--quick] [--home DIRECTORY] [--no-page]
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from deploy.local.stack import LocalStack
from tests.bench import control, end_to_end, health, ingest, machine, memory, normalise, redelivery, report, router
from tests.bench.measurement import Part
from tests.bench.scheduling import as_equals
from tests.bench.site import Site

Run = Callable[[Site, bool, Callable[[str], None]], Part]
NORMALISE = "normalise"  # the one part that needs no stack


def _router(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return router.run(site, router.Sizes.quick() if quick else router.Sizes(), say)


def _ingest(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return ingest.run(site, ingest.Sizes.quick() if quick else ingest.Sizes(), say)


def _end_to_end(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return end_to_end.run(site, end_to_end.Sizes.quick() if quick else end_to_end.Sizes(), say)


def _memory(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return memory.run(site, memory.Sizes.quick() if quick else memory.Sizes(), say)


def _control(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return control.run(site, control.Sizes.quick() if quick else control.Sizes(), say)


def _redelivery(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return redelivery.run(site, redelivery.Sizes.quick() if quick else redelivery.Sizes(), say)


def _health(site: Site, quick: bool, say: Callable[[str], None]) -> Part:
    return health.run(site, health.Sizes.quick() if quick else health.Sizes(), say)


def _normalise(quick: bool, say: Callable[[str], None]) -> Part:
    return normalise.run(normalise.Sizes.quick() if quick else normalise.Sizes(), say)


PARTS: dict[str, Run] = {
    "router": _router,
    "ingest": _ingest,
    "e2e": _end_to_end,
    "memory": _memory,
    "control": _control,
    "redelivery": _redelivery,
    "health": _health,
}
NAMES = (*PARTS, NORMALISE)


def main() -> None:
    """Run the parts asked for (all by default) on a stack of their own, which is stopped at the end."""
    arguments = _arguments()
    names = arguments.parts or list(NAMES)
    home: Path = arguments.home or Path(tempfile.mkdtemp(prefix="channels-bench-"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped on the way out
    _say(f"bench in {home}: {', '.join(names)}")
    try:
        with as_equals():
            _measure_all(names, home, arguments)
    finally:
        if arguments.home is None:
            shutil.rmtree(home, ignore_errors=True)


def _measure_all(names: list[str], home: Path, arguments: argparse.Namespace) -> None:
    needs_stack = bool(set(names) - {NORMALISE})
    try:
        site = Site.open(home) if needs_stack else None
        for name in names:
            _measure(name, site, arguments)
    finally:
        if needs_stack:
            LocalStack(home).stop()


def _measure(name: str, site: Site | None, arguments: argparse.Namespace) -> None:
    busy = machine.busy_share()
    _say(f"\n{name}: the machine is {busy:.0%} busy with other things")
    began = time.monotonic()
    part = _normalise(arguments.quick, _say) if site is None or name == NORMALISE else PARTS[name](site, arguments.quick, _say)
    part.notes.append(f"Just before, the machine was {busy:.0%} busy with other things.")
    context = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": f"make bench BENCH={name}{' ARGS=--quick' if arguments.quick else ''}",
        "seconds": round(time.monotonic() - began),
        "machine": machine.describe(),
    }
    _say("\n" + report.as_text(part.as_dict()))
    if arguments.record is not None:
        record = report.keep(part, context, arguments.record)
    if arguments.record == report.RECORD:
        report.write_page(record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"Some of {', '.join(NAMES)}; all by default.")
    parser.add_argument("--quick", action="store_true", help="Only see that it works: the figures mean nothing.")
    parser.add_argument("--home", type=Path, help="Keep the stack's data in this directory (default: a temporary one).")
    parser.add_argument("--record", type=Path, help="Write the figures to this JSON file instead of docs/.")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(NAMES)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if arguments.record is None and not arguments.quick:
        arguments.record = report.RECORD
    return arguments


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
