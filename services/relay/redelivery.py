"""Redelivery: the copies of held records that are due, in a thread of its own beside the publishing of snapshots.

A thread, because a call to Kafka may wait for seconds: in the publishing loop it would delay a snapshot beyond its two seconds,
and keep the lease's session silent until it ends. Both share the processor, nothing else.

Why no row is lost: it is marked sent and committed, then copied, then the copy's place is noted. Whatever happens between, the
row is `sent`, and whoever leads sends it again: after 30 s without a copy, or once the router has passed the copy without
finishing the row. A second copy finds the row settled and changes nothing. So nothing needs to be fenced: a relay that lost the
lease, asleep between two steps, ends the step that it is in and does no harm (`redelivery_rows`).
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from services.relay.copies import (
    CLAIM_DAYS,
    DONE_DAYS,
    WAKE_DELAY_SECONDS,
    Agenda,
    CopyOutcome,
    Task,
)
from services.relay.raw_copies import Copied, RawCopies
from shared.adapters.outbox import DatabaseAway
from shared.adapters.redelivery_rows import RedeliveryRows, Sending
from shared.domain.errors import ConfigError, NotFound, Unavailable
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import RelayMetrics

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0
_COUNT_AT_MOST = 50_000
_PRUNED_ROWS = 500
_PRUNED_BLOCKS = 128  # a mebibyte of claims
_STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliveryParts:
    """What redelivery works with."""

    rows: RedeliveryRows
    raw: RawCopies
    metrics: RelayMetrics
    poll_seconds: float
    batch_rows: int


@dataclass(slots=True)
class _Marked:
    """Rows that are marked sent and not yet copied."""

    sending: Sending
    outcome: CopyOutcome
    copied: Copied | None = None  # once they are; then only the noting is left


class Redelivery:
    """`lead` and `stand_by` switch it on and off, `wake` may be called at any time; all return at once."""

    def __init__(self, parts: RedeliveryParts) -> None:
        self._parts = parts
        self._metrics = parts.metrics
        self._log = structlog.get_logger()
        self._stop = StopRequest()
        self._leading = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redelivery", daemon=True)
        self._lock = threading.Lock()
        self._awake: set[str] = set()
        self._marked: _Marked | None = None
        self._claim_block: int | None = None
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._state = (True, "")
        self._failure: ConfigError | None = None

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what is away), for `/readyz`."""
        return self._state

    def check(self) -> None:
        """Raises the ConfigError that has ended it, if one has."""
        if self._failure is not None:
            raise self._failure

    def start(self) -> None:
        """Begin, standing by."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step at hand; waits for it."""
        self._stop.set()
        self._leading.set()  # so that it looks
        self._thread.join(_STOP_SECONDS)

    def lead(self) -> None:
        """This relay has the lease."""
        self._leading.set()

    def stand_by(self) -> None:
        """It has not."""
        if not self._stop:
            self._leading.clear()

    def wake(self, accounts: Collection[str]) -> None:
        """A new snapshot of these accounts is out: what waited for their configuration is due."""
        with self._lock:
            self._awake.update(accounts)

    def _run(self) -> None:
        try:
            while not self._stop:
                if self._leading.wait(1.0) and not self._stop:
                    self._lead()
        except ConfigError as error:
            self._failure, self._state = error, (False, str(error))
        finally:
            self._parts.rows.close()
            self._parts.raw.close()

    def _lead(self) -> None:
        """Rounds until the lease is lost; what was marked and not copied is then left to whoever leads next."""
        agenda = Agenda(time.monotonic())
        self._marked = None
        while self._leading.is_set() and not self._stop:
            began = time.monotonic()
            try:
                taken = self._round(agenda)
                self._recovered()
            except ConfigError:
                raise
            except Exception as error:  # whatever it is, the rows are in the table and the next round takes them
                self._fault(error)
                continue
            if not taken:  # at least as long as it took to find nothing: rows that stand behind others are looked at, too
                self._stop.wait(max(self._parts.poll_seconds, time.monotonic() - began))
        self._marked, self._state = None, (True, "")
        self._metrics.held_due.set(0)
        self._metrics.held_due_oldest_seconds.set(0)
        self._parts.rows.close()

    def _round(self, agenda: Agenda) -> int:
        """A batch of what is due, and the tasks whose time has come; how many rows were taken."""
        self._wake_rows()
        taken = 0
        if self._marked is None:
            self._mark(self._parts.rows.take(self._parts.batch_rows), CopyOutcome.SENT)
        if self._marked is not None:
            taken = len(self._marked.sending.rows)
            self._copy_marked(self._marked)
        for task in agenda.due(time.monotonic()):
            began, more = time.monotonic(), False
            try:
                more = self._do(task)
            finally:
                agenda.done(task, time.monotonic(), time.monotonic() - began, more=more)
        return taken

    def _mark(self, sending: Sending, outcome: CopyOutcome) -> None:
        if sending.rows:
            self._marked = _Marked(sending, outcome)

    def _copy_marked(self, marked: _Marked) -> None:
        """Copy a batch that is marked, and note where the copies lie. While Kafka or PostgreSQL is away it stays."""
        began = time.monotonic()
        if marked.copied is None:
            marked.copied = self._parts.raw.copy(marked.sending.rows, self._parts.rows.tenants)
        copied = marked.copied
        self._parts.rows.note_copies(marked.sending, copied.offsets)
        self._marked = None
        counts = Counter(marked.outcome if outcome is CopyOutcome.SENT else outcome for outcome in copied.outcomes)
        for outcome, count in counts.items():
            self._metrics.copies.labels(outcome.value).inc(count)
        self._log.info(
            "held_records_copied",
            rows=len(marked.sending.rows),
            seconds=round(time.monotonic() - began, 3),
            **{outcome.value: count for outcome, count in counts.items()},
        )

    def _do(self, task: Task) -> bool:
        """Whether there is more of it to do."""
        rows = self._parts.rows
        match task:
            case Task.RESEND:
                return self._resend()
            case Task.SWEEP:
                return self._sweep()
            case Task.MEASURE:
                due, oldest_seconds = rows.due(_COUNT_AT_MOST)
                self._metrics.held_due.set(due)
                self._metrics.held_due_oldest_seconds.set(oldest_seconds)
            case Task.PRUNE_DONE:
                self._pruned("held_record", rows.prune_done(dt.timedelta(days=DONE_DAYS), _PRUNED_ROWS))
            case Task.PRUNE_CLAIMS:
                self._prune_claims()
        return False

    def _resend(self) -> bool:
        """A batch of what the router has passed unfinished, or what has no copy. Kafka is asked first, then the rows."""
        if not self._parts.rows.any_long_sent():
            return False
        self._mark(self._parts.rows.take_again(self._parts.raw.reaches(), self._parts.batch_rows), CopyOutcome.RESENT)
        if self._marked is None:
            return False
        full = len(self._marked.sending.rows) == self._parts.batch_rows
        self._copy_marked(self._marked)
        return full

    def _sweep(self) -> bool:
        found = self._parts.rows.sweep(self._parts.batch_rows)
        if found:  # the router makes the next row of a line due; that it had not is worth a line
            self._log.warning("held_records_swept", rows=found)
        return found == self._parts.batch_rows

    def _wake_rows(self) -> None:
        with self._lock:
            accounts = frozenset(self._awake)
        if not accounts:
            return
        delay = dt.timedelta(seconds=WAKE_DELAY_SECONDS)
        if self._parts.rows.wake(accounts, delay, self._parts.batch_rows) < self._parts.batch_rows:
            with self._lock:
                self._awake -= accounts

    def _prune_claims(self) -> None:
        """A piece of the table at a time, round and round: so it needs no index, which every claim would pay for."""
        blocks = self._parts.rows.claim_blocks()
        if self._claim_block is None:
            self._claim_block = random.randrange(max(blocks, 1))  # noqa: S311  so that frequent starts reach every piece
        if self._claim_block >= blocks:
            self._claim_block = 0
        self._pruned("claim", self._parts.rows.prune_claims(dt.timedelta(days=CLAIM_DAYS), self._claim_block, _PRUNED_BLOCKS))
        self._claim_block += _PRUNED_BLOCKS

    def _pruned(self, table: str, rows: int) -> None:
        if rows:
            self._metrics.pruned.labels(table).inc(rows)

    def _recovered(self) -> None:
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        away = self._parts.raw.partitions_away()
        self._state = (not away, f"held records: no answer for raw partitions {away}" if away else "")

    def _fault(self, error: Exception) -> None:
        """Count, tell once per outage, and wait a little longer each time."""
        if isinstance(error, DatabaseAway):
            dependency = "postgresql"
        elif isinstance(error, Unavailable | NotFound):
            dependency = "kafka"
        else:
            dependency, self._marked = "redelivery", None  # what one batch provokes must not hold the others up for ever
            self._log.exception("redelivery_failed")
        self._metrics.faults.labels(dependency).inc()
        state = (False, f"held records: {dependency} away")
        if self._state != state:
            self._log.warning("redelivery_interrupted", dependency=dependency, error=str(error))
        self._state = state
        self._stop.wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
