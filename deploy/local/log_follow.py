"""Read the end of a log file, and what is added to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_SECONDS = 0.2
_READ_BYTES = 1024 * 1024


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines (of at most the last MiB)."""
    with path.open("rb") as log:
        size = log.seek(0, 2)
        log.seek(max(0, size - _READ_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
    return lines[-count:] if count else []


def follow(path: Path, position: int, stop: Callable[[], bool] = lambda: False) -> Iterator[str]:
    """Lines added after `position` (bytes), for ever or until `stop`; a file that was turned over is read from its start."""
    rest = ""
    while not stop():
        size = path.stat().st_size if path.exists() else 0
        if size < position:
            position, rest = 0, ""
        if size == position:
            time.sleep(_POLL_SECONDS)
            continue
        with path.open("rb") as log:
            log.seek(position)
            added = log.read(_READ_BYTES)
        position += len(added)
        *lines, rest = (rest + added.decode(errors="replace")).split("\n")
        yield from lines
