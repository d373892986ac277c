"""The relay's loop: take a batch of change notices, publish it with its number, delete it.

Why each event comes exactly once: the rows are stamped with the number, and committed, before the Kafka transaction that
carries the same number; only after it they are deleted. Whoever begins (a new relay, or the same after any doubt) fences the
old producer, asks Kafka for the number, and compares: stamped up to it = published, delete; beyond it = not, take again.
Held records are sent again by a thread beside it (`redelivery.py`) for as long as this relay has the lease.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.relay.decide import ProviderOf, Publication, SetAside, plan_batch
from services.relay.redelivery import Redelivery
from shared.adapters.avro import Codec
from shared.adapters.kafka import event_headers, full_name
from shared.adapters.numbered_publisher import NumberedPublisher, OutgoingRecord, PublishFailed
from shared.adapters.outbox import Backlog, DatabaseAway, LeasedOutbox, RelayLease
from shared.domain.errors import InvalidInput, Unavailable
from shared.domain.topics import OUTBOX_EVENTS, Topic
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import RelayMetrics

MAX_RECORD_BYTES = 900_000  # below the broker's default limit: one record too large must not fail its whole batch for ever
_STANDBY_SECONDS = 1.0
_MEASURE_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayParts:
    """What a relay works with."""

    lease: RelayLease
    publisher: NumberedPublisher
    redelivery: Redelivery
    codec: Codec
    provider_of: ProviderOf
    metrics: RelayMetrics
    topic_prefix: str
    poll_seconds: float
    batch_rows: int


class Relay:
    """`run` works until it is asked to stop; only one of all relays on a database publishes at a time."""

    def __init__(self, parts: RelayParts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._log = structlog.get_logger()
        self._next_number = 1
        self._measured_at = 0.0
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._state = (False, "starting")

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`; standing by is ready."""
        redelivers, fault = self._parts.redelivery.readiness
        return self._state if redelivers or not self._state[0] else (False, fault)

    def run(self, stop: StopRequest) -> None:
        """Stand by, lead, and survive the loss of PostgreSQL and Kafka. Raises ConfigError when the schema is not the relay's."""
        self._parts.redelivery.start()
        try:
            while not stop:
                self._parts.redelivery.check()
                try:
                    with self._parts.lease.acquired() as outbox:
                        if outbox is None:
                            self._become("standby")
                            stop.wait(_STANDBY_SECONDS)
                        else:
                            self._lead(outbox, stop)
                except DatabaseAway as error:
                    self._fault("postgresql", error, stop)
                finally:
                    self._parts.redelivery.stand_by()
                    self._metrics.active.set(0)
                    self._parts.publisher.close()
        finally:
            self._parts.redelivery.stop()
            self._parts.lease.close()

    def _lead(self, outbox: LeasedOutbox, stop: StopRequest) -> None:
        """Publish until the stop or the loss of the lease. After any fault of Kafka: a new producer, and compare."""
        outbox.retry_set_aside()
        self._parts.redelivery.lead()
        while not stop:
            outbox.check()  # before fencing others: is it still ours?
            try:
                self._next_number = outbox.recover(self._parts.publisher.open()) + 1
                self._become("active")
                self._metrics.active.set(1)
                self._follow(outbox, stop)
            except DatabaseAway:
                raise
            except Unavailable as error:
                self._fault("kafka" if isinstance(error, PublishFailed) else "schema_registry", error, stop)

    def _follow(self, outbox: LeasedOutbox, stop: StopRequest) -> None:
        while not stop:
            self._parts.redelivery.check()
            taken = self._publish_next(outbox)
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            self._measure(outbox)
            if taken < self._parts.batch_rows:
                stop.wait(self._parts.poll_seconds)

    def _publish_next(self, outbox: LeasedOutbox) -> int:
        """One batch; returns how many rows it took."""
        number = self._next_number
        with outbox.batch(number, self._parts.batch_rows) as batch:
            if not batch.notices:
                return 0
            publications, aside = plan_batch(batch.notices, batch.rows, self._parts.provider_of)
            records, unfit = self._encoded(publications)
            batch.set_aside([notice_id for one in [*aside, *unfit] for notice_id in one.notice_ids])
        self._tell_set_aside([*aside, *unfit])
        self._next_number = number + 1
        if records:
            self._parts.publisher.publish([record for _, record in records], number)
        told = [publication for publication, _ in records]
        snapshots = {publication.key for publication in told if publication.topic not in OUTBOX_EVENTS}
        outbox.settle(number, snapshots)
        self._parts.redelivery.wake({one.key for one in told if one.topic is Topic.ACCOUNT_SNAPSHOT})
        counts = Counter(publication.topic.value for publication in told)
        for topic, count in counts.items():
            self._metrics.published.labels(topic).inc(count)
        self._log.info("batch_published", number=number, rows=len(batch.notices), records=dict(counts))
        return len(batch.notices)

    def _encoded(self, publications: Sequence[Publication]) -> tuple[list[tuple[Publication, OutgoingRecord]], list[SetAside]]:
        records: list[tuple[Publication, OutgoingRecord]] = []
        unfit: list[SetAside] = []
        for one in publications:
            reason = "record_too_large"
            try:
                value = None if one.value is None else self._parts.codec.encode(one.topic, one.value)
                if len(value or b"") <= MAX_RECORD_BYTES:
                    records.append((one, self._record(one, value)))
                    continue
            except InvalidInput as error:
                reason = error.code
            unfit.append(SetAside(topic=one.topic, subject_id=one.key, notice_ids=one.notice_ids, reason=reason))
        return records, unfit

    def _record(self, publication: Publication, value: bytes | None) -> OutgoingRecord:
        return OutgoingRecord(
            topic=full_name(self._parts.topic_prefix, publication.topic),
            key=publication.key.encode(),
            value=value,
            headers=event_headers(
                event_id=publication.event_id,
                event_type=publication.topic.value,
                source="/channels/relay",
                subject=publication.key,
                time_ms=publication.time_ms,
            ),
        )

    def _tell_set_aside(self, aside: Sequence[SetAside]) -> None:
        for one in aside:
            self._metrics.set_aside.labels(one.topic.value).inc(len(one.notice_ids))
            self._log.error(
                "notice_set_aside", topic=one.topic.value, subject_id=one.subject_id, rows=one.notice_ids, reason=one.reason
            )

    def _measure(self, outbox: LeasedOutbox) -> None:
        now = time.monotonic()
        if now - self._measured_at < _MEASURE_SECONDS:
            return
        self._measured_at = now
        backlog: Backlog = outbox.backlog()
        self._metrics.outbox_pending.set(backlog.waiting)
        self._metrics.outbox_oldest_seconds.set(backlog.oldest_seconds)
        self._metrics.outbox_set_aside.set(backlog.set_aside)

    def _become(self, state: str) -> None:
        if self._state != (True, state):
            self._log.info("relay_state", state=state)
        self._state = (True, state)

    def _fault(self, dependency: str, error: Exception, stop: StopRequest) -> None:
        """Count, tell once per outage, and wait a little longer each time."""
        self._metrics.active.set(0)
        self._metrics.faults.labels(dependency).inc()
        state = (False, f"{dependency} away")
        if self._state != state:
            self._log.warning("dependency_away", dependency=dependency, error=str(error))
        self._state = state
        stop.wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
