"""The router under cProfile, from its first turn on: start-up and imports are left out. BENCH_PROFILE names the file."""

from __future__ import annotations

import cProfile
import os

from services.router.__main__ import main
from services.router.app import Router
from shared.runtime.lifecycle import StopRequest, run

_run = Router.run


def _profiled(router: Router, stop: StopRequest) -> None:
    profile = cProfile.Profile()
    try:
        profile.runcall(_run, router, stop)
    finally:
        profile.dump_stats(os.environ["BENCH_PROFILE"])


if __name__ == "__main__":
    Router.run = _profiled  # type: ignore[method-assign]
    run(main)
