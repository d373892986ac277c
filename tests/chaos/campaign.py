"""Kills, stops and cuts parts of a real fleet under load, then lets the oracle judge. Seeded; ends by itself.

python -m tests.chaos.campaign --peers 16 --webhooks 1250 --ingest-kills 50 --router-kills 50 …
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from deploy.demo.world import World
from deploy.local.fleet import Fleet
from deploy.local.fleet_plan import plan_fleet
from deploy.local.installation import install
from deploy.local.settings_file import kept_settings
from deploy.local.stack import LocalStack
from shared.domain.topics import Topic
from tests.chaos.oracle import Emitted, Verdict, judge
from tests.chaos.provider import Peers, Target

MANIFEST = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "channels.yaml"
CONNECTOR_ID = "01900000-0000-7000-8000-000000000031"
NUMBER_ID = "100000000000001"
SECRETS = {f"CHANNELS_DEMO_{name}": f"invented-{name.lower()}" for name in ("APP_SECRET", "VERIFY_TOKEN", "ACCESS_TOKEN")}
SESSION_TIMEOUT_MS = 6_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much load, and how often each fault."""

    seed: int = 1
    peers: int = 16
    webhooks: int = 20  # of each peer, at least: they write for as long as the faults go on
    per_second: float = 150.0  # of all peers together
    ingest_kills: int = 3
    router_kills: int = 3
    router_stops: int = 0  # SIGSTOP for longer than the session, then SIGCONT
    relay_kills: int = 0
    broker_kills: int = 0
    postgres_kills: int = 0
    settle_seconds: float = 90.0


@dataclass
class Report:
    """What happened: counts, recovery times in seconds by kind of fault, and the verdict."""

    plan: Plan
    posted: int = 0
    acknowledged: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    slowest_post_seconds: float = 0.0
    load_seconds: float = 0.0
    settle_seconds: float = 0.0
    recovery_seconds: dict[str, list[float]] = field(default_factory=dict)
    books: dict[str, int] = field(default_factory=dict)
    raw_items: int = 0
    verdict: Verdict = field(default_factory=Verdict)

    def as_json(self) -> str:
        """Everything, for programs."""
        return json.dumps(asdict(self), indent=1)

    def as_text(self) -> str:
        """The same for people."""
        lines = [
            f"seed {self.plan.seed}: {self.posted} messages posted, {self.acknowledged} answered 200,"
            f" in {self.load_seconds:.1f} s (+{self.settle_seconds:.1f} s to settle)",
            f"answers: {self.attempts}; slowest post {self.slowest_post_seconds:.2f} s",
            f"books: {self.books} for {self.raw_items} raw items",
        ]
        for kind, times in sorted(self.recovery_seconds.items()):
            middle, worst = sorted(times)[len(times) // 2], max(times)
            lines.append(f"{kind:<14} x{len(times):<3} ready again after median {middle:.2f} s, worst {worst:.2f} s")
        wrong = self.verdict.counts
        lines.append(
            f"lost {wrong['lost']}, doubled {wrong['doubled']}, out of order {wrong['out_of_order']},"
            f" books {'balance' if not wrong['books_items'] + wrong['books_emitted'] else 'DO NOT BALANCE'}: {self.verdict}"
        )
        return "\n".join(lines)


class Campaign:
    """One installation in a home of its own, brought up, tormented and judged."""

    def __init__(
        self, home: Path, plan: Plan, say: Callable[[str], None] = print, environment: dict[str, str] | None = None
    ) -> None:
        self.home = home
        self.plan = plan
        self._say = say
        self._dice = random.Random(plan.seed)
        self._environment = environment or {}
        self.stack = LocalStack(home)
        self.fleet = Fleet(home)
        self.report = Report(plan)

    def run(self) -> Report:
        """Everything; the stack is stopped at the end, whatever happened."""
        try:
            port = self._bring_up()
            peers = Peers(
                Target(port, CONNECTOR_ID, NUMBER_ID, SECRETS["CHANNELS_DEMO_APP_SECRET"]),
                count=self.plan.peers,
                webhooks=self.plan.webhooks,
                per_second=self.plan.per_second,
                seed=self.plan.seed,
            )
            began = time.monotonic()
            peers.start()
            self._torment(peers)
            if not peers.join(600):
                self.report.verdict.add("stuck", "the peers did not come to their end within 600 s")
            self.report.load_seconds = time.monotonic() - began
            self._judge(peers)
            return self.report
        finally:
            self.fleet.stop_all()
            self.stack.stop()

    def _bring_up(self) -> int:
        addresses = self.stack.start()
        install(addresses, self.home, say=lambda _line: None)
        common = {"CHANNELS_ROUTER_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS), **self._environment}
        services = plan_fleet(self.home, self.fleet, ingests=2, routers=2)
        for service in services:
            self.fleet.start(replace(service, environment={**service.environment, **common}))
        for service in services:
            self.fleet.wait_ready(service.name)
        command = [sys.executable, "-m", "services.cli", "apply", "-f", str(MANIFEST)]
        environment = {**os.environ, **SECRETS, "CHANNELS_HOME": str(self.home)}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        return int(kept_settings(self.home)["ingest_port"])

    def _torment(self, peers: Peers) -> None:
        """One fault after the other, each a moment after the part before is ready again; the load goes on all the time."""
        faults = self._faults()
        for number, (kind, fault) in enumerate(faults, start=1):
            time.sleep(self._dice.random() * 0.6)
            seconds = fault()
            self.report.recovery_seconds.setdefault(kind, []).append(round(seconds, 3))
            self._say(f"{number}/{len(faults)} {kind}: ready again after {seconds:.2f} s; {peers.acknowledged} answered")

    def _faults(self) -> list[tuple[str, Callable[[], float]]]:
        plan = self.plan
        faults: list[tuple[str, Callable[[], float]]] = []
        for number in range(plan.ingest_kills):
            faults.append(("ingest kill", lambda name=f"ingest-{number % 2}": self._kill(name)))
        for number in range(plan.router_kills):
            faults.append(("router kill", lambda name=f"router-{number % 2}": self._kill(name)))
        for number in range(plan.router_stops):
            faults.append(("router stop", lambda name=f"router-{number % 2}": self._stop_and_continue(name)))
        faults += [("relay kill", lambda: self._kill("relay"))] * plan.relay_kills
        faults += [("broker kill", lambda: self._kill_node(self.stack.kafka))] * plan.broker_kills
        faults += [("postgres kill", lambda: self._kill_node(self.stack.postgres))] * plan.postgres_kills
        self._dice.shuffle(faults)
        return faults

    def _kill(self, name: str) -> float:
        self.fleet.kill(name)
        began = time.monotonic()
        self.fleet.start_again(name)
        self.fleet.wait_ready(name, 60)
        return time.monotonic() - began

    def _stop_and_continue(self, name: str) -> float:
        pid = self.fleet.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        os.kill(pid, signal.SIGSTOP)
        time.sleep(SESSION_TIMEOUT_MS / 1000 + 2)
        os.kill(pid, signal.SIGCONT)
        began = time.monotonic()
        self.fleet.wait_ready(name, 60)
        return time.monotonic() - began

    def _kill_node(self, node: object) -> float:
        node.kill()  # type: ignore[attr-defined]
        began = time.monotonic()
        node.start()  # type: ignore[attr-defined]
        for name in self.fleet.names():
            self.fleet.wait_ready(name, 90)
        return time.monotonic() - began

    def _judge(self, peers: Peers) -> None:
        report, world, began = self.report, World(self.home), time.monotonic()
        report.raw_items = world.count_raw_items()
        books: Counter[str] = Counter()
        while books.total() < report.raw_items and time.monotonic() - began < self.plan.settle_seconds:
            time.sleep(0.5)
            books = world.books()
        report.settle_seconds = time.monotonic() - began
        events = world.events(Topic.MESSAGE_RECEIVED)
        world.close()
        emitted = [
            Emitted(
                event.message.peer_aliases[0].value,
                event.message.provider_message_id,
                event.message.message_id,
                event.message.conversation_id,
            )
            for event in events
        ]
        ledger = peers.ledger
        report.posted = sum(len(messages) for messages in ledger.written.values())
        report.acknowledged, report.attempts = len(ledger.acknowledged), dict(ledger.attempts)
        report.slowest_post_seconds = ledger.slowest_seconds
        report.books = dict(books)
        found = judge(ledger, emitted, books, report.raw_items)
        for kind, count in found.counts.items():
            report.verdict.add(kind, "; ".join(found.examples[kind]), count)


def main() -> None:
    """Run one campaign by the arguments; exit 1 unless the verdict is clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--report", type=Path, help="Write the report as JSON here.")
    arguments = vars(parser.parse_args())
    report_file: Path | None = arguments.pop("report")
    with tempfile.TemporaryDirectory(prefix="channels-chaos-") as directory:
        report = Campaign(Path(directory), Plan(**arguments)).run()
    print(report.as_text())
    if report_file is not None:
        report_file.write_text(report.as_json())
    raise SystemExit(0 if report.verdict.clean else 1)


if __name__ == "__main__":
    main()
