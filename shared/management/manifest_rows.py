"""The rows of one tenant that a manifest can express, read at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from shared.adapters.tables import (
    AccountState,
    AutomationFlow,
    Base,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelFallback,
    ChannelToken,
    ChannelWebhook,
    ConnectorDefaultFallback,
    OrgUnit,
    Tenant,
)
from shared.domain.enums import ConnectorStatus
from shared.management.changes import find
from shared.management.overrides import held_names

Row = TypeVar("Row", bound=Base)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRows:
    """Rows in the order of their ids, those of a connector or an account by its id.

    `defaults`: connector id -> its default fallback; `waiting`: accounts that are pending only because their connector is;
    `named`: those whose names people set.
    """

    tenant: Tenant
    units: list[OrgUnit]
    flows: list[AutomationFlow]
    connectors: list[ChannelConnector]
    tokens: dict[str, list[ChannelToken]]
    webhooks: dict[str, list[ChannelWebhook]]
    capabilities: dict[str, list[ChannelCapability]]
    accounts: dict[str, list[ChannelAccount]]
    fallbacks: dict[str, list[ChannelFallback]]
    defaults: dict[str, str]
    waiting: frozenset[str]
    named: frozenset[str]


def read_rows(session: Session, tenant_id: str, *, archived: bool) -> TenantRows:
    """Read them; blocks, twelve statements. Tokens that have expired are left out. Raises NotFound."""
    connectors = select(ChannelConnector).where(ChannelConnector.tenant_id == tenant_id)
    if not archived:
        connectors = connectors.where(ChannelConnector.status != ConnectorStatus.ARCHIVED)
    ids = connectors.with_only_columns(ChannelConnector.id)
    account_ids = select(ChannelAccount.id).where(ChannelAccount.connector_id.in_(ids))
    alive = or_(ChannelToken.expires_at.is_(None), ChannelToken.expires_at > func.now())

    def of_connectors(table: Any, *conditions: Any) -> dict[str, list[Any]]:
        wanted = select(table).where(table.connector_id.in_(ids), *conditions).order_by(table.id)
        return _grouped(session.scalars(wanted), "connector_id")

    def of_tenant(table: Any) -> list[Any]:
        return list(session.scalars(select(table).where(table.tenant_id == tenant_id).order_by(table.id)))

    fallbacks = select(ChannelFallback).where(ChannelFallback.account_id.in_(account_ids)).order_by(ChannelFallback.id)
    links = session.scalars(select(ConnectorDefaultFallback).where(ConnectorDefaultFallback.connector_id.in_(ids)))
    waiting = select(AccountState.account_id).where(AccountState.account_id.in_(account_ids), AccountState.cause.is_not(None))
    return TenantRows(
        tenant=find(session, Tenant, tenant_id),
        units=of_tenant(OrgUnit),
        flows=of_tenant(AutomationFlow),
        connectors=list(session.scalars(connectors.order_by(ChannelConnector.id))),
        tokens=of_connectors(ChannelToken, alive),
        webhooks=of_connectors(ChannelWebhook),
        capabilities=of_connectors(ChannelCapability),
        accounts=of_connectors(ChannelAccount),
        fallbacks=_grouped(session.scalars(fallbacks), "account_id"),
        defaults={link.connector_id: link.fallback_id for link in links},
        waiting=frozenset(session.scalars(waiting)),
        named=held_names(session, ids),
    )


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[getattr(row, key)].append(row)
    return grouped
