"""Takes in `channel.account.sync_required`: many requests become one row for each registration, in the offset's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from services.sync.coalescing import Asking, Unusable, coalesce, read_request
from services.sync.following import Place
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock
from shared.adapters.consumer_offsets import advance_offset, begin_offset
from shared.adapters.database import constraint_of, is_foreign_row, unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.errand_rows import keep_errands
from shared.adapters.offset_reader import ReadRecord
from shared.adapters.sync_rows import ask_for_jobs, known_subjects
from shared.domain.errors import Unavailable
from shared.domain.topics import Topic
from shared.providers import PROVIDERS
from shared.runtime.metrics import SyncMetrics

CONSUMER = "sync"
SPREAD = frozenset(one.tipo for one in PROVIDERS if one.setting_up is not None and one.setting_up.per_account)
"""Types of connectors whose accounts are registered one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestParts:
    """What it works with. `api`: the role of the use cases. Times in ms."""

    api: Engine
    codec: Codec
    clock: Clock
    metrics: SyncMetrics
    debounce_ms: int
    longest_ms: int


class Requests:
    """Counts requests into `sync_job`; a `Taker`."""

    topics = (Topic.SYNC_REQUIRED,)

    def __init__(self, parts: RequestParts) -> None:
        self._parts = parts
        self._log = structlog.get_logger()

    def begin(self, topic: str, partition: int, topic_id: str) -> int:
        """Where to read on."""
        with translated(), unit_of_work(self._parts.api) as session:
            offset = begin_offset(session, CONSUMER, topic, partition, topic_id)
            session.commit()
        return offset

    def take(self, kind: Topic, place: Place, records: Sequence[ReadRecord]) -> None:
        """One transaction per run of one tenant."""
        read = [(record.offset, read_request(kind, record.value, self._parts.codec.decode)) for record in records]
        start = place.start
        for tenant_id, run in groupby(read, key=lambda one: None if isinstance(one[1], Unusable) else one[1].tenant_id):
            ours = list(run)
            end = ours[-1][0] + 1
            self._write(place, tenant_id, [one for _, one in ours], start=start, end=end)
            start = end

    def rest(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Close what is open."""
        self._parts.api.dispose()

    def _write(self, place: Place, tenant_id: str | None, run: Sequence[Asking | Unusable], *, start: int, end: int) -> None:
        askings = [one for one in run if isinstance(one, Asking)]
        with translated(), _deletions_told(), unit_of_work(self._parts.api, tenant_id=tenant_id) as session:
            advance_offset(session, CONSUMER, place.topic, place.partition, place.topic_id, start=start, end=end)
            lost = self._count(session, askings) if askings else 0
            session.commit()
        for one in run:
            if isinstance(one, Unusable):
                self._log.error("sync_request_refused", topic=place.topic, before_offset=end, reason=one.reason)
        counts = {"taken": len(askings) - lost, "unknown": lost, "refused": len(run) - len(askings)}
        for result, count in counts.items():
            self._parts.metrics.requests.labels(result).inc(count)

    def _count(self, session: Session, askings: Sequence[Asking]) -> int:
        """Returns how many were about what is not there (any more), or is another tenant's."""
        known = known_subjects(
            session,
            {one.connector_id for one in askings},
            {one.account_id for one in askings if one.account_id is not None},
            {one.connector_id for one in askings if one.account_id is None},
            {tipo.value for tipo in SPREAD},
        )
        requests, lost = coalesce(askings, known, SPREAD)
        there = {one.connector_id for one in known}
        keep_errands(session, [(one.connector_id, one.cause, one.detail) for one in askings if one.connector_id in there])
        parts = self._parts
        now_ms = parts.clock.now_ms()
        ask_for_jobs(session, requests, now_ms=now_ms, debounce_ms=parts.debounce_ms, longest_ms=parts.longest_ms)
        return lost


@contextmanager
def _deletions_told() -> Iterator[None]:
    # A connector or account that was there when it was looked for, and is not when its row is written: read again, it is unknown.
    try:
        yield
    except DBAPIError as error:
        if (constraint_of(error) or "").startswith("fk_") or is_foreign_row(error):
            raise Unavailable("a connector or an account was deleted meanwhile") from error
        raise
