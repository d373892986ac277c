"""The loop of sync: read from where the database stands, decide, write record and offset in one transaction, tell."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import structlog

from services.sync.decide import Forget, Order, Refuse, Step, Take, read_order, runs_of_one_tenant
from services.sync.writing import Effect, ReferenceWriter
from shared.adapters.avro import Codec
from shared.adapters.kafka import full_name
from shared.adapters.offset_reader import OffsetReader, ReadRecord
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.errors import Fenced, Unavailable
from shared.domain.topics import Topic
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import SyncMetrics

TOPICS = (Topic.ORG_UNIT_SNAPSHOT, Topic.FLOW_SNAPSHOT)
_MEASURE_SECONDS = 5.0
_STANDBY_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncParts:
    """What sync works with."""

    bootstrap: str
    topic_prefix: str
    codec: Codec
    writer: ReferenceWriter
    metrics: SyncMetrics
    poll_seconds: float
    batch_records: int


class Sync:
    """`run` keeps the reference tables equal to the topics until it is asked to stop."""

    def __init__(self, parts: SyncParts) -> None:
        self._parts = parts
        self._kinds = {full_name(parts.topic_prefix, kind): kind for kind in TOPICS}
        self._topic_ids: dict[str, str] = {}
        self._next: dict[tuple[str, int], int] = {}
        self._log = structlog.get_logger()
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._measured_at = 0.0
        self._state = (False, "starting")

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`."""
        return self._state

    def run(self, stop: StopRequest) -> None:
        """Follow the topics; survives the loss of PostgreSQL and Kafka. Raises ConfigError for a schema that is not ours."""
        try:
            while not stop:
                reader = OffsetReader(self._parts.bootstrap, f"{self._parts.topic_prefix}channels-sync")
                try:
                    self._follow(reader, stop)
                except Fenced:
                    self._state = (True, "standby")
                    stop.wait(_STANDBY_SECONDS)
                except Unavailable as error:
                    self._fault(error, stop)
                finally:
                    reader.close()
        finally:
            self._parts.writer.close()

    def _follow(self, reader: OffsetReader, stop: StopRequest) -> None:
        self._next = {}
        for topic in self._kinds:
            self._topic_ids[topic] = topic_incarnation(self._parts.bootstrap, topic)
            for partition in reader.partitions(topic):
                self._next[topic, partition] = self._parts.writer.begin(topic, partition, self._topic_ids[topic])
        reader.read_from(self._next)
        self._become("active")
        while not stop:
            records = reader.read(self._parts.batch_records, self._parts.poll_seconds)
            ordered = sorted(records, key=lambda record: (record.topic, record.partition, record.offset))
            for (topic, partition), part in groupby(ordered, key=lambda record: (record.topic, record.partition)):
                self._take_in(topic, partition, list(part))
            self._measure()
            self._pause_seconds = _FIRST_PAUSE_SECONDS

    def _take_in(self, topic: str, partition: int, records: Sequence[ReadRecord]) -> None:
        """The records of one partition, in order: one transaction per run of one tenant."""
        kind, writer = self._kinds[topic], self._parts.writer
        known: dict[str, str] = {}  # whose a unit is that came earlier in this batch
        steps = []
        for record in records:
            order = read_order(kind, record.key, record.value, self._parts.codec.decode)
            tenant_id = self._tenant_of(kind, order, known)
            steps.append(Step(offset=record.offset, tenant_id=tenant_id, order=order))
        for tenant_id, run in runs_of_one_tenant(steps):
            start = self._next[topic, partition]
            effects = writer.write(kind, topic, partition, self._topic_ids[topic], tenant_id, run, start=start)
            self._next[topic, partition] = run[-1].offset + 1
            for step, effect in zip(run, effects, strict=True):
                self._tell(kind, step, effect)

    def _tenant_of(self, kind: Topic, order: Order, known: dict[str, str]) -> str | None:
        if isinstance(order, Take):
            known.setdefault(order.subject_id, order.tenant_id)
            return order.tenant_id
        if isinstance(order, Forget):
            return self._parts.writer.owner_of(kind, order.subject_id) or known.get(order.subject_id)
        return None

    def _tell(self, kind: Topic, step: Step, effect: Effect) -> None:
        if isinstance(effect, Refuse):
            self._parts.metrics.records.labels(kind.value, "refused").inc()
            self._log.error("reference_refused", topic=kind.value, offset=step.offset, reason=effect.reason)
            return
        self._parts.metrics.records.labels(kind.value, effect.result.value).inc()
        self._log.info("reference_taken", topic=kind.value, offset=step.offset, result=effect.result.value, lost=len(effect.lost))
        for one in effect.lost:
            self._parts.metrics.targets_lost.labels(one.target, one.cause).inc()
            self._log.warning(
                "account_target_lost",
                tenant_id=step.tenant_id,
                connector_id=one.connector_id,
                account_id=one.account_id,
                target=one.target,
                cause=one.cause,
                instead=one.instead,
            )

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._measured_at >= _MEASURE_SECONDS:
            self._measured_at = now
            for target, count in self._parts.writer.lost_targets().items():
                self._parts.metrics.accounts_without_target.labels(target).set(count)

    def _become(self, state: str) -> None:
        if self._state != (True, state):
            self._log.info("sync_state", state=state)
        self._state = (True, state)

    def _fault(self, error: Unavailable, stop: StopRequest) -> None:
        self._parts.metrics.faults.inc()
        if self._state != (False, str(error)):
            self._log.warning("dependency_away", error=str(error))
        self._state = (False, str(error))
        stop.wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
