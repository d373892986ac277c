"""The rhythm of the checks: take what is due, prepare, ask at once up to a bound, write in batches. Lives on one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine, text

from services.health.checks import Checks, Ready
from services.health.decide import Breaker
from services.health.liveness import Beats, write_beats
from services.health.writing import CheckWriter, Outcome, Written, translated
from shared.adapters.clock import Clock
from shared.adapters.database import unit_of_work
from shared.adapters.health_rows import SubjectRow, plan_subjects, prune_checks, take_due
from shared.domain.enums import HealthStatus
from shared.domain.errors import Unavailable
from shared.runtime.metrics import HealthMetrics

_LEASE_MS = 120_000
_POLL_SECONDS = 0.25
_GATHER_SECONDS = 0.2
_BATCH = 500
_PLAN_ROWS = 50_000
_PRUNE_ROWS = 5_000
_LONGEST_PAUSE_SECONDS = 2.0
_DAY_MS = 86_400_000
_COUNTS = text(
    "SELECT CASE WHEN account_id IS NULL THEN 'connector' ELSE 'account' END AS subject, breaker, count(*) AS rows"
    " FROM health_state WHERE breaker <> 'closed' GROUP BY 1, 2"
)
_PAUSED = text("SELECT count(*) FROM account_state WHERE route = 'paused' AND starts_with(route_cause, 'health_')")
_BEHIND = text("SELECT coalesce(extract(epoch FROM to_timestamp(:now / 1000.0) - min(due_at)), 0) FROM health_state")


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundParts:
    """What the rounds work with. `at_once`: checks under way."""

    worker: Engine
    checks: Checks
    writer: CheckWriter
    beats: Beats
    clock: Clock
    metrics: HealthMetrics
    at_once: int
    every_seconds: int
    keep_days: int


class Rounds:
    """`run` until `stop`; `drained` is set once all is written. The other methods are for timers, in threads."""

    def __init__(self, parts: RoundParts) -> None:
        self._parts = parts
        self._log = structlog.get_logger()
        self._under_way: set[asyncio.Task[None]] = set()
        self._done: asyncio.Queue[Outcome] = asyncio.Queue()
        self._stopping = False
        self.state = (False, "starting")
        self.drained = asyncio.Event()

    async def run(self) -> None:
        """Survives the loss of PostgreSQL and of the key service."""
        writing = asyncio.create_task(self._write_forever())
        pause = _POLL_SECONDS
        try:
            while not self._stopping:
                try:
                    taken = await self._begin()
                    self.state, pause = (True, "checking"), _POLL_SECONDS
                    if not taken:
                        await asyncio.sleep(_POLL_SECONDS)
                except Unavailable as error:
                    self._fault(error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        finally:
            await asyncio.gather(*self._under_way, return_exceptions=True)
            await self._done.join()
            writing.cancel()
            self.drained.set()

    def stop(self) -> None:
        """Take nothing more; `run` ends once what is under way is written."""
        self._stopping = True

    async def _begin(self) -> int:
        room = min(self._parts.at_once - len(self._under_way) - self._done.qsize(), _BATCH)
        if room <= 0:
            await asyncio.sleep(_POLL_SECONDS / 5)
            return 1
        subjects = await asyncio.to_thread(self._take, room)
        if subjects:
            for ready in await asyncio.to_thread(self._parts.checks.prepare, subjects):
                task = asyncio.create_task(self._check(ready))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        return len(subjects)

    def _take(self, most: int) -> list[SubjectRow]:
        now_ms = self._parts.clock.now_ms()
        with translated(), unit_of_work(self._parts.worker) as session:
            subjects = take_due(session, now_ms=now_ms, lease_ms=_LEASE_MS, most=most)
            session.commit()
        return subjects

    async def _check(self, ready: Ready) -> None:
        self._done.put_nowait(await self._parts.checks.run(ready))

    async def _write_forever(self) -> None:
        while True:
            batch = [await self._done.get()]
            await asyncio.sleep(_GATHER_SECONDS)
            while not self._done.empty() and len(batch) < _BATCH:
                batch.append(self._done.get_nowait())
            await self._write(batch)
            for _ in batch:
                self._done.task_done()

    async def _write(self, batch: Sequence[Outcome]) -> None:
        """Until it is written, or the leases are over and somebody else has begun anew."""
        deadline, pause = self._parts.clock.now_ms() + _LEASE_MS // 2, _POLL_SECONDS
        while True:
            try:
                for written in await asyncio.to_thread(self._parts.writer.write, batch):
                    self._tell(written)
                return
            except Unavailable as error:
                self._fault(error)
                if self._parts.clock.now_ms() > deadline:
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _tell(self, written: Written) -> None:
        outcome, verdict, metrics = written.outcome, written.verdict, self._parts.metrics
        if verdict is None:
            return
        tipo, subject = outcome.subject.tipo.value, "account" if outcome.subject.account_id else "connector"
        metrics.checks.labels(tipo, subject, verdict.grade.value).inc()
        metrics.seconds.labels(tipo).observe(outcome.duration_ms / 1000)
        if outcome.finding.status is None or outcome.finding.status is HealthStatus.FAILED:
            internal = outcome.finding.cause == "internal_error"
            reason = "internal" if internal else "failed" if outcome.finding.status else "unknown"
            metrics.failures.labels(tipo, reason).inc()
        elif verdict.standing.breaker is Breaker.CLOSED:
            self._parts.beats.note(outcome.subject.connector_id, outcome.at_ms)
        moved = "held_back" if verdict.held_back else verdict.transition.value if verdict.transition else None
        if moved is not None:
            metrics.transitions.labels(tipo, moved).inc()
            ids = {"connector_id": outcome.subject.connector_id, "account_id": outcome.subject.account_id}
            self._log.warning("breaker_moved", transition=moved, cause=outcome.finding.cause, **ids)

    def plan(self) -> int:
        """Give new connectors and accounts their first check: a few at once, many spread over an interval. Blocks."""
        now_ms = self._parts.clock.now_ms()
        made = 0
        with translated(), unit_of_work(self._parts.worker) as session:
            made += plan_subjects(session, now_ms=now_ms, spread_seconds=2.0, most=100)
            if made == 100:
                made += plan_subjects(session, now_ms=now_ms, spread_seconds=self._parts.every_seconds, most=_PLAN_ROWS)
            session.commit()
        return made

    def beat(self) -> int:
        """Write the heartbeats that are due. Blocks."""
        return write_beats(self._parts.worker, self._parts.beats, self._parts.clock.now_ms())

    def prune(self) -> int:
        """Delete old checks, in small batches, each a transaction. Blocks."""
        before_ms, pruned = self._parts.clock.now_ms() - self._parts.keep_days * _DAY_MS, 0
        while True:
            with translated(), unit_of_work(self._parts.worker) as session:
                gone = prune_checks(session, before_ms=before_ms, most=_PRUNE_ROWS)
                session.commit()
            pruned += gone
            if gone < _PRUNE_ROWS:
                self._parts.metrics.pruned.inc(pruned)
                return pruned

    def measure(self) -> None:
        """Set the gauges. Blocks."""
        metrics = self._parts.metrics
        egress, ours = self._parts.writer.egress()
        metrics.failing_connectors.set(egress.failing)
        metrics.egress_suspect.set(ours)
        if ours:
            self._log.error("egress_suspect", failing=egress.failing, connectors=egress.connectors)
        with translated(), unit_of_work(self._parts.worker) as session:
            counts = {(row.subject, row.breaker): row.rows for row in session.execute(_COUNTS)}
            metrics.paused_routes.set(session.execute(_PAUSED).scalar_one())
            behind = session.execute(_BEHIND, {"now": self._parts.clock.now_ms()}).scalar_one()
        metrics.behind_seconds.set(max(0.0, float(behind)))
        for subject in ("account", "connector"):
            for breaker in (Breaker.OPEN, Breaker.HALF_OPEN):
                metrics.breakers.labels(subject, breaker.value).set(counts.get((subject, breaker.value), 0))

    def _fault(self, error: Unavailable) -> None:
        self._parts.metrics.faults.labels("postgresql").inc()
        if self.state[0]:
            self._log.warning("dependency_away", dependency="postgresql", error=str(error))
        self.state = (False, "postgresql away")
