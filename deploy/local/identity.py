"""Which process is meant: its id together with the moment it started, so that a recycled id is never taken for it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19  # field 22 of /proc/<pid>/stat, counted after the name (proc_pid_stat(5))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process id and its start; `started` only compares equal for the same process."""

    pid: int
    started: str

    def alive(self) -> bool:
        """Does exactly this process still run? A zombie does not."""
        return started_of(self.pid) == self.started


def started_of(pid: int) -> str | None:
    """When the process started, as text to compare; None if there is no such process (or only its zombie)."""
    if not _BOOT_ID.exists():
        return _started_elsewhere(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return f"{_BOOT_ID.read_text().strip()}:{fields[_START_FIELD]}"


def _started_elsewhere(pid: int) -> str | None:
    import psutil  # only where there is no /proc; the launcher shall start quickly

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return None


def write_identity(path: Path, pid: int) -> None:
    """Leave the identity of a running process in a file, in one step."""
    identity = ProcessIdentity(pid=pid, started=started_of(pid) or "")
    draft = path.with_suffix(f".{os.getpid()}.new")
    draft.write_text(json.dumps(asdict(identity)))
    draft.replace(path)


def read_identity(path: Path) -> ProcessIdentity | None:
    """The identity in the file; None if there is no file, or it is damaged."""
    try:
        return ProcessIdentity(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
