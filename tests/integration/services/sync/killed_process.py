"""A process of sync that is killed at one step of its first job, as the machine might do it: SIGKILL, nothing is tidied up."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from services.sync import jobs, registering, requests
from services.sync.__main__ import main
from services.sync.calls import HttpCaller
from services.sync.edge import EdgeProbe
from services.sync.jobs import Worker
from shared.runtime.lifecycle import run

STEPS = ("counted", "taken", "probed", "registered", "answered", "written", "stored")


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(step: str) -> None:
    """`counted`: a request is counted, not committed. `taken`: the lease is committed. `probed`: the edge knows.

    `registered`: the provider was told. `answered`: all calls are done. `written`: the result, not committed. `stored`: it is.
    """
    count, take, probe, call = requests.ask_for_jobs, Worker._take, EdgeProbe.knows, HttpCaller.call
    run_job, store, keep = registering.Registrar.run, jobs.store_sync, Worker._store

    def after(work: Any, when: Any = lambda found: True) -> Any:
        def done(*args: Any, **more: Any) -> Any:
            found = work(*args, **more)
            return _die() if when(found) else found

        return done

    def called(self: HttpCaller, placed: Any, provider: str) -> Any:
        answer = call(self, placed, provider)
        return _die() if placed.call.step.endswith(("set_webhook", "register", "subscribe")) else answer

    if step == "counted":
        requests.ask_for_jobs = after(count)
    elif step == "taken":
        Worker._take = after(take, bool)  # type: ignore[method-assign]
    elif step == "probed":
        EdgeProbe.knows = after(probe)  # type: ignore[method-assign]
    elif step == "registered":
        HttpCaller.call = called  # type: ignore[method-assign]
    elif step == "answered":
        registering.Registrar.run = after(run_job)  # type: ignore[method-assign]
    elif step == "written":
        jobs.store_sync = after(store)
    elif step == "stored":
        Worker._store = after(keep)  # type: ignore[method-assign]


if __name__ == "__main__":
    plant(sys.argv[1])
    run(main)
