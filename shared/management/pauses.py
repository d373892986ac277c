"""Use cases of a paused route: an account's flow is not asked while the account is paused, whoever paused it and why.

The pause is state, not configuration: it stands beside the account's row, travels in the account's snapshot, and no manifest
names it.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.adapters.tables import AccountState, ChannelAccount
from shared.domain.errors import InvalidInput
from shared.domain.routing import HEALTH_PAUSE
from shared.management.changes import announce_account, audited, find, lock_connector_of
from shared.management.rules import rules_enforced

_CAUSE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OPEN, _PAUSED = "open", "paused"


def pause_account(session: Session, account_id: str, cause: str, *, actor: str) -> ChannelAccount:
    """Pause the route for a short code. Already paused for it: no change; for another one: the code changes, `since` stays.

    Raises NotFound, InvalidInput (`cause_invalid`, `cause_reserved`).
    """
    if not _CAUSE.fullmatch(cause):
        told = "a cause is a short code: a small letter, then up to 63 small letters, digits and _"
        raise InvalidInput(told, reason="cause_invalid", pointer="/cause")
    if cause.startswith(HEALTH_PAUSE):
        told = f"causes that begin with {HEALTH_PAUSE} are health's own: it would lift the pause"
        raise InvalidInput(told, reason="cause_reserved", pointer="/cause")
    return _set(session, account_id, cause, actor=actor)


def resume_account(session: Session, account_id: str, *, actor: str) -> ChannelAccount:
    """Open the route again; what waited for that comes out. Open already: no change. Raises NotFound."""
    return _set(session, account_id, None, actor=actor)


def pause_of(account: Any) -> dict[str, Any]:
    """How callers see it: `pause_cause` and `paused_since`, None while the route is open."""
    pause = account.pause or {}
    return {"pause_cause": pause.get("cause"), "paused_since": pause.get("since")}


def _set(session: Session, account_id: str, cause: str | None, *, actor: str) -> ChannelAccount:
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    if cause is None and account.pause is None:
        return account
    with rules_enforced():
        session.execute(upsert(AccountState).values(account_id=account.id, route=_OPEN).on_conflict_do_nothing())
    state = find(session, AccountState, account.id)
    action = "account.resumed" if cause is None else "account.paused"
    with audited(session, state, action, tenant_id=connector.tenant_id, actor=actor) as trace:
        if cause is None:
            state.route, state.route_cause, state.route_since = _OPEN, None, None
        else:
            state.route_since = state.route_since if state.route == _PAUSED else session.scalar(select(func.now()))
            state.route, state.route_cause = _PAUSED, cause
    if trace.changed:
        announce_account(session, account.id)
        session.refresh(account, ["pause"])
    return account
