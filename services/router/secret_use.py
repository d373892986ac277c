"""Which receiving secret proved a webhook last: noted per record, written every few seconds, so that a rotation can be seen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable

import structlog

from services.router.facts import Opened
from shared.adapters.router_store import RecordRejected, RouterStore
from shared.adapters.secret_uses import SecretUseRow, note_secret_uses
from shared.domain.errors import Unavailable

INTERVAL_SECONDS = 5.0
_SECRET_ID = re.compile(r"(?P<webhook>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?P<number>\d{1,6})")


class SecretUses:
    """Times of last use that are not written yet. They serve people: what a crash loses, the next webhook says again."""

    def __init__(self, store: RouterStore, now_seconds: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now_seconds
        self._due = 0.0
        self._last: dict[str, int] = {}

    def note(self, batch: Iterable[Opened]) -> None:
        """Take in what settled."""
        for opened in batch:
            record = opened.record
            if record is not None and record.secret_id is not None:
                self._last[record.secret_id] = max(self._last.get(record.secret_id, 0), record.received_at_ms)

    def flush(self) -> None:
        """Write, if it is time to; a database that is away is tried again later. Raises DatabaseBroken."""
        if not self._last or self._now() < self._due:
            return
        self._due = self._now() + INTERVAL_SECONDS
        named = ((_SECRET_ID.fullmatch(secret_id), at_ms) for secret_id, at_ms in self._last.items())
        rows = sorted(SecretUseRow(match["webhook"], int(match["number"]), at_ms) for match, at_ms in named if match is not None)
        try:
            with self._store.transaction() as cursor:
                note_secret_uses(cursor, rows)
        except Unavailable:
            return
        except RecordRejected as error:  # such as a webhook that was deleted between two statements
            structlog.get_logger().warning("secret_use_rejected", cause=str(error))
        self._last.clear()
