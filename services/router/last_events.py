"""When each webhook row last had an event of its class (`ultimo_evento_em`): noted per record, written every 30 seconds per row.

A connector's records are one router's at a time, so a row is written at most twice a minute, whatever comes in. They serve
people: what a crash loses, the next event says again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import structlog

from services.router.facts import Opened
from shared.adapters.router_store import RecordRejected, RouterStore
from shared.adapters.webhook_events import note_webhook_events
from shared.domain.errors import Unavailable

EVERY_SECONDS = 30.0
_LOOK_SECONDS = 2.0
_MOST_REMEMBERED = 100_000


class LastEvents:
    """Times that are not written yet."""

    def __init__(self, store: RouterStore, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now_seconds
        self._look_at = 0.0
        self._last: dict[str, int] = {}
        self._written: dict[str, float] = {}

    def note(self, batch: Iterable[Opened]) -> None:
        """Take in what settled."""
        for opened in batch:
            if opened.record is None or opened.connector is None or not opened.items:
                continue
            classes = {item.evento for item in opened.items}
            for webhook in opened.connector.webhooks:
                if webhook.evento in classes:
                    self._last[webhook.webhook_id] = max(self._last.get(webhook.webhook_id, 0), opened.record.received_at_ms)

    def flush(self) -> None:
        """Write the rows whose 30 seconds are over; a database that is away is tried again later. Raises DatabaseBroken."""
        now = self._now()
        if not self._last or now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        ready = {one: at for one, at in self._last.items() if now - self._written.get(one, -EVERY_SECONDS) >= EVERY_SECONDS}
        if not ready:
            return
        try:
            with self._store.transaction() as cursor:
                note_webhook_events(cursor, sorted(ready.items()))
        except Unavailable:
            return
        except RecordRejected as error:
            structlog.get_logger().warning("last_event_rejected", cause=str(error))
        for one in ready:
            del self._last[one]
            self._written[one] = now
        if len(self._written) > _MOST_REMEMBERED:
            self._written = {one: at for one, at in self._written.items() if now - at < EVERY_SECONDS}
