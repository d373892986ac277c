"""Plays one case: an installation whose service has the planted fault, load, torment, and the oracle's verdict."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psutil

from deploy.local.stack import StackAddresses
from shared.domain.errors import Unavailable
from tests.chaos.campaign import Campaign
from tests.chaos.planted.cases import Case
from tests.chaos.planted.moments import MOMENT, end_moments, taken
from tests.chaos.report import Plan, Report
from tests.chaos.site import Ground, Site

_POLL_SECONDS = 0.05
_PLANTED = "tests.chaos.planted"


@dataclass(frozen=True)
class Result:
    """How a case ended. `after`: number of the first message that shows the fault, else of all that were posted."""

    case: Case
    report: Report
    moments: tuple[str, ...]
    seconds: float

    @property
    def as_expected(self) -> bool:
        """The fault was caught by a check that it was meant for; or the control was clean. The torment must have happened."""
        happened = bool(self.moments) or not self.case.moment
        kinds = set(self.report.verdict.counts)
        return happened and (kinds <= self.case.may if self.case.is_control else bool(kinds & self.case.caught_by))

    @property
    def after(self) -> int:
        """How many messages it took."""
        first = self.report.verdict.first
        return min((first[kind] for kind in self.case.caught_by if kind in first), default=self.report.posted)

    @property
    def caught(self) -> str:
        """The checks that it was meant for, with counts."""
        counts = self.report.verdict.counts
        return ", ".join(f"`{kind}` {counts[kind]}" for kind in sorted(self.case.caught_by & counts.keys()))

    @property
    def found(self) -> str:
        """What the checks say, with counts."""
        counts = self.report.verdict.counts
        return ", ".join(f"{kind} {counts[kind]}" for kind in sorted(counts)) or "clean"


class Stage:
    """One case's installation; a supervisor that keeps its processes alive."""

    def __init__(self, case: Case, site: Site, ground: Ground | None) -> None:
        self.case = case
        self.site = site
        self.ground = ground
        self.fleet = site.fleet
        self._stopped_at: dict[int, float] = {}

    def live(self, seconds: float) -> None:
        """Let time pass; start what has died, and continue what has been stopped for long enough."""
        until = time.monotonic() + seconds
        while time.monotonic() < until or self._stopped_at:
            for name in self.fleet.names():
                self._tend(name)
            time.sleep(_POLL_SECONDS)

    def wait(self, done: Callable[[], bool], seconds: float) -> None:
        """Wait for something without tending anybody."""
        deadline = time.monotonic() + seconds
        while not done() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def finish(self) -> None:
        """The moments are over, all alive, and those that can be are ready."""
        end_moments(self.site.home)
        self.live(0)
        for name in self.fleet.names():
            with suppress(Unavailable):  # a planted fault may keep it from that; the verdict tells
                self.fleet.wait_ready(name, 15)

    def _tend(self, name: str) -> None:
        pid = self.fleet.pid(name)
        if pid is None:
            self.fleet.start_again(name)
            return
        with suppress(psutil.Error):
            if psutil.Process(pid).status() != psutil.STATUS_STOPPED:
                return
            since = self._stopped_at.setdefault(pid, time.monotonic())
            if time.monotonic() - since > self.case.frozen_seconds:
                os.kill(pid, signal.SIGCONT)
                del self._stopped_at[pid]


def play(case: Case, home: Path, addresses: StackAddresses, ground: Ground | None = None) -> Result:
    """Play it on a running stack; `ground` for those that do things to the network."""
    began = time.monotonic()
    site = Site(home, addresses, name=f"p{uuid4().hex[:8]}", postgres_port=None if ground is None else ground.postgres_proxy.port)
    module = case.module if "." in case.module else f"{_PLANTED}.{case.module}"
    try:
        plan = Plan(
            seed=7,
            peers=12,
            per_second=case.per_second,
            patient=case.patient,
            hasty=case.hasty,
            pause_seconds=case.pause_seconds,
            target_wait_seconds=case.target_wait_seconds,
            status_changes_per_second=case.status_changes_per_second,
            settle_seconds=45 if case.is_control else case.settle_seconds,
        )
        environment = {MOMENT: case.moment} if case.moment else {}
        site.bring_up(
            modules={case.service: module, **{name: f"{_PLANTED}.{other}" for name, other in case.beside.items()}},
            environment={**environment, **plan.environment},
            relays=case.relays,
            routers=case.routers,
        )
        stage = Stage(case, site, ground)
        campaign = Campaign(site, plan, ground, lambda _line: None, answers_all=case.answers_all)

        def torment() -> None:
            case.torment(stage)
            stage.finish()

        report = campaign.run(torment)
        return Result(case, report, tuple(taken(home)), time.monotonic() - began)
    finally:
        site.fleet.stop_all()
