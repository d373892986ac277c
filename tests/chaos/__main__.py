"""`make chaos`: the long campaign, then every planted fault with its controls. Writes build/chaos.{txt,json}.

python -m tests.chaos [--seed N] [--skip-planted]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos.campaign import BUILD, run_alone
from tests.chaos.planted.__main__ import as_json, line, play_all
from tests.chaos.planted.cases import CASES, CONTROLS
from tests.chaos.report import Plan
from tests.chaos.site import end_in_order

FULL = Plan(
    peers=24,
    webhooks=840,
    per_second=200.0,
    ingest_kills=52,
    router_kills=52,
    router_stops=3,
    relay_kills=8,
    broker_kills=2,
    postgres_kills=3,
    kafka_cuts=4,
    kafka_delays=2,
    kafka_freezes=4,
    postgres_cuts=4,
    postgres_delays=2,
    postgres_freezes=4,
    status_changes_per_second=1.0,
)


def main() -> None:
    """Everything; exit 1 unless the campaign is clean and each planted fault was caught."""
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-planted", action="store_true", help="Only the campaign.")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="channels-chaos-") as directory:
        report = run_alone(Path(directory), replace(FULL, seed=arguments.seed), lambda text: print(text, flush=True))
    print(report.as_text(), flush=True)
    text = [report.as_text()]
    results = [] if arguments.skip_planted else play_all((*CASES, *CONTROLS), lambda row: print(row, flush=True))
    text += [line(result) for result in results]
    text.append(f"all in {time.monotonic() - began:.0f} s")
    BUILD.mkdir(exist_ok=True)
    (BUILD / "chaos.txt").write_text("\n".join(text) + "\n")
    parts = {"campaign": json.loads(report.as_json()), "planted": json.loads(as_json(results))}
    (BUILD / "chaos.json").write_text(json.dumps(parts, indent=1) + "\n")
    print(text[-1])
    raise SystemExit(0 if report.verdict.clean and all(result.as_expected for result in results) else 1)


if __name__ == "__main__":
    main()
