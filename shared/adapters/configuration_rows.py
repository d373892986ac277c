"""Reads the rows that snapshots are built from. The caller's transaction decides of which instant they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, and_, case, func, or_, select

from shared.adapters.fallback_choice import fallback_of
from shared.adapters.tables import (
    AccountState,
    AutomationFlow,
    ChannelAccount,
    ChannelConnector,
    ChannelFallback,
    ChannelWebhook,
    ConnectorCertificate,
    DataKey,
    OrgUnit,
    SnapshotVersion,
)
from shared.domain.configuration import AccountRow, ConfigurationRows, ConnectorRow
from shared.domain.enums import KeyPurpose
from shared.domain.routing import HEALTH_PAUSE
from shared.domain.snapshots import Certificate, FallbackInForce, WebhookSnapshot, WrappedDataKey

_NO_VERSION = 0  # a use case that counts none: readers take it only until a counted one comes


def read_configuration(connection: Connection, connector_ids: Collection[str], account_ids: Collection[str]) -> ConfigurationRows:
    """The rows of these connectors and accounts; blocks, at most five statements."""
    return ConfigurationRows(connectors=_connectors(connection, connector_ids), accounts=_accounts(connection, account_ids))


def _connectors(connection: Connection, ids: Collection[str]) -> dict[str, ConnectorRow]:
    if not ids:
        return {}
    found = connection.execute(
        select(ChannelConnector.__table__, SnapshotVersion.version)
        .outerjoin(SnapshotVersion, SnapshotVersion.subject_id == ChannelConnector.id)
        .where(ChannelConnector.id.in_(ids))
    ).all()
    webhooks = _webhooks(connection, ids)
    keys = _ingest_keys(connection, {row.tenant_id for row in found})
    certificates = _certificates(connection, ids)
    return {
        row.id: ConnectorRow(
            version=row.version or _NO_VERSION,
            connector_id=row.id,
            tenant_id=row.tenant_id,
            tipo=row.tipo,
            status=row.status,
            config=row.config,
            webhooks=tuple(webhooks[row.id]),
            ingest_keys=tuple(keys[row.tenant_id]),
            certificates=tuple(certificates[row.id]),
        )
        for row in found
    }


def _webhooks(connection: Connection, connector_ids: Collection[str]) -> defaultdict[str, list[WebhookSnapshot]]:
    webhooks: defaultdict[str, list[WebhookSnapshot]] = defaultdict(list)
    for row in connection.execute(
        select(
            ChannelWebhook.connector_id, ChannelWebhook.id, ChannelWebhook.evento, ChannelWebhook.status, ChannelWebhook.segredo
        )
        .where(ChannelWebhook.connector_id.in_(connector_ids))
        .order_by(ChannelWebhook.id)
    ):
        webhooks[row.connector_id].append(
            WebhookSnapshot(webhook_id=row.id, evento=row.evento, status=row.status, segredo=row.segredo)
        )
    return webhooks


def _certificates(connection: Connection, connector_ids: Collection[str]) -> defaultdict[str, list[Certificate]]:
    certificates: defaultdict[str, list[Certificate]] = defaultdict(list)
    for row in connection.execute(
        select(ConnectorCertificate.connector_id, ConnectorCertificate.url, ConnectorCertificate.pem)
        .where(ConnectorCertificate.connector_id.in_(connector_ids))
        .order_by(ConnectorCertificate.url)
    ):
        certificates[row.connector_id].append(Certificate(url=row.url, pem=row.pem))
    return certificates


def _ingest_keys(connection: Connection, tenant_ids: Collection[str]) -> defaultdict[str, list[WrappedDataKey]]:
    keys: defaultdict[str, list[WrappedDataKey]] = defaultdict(list)
    if not tenant_ids:
        return keys
    for row in connection.execute(
        select(DataKey.tenant_id, DataKey.key_id, DataKey.wrapped)
        .where(
            DataKey.tenant_id.in_(tenant_ids),
            DataKey.purpose == KeyPurpose.INGEST.value,
            or_(DataKey.retired_at.is_(None), DataKey.retired_at > func.now()),  # it may have sealed what is still kept
        )
        .order_by(DataKey.retired_at.is_not(None), DataKey.created_at.desc(), DataKey.key_id.desc())  # the first one seals
    ):
        keys[row.tenant_id].append(WrappedDataKey(key_id=row.key_id, wrapped=row.wrapped))
    return keys


def _accounts(connection: Connection, ids: Collection[str]) -> dict[str, AccountRow]:
    if not ids:
        return {}
    # A breaker is open: the account's own, or its connector's (which took the account along).
    in_force = or_(
        and_(AccountState.route == "paused", AccountState.route_cause.startswith(HEALTH_PAUSE, autoescape=True)),
        AccountState.cause.is_not(None),
    )
    chosen = case((in_force, fallback_of(ChannelAccount.id, ChannelAccount.connector_id)))
    found = connection.execute(
        select(
            ChannelAccount.__table__,
            ChannelConnector.tenant_id,
            ChannelConnector.tipo,
            AutomationFlow.category,
            AutomationFlow.published,
            OrgUnit.deleted_at.label("org_unit_deleted_at"),
            AccountState.route,
            AccountState.route_cause,
            SnapshotVersion.version,
            ChannelFallback.id.label("fallback_id"),
            ChannelFallback.tipo.label("fallback_tipo"),
            ChannelFallback.destino,
        )
        .join(ChannelConnector, ChannelConnector.id == ChannelAccount.connector_id)
        .outerjoin(AutomationFlow, AutomationFlow.id == ChannelAccount.intake_flow_id)
        .outerjoin(OrgUnit, OrgUnit.id == ChannelAccount.org_unit_id)
        .outerjoin(AccountState, AccountState.account_id == ChannelAccount.id)
        .outerjoin(SnapshotVersion, SnapshotVersion.subject_id == ChannelAccount.id)
        .outerjoin(ChannelFallback, ChannelFallback.id == chosen)
        .where(ChannelAccount.id.in_(ids))
    )
    return {
        row.id: AccountRow(
            version=row.version or _NO_VERSION,
            account_id=row.id,
            connector_id=row.connector_id,
            tenant_id=row.tenant_id,
            tipo=row.tipo,
            identidade=row.identidade,
            status=row.status,
            config=row.config or {},
            org_unit_id=None if row.org_unit_deleted_at else row.org_unit_id,  # nobody is there to read what goes to it
            intake_flow_id=row.intake_flow_id,
            flow_category=row.category,
            flow_published=row.published,
            pause_cause=(row.route_cause or "") if row.route == "paused" else None,
            fallback=_fallback(row),
        )
        for row in found
    }


def _fallback(row: Any) -> FallbackInForce | None:
    if row.fallback_id is None:
        return None
    return FallbackInForce(fallback_id=row.fallback_id, tipo=row.fallback_tipo, destino=row.destino)
