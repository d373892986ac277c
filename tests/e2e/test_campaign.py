"""A short round of the fault campaign (`make chaos` is the long one): real processes, SIGKILLs under load, a verdict."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from deploy.local.stack import StackAddresses
from tests.chaos.campaign import Campaign
from tests.chaos.report import Plan
from tests.chaos.site import Site

PLAN = Plan(
    seed=4,
    peers=12,
    webhooks=40,
    per_second=150,
    ingest_kills=5,
    router_kills=5,
    relay_kills=2,
    status_changes_per_second=2,
    settle_seconds=40,
)


def test_nothing_is_lost_doubled_or_reordered_while_processes_are_killed(stack: StackAddresses, tmp_path: Path):
    site = Site(tmp_path, stack, name=f"chaos_{uuid4().hex[:8]}")
    try:
        site.bring_up()
        report = Campaign(site, PLAN).run()
    finally:
        site.fleet.stop_all()

    assert report.verdict.clean, report.as_text()
    assert report.faults == {"ingest kill": 5, "router kill": 5, "relay kill": 2}
    assert report.posted == report.acknowledged >= PLAN.peers * PLAN.webhooks
    assert sum(count for answer, count in report.attempts.items() if answer != "200") > 0, "no kill was ever felt"
    assert report.books["duplicate"] > 0
    assert report.status_changes["sure"] > 0
