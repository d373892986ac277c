"""Which fallback an account has now, as one expression for statements about accounts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import aliased

from shared.adapters.tables import ChannelFallback, ConnectorDefaultFallback


def fallback_of(account_id: Any, connector_id: Any) -> ColumnElement[str | None]:
    """Id of the account's oldest active fallback, else of its connector's active default, else null.

    Both arguments are columns of the statement that it is put into, or values.
    """
    own, default = aliased(ChannelFallback), aliased(ChannelFallback)
    of_account = select(own.id).where(own.account_id == account_id, own.ativo).order_by(own.id).limit(1)
    of_connector = (
        select(ConnectorDefaultFallback.fallback_id)
        .join(default, default.id == ConnectorDefaultFallback.fallback_id)
        .where(ConnectorDefaultFallback.connector_id == connector_id, default.ativo)
    )
    return func.coalesce(of_account.scalar_subquery(), of_connector.scalar_subquery())
