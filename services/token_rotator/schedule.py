"""The rotator's side of PostgreSQL: plans, notices, leases, openings, results. Each method is one short piece of work.

Two logins: `channels_credential` keeps the schedule, opens and stores tokens, for all tenants; `channels_api`, for one tenant at
a time, gives a connector its new status as every use case does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services.token_rotator.decide import (
    Policy,
    Postpone,
    Stop,
    advice,
    after_our_own_fault,
    is_newest,
    plan_connector,
    plan_watch,
    telling,
)
from services.token_rotator.orders import Impossible, Order, build_order
from shared.adapters.clock import Clock, new_uuid7
from shared.adapters.database import DatabaseFault, classify, unit_of_work
from shared.adapters.database_errors import meaning_of
from shared.adapters.expiry_notices import tell_due
from shared.adapters.renewal_rows import (
    Budget,
    budget_left,
    connectors_after,
    due_services,
    postpone,
    put_plans,
    read_tokens,
    take,
    unplanned_connectors,
)
from shared.adapters.tables import TokenRenewal
from shared.adapters.vault import Vault
from shared.domain.enums import ConnectorType, RenewalState, RenewalTask
from shared.domain.errors import ChannelsError, InvalidInput, NotFound, Unavailable
from shared.domain.renewals import DueNotice, Job, RenewalPlan
from shared.management.opened_tokens import OpenedToken, open_tokens
from shared.management.renewed_tokens import RenewedTokens, retire_tokens, stop_renewal, store_renewals
from shared.providers.calling import Credentials
from shared.providers.contract import Provider

ACTOR = "token_rotator"
_PAGE = 500

ProviderOf = Callable[[ConnectorType], Provider]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleParts:
    """What the schedule works with. `credential` and `api` are the engines of the two roles."""

    credential: Engine
    api: Engine
    vault: Vault
    clock: Clock
    provider_of: ProviderOf
    policy: Policy
    budget: Budget
    lease_seconds: float


@dataclass(slots=True)
class Taken:
    """What one look brought: orders with their opened credentials, jobs that lead to no call, services without budget, lag."""

    ready: list[tuple[Order, Credentials]] = field(default_factory=list)
    postponed: list[tuple[Job, Postpone]] = field(default_factory=list)
    stopped: list[tuple[Order, Stop]] = field(default_factory=list)
    without_budget: list[str] = field(default_factory=list)
    lag_seconds: float = 0.0


class Schedule:
    """Raises Unavailable while PostgreSQL is away, InvalidInput for what it cannot hold, ConfigError if it refuses us."""

    def __init__(self, parts: ScheduleParts) -> None:
        self._parts = parts
        self._after: str | None = None

    def plan_new(self) -> int:
        """Rows for tokens that have none, or whose end was changed; how many."""
        with self._work() as session:
            planned = self._plan(session, unplanned_connectors(session, _PAGE))
            session.commit()
        return planned

    def plan_next_page(self) -> tuple[int, bool]:
        """One page of all connectors: rows that were made for something else. (rows, whether that was the last page)."""
        with self._work() as session:
            page = connectors_after(session, self._after, _PAGE)
            planned = self._plan(session, page)
            session.commit()
        self._after = page[-1] if len(page) == _PAGE else None
        return planned, self._after is None

    def _plan(self, session: Session, connector_ids: Sequence[str]) -> int:
        if not connector_ids:
            return 0
        now, policy, provider_of = self._parts.clock.now_ms(), self._parts.policy, self._parts.provider_of
        plans = []
        for connector, standing in read_tokens(session, connector_ids):
            try:
                provider = provider_of(connector.tipo)
            except ChannelsError:  # a type without a provider (`future`)
                continue
            plans += plan_connector(connector, provider, standing, now, policy)
        put_plans(session, plans, now)
        return len(plans)

    def tell(self) -> list[DueNotice]:
        """Notices of tokens that end soon, into the outbox."""
        now, policy = self._parts.clock.now_ms(), self._parts.policy
        with self._work() as session:
            told = tell_due(session, now, _PAGE, lambda notice: telling(notice.ends_ms, notice.threshold_seconds, now, policy))
            session.commit()
        return told

    def take(self, room: int, *, abandoned: bool) -> Taken:
        """Up to `room` jobs: their intents are committed first, then their credentials are opened."""
        taken = Taken()
        jobs = self._intend(room, abandoned, taken)
        if jobs:
            try:
                self._open(jobs, taken)
            except Unavailable:
                # Nothing was called: give them back as soon as that can be written.
                taken.ready, taken.stopped = [], []
                taken.postponed = [(job, self._given_back(job)) for job in jobs]
        return taken

    def _intend(self, room: int, abandoned: bool, taken: Taken) -> list[Job]:
        now = self._parts.clock.now_ms()
        with self._work() as session:
            due = due_services(session, now, abandoned=abandoned)
        taken.lag_seconds = max((now - one.oldest_ms) / 1000 for one in due) if due else 0.0
        jobs: list[Job] = []
        for one in due:
            wanted = min(room - len(jobs), one.rows)
            if wanted > 0:
                found, left = self._intend_for(one.service, wanted, abandoned, now)
                jobs += found
                if left < wanted:
                    taken.without_budget.append(one.service)
        return jobs

    def _intend_for(self, service: str, wanted: int, abandoned: bool, now: int) -> tuple[list[Job], int]:
        """(jobs, what was left of the budget). A transaction for each service: who holds one budget must not wait for another."""
        parts = self._parts
        with self._work() as session:
            left = budget_left(session, service, parts.budget, now)
            if not left:
                return [], 0
            jobs = take(
                session,
                service,
                min(wanted, left),
                intent=new_uuid7(),
                now_ms=now,
                lease_seconds=parts.lease_seconds,
                abandoned=abandoned,
            )
            session.commit()
        return jobs, left

    def _open(self, jobs: Sequence[Job], taken: Taken) -> None:
        parts, now = self._parts, self._parts.clock.now_ms()
        with self._work() as session:
            found = {one.connector_id: one for one, _ in read_tokens(session, {job.connector_id for job in jobs})}
            orders: list[Order] = []
            kept: list[RenewalPlan] = []
            for job in jobs:
                connector = found.get(job.connector_id)
                token = None if connector is None else connector.token(job.token_id)
                if connector is None or token is None:
                    continue  # taken away since, and its row with it
                if job.task is RenewalTask.RETIRE and is_newest(token, connector.tokens):
                    kept.append(plan_watch(token, now, parts.policy))  # a person took away what had replaced it
                    continue
                built = build_order(job, connector, token, parts.provider_of(connector.tipo), now)
                if isinstance(built, Impossible):
                    taken.stopped.append((built.order, built.failure))
                else:
                    orders.append(built)
            put_plans(session, kept, now, held=True)
            opened = open_tokens(session, parts.vault, {one for order in orders for one in order.needs.values()}, actor=ACTOR)
            session.commit()
        for order in orders:
            values = {}
            for name, token_id in order.needs.items():
                one = opened.get(token_id)
                if not isinstance(one, OpenedToken):
                    cause = "credential_gone" if one is None else one.code
                    taken.postponed.append((order.job, after_our_own_fault(cause, order.job, now, parts.policy)))
                    break
                values[name] = one.value
            else:
                taken.ready.append((order, values))

    def _given_back(self, job: Job) -> Postpone:
        return Postpone(due_ms=self._parts.clock.now_ms(), cause="database_away", outcome="transient")

    def store(self, renewed: Sequence[RenewedTokens]) -> set[str]:
        """Store what calls brought; the ids of the tokens whose result counted. All or nothing."""
        with self._work() as session:
            stored = store_renewals(session, self._parts.vault, renewed, now_ms=self._parts.clock.now_ms(), actor=ACTOR)
            session.commit()
        return stored

    def retire(self, orders: Sequence[Order]) -> set[str]:
        """Take away tokens that were replaced."""
        with self._work() as session:
            gone = retire_tokens(session, [(order.job, order.connector.tenant_id) for order in orders], actor=ACTOR)
            session.commit()
        return gone

    def postpone(self, jobs: Sequence[tuple[Job, Postpone]], *, fresh: bool = False) -> None:
        """Give jobs back for later."""
        with self._work() as session:
            for job, how in jobs:
                now = self._parts.clock.now_ms()
                postpone(session, job, due_ms=how.due_ms, cause=how.cause or None, unknown=how.unknown, now_ms=now, fresh=fresh)
            session.commit()

    def stop(self, order: Order, how: Stop) -> bool:
        """Call a person: the token's row stops, its connector gets the status `error`. False if it was not ours any more."""
        with self._work(self._parts.api, order.connector.tenant_id) as session:
            try:
                done = stop_renewal(session, order.job, cause=how.cause, action=how.action, told=advice(how), actor=ACTOR)
            except NotFound:
                return False
            session.commit()
        return done

    def stopped(self) -> int:
        """How many tokens wait for a person."""
        statement = select(func.count()).where(TokenRenewal.state == RenewalState.STOPPED.value)
        with self._work() as session:
            return session.scalar(statement) or 0

    @contextmanager
    def _work(self, engine: Engine | None = None, tenant_id: str | None = None) -> Iterator[Session]:
        try:
            with unit_of_work(engine or self._parts.credential, tenant_id=tenant_id) as session:
                yield session
        except SQLAlchemyError as error:
            raise translated(error) from error


def translated(error: SQLAlchemyError) -> Exception:
    """What an error of the database means to the rotator."""
    if classify(error) is DatabaseFault.BAD_DATA:
        cause = str(getattr(error, "orig", error)).partition("\n")[0]
        return InvalidInput(f"PostgreSQL refuses a value: {cause}", reason="value_refused")
    return meaning_of(error, "the token rotator")
