"""The rotator's loop: plan, tell, take what is due, call, store. Any number of processes share one database; none leads.

Order of one renewal: the intent is committed; the call is made; the new tokens are stored, and only then can anybody use them. An
answer that cannot be stored stays in memory and is tried until it can; nobody is called for that token meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from functools import partial

import structlog

from services.token_rotator.calling import Caller, Result, Retired, Tested, carry_out
from services.token_rotator.decide import Policy, Postpone, Stop
from services.token_rotator.orders import Order
from services.token_rotator.schedule import Schedule, Taken
from shared.adapters.clock import Clock
from shared.domain.errors import ChannelsError, KeyRefused, Unavailable
from shared.domain.renewals import Job
from shared.management.renewed_tokens import RenewedTokens
from shared.runtime.lifecycle import StopRequest
from shared.runtime.metrics import TokenRotatorMetrics

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How often what is looked at; seconds. `settle`: how long the database must have been there before others' leases count."""

    poll: float = 1.0
    plan: float = 5.0
    replan: float = 600.0
    tell: float = 5.0
    settle: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatorParts:
    """What a rotator works with. `adjust` brings the clock up to PostgreSQL's."""

    schedule: Schedule
    caller: Caller
    clock: Clock
    executor: Executor
    metrics: TokenRotatorMetrics
    policy: Policy
    rhythm: Rhythm
    calls: int
    adjust: Callable[[], None] = lambda: None


@dataclass(slots=True)
class _Unwritten:
    """What is known and not in the database yet."""

    renewed: list[tuple[Order, RenewedTokens]] = field(default_factory=list)
    retired: list[Order] = field(default_factory=list)
    postponed: list[tuple[Job, Postpone, bool]] = field(default_factory=list)
    stopped: list[tuple[Order, Stop]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.renewed) + len(self.retired) + len(self.postponed) + len(self.stopped)


class Rotator:
    """`run` works until it is asked to stop, and then until every answer is stored."""

    def __init__(self, parts: RotatorParts) -> None:
        self._parts = parts
        self._schedule = parts.schedule
        self._metrics = parts.metrics
        self._log = structlog.get_logger()
        self._running: dict[Future[Result], Order] = {}
        self._unwritten = _Unwritten()
        self._done_at: dict[str, int] = {}  # periodic work → when it was done last, ms
        self._steady_since: int | None = None
        self._replanning = True
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._state = (False, "starting")

    @property
    def readiness(self) -> tuple[bool, str]:
        """(can work, what it is doing), for `/readyz`."""
        return self._state

    def run(self, stop: StopRequest) -> None:
        """Survives the loss of PostgreSQL. Raises ConfigError for a schema that is not ours."""
        while not stop or self._running or self._unwritten:
            try:
                worked = self.turn(taking=not stop)
            except ChannelsError as error:
                self._fault(error, stop)
                continue
            self._become()
            if self._running:
                wait(self._running, timeout=0.05 if worked else self._parts.rhythm.poll, return_when=FIRST_COMPLETED)
            elif not worked:
                stop.wait(self._parts.rhythm.poll)

    def turn(self, *, taking: bool = True) -> bool:
        """One round; whether there was anything to do. Raises Unavailable: what is known stays in memory."""
        finished = self._collect()
        self._write()
        if not taking:
            return finished > 0
        self._steady_since = self._steady_since or self._parts.clock.now_ms()
        self._periodic()
        return self._take() > 0 or finished > 0

    def _periodic(self) -> None:
        rhythm = self._parts.rhythm
        if self._is_time("adjust", rhythm.tell):
            self._parts.adjust()
        if self._is_time("replan", rhythm.replan):
            self._replanning = True
        if self._replanning:
            _, last = self._schedule.plan_next_page()
            self._replanning = not last
        if self._is_time("plan", rhythm.plan):
            self._schedule.plan_new()
        if self._is_time("tell", rhythm.tell):
            self._metrics.stopped.set(self._schedule.stopped())
            for notice in self._schedule.tell():
                self._metrics.notices.labels(str(notice.threshold_seconds)).inc()
                self._log.warning(
                    "token_expiring",
                    connector_id=notice.connector_id,
                    token_id=notice.token_id,
                    kind=notice.kind.value,
                    threshold_seconds=notice.threshold_seconds,
                    renewal=notice.renewal,
                    cause=notice.cause,
                )

    def _is_time(self, what: str, seconds: float) -> bool:
        now = self._parts.clock.now_ms()
        if what in self._done_at and now - self._done_at[what] < seconds * 1000:
            return False
        self._done_at[what] = now
        return True

    def _take(self) -> int:
        room = self._parts.calls - len(self._running) - len(self._unwritten)
        if room <= 0:
            return 0
        steady_ms = self._parts.clock.now_ms() - (self._steady_since or 0)
        taken: Taken = self._schedule.take(room, abandoned=steady_ms >= self._parts.rhythm.settle * 1000)
        self._metrics.due_lag_seconds.set(taken.lag_seconds)
        for service in taken.without_budget:
            self._metrics.budget_refusals.labels(service).inc()
        for order, credentials in taken.ready:
            work = partial(carry_out, order, credentials, self._parts.caller, self._parts.clock, self._parts.policy)
            self._running[self._parts.executor.submit(work)] = order
        self._unwritten.postponed += [(job, how, False) for job, how in taken.postponed]
        self._unwritten.stopped += taken.stopped
        for job, how in taken.postponed:
            self._count(job, how.outcome, cause=how.cause)
        for order, stop in taken.stopped:
            self._count(order.job, stop.outcome, cause=stop.cause)
        return len(taken.ready) + len(taken.postponed) + len(taken.stopped)

    def _collect(self) -> int:
        """Take in the calls that have ended."""
        ended = [future for future in self._running if future.done()]
        for future in ended:
            order = self._running.pop(future)
            try:
                self._note(order, future.result())
            except Exception as error:  # of our own making: no answer can be trusted to have been none
                self._log.error("call_failed", token_id=order.job.token_id, error=type(error).__name__)
                due = self._parts.clock.now_ms() + self._parts.policy.longest_backoff * 1000
                how = Postpone(due_ms=due, cause="internal_error", outcome="unknown", unknown=True)
                self._unwritten.postponed.append((order.job, how, False))
                self._count(order.job, how.outcome, cause=how.cause)
        return len(ended)

    def _note(self, order: Order, result: Result) -> None:
        match result.outcome:
            case RenewedTokens() as renewed:
                self._unwritten.renewed.append((order, renewed))
            case Retired():
                self._unwritten.retired.append(order)
            case Tested(grade=grade, cause=cause, due_ms=due_ms):
                how = Postpone(due_ms=due_ms, cause=cause or "", outcome="tested")
                self._unwritten.postponed.append((order.job, how, True))
                self._metrics.tests.labels(order.job.service, grade).inc()
                level = self._log.info if cause is None else self._log.warning
                level("token_tested", connector_id=order.job.connector_id, token_id=order.job.token_id, grade=grade, cause=cause)
            case Postpone() as how:
                self._unwritten.postponed.append((order.job, how, False))
                self._count(order.job, how.outcome, cause=how.cause)
            case Stop() as stop:
                self._unwritten.stopped.append((order, stop))
                self._count(order.job, stop.outcome, cause=stop.cause)

    def _write(self) -> None:
        """Everything that is known, the new tokens first; raises Unavailable, and keeps what is not written."""
        waiting = self._unwritten
        self._metrics.unstored.set(len(waiting.renewed))
        if waiting.renewed:
            self._store(waiting.renewed)
        if waiting.retired:
            self._retire(waiting.retired)
        for fresh in (False, True):
            rows = [(job, how) for job, how, anew in waiting.postponed if anew is fresh]
            if rows:
                self._schedule.postpone(rows, fresh=fresh)
                waiting.postponed = [one for one in waiting.postponed if one[2] is not fresh]
        while waiting.stopped:
            self._stop(*waiting.stopped[-1])
            waiting.stopped.pop()
        self._metrics.unstored.set(len(waiting.renewed))

    def _retire(self, waiting: list[Order]) -> None:
        try:
            self._metrics.retired.inc(len(self._schedule.retire(waiting)))
        except Unavailable:
            raise
        except ChannelsError as error:  # one of them is the last that its connector has: none is taken away now
            due = self._parts.clock.now_ms() + self._parts.policy.longest_backoff * 1000
            how = Postpone(due_ms=due, cause=error.code, outcome="refused")
            self._unwritten.postponed += [(order.job, how, False) for order in waiting]
            self._log.warning("not_retired", tokens=[order.job.token_id for order in waiting], error=error.code)
        waiting.clear()

    def _stop(self, order: Order, stop: Stop) -> None:
        names = {"connector_id": order.job.connector_id, "token_id": order.job.token_id}
        try:
            if self._schedule.stop(order, stop):
                self._log.error("renewal_stopped", **names, cause=stop.cause, action=stop.action)
        except Unavailable:
            raise
        except ChannelsError as error:  # its lease ends, and another look at it decides again
            self._metrics.faults.labels("stop").inc()
            self._log.error("renewal_not_stopped", **names, error=error.code)

    def _store(self, waiting: list[tuple[Order, RenewedTokens]]) -> None:
        try:
            self._count_stored(waiting, self._schedule.store([one for _, one in waiting]))
            waiting.clear()
        except ChannelsError as error:
            if isinstance(error, Unavailable) and not isinstance(error, KeyRefused):
                raise
            self._store_one_by_one(waiting)

    def _store_one_by_one(self, waiting: list[tuple[Order, RenewedTokens]]) -> None:
        """One that cannot be stored must not cost the others their tokens; it stays, and is tried again."""
        for one in list(waiting):
            try:
                self._count_stored([one], self._schedule.store([one[1]]))
            except ChannelsError as error:
                if isinstance(error, Unavailable) and not isinstance(error, KeyRefused):
                    raise
                self._metrics.faults.labels("store").inc()
                self._log.error("renewal_not_stored", token_id=one[0].job.token_id, error=error.code)
                continue
            waiting.remove(one)

    def _count_stored(self, waiting: Sequence[tuple[Order, RenewedTokens]], stored: set[str]) -> None:
        for order, _ in waiting:
            self._count(order.job, "renewed" if order.job.token_id in stored else "dropped")

    def _count(self, job: Job, outcome: str, *, cause: str | None = None) -> None:
        self._metrics.renewals.labels(job.service, outcome).inc()
        self._log.info(
            "renewal_done",
            connector_id=job.connector_id,
            token_id=job.token_id,
            service=job.service,
            outcome=outcome,
            cause=cause,
            attempt=job.attempt,
        )

    def _become(self) -> None:
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        if self._state != (True, "active"):
            self._log.info("token_rotator_state", state="active")
        self._state = (True, "active")

    def _fault(self, error: ChannelsError, stop: StopRequest) -> None:
        """PostgreSQL is away, or refused a change that somebody else's came before: another round finds how things are."""
        self._steady_since = None
        self._metrics.faults.labels("database" if isinstance(error, Unavailable) else "refused").inc()
        if self._state != (False, str(error)):
            self._log.warning("round_broken_off", error=str(error), code=error.code, unstored=len(self._unwritten.renewed))
        self._state = (False, str(error))
        stop.wait(self._pause_seconds)
        self._pause_seconds = min(self._pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
