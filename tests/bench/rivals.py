"""Rivals in environments of their own: a virtual environment per lock file, a binary per Go module; built once, cached."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from deploy.local.settings import EmbeddedSettings
from shared.runtime.settings import load

FOLDER = Path(__file__).with_name("rivals")
_DONE = ".installed"


def is_installed(name: str) -> bool:
    """Is the rival's environment there already? A quick run downloads nothing."""
    return (_home(name) / _DONE).exists()


def rival_python(name: str, say: Callable[[str], None]) -> Path:
    """The interpreter of a rival's environment with exactly what its lock names. Blocks for a download the first time."""
    lock, home = FOLDER / name / "requirements.lock", _home(name)
    python, done = home / "bin" / "python", home / _DONE
    if not done.exists():
        say(f"  installing {name} ({lock.read_text().count('==')} locked packages) into {home}, once")
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock]
        subprocess.run(install, check=True)
        done.touch()
    return python


def rival_versions(name: str, *packages: str) -> str:
    """`package version` of what matters, from the rival's lock."""
    pinned = {}
    for line in (FOLDER / name / "requirements.lock").read_text().splitlines():
        if "==" in line and not line.startswith(" "):
            package, _, rest = line.partition("==")
            pinned[package] = rest.split()[0]
    return ", ".join(f"{package} {pinned[package]}" for package in packages)


def go_program(say: Callable[[str], None]) -> Path | None:
    """The bare Go twin, built with the pinned modules; None where the machine has no Go toolchain, or it cannot build."""
    go, source = shutil.which("go"), FOLDER / "go"
    if go is None:
        say("  SKIPPED: no Go toolchain on this machine, so no comparison with the bare Go twin")
        return None
    program = _cache() / f"go-{_digest(source / 'main.go', source / 'go.sum')}" / "ingest"
    if not program.exists():
        say(f"  building the Go twin into {program.parent}, once")
        program.parent.mkdir(parents=True, exist_ok=True)
        command = [go, "build", "-mod=readonly", "-trimpath", "-o", program, "."]
        built = subprocess.run(command, cwd=source, env={**os.environ, "CGO_ENABLED": "0"}, check=False)
        if built.returncode != 0:
            say("  SKIPPED: the Go twin does not build here, so no comparison with it")
            return None
    return program


def _home(name: str) -> Path:
    return _cache() / f"{name}-{_digest(FOLDER / name / 'requirements.lock')}"


def _cache() -> Path:
    return load(EmbeddedSettings).cache.expanduser() / "bench"


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
