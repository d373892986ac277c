"""`make chaos`: the long campaign, the disasters, then every planted fault with its controls.

Writes build/chaos.{txt,json} and, with --write, its parts of docs/CAMPAIGN.md.

python -m tests.chaos [--seed N] [--webhooks 100000] [--skip-planted] [--skip-scenarios] [--write]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos.campaign import BUILD, run_alone
from tests.chaos.document import planted_tables, run_text, scenario_table, write
from tests.chaos.planted.__main__ import as_json, line, play_all
from tests.chaos.planted.cases import CASES, CONTROLS
from tests.chaos.report import Plan
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.scenarios import line as scenario_line
from tests.chaos.scenarios import play_all as play_scenarios
from tests.chaos.site import end_in_order

FULL = Plan(
    peers=24,
    webhooks=840,
    per_second=200.0,
    patient=6,
    hasty=3,
    routers=3,
    target_wait_seconds=60,
    ingest_kills=52,
    router_kills=40,
    router_stops=4,
    router_leaves=6,
    relay_kills=10,
    relay_stops=2,
    automation_kills=4,
    broker_kills=2,
    postgres_kills=3,
    kafka_cuts=4,
    kafka_delays=2,
    kafka_freezes=4,
    postgres_cuts=4,
    postgres_delays=2,
    postgres_freezes=4,
    status_changes_per_second=1.0,
    pause_seconds=60.0,
    settle_seconds=300.0,
)
_AT_ONCE_PER_SECOND = 320.0  # what many webhooks are aimed at: so many as two cores take while everything breaks


def _plan(arguments: argparse.Namespace) -> Plan:
    plan = replace(FULL, seed=arguments.seed)
    if arguments.webhooks:
        plan = replace(plan, webhooks=-(-arguments.webhooks // plan.peers), per_second=_AT_ONCE_PER_SECOND, join_seconds=840.0)
    return plan


def main() -> None:
    """Everything; exit 1 unless the campaign is clean, each disaster ends as promised and each planted fault was caught."""
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--webhooks", type=int, default=0, help="Post at least so many, also when all faults are through.")
    parser.add_argument("--skip-planted", action="store_true", help="Without the planted faults.")
    parser.add_argument("--skip-scenarios", action="store_true", help="Without the disasters.")
    parser.add_argument("--write", action="store_true", help="Write the results into docs/CAMPAIGN.md, too.")
    arguments = parser.parse_args()

    def say(text: str) -> None:
        print(text, flush=True)

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="channels-chaos-") as directory:
        report = run_alone(Path(directory), _plan(arguments), say)
    say(report.as_text())
    parts = {"run": run_text(report, time.monotonic() - began)}
    disasters = [] if arguments.skip_scenarios else play_scenarios(SCENARIOS, say)
    results = [] if arguments.skip_planted else play_all((*CASES, *CONTROLS), say)
    if disasters:
        parts["scenarios"] = scenario_table(disasters)
    if results:
        parts["planted"] = planted_tables(results)
    text = [report.as_text(), *map(scenario_line, disasters), *map(line, results), f"all in {time.monotonic() - began:.0f} s"]
    BUILD.mkdir(exist_ok=True)
    (BUILD / "chaos.txt").write_text("\n".join(text) + "\n")
    whole = {"campaign": json.loads(report.as_json()), "scenarios": disasters, "planted": json.loads(as_json(results))}
    (BUILD / "chaos.json").write_text(json.dumps(whole, indent=1) + "\n")
    if arguments.write:
        write(parts)
    say(text[-1])
    good = report.verdict.clean and all(one["clean"] for one in disasters) and all(one.as_expected for one in results)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
