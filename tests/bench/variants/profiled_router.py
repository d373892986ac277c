"""The router under cProfile, from its first turn on: start-up and imports are left out. BENCH_PROFILE names the file.

A profile sees one thread, so the one that opens ahead has its own; both are written as one.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import threading

from services.router.__main__ import main
from services.router.app import Router
from services.router.batches import Batch, Batches
from shared.runtime.lifecycle import StopRequest, run

_run, _open_next = Router.run, Batches._open_next
_ahead = cProfile.Profile()


def _profiled(router: Router, stop: StopRequest) -> None:
    profile = cProfile.Profile()
    try:
        profile.runcall(_run, router, stop)
    finally:
        both = pstats.Stats(profile)
        if _ahead.getstats():
            both.add(_ahead)
        both.dump_stats(os.environ["BENCH_PROFILE"])


def _opened(batches: Batches) -> Batch | None:
    if threading.current_thread() is threading.main_thread():
        return _open_next(batches)  # is in the other profile
    return _ahead.runcall(_open_next, batches)


if __name__ == "__main__":
    Router.run = _profiled  # type: ignore[method-assign]
    Batches._open_next = _opened  # type: ignore[method-assign]
    run(main)
