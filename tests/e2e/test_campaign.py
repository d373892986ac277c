"""A short round of the fault campaign (`make chaos` is the long one): real processes, SIGKILLs under load, a verdict."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from deploy.local.stack import StackAddresses
from tests.chaos.campaign import Campaign
from tests.chaos.report import Plan
from tests.chaos.site import Site

PLAN = Plan(
    seed=4,
    peers=10,
    webhooks=40,
    per_second=100,
    patient=5,
    hasty=2,
    routers=3,
    ingest_kills=4,
    router_kills=4,
    router_leaves=1,
    relay_kills=2,
    automation_kills=1,
    status_changes_per_second=1,
    pause_seconds=15.0,
    settle_seconds=120,
)


@pytest.mark.req(64, 67, 72)
def test_nothing_is_lost_doubled_or_reordered_while_processes_are_killed(stack: StackAddresses, tmp_path: Path):
    site = Site(tmp_path, stack, name=f"chaos_{uuid4().hex[:8]}")
    try:
        site.bring_up(environment=PLAN.environment, routers=PLAN.routers)
        report = Campaign(site, PLAN).run()
    finally:
        site.fleet.stop_all()

    assert report.verdict.clean, report.as_text()
    assert report.faults == {"ingest kill": 4, "router kill": 4, "router leave": 1, "relay kill": 2, "automation kill": 1}
    assert report.posted == report.acknowledged
    assert report.webhooks >= PLAN.peers * PLAN.webhooks
    assert sum(count for answer, count in report.attempts.items() if answer != "200") > 0, "no kill was ever felt"
    assert all(report.thrown[kind] for kind in ("edit", "reaction", "revoke", "echo", "state", "poison", "early")), report.thrown
    assert all(report.flows[way] for way in ("flow_routed", "intake_deadline", "settled")), report.flows
    assert all(report.books[line] for line in ("duplicate", "superseded", "dead_lettered", "settled_by_flow")), report.books
    assert report.status_changes["sure"] > 0
