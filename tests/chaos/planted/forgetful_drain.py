"""Ingest ends on SIGTERM without answering the requests that it has begun."""

from __future__ import annotations

from services.ingest.server import Server
from tests.chaos.planted.start import start


def plant() -> None:
    """A drain that hangs up at once."""

    async def forget(self: Server, _grace_seconds: float, _seconds: float) -> int:
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            if connection._transport is not None:
                connection._transport.abort()
        return 0

    Server.drain = forget  # type: ignore[method-assign]


if __name__ == "__main__":
    start("ingest", plant)
