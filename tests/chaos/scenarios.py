"""Disasters after which a person must decide: the group's offsets are lost, and PostgreSQL is restored to an earlier state.

Under load, each in an installation of its own: the router must refuse to go on; then the steps of docs/OPERATIONS.md are taken,
and the oracle says whether what then still holds does hold: nothing is lost, nothing stays behind, the order of what comes for
the first time is kept. What may happen is named in each scenario.

python -m tests.chaos.scenarios [part of a scenario's name …]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from confluent_kafka import KafkaException

from shared.adapters.group_offsets import commit_offsets
from shared.adapters.kafka import full_name
from shared.domain.topics import Topic
from tests.chaos.campaign import Campaign
from tests.chaos.finds import plain_url
from tests.chaos.report import Plan, Report
from tests.chaos.site import Ground, Site, end_in_order
from tests.chaos.verdict import Verdict

PLAN = Plan(peers=10, webhooks=60, per_second=60, patient=6, hasty=2, routers=3, target_wait_seconds=30, settle_seconds=120)
_PARTITIONS = 6
_ROUTERS = tuple(f"router-{number}" for number in range(PLAN.routers))
_REFUSAL_SECONDS = 40.0
_BOOKS = frozenset(f"books_{line}" for line in ("items", "emitted", "orphaned", "dead", "held", "settled"))
_REPEATS = frozenset({"doubled", "state_doubled", "request_doubled", "letter_doubled"}) | _BOOKS


class Disaster:
    """What a scenario works with."""

    def __init__(self, site: Site, ground: Ground, say: Callable[[str], None]) -> None:
        self.site = site
        self.ground = ground
        self.say = say
        self.verdict = Verdict()

    def stop_routers(self) -> None:
        """In good order."""
        for name in _ROUTERS:
            self.site.fleet.stop(name)

    def set_offsets(self, offsets: Mapping[int, int]) -> None:
        """The routers' group goes on from there. Waits until its static members are forgotten."""
        bootstrap, prefix = self.site.setting("kafka_bootstrap"), self.site.setting("topic_prefix")
        deadline = time.monotonic() + 30
        while True:
            try:
                commit_offsets(bootstrap, f"{prefix}channels-router", full_name(prefix, Topic.WEBHOOK_RECEIVED), offsets, 5)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
            else:
                return

    def must_refuse(self) -> None:
        """Start the routers: each that has work ends by itself, with the refusal as its last words."""
        for name in _ROUTERS:
            self.site.fleet.start_again(name)
        deadline = time.monotonic() + _REFUSAL_SECONDS
        while any(self.site.fleet.pid(name) for name in _ROUTERS) and time.monotonic() < deadline:
            time.sleep(0.2)
        for name in _ROUTERS:
            refused = "channels router adopt" in self.site.fleet.log_file(name).read_text(errors="replace")
            if self.site.fleet.pid(name) is not None or not refused:
                self.verdict.add("not_refused", name)
        self.stop_routers()
        self.say(f"the routers refused: {'yes' if self.verdict.clean else 'NO'}")

    def adopt(self, *flags: str) -> None:
        """As a person would, once all routers are stopped; then start them again."""
        command = [sys.executable, "-m", "services.cli", "router", "adopt", *flags, "--yes"]
        environment = {**os.environ, "CHANNELS_HOME": str(self.site.home)}
        told = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        self.say(told.strip().splitlines()[-1])
        for name in _ROUTERS:
            self.site.fleet.start_again(name)
        for name in _ROUTERS:
            self.site.fleet.wait_ready(name, 60)

    def booked_offsets(self) -> dict[int, int]:
        """Partition -> from where the database's own book would go on."""
        with psycopg.connect(plain_url(self.site.setting("database_worker_url"))) as connection:
            return dict(connection.execute("SELECT partition, first_offset FROM router_progress").fetchall())


def lose_offsets(disaster: Disaster) -> None:
    """Kafka has lost what the group committed: it would begin at the beginning of the topic."""
    time.sleep(15)
    disaster.stop_routers()
    disaster.set_offsets(dict.fromkeys(range(_PARTITIONS), 0))
    disaster.must_refuse()
    disaster.adopt("--repeat")
    time.sleep(10)


def find_offsets(disaster: Disaster) -> None:
    """The same, but they are set to where the events end that came out."""
    time.sleep(15)
    disaster.stop_routers()
    disaster.set_offsets(dict.fromkeys(range(_PARTITIONS), 0))
    disaster.must_refuse()
    disaster.adopt("--to-emitted")
    time.sleep(10)


def restore_database(disaster: Disaster) -> None:
    """A copy of the data is taken under load; ten seconds later PostgreSQL is gone and the copy takes its place."""
    node = disaster.ground.stack.postgres
    data, copy = node.home / "postgres" / "data", node.home / "postgres" / "copy"
    time.sleep(10)
    node.stop()
    shutil.copytree(data, copy, symlinks=True, copy_function=_copy_as_it_is)
    _own_alike(data, copy)
    node.start()
    disaster.say("PostgreSQL was copied")
    time.sleep(10)
    disaster.stop_routers()
    disaster.site.fleet.stop("relay")
    node.kill()
    shutil.rmtree(data)
    copy.rename(data)
    node.start()
    disaster.site.fleet.start_again("relay")
    disaster.must_refuse()
    disaster.set_offsets(disaster.booked_offsets())  # so that nothing is lost: what the copy does not know comes again
    disaster.adopt("--repeat")
    time.sleep(10)


def _copy_as_it_is(source: str, target: str) -> str:
    shutil.copy2(source, target, follow_symlinks=False)
    return target


def _own_alike(model: Path, tree: Path) -> None:
    """PostgreSQL starts only on data that belong to its own user."""
    owner = model.stat()
    for path in (tree, *tree.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One disaster. `may`: the oracle's checks that may speak afterwards; `holds` and `repeats`: the same for people."""

    name: str
    play: Callable[[Disaster], None]
    may: frozenset[str]
    holds: str
    repeats: str


SCENARIOS = (
    Scenario(
        name="offsets lost",
        play=lose_offsets,
        may=_REPEATS,
        holds="nothing lost, split, misrouted or left behind; the order of what comes first; a repeat has the ids of the first",
        repeats="events, requests and dead letters of what had been processed; the books count it twice",
    ),
    Scenario(
        name="offsets lost, found by the events",
        play=find_offsets,
        may=frozenset(),
        holds="everything",
        repeats="nothing",
    ),
    Scenario(
        name="PostgreSQL restored",
        play=restore_database,
        may=_REPEATS
        | {"conversation_split", "contact_split", "ids_changed", "misrouted", "answer_ignored", "settled_came_out", "too_early"},
        holds="nothing lost or left behind; the order of what comes first",
        repeats="what came between copy and restore, under new ids where people or messages were new then, and by what"
        " the flows' answers are worth then: answers heard in that time are forgotten",
    ),
)


def play(scenario: Scenario, home: Path, say: Callable[[str], None]) -> tuple[Report, Verdict]:
    """The report of the whole run, and what is wrong beyond what may be."""
    ground = Ground(home / "stack")
    try:
        site = Site(home / "site", ground.start(), postgres_port=ground.postgres_proxy.port)
        try:
            site.bring_up(environment=PLAN.environment, routers=PLAN.routers)
            disaster = Disaster(site, ground, say)
            report = Campaign(site, PLAN, ground, say).run(lambda: scenario.play(disaster))
        finally:
            site.fleet.stop_all()
    finally:
        ground.stop()
    verdict = report.verdict.without(scenario.may)
    verdict.merge(disaster.verdict)
    return report, verdict


def play_all(scenarios: Sequence[Scenario], say: Callable[[str], None]) -> list[dict[str, object]]:
    """One entry per scenario, for the report."""
    results: list[dict[str, object]] = []
    for scenario in scenarios:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="channels-scenario-") as directory:
            report, verdict = play(scenario, Path(directory), say)
        happened = {kind: count for kind, count in report.verdict.counts.items() if kind in scenario.may}
        results.append(
            {
                "name": scenario.name,
                "holds": scenario.holds,
                "may": scenario.repeats,
                "happened": happened,
                "clean": verdict.clean,
                "verdict": str(verdict),
                "posted": report.posted,
                "seconds": round(time.monotonic() - began, 1),
            }
        )
        say(line(results[-1]))
    return results


def line(result: Mapping[str, object]) -> str:
    """For people."""
    said = "as promised" if result["clean"] else f"NOT AS PROMISED: {result['verdict']}"
    happened = f"what may be, was: {result['happened']}"
    return f"{result['name']}: {said}; {result['posted']} elements; {happened}; {result['seconds']} s"


def main() -> None:
    """Play those with one of the given words in their name, or all; exit 1 unless each ended as promised."""
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--report", type=Path, help="Write the results as JSON here.")
    arguments = parser.parse_args()
    chosen = [one for one in SCENARIOS if not arguments.words or any(word in one.name for word in arguments.words)]
    results = play_all(chosen, lambda text: print(text, flush=True))
    if arguments.report is not None:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(json.dumps(results, indent=1))
    raise SystemExit(0 if all(result["clean"] for result in results) else 1)


if __name__ == "__main__":
    main()
