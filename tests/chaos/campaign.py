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
from tests.chaos.administrator import Administrator, status_events
from tests.chaos.faults import Tormentor
from tests.chaos.finds import Finds, find, unfinished_rows
from tests.chaos.oracle import judge, judge_answers, judge_status
from tests.chaos.oracle_flows import Paused, judge_pause, settled_by_flow
from tests.chaos.pauses import Pauses
from tests.chaos.provider import Peers
from tests.chaos.report import Plan, Report
from tests.chaos.site import Ground, Site, end_in_order

_SETTLE_TIMES = 5  # as long at most, however much moves: a planted fault may go on for ever
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
        self.peers = Peers(
            site.targets(), plan.loads, webhooks=plan.webhooks, seed=plan.seed, ghosts_until=max(plan.webhooks // 2, 10)
        )
        self._paused: Paused | None = None
        self._ground = ground
        self._answers_all = plan.answers_all if answers_all is None else answers_all
        self._say = say

    def run(self, torment: Callable[[], None] | None = None) -> Report:
        """Everything, to the verdict. `torment`: done in place of the plan's faults."""
        administrator, pauses = self._administrator(), self._pauses()
        began = time.monotonic()
        self.peers.start()
        if pauses is not None:
            pauses.end_after(self.plan.pause_seconds)
        if administrator is not None:
            administrator.start()
        try:
            (torment or Tormentor(self.site.fleet, self.plan, self.report, self._ground, self._say).run)()
        except Unavailable as error:
            self.report.verdict.add("not_ready", str(error))
        time.sleep(max(0.0, self.plan.load_seconds - (time.monotonic() - began)))
        if administrator is not None:
            administrator.stop()
        if pauses is not None:
            self._paused = pauses.ended()
        if not self.peers.join(self.plan.join_seconds):
            self.report.verdict.add("stuck", f"the peers did not come to their end within {self.plan.join_seconds:.0f} s")
        self.report.load_seconds = time.monotonic() - began
        self._judge(administrator)
        return self.report

    def _administrator(self) -> Administrator | None:
        per_second = self.plan.status_changes_per_second
        if not per_second:
            return None
        return Administrator(self.site.setting("database_api_url"), per_second=per_second, seed=self.plan.seed)

    def _pauses(self) -> Pauses | None:
        if not self.plan.pause_seconds:
            return None
        pauses, world = Pauses(self.site.setting("database_api_url")), World(self.site.home)
        pauses.begin(world)
        world.close()
        return pauses

    def _judge(self, administrator: Administrator | None) -> None:
        report, ledger, world = self.report, self.peers.ledger, World(self.site.home)
        try:
            self._settle(world)
            finds = find(world, self.site.setting("database_worker_url"), self.site.home / "logs")
            self._tell(finds)
            report.verdict.merge(judge(ledger, finds))
            if self._paused is not None:
                judge_pause(report.verdict, ledger, finds.asked, self._paused)
            if self._answers_all:
                judge_answers(report.verdict, ledger)
            if administrator is not None:
                self._judge_status(administrator, world)
        finally:
            world.close()
            if administrator is not None:
                administrator.close()

    def _settle(self, world: World) -> None:
        """Until all that arrived is booked and nothing waits any more, or nothing has moved for as long as the plan says."""
        began, raw_items = time.monotonic(), world.count_raw_items()
        url, before, moved = self.site.setting("database_worker_url"), (-1, -1), began
        patience = self.plan.settle_seconds
        while time.monotonic() - moved < patience and time.monotonic() - began < _SETTLE_TIMES * patience:
            waiting, booked = len(unfinished_rows(url)), world.books().total()
            if not waiting and booked >= raw_items:
                break
            if (waiting, booked) != before:
                before, moved = (waiting, booked), time.monotonic()
            time.sleep(0.5)
        self.report.settle_seconds = time.monotonic() - began

    def _tell(self, finds: Finds) -> None:
        report, ledger = self.report, self.peers.ledger
        elements = [one for ones in ledger.written.values() for one in ones]
        report.webhooks, report.posted = ledger.webhooks, len(elements)
        report.acknowledged = sum(one.id in ledger.acknowledged for one in elements)
        report.attempts, report.slowest_post_seconds = dict(ledger.attempts), ledger.slowest_seconds
        report.raw_items, report.books = finds.raw, dict(finds.books)
        report.thrown = dict(Counter(one.kind.value for one in elements))
        report.thrown |= {"early": sum(one.early for one in elements), "ghosts": sum(one.ghost for one in elements)}
        answers = Counter(answer.outcome.value for given in finds.answers.values() for _, answer in given)
        report.flows = {"requests": len(finds.asked), **answers, "no_answer_at_all": finds.bad_answers}
        report.flows |= Counter(event.reason for event in finds.emitted)
        report.flows["settled"] = len(settled_by_flow(ledger, finds))

    def _judge_status(self, administrator: Administrator, world: World) -> None:
        logged, deadline = administrator.logged(), time.monotonic() + self.plan.settle_seconds / 3
        events = status_events(world)
        while not set(logged) <= {event.actor for event in events} and time.monotonic() < deadline:
            time.sleep(0.3)
            events = status_events(world)
        ledger = administrator.ledger
        self.report.status_changes = {"sure": len(ledger.sure), "unsure": len(ledger.unsure), "committed": len(logged)}
        judge_status(self.report.verdict, ledger, logged, events)


def run_alone(home: Path, plan: Plan, say: Callable[[str], None] = print) -> Report:
    """A campaign with a stack of its own, which is stopped at the end, whatever happens.

    Unless the verdict is clean, the logs are copied to build/chaos-logs.
    """
    ground = Ground(home / "stack")  # a lock of its own: a node that starts slowly must not hold up the fleet
    try:
        clean = False
        site = Site(home / "site", ground.start(), postgres_port=ground.postgres_proxy.port)
        try:
            site.bring_up(environment=plan.environment, routers=plan.routers, say=say)
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
