from __future__ import annotations

from typing import Any

import pytest

from shared.domain.errors import Unavailable
from tests.chaos import faults
from tests.chaos.faults import Tormentor


class Node:
    """Starts once somebody has waited twice."""

    def __init__(self) -> None:
        self.tried, self.waited = 0, 0

    def start(self) -> None:
        self.tried += 1
        if self.waited < 2:
            raise Unavailable("its port is taken")

    def wait(self, _seconds: float) -> None:
        self.waited += 1


def test_a_node_that_cannot_start_is_tried_again_after_a_while_and_leaves_the_fleet_its_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, nothing = Node(), object()
    tormentor = Tormentor(*[nothing] * 5)  # type: ignore[arg-type]  # nothing of them is asked
    monkeypatch.setattr("time.sleep", node.wait)
    monkeypatch.setattr(faults, "_READY_SECONDS", 2.0)
    started: Any = node
    tormentor._start_node(started)
    assert (node.tried, node.waited) == (3, 2)
