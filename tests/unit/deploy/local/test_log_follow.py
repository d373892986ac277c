from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from deploy.local.log_follow import follow, last_lines


def _stop_after(turns: int) -> Callable[[], bool]:
    left = iter(range(turns))
    return lambda: next(left, None) is None


def test_the_last_lines_are_read(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\nthree\n")
    assert last_lines(log, 2) == ["two", "three"]
    assert last_lines(log, 0) == []


def test_whole_lines_are_followed(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("one\ntwo\nhal")
    assert list(follow(log, 4, _stop_after(1))) == ["two"]


def test_a_log_that_was_turned_over_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("new\n")
    assert list(follow(log, 1000, _stop_after(1))) == ["new"]
