"""A health process that is killed at one step of the check that opens a breaker, as the machine might do it: SIGKILL."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from services.health import writing
from services.health.__main__ import main
from services.health.writing import CheckWriter
from shared.runtime.lifecycle import run


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(step: str) -> None:
    """`inserted`, `moved`: within the transaction; `committed`: right after it; `asked`: before anything is written."""
    turn, insert, update = CheckWriter._turn, writing.insert_checks, writing.update_states
    turning = False

    def turned(self: CheckWriter, *args: Any) -> Any:
        nonlocal turning
        if step == "asked":
            _die()
        turning = True
        done = turn(self, *args)
        if step == "committed":
            _die()
        return done

    def inserted(*args: Any) -> None:
        insert(*args)
        if turning and step == "inserted":
            _die()

    def updated(*args: Any) -> None:
        update(*args)
        if turning and step == "moved":
            _die()

    CheckWriter._turn = turned  # type: ignore[method-assign]
    writing.insert_checks, writing.update_states = inserted, updated


if __name__ == "__main__":
    if sys.argv[1] != "never":
        plant(sys.argv[1])
    run(main)
