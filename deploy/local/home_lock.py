"""The lock on a home directory: one `channels up` or `down` at a time, whichever terminal it comes from."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.errors import Conflict

_POLL_SECONDS = 0.05
# A process that was killed while it started a daemon leaves the lock to that daemon's launcher for a moment.
_LEAST_WAIT_SECONDS = 2.0


class HomeLock:
    """A file lock that the kernel lets go when its holder dies. Entered again (by any thread of its holder), it just counts."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._fd: int | None = None
        self._depth = 0
        self._count = threading.Lock()

    @property
    def fd(self) -> int | None:
        """The descriptor that carries the lock, for launched processes to inherit; None while not held."""
        return self._fd

    @contextmanager
    def held(self, doing: str, wait_seconds: float = 0) -> Iterator[None]:
        """Hold the lock. Blocks for at most `wait_seconds`, then raises Conflict naming who holds it."""
        with self._count:
            if self._depth == 0:
                self._fd = self._acquire(doing, max(wait_seconds, _LEAST_WAIT_SECONDS))
            self._depth += 1
        try:
            yield
        finally:
            with self._count:
                self._depth -= 1
                if self._depth == 0 and self._fd is not None:
                    os.close(self._fd)
                    self._fd = None

    def _acquire(self, doing: str, seconds: float) -> int:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
                    continue
                holder = _holder(fd)
                os.close(fd)
                raise Conflict(f"{holder} is at work in {self._home}; try again when it has ended", reason="home_busy") from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps({"pid": os.getpid(), "doing": doing}).encode(), 0)
            return fd


def _holder(fd: int) -> str:
    try:
        note = json.loads(os.pread(fd, 1000, 0))
        return f"`channels {note['doing']}` (process {note['pid']})"
    except (ValueError, KeyError):
        return "another `channels` command"
