"""Writes checks: many in one transaction where nothing follows from them, one in a transaction of its own where something does.

Each check is idempotent: its row's id follows from its slot, and the slot moves on in the same transaction, so that whoever runs
it a second time (after a crash, or beside another process) finds another slot and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services.health import decide, wholes
from services.health.decide import Breaker, Egress, Finding, MoveConnector, Pause, Policy, Resume, Standing, Transition, Verdict
from services.health.texts import message
from services.health.wholes import Accounts
from shared.adapters.database import DatabaseFault, classify, unit_of_work
from shared.adapters.health_rows import (
    CheckRow,
    StateRow,
    SubjectRow,
    ask_for_syncs,
    failing_connectors,
    hold_connector,
    insert_checks,
    lock_states,
    tell_checks,
    tell_own_checks,
    update_states,
)
from shared.adapters.tables import ChannelAccount, ChannelConnector
from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import ConfigError, NotFound, Unavailable
from shared.domain.routing import HEALTH_PAUSE
from shared.domain.syncing import MISMATCH
from shared.management.changes import find, lock_connector
from shared.management.health_effects import move_connector, pause_route, resume_route
from shared.management.sync_requests import ask_for_sync

ACTOR = "health"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One check that was run. `at_ms`: when it began."""

    subject: SubjectRow
    finding: Finding
    policy: Policy
    at_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a check. `verdict` None: somebody else had written it, or its subject is gone."""

    outcome: Outcome
    verdict: Verdict | None


class CheckWriter:
    """Safe for threads; blocks. `share`, `at_least`: above which share of failing connectors, and number, nothing opens."""

    def __init__(self, worker: Engine, api: Engine, *, share: float = 0.3, at_least: int = 5) -> None:
        self._worker = worker
        self._api = api
        self._share = share
        self._at_least = at_least

    def write(self, outcomes: Sequence[Outcome]) -> list[Written]:
        """Write them all. Raises Unavailable (what was not written stays due), ConfigError."""
        with translated():
            written, turning = self._write_plain(outcomes)
            written += [self._turn(outcome) for outcome in turning]
        return written

    def egress(self) -> tuple[Egress, bool]:
        """How many connectors fail at once, and whether our own way out is to blame for it."""
        with translated(), unit_of_work(self._worker) as session:
            return self._egress(session)

    def _egress(self, session: Session) -> tuple[Egress, bool]:
        failing, connectors = failing_connectors(session)
        egress = Egress(failing=failing, connectors=connectors)
        return egress, decide.is_our_fault(egress, share=self._share, at_least=self._at_least)

    def _write_plain(self, outcomes: Sequence[Outcome]) -> tuple[list[Written], list[Outcome]]:
        written: list[Written] = []
        turning: list[Outcome] = []
        rows: list[CheckRow] = []
        with unit_of_work(self._worker) as session:
            states = lock_states(session, [one.subject.subject_id for one in outcomes])
            for one in outcomes:
                state = states.get(one.subject.subject_id)
                if state is None or state.due_ms != one.subject.due_ms:
                    written.append(Written(outcome=one, verdict=None))
                    continue
                told = _told(one, state)
                verdict = decide.judge(standing_of(state), told.finding, told.policy, told.at_ms)
                if _turns(verdict, state, told):
                    turning.append(one)
                else:
                    rows.append(check_row(told, state, verdict))
                    written.append(Written(outcome=told, verdict=verdict))
            if rows:
                insert_checks(session, rows)
                update_states(session, rows)
                tell_checks(session, rows)
                ask_for_syncs(session, rows, MISMATCH)
            session.commit()
        return written, turning

    def _turn(self, one: Outcome) -> Written:
        subject = one.subject
        with unit_of_work(self._api, tenant_id=subject.tenant_id) as session:
            try:
                connector = lock_connector(session, subject.connector_id)
            except NotFound:
                return Written(outcome=one, verdict=None)
            state = lock_states(session, {subject.subject_id, connector.id}).get(subject.subject_id)
            if state is None or state.due_ms != subject.due_ms:
                return Written(outcome=one, verdict=None)
            _, ours = self._egress(session)
            one = _told(one, state)
            verdict = decide.judge(standing_of(state), one.finding, one.policy, one.at_ms, may_open=not ours)
            if subject.account_id is not None:
                self._route(session, connector, subject.account_id, state, verdict, one)
            elif not wholes.is_judged_by_accounts(subject.tipo):
                verdict = self._move(session, connector, verdict)
            rows = [check_row(one, state, verdict)]
            insert_checks(session, rows)
            update_states(session, rows)
            tell_own_checks(session, rows)
            if rows[0].asks_for_sync:
                ask_for_sync(session, connector, subject.account_id, MISMATCH)
            if wholes.is_judged_by_accounts(subject.tipo):
                opened = subject.account_id is not None and verdict.transition is Transition.OPENED
                self._follow_accounts(session, connector, opened=opened)
            session.commit()
        return Written(outcome=one, verdict=verdict)

    def _follow_accounts(self, session: Session, connector: ChannelConnector, *, opened: bool) -> None:
        """Move the connector where its accounts, this check's included, say so; without a row of its own it is not followed."""
        state = lock_states(session, [connector.id]).get(connector.id)
        if state is None:
            return
        effect = wholes.whole_effect(_accounts_of(state), connector.status, owns=state.owns, opened=opened)
        if effect is None:
            owns = state.owns and connector.status is ConnectorStatus.ERROR  # else somebody has moved it meanwhile: it is theirs
        else:
            done = move_connector(session, connector.id, effect.status, effect.cause, actor=ACTOR)
            owns = done is (effect.status is ConnectorStatus.ERROR)
        if owns != state.owns:
            hold_connector(session, connector.id, owns=owns)

    def _move(self, session: Session, connector: ChannelConnector, verdict: Verdict) -> Verdict:
        effect = decide.connector_effect(verdict, connector.status)
        owns = verdict.standing.owns
        if isinstance(effect, MoveConnector):
            done = move_connector(session, connector.id, effect.status, effect.cause, actor=ACTOR)
            owns = done if verdict.transition is Transition.OPENED else not done
        elif verdict.standing.breaker is Breaker.CLOSED:
            owns = False  # somebody else has moved it meanwhile: it is theirs
        return replace(verdict, standing=replace(verdict.standing, owns=owns))

    def _route(
        self, session: Session, connector: ChannelConnector, account_id: str, state: StateRow, verdict: Verdict, one: Outcome
    ) -> None:
        account = find(session, ChannelAccount, account_id)
        paused = state.route_cause is not None
        match decide.route_effect(verdict, one.policy, state.route_cause, paused=paused):
            case Pause(cause=cause) if account.status is not AccountStatus.INACTIVE:
                pause_route(session, connector, account_id, cause, now_ms=one.at_ms, actor=ACTOR)
            case Resume(cause=cause):
                resume_route(session, connector, account_id, cause, now_ms=one.at_ms, actor=ACTOR)


def _turns(verdict: Verdict, state: StateRow, one: Outcome) -> bool:
    """Whether more follows from the check than its row."""
    if one.subject.account_id is None and wholes.is_judged_by_accounts(one.subject.tipo):
        return not wholes.is_settled(_accounts_of(state), one.subject.status, owns=state.owns)
    if verdict.transition in (Transition.OPENED, Transition.CLOSED):
        return True
    held = state.owns or (state.route_cause or "").startswith(HEALTH_PAUSE)
    return held and verdict.standing.breaker is Breaker.CLOSED and verdict.standing.passes >= one.policy.recover


def _told(one: Outcome, state: StateRow) -> Outcome:
    """With what the accounts of the connector say, where the check is about a connector that they judge."""
    if one.subject.account_id is not None or not wholes.is_judged_by_accounts(one.subject.tipo):
        return one
    return replace(one, finding=wholes.finding_of(one.finding, _accounts_of(state)))


def _accounts_of(state: StateRow) -> Accounts:
    return Accounts(on=state.accounts, down=state.down)


def standing_of(state: StateRow) -> Standing:
    """The row as the policy sees it."""
    return Standing(
        grade=state.grade,
        cause=state.cause,
        breaker=Breaker(state.breaker),
        failures=state.failures,
        passes=state.passes,
        unknowns=state.unknowns,
        opened_ms=state.opened_ms,
        closed_ms=state.closed_ms,
        open_seconds=state.open_seconds,
        owns=state.owns,
    )


def check_row(one: Outcome, state: StateRow, verdict: Verdict) -> CheckRow:
    """The check as it is stored and told."""
    standing, finding = verdict.standing, one.finding
    told = message(finding, verdict, standing_of(state), one.policy.unreachable_after)
    due_ms = decide.next_due_ms(state.subject_id, state.due_ms, one.at_ms, one.policy)
    check_id = decide.check_id(state.subject_id, state.due_ms)
    event: dict[str, Any] = {
        "check_id": check_id,
        "tenant_id": one.subject.tenant_id,
        "account_id": state.account_id,
        "status": verdict.grade.value,
        "check": finding.check,
        "cause": finding.cause,
        "action": finding.action,
        "message": told,
        "breaker": standing.breaker.value,
        "failures": standing.failures,
        "duration_milliseconds": one.duration_ms,
        "checked_at_ms": one.at_ms,
    }
    return CheckRow(
        check_id=check_id,
        tenant_id=one.subject.tenant_id,
        status=verdict.grade,
        message=told,
        at_ms=one.at_ms,
        duration_ms=one.duration_ms,
        state=replace(
            state,
            due_ms=due_ms,
            grade=standing.grade,
            cause=standing.cause,
            breaker=standing.breaker.value,
            failures=standing.failures,
            passes=standing.passes,
            unknowns=standing.unknowns,
            opened_ms=standing.opened_ms,
            closed_ms=standing.closed_ms,
            open_seconds=standing.open_seconds,
            owns=standing.owns,
        ),
        event=event,
        asks_for_sync=decide.is_new_mismatch(standing_of(state), finding),
    )


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the database as Unavailable, or as ConfigError where no retry heals them."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).partition("\n")[0]
        if classify(error) is DatabaseFault.STOP:
            raise ConfigError(
                f"PostgreSQL refuses health: {cause}. Is the schema up to date? `channels database prepare`"
            ) from error
        raise Unavailable(f"PostgreSQL: {cause}") from error
