"""What is known of one account now: connectivity, route, limits, webhooks; read in one transaction from counts that are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.tables import (
    AccountState,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelHealthCheck,
    ChannelUsageLog,
    ChannelWebhook,
    Tenant,
)
from shared.domain.enums import UsageType
from shared.management.changes import find
from shared.management.ownership import owned


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatusReport:
    """Rows as they are; `check` is the newest of the account, else of its connector. `used_today` counts in the tenant's zone."""

    account: ChannelAccount
    connector: ChannelConnector
    state: AccountState | None
    check: ChannelHealthCheck | None
    capabilities: tuple[ChannelCapability, ...]
    webhooks: tuple[ChannelWebhook, ...]
    today: dt.date
    used_today: Mapping[UsageType, int]


def account_status(session: Session, tenant_id: str, account_id: str) -> AccountStatusReport:
    """Raises NotFound. Blocks, nine short statements."""
    account = owned(session, ChannelAccount, account_id, tenant_id)
    connector = find(session, ChannelConnector, account.connector_id)
    zone = find(session, Tenant, tenant_id).timezone
    today: dt.date = session.scalars(select(func.date(func.timezone(zone, func.now())))).one()
    used = session.execute(
        select(ChannelUsageLog.tipo, ChannelUsageLog.quantidade).where(
            ChannelUsageLog.account_id == account.id, ChannelUsageLog.data == today
        )
    )
    return AccountStatusReport(
        account=account,
        connector=connector,
        state=session.get(AccountState, account.id),
        check=_newest(session, account),
        capabilities=_of(session, ChannelCapability, connector.id),
        webhooks=_of(session, ChannelWebhook, connector.id),
        today=today,
        used_today={row.tipo: row.quantidade for row in used},
    )


def _newest(session: Session, account: ChannelAccount) -> ChannelHealthCheck | None:
    newest = select(ChannelHealthCheck).order_by(ChannelHealthCheck.executado_em.desc(), ChannelHealthCheck.id.desc()).limit(1)
    own = session.scalar(newest.where(ChannelHealthCheck.account_id == account.id))
    shared = newest.where(ChannelHealthCheck.connector_id == account.connector_id, ChannelHealthCheck.account_id.is_(None))
    return own or session.scalar(shared)


def _of(session: Session, table: Any, connector_id: str) -> tuple[Any, ...]:
    return tuple(session.scalars(select(table).where(table.connector_id == connector_id).order_by(table.id)))
