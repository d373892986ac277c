"""`ultimo_heartbeat`: when a connector last had verified traffic or a passed check, written in batches.

A row is written at most once in 30 seconds, whatever comes in, and what came in between is written when they are over: so the
column is never more than that behind. What a crash loses, the next traffic or check says again.
"""

from __future__ import annotations

import threading

from sqlalchemy import Engine, text

from services.health.writing import translated
from shared.adapters.database import unit_of_work

EVERY_MS = 30_000
_WRITE = text(
    "UPDATE channel_connector c SET ultimo_heartbeat = to_timestamp(g.at_ms / 1000.0)"
    " FROM (SELECT x.id FROM channel_connector x WHERE x.id = ANY(CAST(:ids AS uuid[])) ORDER BY x.id FOR NO KEY UPDATE) k,"
    " unnest(CAST(:ids AS uuid[]), CAST(:times AS bigint[])) AS g (id, at_ms)"
    " WHERE c.id = k.id AND g.id = c.id AND (c.ultimo_heartbeat IS NULL OR c.ultimo_heartbeat < to_timestamp(g.at_ms / 1000.0))"
)


class Beats:
    """What is known and not written. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def note(self, connector_id: str, at_ms: int) -> None:
        """It lived then."""
        with self._lock:
            self._waiting[connector_id] = max(at_ms, self._waiting.get(connector_id, 0))

    def due(self, now_ms: int) -> dict[str, int]:
        """What may be written now; it counts as written from here on."""
        with self._lock:
            ready = {one: at for one, at in self._waiting.items() if now_ms - self._written.get(one, 0) >= EVERY_MS}
            for one in ready:
                del self._waiting[one]
                self._written[one] = now_ms
            if len(self._written) > 2 * len(ready) + 100_000:
                self._written = {one: at for one, at in self._written.items() if now_ms - at < EVERY_MS}
        return ready


def write_beats(engine: Engine, beats: Beats, now_ms: int) -> int:
    """Write what is due, in one statement; returns how many. What cannot be written waits again. Raises Unavailable."""
    ready = beats.due(now_ms)
    if not ready:
        return 0
    try:
        with translated(), unit_of_work(engine) as session:
            session.execute(_WRITE, {"ids": list(ready), "times": list(ready.values())})
            session.commit()
    except Exception:
        for one, at in ready.items():
            beats.note(one, at)
        raise
    return len(ready)
