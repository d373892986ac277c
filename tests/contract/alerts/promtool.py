"""Finds a promtool for the tests: the machine's own, or that of Debian's `prometheus`, unpacked into a cache without being root.

`apt-get download` and `dpkg-deb -x` are all that is used; nothing is installed. Where that does not work the tests that need
it are skipped, and the reason says what to install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

INSTALL = "install it with `apt-get install prometheus` (or make `apt-get download prometheus` work here)"
_SECONDS = 120


class NoPromtool(Exception):
    """Raised with the reason why there is none."""


def find_promtool() -> Path:
    """A promtool, ready to be run; downloads 19 MB the first time. Raises NoPromtool."""
    installed = shutil.which("promtool")
    if installed is not None:
        return Path(installed)
    program = Path("~/.cache/channels/promtool").expanduser()
    if not os.access(program, os.X_OK):
        _fetch(program)
    return program


def _fetch(program: Path) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NoPromtool(f"this machine has neither promtool nor {tool}; {INSTALL}")
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=program.parent) as name:
            folder = Path(name)
            _run(folder, "apt-get", "download", "prometheus")
            _run(folder, "dpkg-deb", "-x", *(path.name for path in folder.glob("prometheus_*.deb")), "root")
            (folder / "root/usr/bin/promtool").replace(program)  # whole at once: another run may look
    except OSError as error:
        raise NoPromtool(f"{error}; {INSTALL}") from error


def _run(folder: Path, *command: str) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPromtool(f"{command[0]}: {error}; {INSTALL}") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoPromtool(f"`{' '.join(command[:2])}` failed ({last}); {INSTALL}")
