"""Who shares the processors with whom while the bench runs: all of its processes as equals, as in a container.

Linux's autogroup (https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature") gives each session the same
share of the processors. Each process of PostgreSQL is a session of its own, so beside a busy API one of them was left waiting
for up to 240 ms. It holds for processes outside the groups of the controller `cpu` alone, so not in a container.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_ENABLED = Path("/proc/sys/kernel/sched_autogroup_enabled")
_MINE = Path("/proc/self/cgroup")
_NAMESPACE = Path("/proc/self/ns/cgroup")
_NAMESPACE_OF_ALL = "cgroup:[4026531835]"  # CGROUP_NS_INIT_INO in the kernel's linux/nsfs.h
_ROOTS = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"), Path("/sys/fs/cgroup"))  # v1, v1, v2


def autogrouped() -> bool:
    """Whether the kernel divides the processors among sessions, for this process and what it starts.

    In a namespace of its own, as containers have, a process reads its group's path as `/`, whichever group that is.
    """
    try:
        sees_all = str(_NAMESPACE.readlink()) == _NAMESPACE_OF_ALL
        return _ENABLED.read_text().strip() == "1" and sees_all and in_no_group(_MINE.read_text())
    except OSError:
        return False


@contextmanager
def as_equals() -> Iterator[None]:
    """Put this process, and what it starts in the block, into one group, where autogroup would hold and that may be done."""
    root = next(filter(_divides_processors, _ROOTS), None) if autogrouped() else None
    group = root / f"channels-bench-{os.getpid()}" if root else None
    try:
        if group is not None:
            group.mkdir(exist_ok=True)  # one of a run that was killed may have the number of this process
            _enter(group)
    except OSError:  # not allowed: the machine's description then says so
        group = None
    try:
        yield
    finally:
        if root is not None and group is not None:
            with suppress(OSError):  # something that was started still runs
                _enter(root)
                group.rmdir()


def in_no_group(mine: str) -> bool:
    """Whether a process is in the root of the controller `cpu`, by its /proc/PID/cgroup.

    A line is `number:controllers:path`; the unified hierarchy has number 0 and names no controllers
    (https://man7.org/linux/man-pages/man7/cgroups.7.html).
    """
    paths = {}
    for line in mine.splitlines():
        _, controllers, path = line.split(":", 2)
        paths |= dict.fromkeys(controllers.split(","), path)
    return paths.get("cpu", paths.get("", "/")) == "/"


def _divides_processors(root: Path) -> bool:
    given = root / "cgroup.subtree_control"  # v2: what its groups are divided by
    if given.exists():
        return "cpu" in given.read_text().split()
    return (root / "cpu.shares").exists()


def _enter(group: Path) -> None:
    (group / "cgroup.procs").write_text(str(os.getpid()))
