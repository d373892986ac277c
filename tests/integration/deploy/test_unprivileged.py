"""What is left of root once it was given up: reading below closed directories, also for access(2), and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.unprivileged import unprivileged_user

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux gives anything up")

_GIVEN_UP = """
import json, os, subprocess, sys
from deploy.local.unprivileged import become

program, secret, uid, gid = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
become(uid, gid)


def refused(act):
    try:
        act()
    except PermissionError:
        return True
    return False


ran = subprocess.run([program, "ran"], capture_output=True, text=True)
print(json.dumps({
    "may_execute": os.access(program, os.X_OK),
    "ran": ran.stdout.strip(),
    "uid": os.getuid(),
    "groups": os.getgroups(),
    "write_refused": refused(lambda: open(secret, "a")),
    "root_refused": refused(lambda: os.setuid(0)),
    "chown_refused": refused(lambda: os.chown(program, 0, 0)),
}))
"""


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A directory that only root enters, with a program in it."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    echo = shutil.which("echo")
    assert echo is not None
    shutil.copy(echo, folder / "program")
    (folder / "program").chmod(0o755)
    (folder / "of-root").write_text("x")
    (folder / "of-root").chmod(0o644)
    return folder


def _give_up(closed: Path) -> dict[str, Any]:
    account = unprivileged_user()
    assert account is not None
    arguments = (closed / "program", closed / "of-root", *map(str, account))
    done = subprocess.run(
        [sys.executable, "-c", _GIVEN_UP, *arguments], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_program_below_a_closed_directory_can_be_looked_at_and_run(closed: Path) -> None:
    found = _give_up(closed)
    assert (found["may_execute"], found["ran"]) == (True, "ran")


def test_everything_else_of_root_is_gone(closed: Path) -> None:
    found = _give_up(closed)
    assert found["uid"] != 0
    assert found["groups"] == []
    assert (found["write_refused"], found["root_refused"], found["chown_refused"]) == (True, True, True)
