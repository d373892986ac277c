"""Slow clients, idle ones, and restarts under load; `make hostile` does the same at full size."""

from __future__ import annotations

import asyncio

import pytest

from tests.edge import Edge
from tests.hostile.idle import hold, possible
from tests.hostile.slow import besiege, manners
from tests.hostile.terminations import restart
from tests.waiting import eventually


@pytest.mark.parametrize("kind", ["stalled heads", "stalled bodies", "one-byte drips"])
def test_slow_clients_are_closed_while_good_traffic_flows(edge: Edge, kind: str) -> None:
    process = edge.start()
    siege = asyncio.run(besiege(edge.port, edge.url(), manners(edge.url())[kind], 100))
    assert siege.left_open == 0
    assert siege.longest_seconds < 10
    assert siege.answers == {"408": 100}
    assert siege.honest_failures == 0
    assert siege.honest_answers > 100
    eventually(lambda: process.metric("channels_ingest_connections") <= 1)  # that of the question


def test_idle_connections_cost_little_and_stop_nobody(edge: Edge) -> None:
    process = edge.start()
    idle = asyncio.run(hold(edge, process.process.pid, possible(500)))
    assert idle.good_answer == 200
    assert idle.used_bytes < 65_536


def test_a_restart_under_load_leaves_no_request_without_its_answer(edge: Edge) -> None:
    result = asyncio.run(restart(edge, 5))
    assert result.faults == ()
    assert result.unanswered == ()
    assert "503 snapshots_unread" not in result.otherwise, (
        "a new process takes no share of the port before it knows the connectors"
    )
    assert (result.lost, result.stored_twice, result.stored_unanswered) == (0, 0, 0)
    assert result.accepted + sum(result.otherwise.values()) == result.sent > 500
