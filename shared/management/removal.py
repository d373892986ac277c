"""Use cases that delete: a connector or an account that never carried anything (what has a history is archived), a webhook.

A deletion reaches every reader as a tombstone: the relay finds no row and publishes null.
"""

from __future__ import annotations

from sqlalchemy import exists, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from shared.adapters.tables import (
    ChannelAccount,
    ChannelCapability,
    ChannelFallback,
    ChannelHealthCheck,
    ChannelMapping,
    ChannelToken,
    ChannelUsageLog,
    ChannelWebhook,
    ConnectorDefaultFallback,
)
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import Conflict
from shared.management.changes import announce_account, announce_connector, audit_gone, lock_connector, lock_connector_of
from shared.management.sync_requests import ask_for_sync


def delete_connector(session: Session, connector_id: str, *, actor: str) -> None:
    """Delete a connector with its capabilities, tokens, webhooks and checks.

    Raises NotFound, Conflict (`connector_in_use`: it is active, or has accounts, mappings or usage; archive it).
    """
    connector = lock_connector(session, connector_id)
    if connector.status is ConnectorStatus.ACTIVE:
        raise Conflict("an active connector is not deleted; archive it", reason="connector_in_use")
    for table in (ChannelAccount, ChannelMapping, ChannelUsageLog):
        if _any(session, table.connector_id, connector.id):
            raise Conflict(f"the connector has rows in {table.__tablename__}; archive it", reason="connector_in_use")
    for part in (ChannelToken, ChannelWebhook, ChannelCapability, ChannelHealthCheck):
        for row in session.scalars(select(part).where(part.connector_id == connector.id).order_by(part.id)):
            audit_gone(session, row, "connector.deleted", tenant_id=connector.tenant_id, actor=actor)
    audit_gone(session, connector, "connector.deleted", tenant_id=connector.tenant_id, actor=actor)
    announce_connector(session, connector.id)


def delete_account(session: Session, account_id: str, *, actor: str) -> None:
    """Delete an account with its fallbacks.

    Raises NotFound, Conflict (`account_in_use`: mappings, usage or checks refer to it, or a default fallback; turn it off).
    """
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    for table in (ChannelMapping, ChannelUsageLog, ChannelHealthCheck):
        if _any(session, table.account_id, account.id):
            raise Conflict(f"rows in {table.__tablename__} refer to the account; turn it off", reason="account_in_use")
    fallbacks = select(ChannelFallback).where(ChannelFallback.account_id == account.id).order_by(ChannelFallback.id)
    for row in session.scalars(fallbacks):
        if _any(session, ConnectorDefaultFallback.fallback_id, row.id):
            raise Conflict("its fallback is the connector's default; set another default first", reason="account_in_use")
        audit_gone(session, row, "account.deleted", tenant_id=connector.tenant_id, actor=actor)
    audit_gone(session, account, "account.deleted", tenant_id=connector.tenant_id, actor=actor)
    announce_account(session, account.id)


def delete_webhook(session: Session, webhook_id: str, *, actor: str) -> None:
    """Take the row of a class away, with its secrets. Raises NotFound."""
    connector, webhook = lock_connector_of(session, ChannelWebhook, webhook_id)
    audit_gone(session, webhook, "webhook.deleted", tenant_id=connector.tenant_id, actor=actor)
    announce_connector(session, connector.id)
    # The provider may have its address, and a secret that it alone held.
    ask_for_sync(session, connector, None, "webhook_deleted")


def _any(session: Session, column: InstrumentedAttribute[str] | InstrumentedAttribute[str | None], value: str) -> bool:
    return bool(session.scalar(select(exists().where(column == value))))
