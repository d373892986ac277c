"""The lists that API and CLI show: each one page of one tenant's rows, by filters that an index serves."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, bindparam

from shared.adapters.prepared import Plans
from shared.adapters.reading import Reading
from shared.adapters.tables import (
    AuditLog,
    Base,
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
from shared.management.ownership import looked_up
from shared.management.paging import Listing, Order, Page, Slice, page

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


def list_connectors(reader: Reading, tenant_id: str, wanted: ConnectorFilter, asked: Slice) -> Page[ChannelConnector]:
    """Oldest first."""
    return page(reader, _CONNECTORS, _named(wanted) | {"tenant_id": tenant_id}, asked)


def list_accounts(reader: Reading, tenant_id: str, wanted: AccountFilter, asked: Slice) -> Page[ChannelAccount]:
    """By connector, oldest first. Raises NotFound for a connector that the tenant does not have."""
    if wanted.connector_id is None:
        return page(reader, _ACCOUNTS, _named(wanted) | {"tenant_id": tenant_id}, asked)
    looked_up(reader, ChannelConnector, wanted.connector_id, tenant_id)
    return page(reader, _ACCOUNTS_OF_CONNECTOR, _named(wanted), asked)


def list_parts(reader: Reading, tenant_id: str, table: type[Part], connector_id: str, asked: Slice) -> Page[Part]:
    """Capabilities, tokens or webhooks of one connector, oldest first. Raises NotFound."""
    looked_up(reader, ChannelConnector, connector_id, tenant_id)
    return page(reader, _PARTS[table], {"connector_id": connector_id}, asked)


def part_order(table: type[Part]) -> Order:
    """The order of such a list."""
    return _PARTS[table].order


def list_fallbacks(reader: Reading, tenant_id: str, account_id: str, asked: Slice) -> Page[ChannelFallback]:
    """Those of one account, oldest first. Raises NotFound."""
    looked_up(reader, ChannelAccount, account_id, tenant_id)
    return page(reader, _FALLBACKS, {"account_id": account_id}, asked)


def list_checks(reader: Reading, tenant_id: str, wanted: CheckFilter, asked: Slice) -> Page[ChannelHealthCheck]:
    """Newest first. Raises NotFound."""
    _require_parent(reader, tenant_id, wanted.connector_id, wanted.account_id)
    return page(reader, _CHECKS, _named(wanted), asked)


def list_usage(reader: Reading, tenant_id: str, wanted: UsageFilter, asked: Slice) -> Page[ChannelUsageLog]:
    """Newest day first. Raises NotFound."""
    _require_parent(reader, tenant_id, wanted.connector_id, wanted.account_id)
    return page(reader, _USAGE, _named(wanted), asked)


def list_mappings(reader: Reading, tenant_id: str, wanted: MappingFilter, asked: Slice) -> Page[ChannelMapping]:
    """By either side. Raises NotFound, and InvalidInput (`filter_missing`) without one that an index serves."""
    named = (wanted.connector_id, wanted.account_id, wanted.chave_externa, wanted.entidade_id)
    if all(each is None for each in named):
        raise InvalidInput("give chave_externa, entidade_id, connector_id or account_id", reason="filter_missing")
    if wanted.account_id is not None:
        looked_up(reader, ChannelAccount, wanted.account_id, tenant_id)
    if wanted.connector_id is None:
        return page(reader, _MAPPINGS, _named(wanted) | {"tenant_id": tenant_id}, asked)
    looked_up(reader, ChannelConnector, wanted.connector_id, tenant_id)
    return page(reader, _MAPPINGS_OF_CONNECTOR, _named(wanted), asked)


def list_audit(reader: Reading, tenant_id: str, wanted: AuditFilter, asked: Slice) -> Page[AuditLog]:
    """Newest first; values are masked as they were written."""
    return page(reader, _AUDIT, _named(wanted) | {"tenant_id": tenant_id}, asked)


def _require_parent(reader: Reading, tenant_id: str, connector_id: str | None, account_id: str | None) -> None:
    if connector_id is not None:
        looked_up(reader, ChannelConnector, connector_id, tenant_id)
    if account_id is not None:
        looked_up(reader, ChannelAccount, account_id, tenant_id)
    if connector_id is None and account_id is None:
        raise InvalidInput("give connector_id or account_id", reason="filter_missing")


def _named(wanted: object) -> dict[str, Any]:
    return {field.name: getattr(wanted, field.name) for field in fields(wanted)}  # type: ignore[arg-type]  # a filter record


def _equal(table: Any, *names: str) -> dict[str, ColumnElement[bool]]:
    return {name: getattr(table, name) == bindparam(name) for name in names}


_IN_TENANT = {"tenant_id": ChannelConnector.tenant_id == bindparam("tenant_id")}
_ACCOUNT_CONDITIONS = _equal(ChannelAccount, "connector_id", "status", "identidade", "org_unit_id", "intake_flow_id")
_MAPPING_CONDITIONS = _equal(ChannelMapping, "connector_id", "account_id", "chave_externa", "entidade_id", "entidade_type")

# A plan for a tenant of usual size reads and sorts all connectors of a large one for each page.
_CONNECTORS = Listing(
    order=CONNECTORS, conditions=_IN_TENANT | _equal(ChannelConnector, "tipo", "status", "nome"), plans=Plans.FOR_EACH
)
_ACCOUNTS = Listing(
    order=ACCOUNTS,
    conditions=_ACCOUNT_CONDITIONS,
    within=ChannelConnector.id,
    parents=_IN_TENANT,
    walked=frozenset({"status"}),
)
_ACCOUNTS_OF_CONNECTOR = Listing(order=ACCOUNTS, conditions=_ACCOUNT_CONDITIONS)
_MAPPINGS = Listing(order=MAPPINGS, conditions=_MAPPING_CONDITIONS, within=ChannelConnector.id, parents=_IN_TENANT)
_MAPPINGS_OF_CONNECTOR = Listing(order=MAPPINGS, conditions=_MAPPING_CONDITIONS)
_PARTS: dict[type[Base], Listing] = {
    table: Listing(order=Order(columns=(table.id,)), conditions=_equal(table, "connector_id"))
    for table in (ChannelCapability, ChannelToken, ChannelWebhook)
}
_FALLBACKS = Listing(order=FALLBACKS, conditions=_equal(ChannelFallback, "account_id"))
_CHECKS = Listing(
    order=CHECKS,
    conditions=_equal(ChannelHealthCheck, "connector_id", "account_id", "status")
    | {"since": ChannelHealthCheck.executado_em >= bindparam("since")},
)
_USAGE = Listing(
    order=USAGE,
    conditions=_equal(ChannelUsageLog, "connector_id", "account_id", "tipo")
    | {"first_day": ChannelUsageLog.data >= bindparam("first_day"), "last_day": ChannelUsageLog.data <= bindparam("last_day")},
)
# Of a tenant with most of the entries PostgreSQL believes that they stand everywhere, and looks for a page of them by their
# numbers alone: through all entries of others, where the tenant's are older. Each index of this table begins with the tenant or
# the subject and ends with the number, so one plan is right for all.
_AUDIT = Listing(
    plans=Plans.ONCE,
    order=AUDIT,
    conditions=_equal(AuditLog, "tenant_id", "subject_id", "actor", "action")
    | {"since": AuditLog.at >= bindparam("since"), "until": AuditLog.at < bindparam("until")},
)
