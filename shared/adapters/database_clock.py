"""PostgreSQL's clock, read now and then, so that processes on several machines agree on what is due."""

from __future__ import annotations

import time

from sqlalchemy import Engine, text

_NOW = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")


class DatabaseClock:
    """Between two readings it goes on with the machine's monotonic clock. Before the first it tells the machine's time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._offset_ms = time.time_ns() // 1_000_000 - _monotonic_ms()

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch; asks nobody."""
        return _monotonic_ms() + self._offset_ms

    def adjust(self) -> None:
        """Read PostgreSQL's clock. Blocks for one statement; raises SQLAlchemyError."""
        with self._engine.connect() as connection:
            before = _monotonic_ms()
            read_ms: int = connection.execute(_NOW).scalar_one()
        self._offset_ms = read_ms - (before + _monotonic_ms()) // 2


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
