"""Use cases of `channel_fallback`: where an account's traffic goes when its checks keep failing, and a connector's default.

`fallback_number` sends through another account of the tenant, named by its number, so these rows make a graph. It must have
no cycle, counting the default of the connector for accounts without an active row of their own. Connectors are locked one
by one, so the lock that orders two changes of the graph is the tenant's row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelFallback, ConnectorDefaultFallback, Tenant
from shared.domain.enums import FallbackType
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.changes import (
    allowed_changes,
    announce_account,
    announce_accounts,
    audit_gone,
    audit_new,
    audited,
    find,
    lock_connector,
    lock_connector_of,
)

_CHANGEABLE = frozenset({"tipo", "destino", "ativo"})
_NUMBER = re.compile(r"\+?[0-9][0-9 ().-]{6,30}")
_MAIL = re.compile(r"[^@\s<>,;]{1,64}@[^@\s<>,;]+\.[^@\s<>,;]+")
_NUMBER_DIGITS = range(7, 16)  # E.164: at most 15


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFallback:
    """What a caller gives. `destino`: a number of one of the tenant's accounts, or a mail address."""

    tipo: FallbackType
    destino: str
    ativo: bool = True


def create_fallback(session: Session, account_id: str, new: NewFallback, *, actor: str) -> ChannelFallback:
    """One more fallback of an account.

    Raises NotFound, InvalidInput (`destino_invalid`, `destino_unknown`), Conflict (`fallback_cycle`).
    """
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    _lock_graph(session, connector.tenant_id)
    destino = _checked_destino(session, connector, new.tipo, new.destino)
    row = ChannelFallback(account_id=account.id, tipo=new.tipo, destino=destino, ativo=new.ativo)
    audit_new(session, row, "fallback.created", tenant_id=connector.tenant_id, actor=actor)
    _refuse_cycle(session, connector.tenant_id, account.identidade)
    announce_account(session, account.id)
    return row


def update_fallback(session: Session, fallback_id: str, changes: Mapping[str, Any], *, actor: str) -> ChannelFallback:
    """Change `tipo`, `destino` or `ativo`. Raises as `create_fallback`."""
    allowed_changes(changes, _CHANGEABLE)
    connector, account, row = _locked(session, fallback_id)
    with audited(session, row, "fallback.updated", tenant_id=connector.tenant_id, actor=actor) as trace:
        row.tipo = changes.get("tipo", row.tipo)
        row.ativo = changes.get("ativo", row.ativo)
        if "destino" in changes or "tipo" in changes:
            row.destino = _checked_destino(session, connector, row.tipo, changes.get("destino", row.destino))
    if trace.changed:
        _refuse_cycle(session, connector.tenant_id, account.identidade)
        _announce_users(session, row)
    return row


def delete_fallback(session: Session, fallback_id: str, *, actor: str) -> None:
    """Take one away. Raises NotFound, Conflict (`fallback_in_use` for a connector's default, `fallback_cycle`)."""
    connector, account, row = _locked(session, fallback_id)
    if session.scalar(select(exists().where(ConnectorDefaultFallback.fallback_id == row.id))):
        raise Conflict("it is a connector's default; set another default first", reason="fallback_in_use")
    audit_gone(session, row, "fallback.deleted", tenant_id=connector.tenant_id, actor=actor)
    _refuse_cycle(session, connector.tenant_id, account.identidade)  # the default takes over from here
    announce_account(session, account.id)


def default_fallback(session: Session, connector_id: str) -> ChannelFallback:
    """What the connector's accounts without one of their own use. Raises NotFound where there is none."""
    found = known_default_fallback(session, connector_id)
    if found is None:
        raise NotFound("the connector has no default fallback")
    return found


def known_default_fallback(session: Session, connector_id: str) -> ChannelFallback | None:
    """The same, or None."""
    link = session.get(ConnectorDefaultFallback, connector_id, populate_existing=True)
    return None if link is None else find(session, ChannelFallback, link.fallback_id)


def set_default_fallback(session: Session, connector_id: str, fallback_id: str | None, *, actor: str) -> None:
    """Set or (None) clear it; it must be a fallback of one of the connector's accounts.

    Raises NotFound, InvalidInput (`fallback_unknown`), Conflict (`fallback_cycle`).
    """
    connector = lock_connector(session, connector_id)
    link = session.get(ConnectorDefaultFallback, connector.id, populate_existing=True)
    if fallback_id is None:
        if link is None:
            raise NotFound("the connector has no default fallback")
        audit_gone(session, link, "default_fallback.cleared", tenant_id=connector.tenant_id, actor=actor)
    else:
        row = _of_connector(session, connector, fallback_id)
        _lock_graph(session, connector.tenant_id)
        if link is None:
            link = ConnectorDefaultFallback(connector_id=connector.id, fallback_id=row.id)
            audit_new(session, link, "default_fallback.set", tenant_id=connector.tenant_id, actor=actor)
        else:
            with audited(session, link, "default_fallback.set", tenant_id=connector.tenant_id, actor=actor):
                link.fallback_id = row.id
        if row.tipo is FallbackType.FALLBACK_NUMBER:
            _refuse_cycle(session, connector.tenant_id, row.destino)
    announce_accounts(session, connector.id)


def _locked(session: Session, fallback_id: str) -> tuple[ChannelConnector, ChannelAccount, ChannelFallback]:
    account_id = find(session, ChannelFallback, fallback_id).account_id
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    row = find(session, ChannelFallback, fallback_id)
    _lock_graph(session, connector.tenant_id)
    return connector, account, row


def _lock_graph(session: Session, tenant_id: str) -> None:
    find(session, Tenant, tenant_id, lock=True)


def _checked_destino(session: Session, connector: ChannelConnector, tipo: FallbackType, destino: str) -> str:
    wanted = destino.strip()
    if tipo is not FallbackType.FALLBACK_NUMBER:
        if not _MAIL.fullmatch(wanted):
            raise InvalidInput(f"{tipo} goes to a mail address", reason="destino_invalid", pointer="/destino")
        return wanted
    digits = re.sub(r"\D", "", wanted)
    if not _NUMBER.fullmatch(wanted) or len(digits) not in _NUMBER_DIGITS:
        raise InvalidInput("fallback_number goes to a number with its country code", reason="destino_invalid", pointer="/destino")
    if not session.scalars(_accounts(connector.tenant_id, digits).limit(1)).first():
        raise InvalidInput("no account of the tenant has this number", reason="destino_unknown", pointer="/destino")
    return digits


def _of_connector(session: Session, connector: ChannelConnector, fallback_id: str) -> ChannelFallback:
    found = session.scalar(
        select(ChannelFallback)
        .join(ChannelAccount, ChannelAccount.id == ChannelFallback.account_id)
        .where(ChannelFallback.id == fallback_id, ChannelAccount.connector_id == connector.id)
    )
    if found is None:
        message = "no account of this connector has such a fallback"
        raise InvalidInput(message, reason="fallback_unknown", pointer="/fallback_id")
    return found


def _accounts(tenant_id: str, identidade: str) -> Any:
    return (
        select(ChannelAccount)
        .join(ChannelConnector, ChannelConnector.id == ChannelAccount.connector_id)
        .where(ChannelConnector.tenant_id == tenant_id, ChannelAccount.identidade == identidade)
    )


def _refuse_cycle(session: Session, tenant_id: str, start: str) -> None:
    """Follow the active numbers from `start`; a path that comes back to itself is refused. The caller's change is flushed."""

    def visit(number: str, path: tuple[str, ...]) -> None:
        if number in path:
            raise Conflict("these fallbacks would lead back to where they began", reason="fallback_cycle")
        if number in cleared:
            return
        for following in _following(session, tenant_id, number):
            visit(following, (*path, number))
        cleared.add(number)

    cleared: set[str] = set()
    visit(start, ())


def _following(session: Session, tenant_id: str, number: str) -> set[str]:
    numbers: set[str] = set()
    for account in session.scalars(_accounts(tenant_id, number)):
        own = session.scalars(
            select(ChannelFallback).where(ChannelFallback.account_id == account.id, ChannelFallback.ativo.is_(True))
        ).all()
        rows = (
            own
            or session.scalars(
                select(ChannelFallback)
                .join(ConnectorDefaultFallback, ConnectorDefaultFallback.fallback_id == ChannelFallback.id)
                .where(ConnectorDefaultFallback.connector_id == account.connector_id, ChannelFallback.ativo.is_(True))
            ).all()
        )
        numbers |= {row.destino for row in rows if row.tipo is FallbackType.FALLBACK_NUMBER}
    return numbers


def _announce_users(session: Session, row: ChannelFallback) -> None:
    announce_account(session, row.account_id)
    for connector_id in session.scalars(
        select(ConnectorDefaultFallback.connector_id).where(ConnectorDefaultFallback.fallback_id == row.id)
    ):
        announce_accounts(session, connector_id)
