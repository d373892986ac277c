"""Hears what flows answer (`automation.intake.completed`) and notes it at the message that waits; the relay brings that back.

A thread beside the router's own loop, with a worker of its own in its own group, because answers must be heard while a batch
waits for something. PostgreSQL first, then one Kafka transaction with the dead letters and the offsets; a batch that is heard
twice after a crash finds its answers given.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from services.router.keys import position_id
from services.router.writing import written
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock
from shared.adapters.intake_rows import AnswerRow, Heard, hear_answers
from shared.adapters.kafka_transactions import Aborted, RawMessage, TransactionalWorker
from shared.adapters.router_store import RouterStore
from shared.domain.enums import IntakeOutcome
from shared.domain.errors import CorruptData, Unavailable
from shared.domain.intake import fault_of, remembered
from shared.domain.outcomes import Publish
from shared.domain.records import DeadLetter, IntakeCompleted, RawPosition
from shared.domain.topics import Topic
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import RouterMetrics

_log = structlog.get_logger()
_AT_ONCE = 500
_AT_ONCE_BYTES = 4 * 1024 * 1024
_PAUSE_SECONDS = 0.5
MALFORMED = "malformed"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerParts:
    """What it works with; `store` is a connection of its own."""

    worker: TransactionalWorker
    store: RouterStore
    codec: Codec
    clock: Clock
    metrics: RouterMetrics
    topic_prefix: str


@dataclass(frozen=True, slots=True)
class _Read:
    """One record: its answer, or why it is none."""

    message: RawMessage
    answer: IntakeCompleted | None
    fault: str | None


class IntakeAnswers:
    """`start` begins the thread, `stop` ends it. `failure`: what ended it by itself, which should end the process."""

    def __init__(self, parts: AnswerParts) -> None:
        self._parts = parts
        self._epoch = ""
        self._stop = StopRequest()
        self._thread = threading.Thread(target=self._run, name="intake-answers", daemon=True)
        self.failure: Exception | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch in hand and leave the group. Blocks."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop:
                try:
                    self._work()
                except (Aborted, Unavailable) as error:
                    _log.warning("answers_wait", cause=str(error))
                    self._recover()
        except Exception as error:  # the router's own loop raises it again
            self.failure = error
        finally:
            self._parts.worker.close()
            self._parts.store.close()

    def _work(self) -> None:
        worker = self._parts.worker
        if not self._epoch:
            worker.start()
            self._epoch = worker.topic_id()
        while not self._stop:
            messages = worker.consume(_AT_ONCE, _AT_ONCE_BYTES, 0.2)
            worker.take_new()  # each begins at its committed offset
            if messages:
                self._hear(messages)

    def _recover(self) -> None:
        while not self._stop:
            self._stop.wait(_PAUSE_SECONDS)
            try:
                if self._epoch:
                    self._parts.worker.consume(1, 1, 0)  # stays in the group
                    self._parts.worker.rewind()
                else:
                    self._parts.worker.close()
                return
            except Unavailable:
                continue

    def _hear(self, messages: Sequence[RawMessage]) -> None:
        reads = [self._read(message) for message in messages]
        letters: list[Publish] = []
        for part in _without_repeats(reads):
            verdicts = self._note(part)
            for read, verdict in zip(part, verdicts, strict=True):
                self._parts.metrics.intake_answers.labels(verdict).inc()
                if verdict == Heard.UNIT_UNKNOWN:
                    letters.append(self._letter(read.message, verdict))
        for read in reads:
            if read.answer is None:
                self._parts.metrics.intake_answers.labels(MALFORMED).inc()
                letters.append(self._letter(read.message, read.fault or MALFORMED))
        ends = {message.partition: message.offset + 1 for message in messages}
        out = [written(letter, self._parts.codec, self._parts.topic_prefix) for letter in letters]
        self._parts.worker.commit(out, ends)

    def _read(self, message: RawMessage) -> _Read:
        try:
            answer: IntakeCompleted = self._parts.codec.decode(Topic.INTAKE_COMPLETED, message.value)
        except CorruptData:
            return _Read(message, None, "undecodable_record")
        fault = fault_of(answer)
        return _Read(message, answer if fault is None else None, fault)

    def _note(self, reads: Sequence[_Read]) -> list[str]:
        rows = [
            AnswerRow(
                request_id=read.answer.request_id,
                answer=remembered(read.answer),
                unit_id=read.answer.org_unit_id if read.answer.outcome is IntakeOutcome.ROUTE else None,
                extend_seconds=read.answer.extend_seconds if read.answer.outcome is IntakeOutcome.EXTEND else None,
            )
            for read in reads
            if read.answer is not None
        ]
        with self._parts.store.transaction() as cursor:
            return [verdict.value for verdict in hear_answers(cursor, rows)]

    def _letter(self, message: RawMessage, reason: str) -> Publish:
        now_ms = self._parts.clock.now_ms()
        key = message.key.decode("utf-8", "replace")
        origin = RawPosition(epoch=self._epoch, partition=message.partition, offset=message.offset)
        event = DeadLetter(
            record_id="",
            tenant_id=None,
            connector_id="",
            account_id=None,
            origin=origin,
            origin_topic=Topic.INTAKE_COMPLETED.value,
            reason=reason,
            detail="",
            schema_version="1",
            first_arrival_at_ms=now_ms,
            dead_lettered_at_ms=now_ms,
            sealed_fragment=None,
        )
        _log.warning("intake_answer_refused", reason=reason, partition=message.partition, offset=message.offset)
        return Publish(
            topic=Topic.INTAKE_COMPLETED_DLQ,
            key=key,
            event_id=position_id(self._epoch, message.partition, message.offset, "", "intake_answer"),
            subject=key,
            time_ms=now_ms,
            event=event,
            connector_id="",
        )


def _without_repeats(reads: Sequence[_Read]) -> list[list[_Read]]:
    """The answers in order, cut before a second one to the same request."""
    parts: list[list[_Read]] = []
    seen: set[str] = set()
    for read in reads:
        if read.answer is None:
            continue
        if not parts or read.answer.request_id in seen:
            parts.append([])
            seen.clear()
        seen.add(read.answer.request_id)
        parts[-1].append(read)
    return parts
