"""What a manifest's tenants have in force and the file does not name; left alone, unless it is asked to take it out of force.

A connector is archived, an account turned off, a webhook row disabled, a token revoked, a fallback deleted. Units and flows
are other modules' objects: the file may add them, it never speaks for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from shared.adapters.tables import Base, ChannelAccount, ChannelConnector, ChannelFallback, ChannelToken, ChannelWebhook
from shared.domain.enums import AccountStatus, ConnectorStatus, WebhookStatus
from shared.management.accounts import change_account_status
from shared.management.changes import id_of, name_of
from shared.management.connectors import archive_connector
from shared.management.fallbacks import delete_fallback
from shared.management.manifest_diff import Unnamed
from shared.management.manifest_pass import Pass
from shared.management.manifest_text import Place
from shared.management.tokens import revoke_token
from shared.management.webhooks import update_webhook


def rest_of(current: Pass, tenant_id: str) -> list[Base]:
    """Connectors of the tenant, and what belongs to those that the file names, in force and not named; parents first."""
    rows = [row for row in _in_force(current.session, tenant_id) if (row.__tablename__, id_of(row)) not in current.seen]
    return [row for row in rows if isinstance(row, ChannelConnector) or _parent(row) in current.seen]


def told(row: Base) -> Unnamed:
    """The row, for a report."""
    parent = None if isinstance(row, ChannelConnector) else _parent(row)[1]
    return Unnamed(kind=row.__tablename__.removeprefix("channel_"), id=id_of(row), name=name_of(row), parent_id=parent)


def _parent(row: Any) -> tuple[str, str]:
    if isinstance(row, ChannelFallback):
        return ChannelAccount.__tablename__, row.account_id
    return ChannelConnector.__tablename__, row.connector_id


def take_out(current: Pass, place: Place, row: Base) -> None:
    """Take one object out of force; what a rule keeps in force becomes a fault at the place."""
    session, actor = current.session, current.applier.actor
    with current.at(place):
        match row:
            case ChannelConnector():
                archive_connector(session, row.id, actor=actor)
            case ChannelAccount():
                change_account_status(session, row.id, AccountStatus.INACTIVE, actor=actor)
            case ChannelWebhook():
                update_webhook(session, row.id, status=WebhookStatus.DISABLED, actor=actor)
            case ChannelToken():
                revoke_token(session, row.id, actor=actor)
            case ChannelFallback():
                delete_fallback(session, row.id, actor=actor)
            case _:
                raise TypeError(row)


def _in_force(session: Session, tenant_id: str) -> Iterator[Base]:
    session.flush()
    connectors = select(ChannelConnector).where(
        ChannelConnector.tenant_id == tenant_id, ChannelConnector.status != ConnectorStatus.ARCHIVED
    )
    yield from session.scalars(connectors.order_by(ChannelConnector.id))
    ids = connectors.with_only_columns(ChannelConnector.id)
    alive = or_(ChannelToken.expires_at.is_(None), ChannelToken.expires_at > func.now())
    parts: tuple[tuple[Any, Any], ...] = (
        (ChannelAccount, ChannelAccount.status != AccountStatus.INACTIVE),
        (ChannelToken, alive),
        (ChannelWebhook, ChannelWebhook.status == WebhookStatus.ACTIVE),
    )
    for table, in_force in parts:
        wanted = select(table).where(table.connector_id.in_(ids), in_force)
        yield from session.scalars(wanted.order_by(table.connector_id, table.id))
    fallbacks = select(ChannelFallback).join(ChannelAccount, ChannelAccount.id == ChannelFallback.account_id)
    fallbacks = fallbacks.where(ChannelAccount.connector_id.in_(ids))
    yield from session.scalars(fallbacks.order_by(ChannelFallback.account_id, ChannelFallback.id))
