"""What is known of one account now: connectivity, route, limits, webhooks; read in one transaction from counts that are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, func, literal_column, null, or_, select, union_all

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
from shared.management.overrides import NAME, capability_field
from shared.management.ownership import asked_for, found_row


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
    """Raises NotFound. Blocks for one round trip (a `TenantReader`). The rows are to be read only."""
    asked = {"account_id": account_id, "tenant_id": tenant_id}
    found = ask_all(reader, asked_for(ChannelAccount, account_id, tenant_id), *((each, asked) for each in _EVERYTHING))
    accounts, connector, states, used, check, capabilities, webhooks, syncs, described, held = found
    account = found_row(accounts, ChannelAccount, account_id)
    state = states.one()
    fields = {row.field: row.members for row in held}

    def by_hand(row: Any) -> dict[str, Any]:
        members = fields.get(capability_field(row.feature))
        return {"manual": members} if members else {}

    [known] = _readable(reader, ChannelAccount, [account])
    checks = _readable(reader, ChannelHealthCheck, check)
    return AccountStatusReport(
        account=known,
        connector=_existing(_readable(reader, ChannelConnector, connector), account),
        state=state if state.account_id else None,
        check=checks[0] if checks else None,
        capabilities=_readable(reader, ChannelCapability, capabilities, by_hand),
        webhooks=_readable(reader, ChannelWebhook, webhooks),
        syncs=_readable(reader, SyncJob, syncs),
        today=state.today,
        used_today={row.tipo: row.quantidade for row in used},
        description=next(iter(_readable(reader, DescribedAccount, described)), None),
        name_held=NAME in fields,
    )


def _readable(
    reader: Reading, table: type[Base], rows: Iterable[Any], more: Callable[[Any], dict[str, Any]] = lambda _: {}
) -> tuple[Any, ...]:
    """Of a session objects of the table (that belong to no session), since its callers tell rows by their class. `more`: values
    that stand elsewhere."""
    if isinstance(reader, TenantReader):
        return tuple(row._replace(**values) if (values := more(row)) else row for row in rows)
    return tuple(table(**row._asdict() | more(row)) for row in rows)


def _existing(connector: tuple[Any, ...], account: ChannelAccount) -> ChannelConnector:
    if not connector:  # deleted with the account since we looked
        raise NotFound(f"channel_account {account.id} does not exist")
    found: ChannelConnector = connector[0]
    return found


def _newest_check(*conditions: ColumnElement[bool]) -> Select[Any]:
    found = select(*loaded_columns(ChannelHealthCheck)).where(*conditions)
    return found.order_by(ChannelHealthCheck.executado_em.desc(), ChannelHealthCheck.id.desc()).limit(1)


def _check() -> Select[Any]:
    # Its own before that of its connector.
    own = _newest_check(ChannelHealthCheck.account_id == _ACCOUNT_ID)
    of_connector = _newest_check(ChannelHealthCheck.connector_id == _CONNECTOR_ID, ChannelHealthCheck.account_id.is_(None))
    both = union_all(*(select(each.subquery()) for each in (own, of_connector))).subquery()
    return select(both).order_by(both.c.account_id.is_(None)).limit(literal_column("1"))


def _of_connector(table: Any, *columns: Any) -> Select[Any]:
    return select(*columns).where(table.connector_id == _CONNECTOR_ID).order_by(table.id)


# Written once: to build such a statement anew costs more than to run it, and dashboards ask for many accounts. Each finds the
# connector by itself, so that all of them are one round trip.
_ACCOUNT_ID = bindparam("account_id", type_=ChannelAccount.id.type)
_CONNECTOR_ID = select(ChannelAccount.connector_id).where(ChannelAccount.id == _ACCOUNT_ID).scalar_subquery()
_CONNECTOR = select(*loaded_columns(ChannelConnector)).where(ChannelConnector.id == _CONNECTOR_ID)
_CAPABILITIES = _of_connector(
    ChannelCapability, *(each for each in loaded_columns(ChannelCapability) if each.name != "manual"), null().label("manual")
)
_WEBHOOKS = _of_connector(ChannelWebhook, *loaded_columns(ChannelWebhook))
_SYNCS = (
    select(*loaded_columns(SyncJob))  # its own, or that of its connector
    .where(SyncJob.connector_id == _CONNECTOR_ID, or_(SyncJob.account_id.is_(None), SyncJob.account_id == _ACCOUNT_ID))
    .order_by(SyncJob.subject_id)
)
_DESCRIBED = select(*loaded_columns(DescribedAccount)).where(DescribedAccount.account_id == _ACCOUNT_ID)
# Of the account and of its connector's features together: asked for at each feature they take three times as long.
_HELD = select(ChannelOverride.field, ChannelOverride.members).where(ChannelOverride.subject_id.in_((_ACCOUNT_ID, _CONNECTOR_ID)))
_TODAY = func.date(func.timezone(Tenant.timezone, func.now()))
_STATE = (
    select(*loaded_columns(AccountState), _TODAY.label("today"))
    .select_from(Tenant)
    .outerjoin(AccountState, AccountState.account_id == _ACCOUNT_ID)
    .where(Tenant.id == bindparam("tenant_id"))
)
_USED: Any = select(ChannelUsageLog.tipo, ChannelUsageLog.quantidade).where(
    ChannelUsageLog.account_id == _ACCOUNT_ID,
    ChannelUsageLog.data == select(_TODAY).where(Tenant.id == bindparam("tenant_id")).scalar_subquery(),
)
_EVERYTHING = (_CONNECTOR, _STATE, _USED, _check(), _CAPABILITIES, _WEBHOOKS, _SYNCS, _DESCRIBED, _HELD)
