"""A service that does nothing but live as the real ones do: ready after a moment, gone at SIGTERM; or it fails at once."""

from __future__ import annotations

import os
import sys

from prometheus_client import CollectorRegistry

from shared.runtime.lifecycle import StopRequest, on_signals
from shared.runtime.operations import OperationsServer


def main() -> None:
    if os.environ.get("TINY_FAULT"):
        sys.exit("tiny: the fault that was asked for")
    stop = StopRequest()
    on_signals(stop.set, 5)
    server = OperationsServer("127.0.0.1", int(os.environ["TINY_PORT"]), CollectorRegistry(), lambda: (True, "ready"))
    server.start()
    while not stop.wait(0.2):
        pass
    server.stop()


if __name__ == "__main__":
    main()
