"""Takes in units and flows of other modules: decide, write record and offset in one transaction, tell."""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from services.sync.decide import Forget, Order, Refuse, Step, Take, read_order, runs_of_one_tenant
from services.sync.following import Place
from services.sync.writing import Effect, ReferenceWriter
from shared.adapters.avro import Codec
from shared.adapters.offset_reader import ReadRecord
from shared.domain.topics import Topic
from shared.runtime.metrics import SyncMetrics

_MEASURE_SECONDS = 5.0


class References:
    """Keeps the reference tables equal to the topics; a `Taker`."""

    topics = (Topic.ORG_UNIT_SNAPSHOT, Topic.FLOW_SNAPSHOT)

    def __init__(self, codec: Codec, writer: ReferenceWriter, metrics: SyncMetrics) -> None:
        self._codec = codec
        self._writer = writer
        self._metrics = metrics
        self._log = structlog.get_logger()
        self._measured_at = 0.0

    def begin(self, topic: str, partition: int, topic_id: str) -> int:
        """Where to read on."""
        return self._writer.begin(topic, partition, topic_id)

    def take(self, kind: Topic, place: Place, records: Sequence[ReadRecord]) -> None:
        """One transaction per run of one tenant."""
        known: dict[str, str] = {}  # whose a unit is that came earlier in this batch
        steps = []
        for record in records:
            order = read_order(kind, record.key, record.value, self._codec.decode)
            steps.append(Step(offset=record.offset, tenant_id=self._tenant_of(kind, order, known), order=order))
        start = place.start
        for tenant_id, run in runs_of_one_tenant(steps):
            effects = self._writer.write(kind, place.topic, place.partition, place.topic_id, tenant_id, run, start=start)
            start = run[-1].offset + 1
            for step, effect in zip(run, effects, strict=True):
                self._tell(kind, step, effect)

    def rest(self) -> None:
        """Count accounts without a target, now and then."""
        now = time.monotonic()
        if now - self._measured_at >= _MEASURE_SECONDS:
            self._measured_at = now
            for target, count in self._writer.lost_targets().items():
                self._metrics.accounts_without_target.labels(target).set(count)

    def close(self) -> None:
        """Close what is open."""
        self._writer.close()

    def _tenant_of(self, kind: Topic, order: Order, known: dict[str, str]) -> str | None:
        if isinstance(order, Take):
            known.setdefault(order.subject_id, order.tenant_id)
            return order.tenant_id
        if isinstance(order, Forget):
            return self._writer.owner_of(kind, order.subject_id) or known.get(order.subject_id)
        return None

    def _tell(self, kind: Topic, step: Step, effect: Effect) -> None:
        if isinstance(effect, Refuse):
            self._metrics.records.labels(kind.value, "refused").inc()
            self._log.error("reference_refused", topic=kind.value, offset=step.offset, reason=effect.reason)
            return
        self._metrics.records.labels(kind.value, effect.result.value).inc()
        self._log.info("reference_taken", topic=kind.value, offset=step.offset, result=effect.result.value, lost=len(effect.lost))
        for one in effect.lost:
            self._metrics.targets_lost.labels(one.target, one.cause).inc()
            self._log.warning(
                "account_target_lost",
                tenant_id=step.tenant_id,
                connector_id=one.connector_id,
                account_id=one.account_id,
                target=one.target,
                cause=one.cause,
                instead=one.instead,
            )
