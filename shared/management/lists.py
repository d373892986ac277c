"""The lists that API and CLI show: each one page of one tenant's rows, by filters that an index serves."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from shared.adapters.tables import (
    AuditLog,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelFallback,
    ChannelHealthCheck,
    ChannelMapping,
    ChannelToken,
    ChannelUsageLog,
    ChannelWebhook,
)
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, EntityType, HealthStatus, UsageType
from shared.domain.errors import InvalidInput
from shared.management.ownership import owned
from shared.management.paging import Order, Page, Slice, page

Part = TypeVar("Part", ChannelCapability, ChannelToken, ChannelWebhook)

CONNECTORS = Order(columns=(ChannelConnector.id,))
ACCOUNTS = Order(columns=(ChannelAccount.connector_id, ChannelAccount.id))
CHECKS = Order(columns=(ChannelHealthCheck.executado_em, ChannelHealthCheck.id), falling=True)
USAGE = Order(columns=(ChannelUsageLog.data, ChannelUsageLog.id), falling=True)
MAPPINGS = Order(columns=(ChannelMapping.connector_id, ChannelMapping.id))
FALLBACKS = Order(columns=(ChannelFallback.id,))
AUDIT = Order(columns=(AuditLog.id,), falling=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorFilter:
    """None: not asked for."""

    tipo: ConnectorType | None = None
    status: ConnectorStatus | None = None
    nome: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """None: not asked for."""

    connector_id: str | None = None
    status: AccountStatus | None = None
    identidade: str | None = None
    org_unit_id: str | None = None
    intake_flow_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckFilter:
    """Of a connector, or of one account. `since` carries a time zone."""

    connector_id: str | None = None
    account_id: str | None = None
    status: HealthStatus | None = None
    since: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageFilter:
    """Of a connector, or of one account; both days included."""

    connector_id: str | None = None
    account_id: str | None = None
    tipo: UsageType | None = None
    first_day: dt.date | None = None
    last_day: dt.date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingFilter:
    """By the outer key, by the inner id, or everything of a connector or an account: at least one of the four."""

    connector_id: str | None = None
    account_id: str | None = None
    chave_externa: str | None = None
    entidade_id: str | None = None
    entidade_type: EntityType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """None: not asked for. Times carry a time zone."""

    subject_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


def list_connectors(session: Session, tenant_id: str, wanted: ConnectorFilter, asked: Slice) -> Page[ChannelConnector]:
    """Oldest first."""
    statement = select(ChannelConnector).where(ChannelConnector.tenant_id == tenant_id)
    if wanted.tipo is not None:
        statement = statement.where(ChannelConnector.tipo == wanted.tipo)
    if wanted.status is not None:
        statement = statement.where(ChannelConnector.status == wanted.status)
    if wanted.nome is not None:
        statement = statement.where(ChannelConnector.nome == wanted.nome)
    return page(session, statement, CONNECTORS, asked)


def list_accounts(session: Session, tenant_id: str, wanted: AccountFilter, asked: Slice) -> Page[ChannelAccount]:
    """By connector, oldest first. Raises NotFound for a connector that the tenant does not have."""
    statement = _of_tenant(session, ChannelAccount, tenant_id, wanted.connector_id)
    if wanted.status is not None:
        statement = statement.where(ChannelAccount.status == wanted.status)
    if wanted.identidade is not None:
        statement = statement.where(ChannelAccount.identidade == wanted.identidade)
    if wanted.org_unit_id is not None:
        statement = statement.where(ChannelAccount.org_unit_id == wanted.org_unit_id)
    if wanted.intake_flow_id is not None:
        statement = statement.where(ChannelAccount.intake_flow_id == wanted.intake_flow_id)
    return page(session, statement, ACCOUNTS, asked)


def list_parts(session: Session, tenant_id: str, table: type[Part], connector_id: str, asked: Slice) -> Page[Part]:
    """Capabilities, tokens or webhooks of one connector, oldest first. Raises NotFound."""
    owned(session, ChannelConnector, connector_id, tenant_id)
    statement = select(table).where(table.connector_id == connector_id)
    return page(session, statement, part_order(table), asked)


def part_order(table: type[Part]) -> Order:
    """The order of such a list."""
    return Order(columns=(table.id,))


def list_fallbacks(session: Session, tenant_id: str, account_id: str, asked: Slice) -> Page[ChannelFallback]:
    """Those of one account, oldest first. Raises NotFound."""
    owned(session, ChannelAccount, account_id, tenant_id)
    return page(session, select(ChannelFallback).where(ChannelFallback.account_id == account_id), FALLBACKS, asked)


def list_checks(session: Session, tenant_id: str, wanted: CheckFilter, asked: Slice) -> Page[ChannelHealthCheck]:
    """Newest first. Raises NotFound."""
    statement = _of_part(session, ChannelHealthCheck, tenant_id, wanted.connector_id, wanted.account_id)
    if wanted.status is not None:
        statement = statement.where(ChannelHealthCheck.status == wanted.status)
    if wanted.since is not None:
        statement = statement.where(ChannelHealthCheck.executado_em >= wanted.since)
    return page(session, statement, CHECKS, asked)


def list_usage(session: Session, tenant_id: str, wanted: UsageFilter, asked: Slice) -> Page[ChannelUsageLog]:
    """Newest day first. Raises NotFound."""
    statement = _of_part(session, ChannelUsageLog, tenant_id, wanted.connector_id, wanted.account_id)
    if wanted.tipo is not None:
        statement = statement.where(ChannelUsageLog.tipo == wanted.tipo)
    if wanted.first_day is not None:
        statement = statement.where(ChannelUsageLog.data >= wanted.first_day)
    if wanted.last_day is not None:
        statement = statement.where(ChannelUsageLog.data <= wanted.last_day)
    return page(session, statement, USAGE, asked)


def list_mappings(session: Session, tenant_id: str, wanted: MappingFilter, asked: Slice) -> Page[ChannelMapping]:
    """By either side. Raises NotFound, and InvalidInput (`filter_missing`) without one that an index serves."""
    named = (wanted.connector_id, wanted.account_id, wanted.chave_externa, wanted.entidade_id)
    if all(each is None for each in named):
        raise InvalidInput("give chave_externa, entidade_id, connector_id or account_id", reason="filter_missing")
    statement = _of_tenant(session, ChannelMapping, tenant_id, wanted.connector_id)
    if wanted.account_id is not None:
        owned(session, ChannelAccount, wanted.account_id, tenant_id)
        statement = statement.where(ChannelMapping.account_id == wanted.account_id)
    if wanted.chave_externa is not None:
        statement = statement.where(ChannelMapping.chave_externa == wanted.chave_externa)
    if wanted.entidade_id is not None:
        statement = statement.where(ChannelMapping.entidade_id == wanted.entidade_id)
    if wanted.entidade_type is not None:
        statement = statement.where(ChannelMapping.entidade_type == wanted.entidade_type)
    return page(session, statement, MAPPINGS, asked)


def list_audit(session: Session, tenant_id: str, wanted: AuditFilter, asked: Slice) -> Page[AuditLog]:
    """Newest first; values are masked as they were written."""
    statement = select(AuditLog).where(AuditLog.tenant_id == tenant_id)
    if wanted.subject_id is not None:
        statement = statement.where(AuditLog.subject_id == wanted.subject_id)
    if wanted.actor is not None:
        statement = statement.where(AuditLog.actor == wanted.actor)
    if wanted.action is not None:
        statement = statement.where(AuditLog.action == wanted.action)
    if wanted.since is not None:
        statement = statement.where(AuditLog.at >= wanted.since)
    if wanted.until is not None:
        statement = statement.where(AuditLog.at < wanted.until)
    return page(session, statement, AUDIT, asked)


_Inner = TypeVar("_Inner", ChannelAccount, ChannelMapping)
_Count = TypeVar("_Count", ChannelHealthCheck, ChannelUsageLog)


def _of_tenant(session: Session, table: type[_Inner], tenant_id: str, connector_id: str | None) -> Select[_Inner]:
    if connector_id is not None:
        owned(session, ChannelConnector, connector_id, tenant_id)
        return select(table).where(table.connector_id == connector_id)
    return (
        select(table)
        .join(ChannelConnector, ChannelConnector.id == table.connector_id)
        .where(ChannelConnector.tenant_id == tenant_id)
    )


def _of_part(
    session: Session, table: type[_Count], tenant_id: str, connector_id: str | None, account_id: str | None
) -> Select[_Count]:
    statement = select(table)
    if connector_id is not None:
        owned(session, ChannelConnector, connector_id, tenant_id)
        statement = statement.where(table.connector_id == connector_id)
    if account_id is not None:
        owned(session, ChannelAccount, account_id, tenant_id)
        statement = statement.where(table.account_id == account_id)
    if connector_id is None and account_id is None:
        raise InvalidInput("give connector_id or account_id", reason="filter_missing")
    return statement
