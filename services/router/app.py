"""The router's shell: consume, open, sort, claim, gather, decide, commit. The order of the steps is the design's."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from services.router.answers import IntakeAnswers
from services.router.audit import audit
from services.router.batches import Batch, Batches
from services.router.condition import Condition
from services.router.context import Context
from services.router.debounce import Debounce
from services.router.decide import decide
from services.router.facts import Candidate, owns, ranges_of, taken_from
from services.router.fragments import fragment_at
from services.router.gate import gate
from services.router.gathering import Gathering
from services.router.last_events import LastEvents
from services.router.opening import Opener, all_poison, fragment_aad
from services.router.own_faults import OWN_EXCEPTION, OwnFaults, TooManyOwnFaults
from services.router.progress import check_progress
from services.router.recovery import Recovery
from services.router.secret_use import SecretUses
from services.router.sorting import collapse, keep_accounts, sort_out
from services.router.telling import Telling
from services.router.writing import written, written_as_decided
from shared.adapters import held_rows
from shared.adapters import router_store as store
from shared.adapters.avro import Codec
from shared.adapters.clock import Clock, new_uuid7
from shared.adapters.kafka import full_name
from shared.adapters.kafka_transactions import Aborted, TransactionalWorker
from shared.adapters.snapshots import Directory
from shared.domain.errors import ChannelsError, ConfigError, Fenced, Unavailable
from shared.domain.holding import HoldLimits, Position
from shared.domain.items import PoisonItem
from shared.domain.topics import Topic
from shared.providers.documents import MAX_FRAGMENT_BYTES
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import RouterMetrics

_log = structlog.get_logger()
SCHEMA_VERSION = "1"
SYNC_DEBOUNCE_MS = 60_000
# What halving a batch cannot mend: something is away, another worker has the partition, or the program must stop.
_NO_RECORDS_FAULT = (Unavailable, Aborted, store.Stale, Fenced, store.DatabaseBroken, ConfigError, TooManyOwnFaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterParts:
    """What a router is built from."""

    worker: TransactionalWorker
    store: store.RouterStore
    opener: Opener
    directory: Directory
    codec: Codec
    clock: Clock
    metrics: RouterMetrics
    topic_prefix: str
    batch_items: int
    batch_bytes: int
    limits: HoldLimits
    answers: IntakeAnswers


class Router:
    """One router process. `run` works until stopped; it raises Fenced, DatabaseBroken and ConfigError for good reasons."""

    def __init__(self, parts: RouterParts) -> None:
        self._parts = parts
        self._topic = full_name(parts.topic_prefix, Topic.WEBHOOK_RECEIVED)
        self._epoch = ""
        self._batches = Batches(parts.opener, parts.directory, parts.metrics, parts.batch_items, parts.batch_bytes)
        parts.store.wait_in(self._batches.precedence.waiting)
        self._committed: dict[int, int] = {}
        self._sync = Debounce(SYNC_DEBOUNCE_MS)
        self._own_faults = OwnFaults(self._are_other_tenants)
        self._secret_uses = SecretUses(parts.store)
        self._last_events = LastEvents(parts.store)
        self._telling = Telling(parts.metrics)
        self._condition = Condition()
        self._recovery = Recovery(parts.worker, parts.store, self._topic, self._condition)

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether it works, and what it does or waits for; from any thread."""
        return self._condition.ready

    def run(self, stop: StopRequest) -> None:
        """Work until a stop is asked for; the batch in hand is finished first."""
        try:
            self._parts.answers.start()
            self._start(stop)
            while not stop:
                self._turn_or_recover(stop)
            self._condition.waits("stopped")
        except (ChannelsError, ConfigError) as error:
            self._condition.waits(f"stopped: {error}")
            raise
        finally:
            self._parts.answers.stop()
            self._batches.close()
            self._parts.worker.close()
            self._parts.store.close()

    def _turn_or_recover(self, stop: StopRequest) -> None:
        try:
            self._turn()
        except (Aborted, store.Stale) as error:
            self._parts.metrics.transactions_aborted.inc()
            self._recover(error, stop)
        except Unavailable as error:
            self._parts.metrics.database_retries.inc()
            self._recover(error, stop)

    def _recover(self, error: Exception, stop: StopRequest) -> None:
        """Drop what is in hand, go back to the committed offsets, and wait (polling) for what is away."""
        _log.warning("batch_repeats", cause=str(error))
        self._batches.clear()
        self._sync = Debounce(SYNC_DEBOUNCE_MS)  # what it let through may have been aborted
        committed = self._recovery.after(error, self._epoch, stop)
        if committed is not None:
            self._committed = committed

    def _start(self, stop: StopRequest) -> None:
        while not stop and not self._epoch:
            try:
                self._parts.worker.start()
                self._epoch = self._parts.worker.topic_id()
            except Unavailable as error:
                self._condition.waits(str(error))
                _log.warning("start_waits", cause=str(error))
                self._parts.worker.close()
                stop.wait(1.0)

    def _turn(self) -> None:
        """One round: fetch while less than two batches are in hand, then one batch; the next one is opened meanwhile."""
        worker, batches = self._parts.worker, self._batches
        self._condition.turned()
        if self._parts.answers.failure is not None:
            raise self._parts.answers.failure
        wanted = batches.wanted()
        if wanted:
            batches.add(worker.consume(wanted, self._parts.batch_bytes, 0.2 if batches.empty else 0))
        new = worker.take_new()
        if new:
            self._welcome(new)
        gone = batches.partitions() - worker.assigned
        if gone:
            batches.drop(gone)
        batch = batches.take()
        if batch is not None:
            batches.open_ahead()
            with self._batches.precedence.first():
                self._process(batch)
        self._secret_uses.flush()
        self._last_events.flush()
        self._condition.goes_on(worker)

    def _welcome(self, new: frozenset[int]) -> None:
        """Begin with partitions that were just assigned: from the committed offset, whatever was fetched before."""
        self._parts.store.hold(self._topic, new)
        committed = self._parts.worker.committed(new)
        check_progress(self._parts.store, self._topic, self._epoch, committed)
        fetched = self._batches.partitions() & new
        self._batches.drop(fetched)
        self._parts.worker.seek({partition: committed[partition] for partition in fetched})
        self._committed |= committed

    def _process(self, batch: Batch) -> None:
        """Settle one batch; if one of its records is at fault, halve it until that record stands alone."""
        records = batch.records
        try:
            self._settle(batch)
        except _NO_RECORDS_FAULT:
            raise
        except Exception as error:  # the database refuses a value, an event does not fit, a fault of ours
            if len(records) > 1:
                middle = len(records) // 2
                self._process(Batch(records[:middle], None))
                self._process(Batch(records[middle:], None))
                return
            record = records[0]
            reason = "database_rejected" if isinstance(error, store.RecordRejected) else OWN_EXCEPTION
            # an unexpected error's text may quote what somebody wrote to us
            cause = str(error) if isinstance(error, ChannelsError) else type(error).__name__
            _log.error("record_rejected", connector_id=record.connector_id, reason=reason, cause=cause, offset=record.offset)
            self._settle(Batch([all_poison(record, reason)], None))

    def _settle(self, batch: Batch) -> None:
        parts, started, now_ms = self._parts, time.perf_counter(), self._parts.clock.now_ms()
        ranges = ranges_of(batch.records)
        candidates = sort_out(batch.records, parts.directory) if batch.candidates is None else batch.candidates
        self._keep_accounts(candidates)
        winners = collapse(candidates)
        with parts.store.transaction() as cursor:
            bounds = {partition: (self._committed[partition], end) for partition, (_, end) in ranges.items()}
            store.assert_progress(cursor, self._topic, self._epoch, bounds, parts.store.holder)
            owners = self._claim(cursor, winners)
            mine = [one for one in winners if one.claim_key and owns(owners[one.claim_key], self._epoch, one)]
            gathering = Gathering(cursor, self._epoch, new_uuid7, self._telling.collision)
            facts = gathering.gather(mine, owners)
            gathering.held(candidates, mine, facts, ranges)
            gated = gate(candidates, facts, self._epoch, parts.limits, now_ms)
            gathering.receipts(mine, facts)
            held_rows.insert_holds(cursor, gated.holds)
            held_rows.settle_held(cursor, gated.settlements)
            held_rows.wake_heads(cursor, gated.conversations, gated.targets)
        parts.metrics.batch_seconds.labels("database").observe(time.perf_counter() - started)
        self._telling.breaches(gated.breaches)
        self._own_faults.note(_failed_on(candidates), now_ms)
        started = time.perf_counter()
        messages = written_as_decided(decide(candidates, facts, self._context(now_ms)), parts.codec, parts.topic_prefix)
        books = audit(candidates, ranges, self._epoch, now_ms)
        messages += [written(publish, parts.codec, parts.topic_prefix) for publish in books]
        ends = {partition: end for partition, (_, end) in ranges.items()}
        with self._batches.precedence.waiting():
            parts.worker.commit(messages, ends)
        self._committed |= ends
        self._condition.settled()
        parts.metrics.batch_seconds.labels("kafka").observe(time.perf_counter() - started)
        self._telling.settled(candidates)
        self._secret_uses.note(batch.records)
        self._last_events.note(batch.records)

    def _keep_accounts(self, candidates: Iterable[Candidate]) -> None:
        copies = {
            (of.epoch, of.partition, of.offset, of.item): one for one in candidates if (of := one.opened.held_copy_of) is not None
        }
        if copies:
            with self._parts.store.transaction() as cursor:
                held_for = held_rows.accounts_of(cursor, copies)
            keep_accounts(copies.values(), held_for, self._parts.directory)

    def _claim(self, cursor: Any, winners: Iterable[Candidate]) -> dict[bytes, Position]:
        rows = [
            store.ClaimRow(one.claim_key, one.opened.partition, one.opened.offset, one.item.path, taken_from(one.opened))
            for one in winners
            if one.claim_key is not None
        ]
        return store.claim(cursor, self._epoch, rows) if rows else {}

    def _context(self, now_ms: int) -> Context:
        return Context(
            epoch=self._epoch,
            raw_topic=self._topic,
            now_ms=now_ms,
            schema_version=SCHEMA_VERSION,
            seal=self._seal_fragment,
            sync_due=lambda connector_id, refs: self._sync.due((connector_id, refs), now_ms),
        )

    def _seal_fragment(self, candidate: Candidate) -> bytes | None:
        opened, item = candidate.opened, candidate.item
        if opened.record is None or opened.connector is None:
            return None
        plain = item.fragment if isinstance(item, PoisonItem) else fragment_at(opened.body, item.path)
        if not plain or len(plain) > MAX_FRAGMENT_BYTES:
            return None
        aad = fragment_aad(opened.record.tenant_id, opened.record.record_id)
        return self._parts.opener.ring(opened.connector).seal_bytes(plain, aad)

    def _are_other_tenants(self, tenant_id: str) -> bool:
        return any(connector.tenant_id != tenant_id for connector in self._parts.directory.connectors())


def _failed_on(candidates: Iterable[Candidate]) -> set[tuple[str, str]]:
    """(tenant, connector) of the records on which our own code failed."""
    failed = (one.opened for one in candidates if one.ending is not None and one.ending.reason == OWN_EXCEPTION)
    return {(opened.connector.tenant_id if opened.connector else "", opened.connector_id) for opened in failed}
