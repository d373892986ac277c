"""What health does to a route and to a connector, each in the transaction of the check that led to it, and told in it."""

from __future__ import annotations

from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.fallback_choice import fallback_of
from shared.adapters.health_rows import moment
from shared.adapters.tables import AccountState, ChannelConnector, Outbox
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import Conflict, InvalidInput
from shared.domain.topics import Topic
from shared.management.changes import announce_account, audited, find
from shared.management.connectors import change_status
from shared.management.rules import rules_enforced

_OPEN, _PAUSED = "open", "paused"


def pause_route(session: Session, connector: ChannelConnector, account_id: str, cause: str, *, now_ms: int, actor: str) -> None:
    """Pause an open route and put its fallback in force. The connector is locked. Paused already: no change."""
    with rules_enforced():
        session.execute(upsert(AccountState).values(account_id=account_id, route=_OPEN).on_conflict_do_nothing())
    state = find(session, AccountState, account_id)
    if state.route == _PAUSED:
        return
    with audited(session, state, "account.paused", tenant_id=connector.tenant_id, actor=actor):
        state.route, state.route_cause, state.route_since = _PAUSED, cause, moment(now_ms)
        state.fallback = session.scalar(select(fallback_of(account_id, connector.id)))
    _tell(session, connector, state, status="paused", why=cause, since_ms=now_ms)


def resume_route(session: Session, connector: ChannelConnector, account_id: str, cause: str, *, now_ms: int, actor: str) -> None:
    """Open a route that is paused for this cause, and no other. The connector is locked."""
    state = find(session, AccountState, account_id)
    if state.route != _PAUSED or state.route_cause != cause:
        return
    with audited(session, state, "account.resumed", tenant_id=connector.tenant_id, actor=actor):
        state.route, state.route_cause, state.route_since, state.fallback = _OPEN, None, None, None
    _tell(session, connector, state, status="resumed", why=cause, since_ms=now_ms)


def move_connector(session: Session, connector_id: str, status: ConnectorStatus, cause: str, *, actor: str) -> bool:
    """Move the connector; False where a rule refuses (such as a token that is missing): the next check tries again."""
    try:
        with session.begin_nested():
            change_status(session, connector_id, status, cause=cause, actor=actor)
    except (Conflict, InvalidInput):
        return False
    return True


def _tell(session: Session, connector: ChannelConnector, state: AccountState, *, status: str, why: str, since_ms: int) -> None:
    announce_account(session, state.account_id)
    detail = {
        "change_id": new_uuid7(),
        "tenant_id": connector.tenant_id,
        "connector_id": connector.id,
        "status": status,
        "why": why,
        "since_ms": since_ms,
        "fallback_id": state.fallback,
    }
    with rules_enforced():
        session.execute(insert(Outbox).values(topic=Topic.ROUTE_STATUS_CHANGED.value, subject_id=state.account_id, detail=detail))
