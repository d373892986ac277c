"""Kills, stops and cuts parts of a real fleet under load, then lets the oracle judge. Seeded; ends by itself.

python -m tests.chaos.campaign --peers 18 --webhooks 1200 --ingest-kills 50 --router-kills 50 …
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from deploy.demo.world import World
from shared.domain.errors import ConfigError, Unavailable
from shared.domain.topics import Topic
from tests.chaos.administrator import Administrator, status_events
from tests.chaos.faults import Tormentor
from tests.chaos.oracle import Emitted, judge, judge_answers, judge_status
from tests.chaos.provider import Peers
from tests.chaos.report import Plan, Report
from tests.chaos.site import Ground, Site, end_in_order

_JOIN_SECONDS = 300.0
BUILD = Path(__file__).resolve().parents[2] / "build"


class Campaign:
    """One installation that runs: load, faults, verdict."""

    def __init__(
        self,
        site: Site,
        plan: Plan,
        ground: Ground | None = None,
        say: Callable[[str], None] = print,
        *,
        answers_all: bool | None = None,
    ) -> None:
        self.site = site
        self.plan = plan
        self.report = Report(plan)
        self.peers = Peers(site.targets(), count=plan.peers, webhooks=plan.webhooks, per_second=plan.per_second, seed=plan.seed)
        self._ground = ground
        self._answers_all = plan.answers_all if answers_all is None else answers_all
        self._say = say

    def run(self, torment: Callable[[], None] | None = None) -> Report:
        """Everything, to the verdict. `torment`: done in place of the plan's faults."""
        administrator = self._administrator()
        began = time.monotonic()
        self.peers.start()
        if administrator is not None:
            administrator.start()
        try:
            (torment or Tormentor(self.site.fleet, self.plan, self.report, self._ground, self._say).run)()
        except Unavailable as error:
            self.report.verdict.add("not_ready", str(error))
        time.sleep(max(0.0, self.plan.load_seconds - (time.monotonic() - began)))
        if administrator is not None:
            administrator.stop()
        if not self.peers.join(_JOIN_SECONDS):
            self.report.verdict.add("stuck", f"the peers did not come to their end within {_JOIN_SECONDS:.0f} s")
        self.report.load_seconds = time.monotonic() - began
        self._judge(administrator)
        return self.report

    def _administrator(self) -> Administrator | None:
        per_second = self.plan.status_changes_per_second
        if not per_second:
            return None
        return Administrator(self.site.setting("database_api_url"), per_second=per_second, seed=self.plan.seed)

    def _judge(self, administrator: Administrator | None) -> None:
        report, ledger, world = self.report, self.peers.ledger, World(self.site.home)
        try:
            report.raw_items = world.count_raw_items()
            books = self._settled_books(world, report.raw_items)
            emitted = [_emitted(event) for event in world.events(Topic.MESSAGE_RECEIVED)]
            report.webhooks, report.posted = ledger.webhooks, len(ledger.order)
            report.acknowledged, report.attempts = len(ledger.acknowledged), dict(ledger.attempts)
            report.slowest_post_seconds = ledger.slowest_seconds
            report.books = dict(books)
            report.verdict.merge(judge(ledger, emitted, books, report.raw_items))
            if self._answers_all:
                judge_answers(report.verdict, ledger)
            if administrator is not None:
                self._judge_status(administrator, world)
        finally:
            world.close()
            if administrator is not None:
                administrator.close()

    def _settled_books(self, world: World, raw_items: int) -> Counter[str]:
        began, books = time.monotonic(), world.books()
        while books.total() < raw_items and time.monotonic() - began < self.plan.settle_seconds:
            time.sleep(0.3)
            books = world.books()
        self.report.settle_seconds = time.monotonic() - began
        return books

    def _judge_status(self, administrator: Administrator, world: World) -> None:
        logged, deadline = administrator.logged(), time.monotonic() + self.plan.settle_seconds / 3
        events = status_events(world)
        while not set(logged) <= {event.actor for event in events} and time.monotonic() < deadline:
            time.sleep(0.3)
            events = status_events(world)
        ledger = administrator.ledger
        self.report.status_changes = {"sure": len(ledger.sure), "unsure": len(ledger.unsure), "committed": len(logged)}
        judge_status(self.report.verdict, ledger, logged, events)


def _emitted(event: object) -> Emitted:
    message = event.message  # type: ignore[attr-defined]
    return Emitted(message.peer_aliases[0].value, message.provider_message_id, message.message_id, message.conversation_id)


def run_alone(home: Path, plan: Plan, say: Callable[[str], None] = print) -> Report:
    """A campaign with a stack of its own, which is stopped at the end, whatever happens.

    Unless the verdict is clean, the logs are copied to build/chaos-logs.
    """
    ground = Ground(home / "stack")  # a lock of its own: a node that starts slowly must not hold up the fleet
    try:
        clean = False
        site = Site(home / "site", ground.start(), postgres_port=ground.postgres_proxy.port)
        try:
            site.bring_up(say=say)
            report = Campaign(site, plan, ground, say).run()
            clean = report.verdict.clean
            return report
        finally:
            site.fleet.stop_all()
            if not clean:
                for part in ("stack", "site"):
                    shutil.copytree(home / part / "logs", BUILD / "chaos-logs", dirs_exist_ok=True)
    finally:
        ground.stop()


def main() -> None:
    """Run one campaign by the arguments; exit 1 unless the verdict is clean."""
    end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    parser.add_argument("--report", type=Path, help="Write the report as JSON here.")
    arguments = vars(parser.parse_args())
    report_file: Path | None = arguments.pop("report")
    with tempfile.TemporaryDirectory(prefix="channels-chaos-") as directory:
        try:
            report = run_alone(Path(directory), Plan(**arguments))
        except (ConfigError, Unavailable) as error:
            raise SystemExit(f"the campaign could not go on: {error}") from error
    print(report.as_text())
    if report_file is not None:
        report_file.parent.mkdir(parents=True, exist_ok=True)
        report_file.write_text(report.as_json())
    raise SystemExit(0 if report.verdict.clean else 1)


if __name__ == "__main__":
    main()
