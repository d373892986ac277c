"""Processes under measurement: started with an environment of their own, weighed with psutil, always stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

from deploy.local.ports import choose_port

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    return choose_port(given=None, before=None, purpose="a bench", variable="none")


class Measured:
    """One program with its children. Use it as a context manager; its output goes to `log`."""

    def __init__(self, argv: Sequence[str | Path], environment: Mapping[str, str], log: Path, folder: Path = ROOT) -> None:
        self._argv = [str(part) for part in argv]
        self._environment = {**_without_our_settings(), "PYTHONPATH": str(ROOT), **environment}
        self._log = log
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Measured:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._running().pid

    def stop(self, seconds: float = 25) -> None:
        """SIGTERM, then SIGKILL; its children go with it."""
        if self._process is None:
            return
        members = _members(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for member in members:
            if member.is_running() and member.pid != self._process.pid:
                member.kill()
        self._process = None

    def cpu_seconds(self) -> float:
        """Time on processors so far, user and system."""
        return sum(sum(member.cpu_times()[:2]) for member in _members(self.pid))

    def memory_bytes(self) -> int:
        """Resident memory that is its own (USS where the system tells it)."""
        return sum(getattr(full := member.memory_full_info(), "uss", full.rss) for member in _members(self.pid))

    def wait_http(self, port: int, path: str, seconds: float = 30) -> None:
        """Until this address answers 200."""
        self._wait(lambda: _ok(port, path), seconds, f"port {port}{path} does not answer 200")

    def wait_port(self, port: int, seconds: float = 30) -> None:
        """Until somebody listens."""
        self._wait(lambda: _listens(port), seconds, f"nobody listens on port {port}")

    def check(self) -> None:
        """Raise RuntimeError with the last log lines if it has ended."""
        if self._running().poll() is not None:
            raise RuntimeError(f"{' '.join(self._argv)} ended:\n{self.last_words()}")

    def last_words(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])

    def _wait(self, condition: object, seconds: float, complaint: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{complaint}:\n{self.last_words()}")
            time.sleep(0.02)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("the process was not started")
        return self._process


def _without_our_settings() -> dict[str, str]:
    """The environment without settings that somebody has exported for an installation of their own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("CHANNELS_", "PYTHON"))}


def _members(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []  # it has ended; `check` tells why


def _ok(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
