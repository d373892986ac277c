"""A token rotator that is killed at one step of its first renewal, as the machine might do it: SIGKILL, nothing is tidied up."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from services.token_rotator import schedule
from services.token_rotator.__main__ import main
from services.token_rotator.provider_calls import HttpCaller
from services.token_rotator.schedule import Schedule
from shared.runtime.lifecycle import run


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(step: str) -> None:
    """`intent`: committed, nobody was called. `call`: answered. `store`: written, not committed. `stored`: committed."""
    intend, call, write, store = Schedule._intend, HttpCaller.call, schedule.store_renewals, Schedule.store

    def intended(self: Schedule, *args: Any) -> Any:
        jobs = intend(self, *args)
        return _die() if jobs else jobs

    def called(self: HttpCaller, *args: Any) -> Any:
        call(self, *args)
        _die()

    def written(*args: Any, **more: Any) -> Any:
        write(*args, **more)
        _die()

    def stored(self: Schedule, *args: Any) -> Any:
        store(self, *args)
        _die()

    if step == "intent":
        Schedule._intend = intended  # type: ignore[method-assign]
    elif step == "call":
        HttpCaller.call = called  # type: ignore[method-assign]
    elif step == "store":
        schedule.store_renewals = written
    else:
        Schedule.store = stored  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(sys.argv[1])
    run(main)
