"""`python -m services.simulator`: settings, then the server until SIGINT or SIGTERM."""

from __future__ import annotations

import time

from aiohttp import web

from services.simulator.app import Server
from services.simulator.settings import SimulatorSettings
from services.simulator.simulator import Simulator


def main() -> None:
    """Blocks until the process is told to stop."""
    settings = SimulatorSettings()
    server = Server(Simulator(settings.seed, settings.start_ms or time.time_ns() // 1_000_000), settings.speed)
    print(f"simulator on http://{settings.host}:{settings.port}, seed {settings.seed}, speed {settings.speed}", flush=True)
    web.run_app(server.application(), host=settings.host, port=settings.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
