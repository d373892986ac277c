"""Why a process ended, as its own log tells: the last line, if that is an error that names its cause."""

from __future__ import annotations

import json
from pathlib import Path

_ENOUGH_BYTES = 16_384


def last_error(log_file: Path) -> str | None:
    """`<event>: <cause>` of the last line; None where the process said nothing of the kind (asked to stop, killed)."""
    try:
        with log_file.open("rb") as log:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - _ENOUGH_BYTES))
            lines = log.read().splitlines()
        line = json.loads(lines[-1])
        if line["level"] == "error":
            return f"{line['event']}: {line['cause']}"
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        pass
    return None
