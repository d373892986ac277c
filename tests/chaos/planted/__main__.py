"""Plays every planted fault and every control, and prints the table. Exit 1 unless each ended as it must.

python -m tests.chaos.planted [--write] [part of a module's name …]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.chaos.document import planted_tables, write
from tests.chaos.planted.cases import CASES, CONTROLS, Case
from tests.chaos.planted.stage import Result, play
from tests.chaos.site import Ground, end_in_order


def play_all(cases: Sequence[Case], say: Callable[[str], None]) -> list[Result]:
    """Each in an installation of its own, on one ground."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="channels-planted-") as directory:
        home = Path(directory)
        ground = Ground(home / "ground")
        try:
            addresses = ground.start()
            for number, case in enumerate(cases, start=1):
                result = play(case, home / f"{number:02d}", addresses, ground)
                results.append(result)
                say(line(result))
        finally:
            ground.stop()
    return results


def line(result: Result) -> str:
    """One row for people: what is wrong, by which checks it was caught, after how many elements."""
    case = result.case
    sign = "ok" if result.as_expected else "NOT AS IT MUST BE"
    return f"{sign:<3} {case.service:<7} {case.wrong:<72} {result.found:<44} {result.after:>5} elements {result.seconds:5.1f} s"


def as_json(results: Sequence[Result]) -> str:
    """The same for programs."""
    rows = [
        {
            "service": one.case.service,
            "module": one.case.module,
            "wrong": one.case.wrong,
            "control": one.case.is_control,
            "caught_by": dict(one.report.verdict.counts),
            "after_messages": one.after,
            "posted": one.report.posted,
            "moments": list(one.moments),
            "seconds": round(one.seconds, 1),
            "as_expected": one.as_expected,
        }
        for one in results
    ]
    return json.dumps(rows, indent=1)


def main() -> None:
    """Play those whose module or description has one of the given words, or all."""
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--report", type=Path, help="Write the table as JSON here.")
    parser.add_argument("--write", action="store_true", help="Write the tables into docs/CAMPAIGN.md, if all were played.")
    arguments = parser.parse_args()
    chosen = [
        case
        for case in (*CASES, *CONTROLS)
        if not arguments.words or any(word in f"{case.service} {case.module} {case.wrong}" for word in arguments.words)
    ]
    results = play_all(chosen, lambda text: print(text, flush=True))
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(as_json(results))
    if arguments.write and not arguments.words:
        write({"planted": planted_tables(results)})
    raise SystemExit(0 if all(result.as_expected for result in results) else 1)


if __name__ == "__main__":
    main()
