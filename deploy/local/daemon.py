"""One background process with a name: launch, find again, stop, kill, weigh. Shared by Kafka, PostgreSQL and the fleet."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.local.identity import ProcessIdentity, read_identity
from shared.domain.errors import Unavailable

_SOURCE_ROOT = Path(__file__).resolve().parents[2]
_LOG_KEPT_BYTES = 16 * 1024 * 1024
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One line of `channels status`."""

    name: str
    pid: int | None
    address: str
    ready: bool
    state: str  # a few words: ready, or why not
    memory_bytes: int


class Daemon:
    """A detached process that is known by its identity file, not by being anybody's child."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.identity_file = home / "run" / f"{name}.json"
        self.log_file = home / "logs" / f"{name}.log"
        self._log_start = 0

    def identity(self) -> ProcessIdentity | None:
        """Who runs under this name now, or None. A stale file (its process is gone) counts as nobody."""
        identity = read_identity(self.identity_file)
        return identity if identity is not None and identity.alive() else None

    @property
    def pid(self) -> int | None:
        """The process id, or None when nothing runs."""
        identity = self.identity()
        return identity.pid if identity else None

    def launch(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        lock_fd: int | None,
        user: tuple[int, int] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Start the program, detached, in `directory` (else the caller's).

        Blocks until it has been executed, not until it is ready; raises Unavailable.
        """
        self.identity_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._turn_log()
        order = {
            "argv": list(argv),
            "identity_file": str(self.identity_file),
            "log_file": str(self.log_file),
            "lock_fd": lock_fd,
            "user": user,
            "directory": str(directory or Path.cwd()),
        }
        started = subprocess.run(
            [sys.executable, "-m", "deploy.local.launch", json.dumps(order)],
            env={**environment, "PYTHONPATH": _with_source(environment.get("PYTHONPATH"))},
            pass_fds=() if lock_fd is None else (lock_fd,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise Unavailable(f"{self.name}: {started.stderr.strip()}")

    def stop(self, *, grace_seconds: float, stop_signal: signal.Signals = signal.SIGTERM) -> bool:
        """Ask the process to end, force it after the grace. Blocks until it is gone; False if nothing ran."""
        identity = self.identity()
        if identity is not None:
            _send(identity, stop_signal)
            if not _gone(identity, grace_seconds):
                _send(identity, signal.SIGKILL)
                _gone(identity, 10)
        self.identity_file.unlink(missing_ok=True)
        return identity is not None

    def kill(self) -> int | None:
        """SIGKILL, as a crash would end it; the identity file stays behind, as after a crash. Returns the id it had."""
        identity = self.identity()
        if identity is None:
            return None
        _send(identity, signal.SIGKILL)
        _gone(identity, 10)
        return identity.pid

    def memory_bytes(self) -> int:
        """Memory of the process and its children; pages that they share count once (0 when nothing runs)."""
        identity = self.identity()
        if identity is None:
            return 0
        try:
            process = psutil.Process(identity.pid)
            return _share_of_memory(process) + sum(map(_share_of_memory, process.children(recursive=True)))
        except psutil.Error:
            return 0

    def status(self, address: str, ready: bool, state: str) -> PartStatus:
        """Its line for `channels status`; `ready`, `state` and `address` count only while it runs."""
        pid = self.pid
        if pid is None:
            return PartStatus(name=self.name, pid=None, address="-", ready=False, state="does not run", memory_bytes=0)
        return PartStatus(name=self.name, pid=pid, address=address, ready=ready, state=state, memory_bytes=self.memory_bytes())

    def last_words(self, lines: int = 12) -> str:
        """The end of what this process has logged since it was launched."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(self._log_start)
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _turn_log(self) -> None:
        size = self.log_file.stat().st_size if self.log_file.exists() else 0
        if size > _LOG_KEPT_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
            size = 0
        self._log_start = size


def _send(identity: ProcessIdentity, number: signal.Signals) -> None:
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return


def _gone(identity: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _share_of_memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:  # children come and go
        return 0


def _with_source(path: str | None) -> str:
    return os.pathsep.join(part for part in (str(_SOURCE_ROOT), path) if part)
