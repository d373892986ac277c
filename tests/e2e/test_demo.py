"""`make demo` stays true: the command behind it holds all of its claims, and leaves nothing running."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.installation import channels
from tests.integration.deploy.conftest import processes_of


def test_the_demo_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    told = channels(tmp_path, "demo")
    assert "claims hold" in told
    assert "200 events for a read_committed reader: 0 lost, 0 twice, in order" in told
    assert processes_of(tmp_path) == []
    assert not (tmp_path / "demo").exists()
