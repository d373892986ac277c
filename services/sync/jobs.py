"""The worker: take what is due, work on several jobs at once, store results. Any number of processes share one database."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import structlog
from sqlalchemy import Engine

from services.sync.registering import ACTOR, Done, Registrar
from shared.adapters.clock import Clock
from shared.adapters.database import unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.sync_rows import count_jobs, take_jobs, wake_jobs
from shared.adapters.vault import Vault
from shared.domain.errors import ChannelsError, Unavailable
from shared.domain.syncing import SyncState, TakenJob
from shared.management.sync_results import Stored, store_sync
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import SyncMetrics

_BESIDE_SECONDS = 2.0  # between looks at credentials, counts and the clock
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerParts:
    """What a worker works with. `adjust` brings the clock up to PostgreSQL's. `at_once`: jobs under way."""

    worker: Engine
    api: Engine
    credential: Engine
    vault: Vault
    registrar: Registrar
    executor: Executor
    clock: Clock
    metrics: SyncMetrics
    at_once: int
    lease_ms: int
    debounce_ms: int
    poll_seconds: float
    adjust: Callable[[], None] = lambda: None


class Worker:
    """`run` works until it is asked to stop, and then until what is under way is stored."""

    def __init__(self, parts: WorkerParts) -> None:
        self._parts = parts
        self._log = structlog.get_logger()
        self._running: dict[Future[Done], tuple[TakenJob, float]] = {}
        self._beside_at = float("-inf")
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._state = (False, "starting")

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`."""
        return self._state

    def run(self, stop: StopRequest) -> None:
        """Survives the loss of PostgreSQL and of the key service. Raises ConfigError for a schema that is not ours."""
        while not stop or self._running:
            try:
                worked = self.turn(taking=not stop)
            except Unavailable as error:
                self._fault(error)
                stop.wait(self._pause_seconds)
                self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
                continue
            self._state, self._pause_seconds = (True, "working"), _FIRST_PAUSE_SECONDS
            if self._running:
                wait(self._running, timeout=self._parts.poll_seconds, return_when=FIRST_COMPLETED)
            elif not worked:
                stop.wait(self._parts.poll_seconds)

    def turn(self, *, taking: bool = True) -> int:
        """One round; how much there was to do. Raises Unavailable: what is not stored is done again once its lease is over."""
        ended = self._collect()
        if not taking:
            return ended
        if time.monotonic() - self._beside_at >= _BESIDE_SECONDS:
            self._beside()
            self._beside_at = time.monotonic()
        room = self._parts.at_once - len(self._running)
        jobs = self._take(room) if room > 0 else []
        for job in jobs:
            self._running[self._parts.executor.submit(self._parts.registrar.run, job)] = (job, time.monotonic())
        return ended + len(jobs)

    def _take(self, room: int) -> list[TakenJob]:
        parts = self._parts
        with translated(), unit_of_work(parts.worker) as session:
            jobs = take_jobs(session, now_ms=parts.clock.now_ms(), lease_ms=parts.lease_ms, most=room)
            session.commit()
        return jobs

    def _collect(self) -> int:
        ended = [future for future in self._running if future.done()]
        for future in ended:
            job, began = self._running.pop(future)
            try:
                done = future.result()
            except Unavailable as error:
                self._fault(error)  # its lease ends, and it is taken again
                continue
            except Exception as error:
                self._parts.metrics.faults.inc()
                self._log.error("sync_broke", connector_id=job.connector_id, account_id=job.account_id, exc_info=error)
                continue
            self._store(done, time.monotonic() - began)
        return len(ended)

    def _store(self, done: Done, seconds: float) -> None:
        parts, job = self._parts, done.job
        now_ms = parts.clock.now_ms()
        try:
            with translated(), unit_of_work(parts.api, tenant_id=job.tenant_id) as session:
                stored = store_sync(
                    session,
                    parts.vault,
                    job,
                    done.result,
                    synced=done.synced,
                    writes=done.writes,
                    seen=done.seen,
                    now_ms=now_ms,
                    again_ms=now_ms + parts.debounce_ms,
                    actor=ACTOR,
                )
                session.commit()
        except Unavailable:
            raise
        except ChannelsError as error:  # its lease ends, and it is done again
            parts.metrics.faults.inc()
            self._log.error("sync_not_stored", connector_id=job.connector_id, account_id=job.account_id, error=error.code)
            return
        self._tell(done, stored, seconds)

    def _tell(self, done: Done, stored: Stored | None, seconds: float) -> None:
        result, job, metrics = done.result, done.job, self._parts.metrics
        if stored is None:
            self._log.info("sync_superseded", connector_id=job.connector_id, account_id=job.account_id)
            return
        metrics.jobs.labels(done.tipo, result.outcome.value).inc()
        metrics.job_seconds.labels(done.tipo).observe(seconds)
        facts = {
            "tenant_id": job.tenant_id,
            "connector_id": job.connector_id,
            "account_id": job.account_id,
            "outcome": result.outcome.value,
            "cause": result.cause,
            "asked_for": list(job.causes),
            "attempt": job.attempt,
            "seconds": round(seconds, 3),
        }
        if result.good:
            self._log.info("sync_done", **facts, accounts=len(done.synced))
        else:
            more = {"action": result.action, "missing": list(result.missing), "by_hand": list(result.by_hand)}
            again = result.due_ms is not None
            self._log.warning("sync_failed", **facts, **more, again=again)
        for secret_id in stored.rotated:
            metrics.rotations.inc()
            self._log.info("secret_rotated", connector_id=job.connector_id, secret_id=secret_id)

    def _beside(self) -> None:
        parts = self._parts
        with translated():
            parts.adjust()
        now_ms = parts.clock.now_ms()
        with translated(), unit_of_work(parts.credential) as session:
            woken = wake_jobs(session, now_ms)
            session.commit()
        if woken:
            self._log.info("syncs_woken", jobs=woken)
        with translated(), unit_of_work(parts.worker) as session:
            counts = count_jobs(session, now_ms)
        for state in (SyncState.WAITING, SyncState.RUNNING, SyncState.STOPPED):
            parts.metrics.pending.labels(state.value).set(counts.jobs.get(state, 0))
        parts.metrics.oldest_seconds.set(max(0.0, counts.oldest_seconds))

    def _fault(self, error: Unavailable) -> None:
        self._parts.metrics.faults.inc()
        if self._state != (False, str(error)):
            self._log.warning("dependency_away", error=str(error))
        self._state = (False, str(error))
