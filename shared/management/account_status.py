"""What is known of one account now: connectivity, route, limits, webhooks; read in one transaction from counts that are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, select

from shared.adapters.reading import Reading, TenantReader, ask_all
from shared.adapters.tables import (
    AccountState,
    Base,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelHealthCheck,
    ChannelOverride,
    ChannelUsageLog,
    ChannelWebhook,
    DescribedAccount,
    SyncJob,
    Tenant,
    loaded_columns,
)
from shared.domain.enums import UsageType
from shared.domain.errors import NotFound
from shared.management.overrides import NAME
from shared.management.ownership import looked_up
from shared.management.sync_requests import OF_ACCOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatusReport:
    """Rows as they are; `check` is the newest of the account, else of its connector. `used_today` counts in the tenant's zone."""

    account: ChannelAccount
    connector: ChannelConnector
    state: AccountState | None
    check: ChannelHealthCheck | None
    capabilities: tuple[ChannelCapability, ...]
    webhooks: tuple[ChannelWebhook, ...]
    syncs: tuple[SyncJob, ...]
    today: dt.date
    used_today: Mapping[UsageType, int]
    description: DescribedAccount | None
    name_held: bool  # by a person


def account_status(reader: Reading, tenant_id: str, account_id: str) -> AccountStatusReport:
    """Raises NotFound. Blocks for two round trips (a `TenantReader`). The rows are to be read only."""
    account = looked_up(reader, ChannelAccount, account_id, tenant_id)
    asked = {"account_id": account.id, "connector_id": account.connector_id, "tenant_id": tenant_id}
    found = ask_all(reader, *((each, asked) for each in _EVERYTHING))
    connector, states, used, own, shared, capabilities, webhooks, syncs, described, held = found
    state = states.one()
    [known] = _readable(reader, ChannelAccount, [account])
    checks = _readable(reader, ChannelHealthCheck, own or shared)
    return AccountStatusReport(
        account=known,
        connector=_existing(_readable(reader, ChannelConnector, connector), account),
        state=state if state.account_id else None,
        check=checks[0] if checks else None,
        capabilities=_readable(reader, ChannelCapability, capabilities),
        webhooks=_readable(reader, ChannelWebhook, webhooks),
        syncs=_readable(reader, SyncJob, syncs),
        today=state.today,
        used_today={row.tipo: row.quantidade for row in used},
        description=next(iter(_readable(reader, DescribedAccount, described)), None),
        name_held=bool(held),
    )


def _readable(reader: Reading, table: type[Base], rows: Iterable[Any]) -> tuple[Any, ...]:
    """Of a session objects of the table (that belong to no session), since its callers tell rows by their class."""
    return tuple(rows if isinstance(reader, TenantReader) else (table(**row._asdict()) for row in rows))


def _existing(connector: tuple[Any, ...], account: ChannelAccount) -> ChannelConnector:
    if not connector:  # deleted with the account since we looked
        raise NotFound(f"channel_account {account.id} does not exist")
    found: ChannelConnector = connector[0]
    return found


def _newest_check(*conditions: ColumnElement[bool]) -> Select[Any]:
    found = select(*loaded_columns(ChannelHealthCheck)).where(*conditions)
    return found.order_by(ChannelHealthCheck.executado_em.desc(), ChannelHealthCheck.id.desc()).limit(1)


def _of_connector(table: Any) -> Select[Any]:
    return select(*loaded_columns(table)).where(table.connector_id == bindparam("connector_id")).order_by(table.id)


# Written once: to build such a statement anew costs more than to run it, and dashboards ask for many accounts.
_OWN_CHECK = _newest_check(ChannelHealthCheck.account_id == bindparam("account_id"))
_SHARED_CHECK = _newest_check(
    ChannelHealthCheck.connector_id == bindparam("connector_id"), ChannelHealthCheck.account_id.is_(None)
)
_CAPABILITIES, _WEBHOOKS = _of_connector(ChannelCapability), _of_connector(ChannelWebhook)
_DESCRIBED = select(*loaded_columns(DescribedAccount)).where(DescribedAccount.account_id == bindparam("account_id"))
_NAME_HELD = select(ChannelOverride.actor).where(
    ChannelOverride.subject_id == bindparam("account_id"), ChannelOverride.field == NAME
)
_TODAY = func.date(func.timezone(Tenant.timezone, func.now()))
_STATE = (
    select(*loaded_columns(AccountState), _TODAY.label("today"))
    .select_from(Tenant)
    .outerjoin(AccountState, AccountState.account_id == bindparam("account_id"))
    .where(Tenant.id == bindparam("tenant_id"))
)
_USED: Any = select(ChannelUsageLog.tipo, ChannelUsageLog.quantidade).where(
    ChannelUsageLog.account_id == bindparam("account_id"),
    ChannelUsageLog.data == select(_TODAY).where(Tenant.id == bindparam("tenant_id")).scalar_subquery(),
)
_CONNECTOR = select(*loaded_columns(ChannelConnector)).where(ChannelConnector.id == bindparam("connector_id"))
_EVERYTHING = (
    *(_CONNECTOR, _STATE, _USED, _OWN_CHECK, _SHARED_CHECK, _CAPABILITIES, _WEBHOOKS),
    *(OF_ACCOUNT, _DESCRIBED, _NAME_HELD),
)
