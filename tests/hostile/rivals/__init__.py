"""uvicorn (httptools) and Granian, in an environment of their own, asked the same."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.settings import EmbeddedSettings
from shared.runtime.settings import load
from tests.edge import APP_SECRET, VERIFY_TOKEN, free_port

_FOLDER = Path(__file__).with_name("servers")
_LOCK = _FOLDER / "requirements.lock"
_START_SECONDS = 20.0

COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": (
        "-m",
        "uvicorn",
        "app:app",
        "--http",
        "httptools",
        "--loop",
        "uvloop",
        "--host",
        "127.0.0.1",
        "--log-level",
        "critical",
    ),
    "Granian": ("-m", "granian", "app:app", "--interface", "asgi", "--host", "127.0.0.1", "--log-level", "critical"),
}


def python(say: Callable[[str], None]) -> Path:
    """The interpreter with what the lock names; downloads it the first time."""
    cache = load(EmbeddedSettings).cache.expanduser() / "hostile"
    home = cache / hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:12]
    found, done = home / "bin" / "python", home / ".installed"
    if not done.exists():
        say(f"  installing {_LOCK.read_text().count('==')} locked packages into {home}, once")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        install = [
            str(found),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            str(_LOCK),
        ]
        subprocess.run(install, check=True)
        done.touch()
    return found


def versions() -> str:
    """What is compared, from the lock."""
    lines = (line.split() for line in _LOCK.read_text().splitlines() if not line.startswith(" "))
    return ", ".join(
        words[0].replace("==", " ") for words in lines if words[0].split("==")[0] in ("granian", "httptools", "uvicorn")
    )


@contextmanager
def serving(name: str, interpreter: Path) -> Iterator[int]:
    """One server with its default limits; its port."""
    port = free_port()
    environment = os.environ | {"RIVAL_SECRET": APP_SECRET.decode(), "RIVAL_TOKEN": VERIFY_TOKEN.decode()}
    command = [str(interpreter), *COMMANDS[name], "--port", str(port)]
    process = subprocess.Popen(command, cwd=_FOLDER, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError("the server did not start")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nobody listens on port {port}")
