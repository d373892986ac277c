from __future__ import annotations

import os
from pathlib import Path

import pytest

from deploy.local import home_lock
from deploy.local.home_lock import HomeLock
from shared.domain.errors import Conflict


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_lock, "_LEAST_WAIT_SECONDS", 0.0)


def test_the_second_to_come_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        HomeLock(tmp_path).held("up"),
        pytest.raises(Conflict, match=rf"`channels up` \(process {os.getpid()}\)") as refused,
        HomeLock(tmp_path).held("down"),
    ):
        pass
    assert refused.value.reason == "home_busy"


def test_its_holder_may_enter_again_and_the_last_to_leave_lets_go(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "new" / "home")
    with lock.held("up"):
        with lock.held("up"):
            assert lock.fd is not None
        assert lock.fd is not None
        assert not os.get_inheritable(lock.fd)
    assert lock.fd is None
    with HomeLock(tmp_path / "new" / "home").held("down"):
        assert (tmp_path / "new" / "home").stat().st_mode & 0o777 == 0o700


def test_a_note_that_cannot_be_read_does_not_matter(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path)
    with lock.held("up"):
        (tmp_path / "lock").write_text("")
        with pytest.raises(Conflict, match="another `channels` command"), HomeLock(tmp_path).held("up"):
            pass
