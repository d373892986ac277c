"""Named processes: started detached, found again by another object, killed, started again, stopped, weighed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.fleet import Fleet, FleetService
from deploy.local.ports import choose_port
from shared.domain.errors import NotFound, Unavailable


def _tiny(name: str = "tiny-0", **environment: str) -> FleetService:
    port = choose_port(given=None, before=None, purpose="the test", variable="")
    return FleetService(
        name=name,
        module="tests.integration.deploy.tiny_service",
        operations_port=port,
        environment={"TINY_PORT": str(port), **environment},
    )


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    fleet.stop_all()


def test_a_process_lives_through_a_kill_and_its_return(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start(_tiny())
    fleet.wait_ready("tiny-0")
    first = fleet.pid("tiny-0")
    assert first is not None
    fleet.start(_tiny())
    assert fleet.pid("tiny-0") == first  # what runs is left alone

    found = Fleet(tmp_path)  # as the next command would
    (status,) = found.status()
    assert (status.name, status.pid, status.ready, status.state) == ("tiny-0", first, True, "ready")
    assert status.memory_bytes > 1e6

    assert found.kill("tiny-0") == first
    assert found.status()[0].state == "does not run"
    found.start_again("tiny-0")
    found.wait_ready("tiny-0")
    assert found.pid("tiny-0") not in (None, first)

    assert found.stop("tiny-0")
    assert not found.stop("tiny-0")


def test_all_are_stopped_together_and_forgotten(fleet: Fleet) -> None:
    for name in ("tiny-0", "tiny-1"):
        fleet.start(_tiny(name))
        fleet.wait_ready(name)
    assert fleet.stop_all() == ["tiny-0", "tiny-1"]
    assert fleet.names() == []


def test_a_process_that_ends_at_once_is_reported_with_its_last_words(fleet: Fleet) -> None:
    fleet.start(_tiny(TINY_FAULT="1"))
    with pytest.raises(Unavailable, match="the fault that was asked for"):
        fleet.wait_ready("tiny-0")


def test_one_that_never_gets_ready_is_given_up_in_time(fleet: Fleet) -> None:
    fleet.start(_tiny(TINY_PORT="0"))  # it listens elsewhere
    with pytest.raises(Unavailable, match=r"tiny-0 was not ready within 1 s.*tiny-0\.log"):
        fleet.wait_ready("tiny-0", 1)


def test_an_unknown_name_is_said(fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="nobody"):
        fleet.start_again("nobody")
