from __future__ import annotations

from typing import Any

import pytest

from shared.domain.errors import ChannelsError, ConfigError, Unavailable
from tests.chaos import faults
from tests.chaos.faults import Tormentor


class Node:
    """Starts once somebody has waited twice."""

    def __init__(self, error: ChannelsError) -> None:
        self.tried, self.waited, self._error = 0, 0, error

    def start(self) -> None:
        self.tried += 1
        if self.waited < 2:
            raise self._error

    def wait(self, _seconds: float) -> None:
        self.waited += 1


@pytest.mark.parametrize("error", [Unavailable("it does not answer yet"), ConfigError("its port is taken")])
def test_a_node_that_cannot_start_is_tried_again_after_a_while_and_leaves_the_fleet_its_processors(
    monkeypatch: pytest.MonkeyPatch, error: ChannelsError
) -> None:
    node, nothing = Node(error), object()
    tormentor = Tormentor(*[nothing] * 5)  # type: ignore[arg-type]  # nothing of them is asked
    monkeypatch.setattr("time.sleep", node.wait)
    monkeypatch.setattr(faults, "_READY_SECONDS", 2.0)
    started: Any = node
    tormentor._start_node(started)
    assert (node.tried, node.waited) == (3, 2)
