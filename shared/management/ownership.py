"""Which tenant a row belongs to, for callers that name a row by its id.

Row-level security holds the line in the database; this says "does not exist" before it, and gives the connector whose lock
every change begins with.
"""

from __future__ import annotations

from typing import TypeVar

from sqlalchemy.orm import Session

from shared.adapters.tables import Base, ChannelAccount, ChannelConnector, ChannelFallback
from shared.domain.errors import NotFound
from shared.management.changes import find, lock_connector

Row = TypeVar("Row", bound=Base)


def owned(session: Session, table: type[Row], row_id: str, tenant_id: str) -> Row:
    """A row of this tenant as it is now; raises NotFound alike for no row and for another tenant's."""
    row = find(session, table, row_id)
    if find(session, ChannelConnector, _connector_id(session, row)).tenant_id != tenant_id:
        raise NotFound(f"{table.__tablename__} {row_id} does not exist")
    return row


def owned_for_change(session: Session, table: type[Row], row_id: str, tenant_id: str) -> Row:
    """The same under the lock of its connector, so that what is compared now still holds when it is changed."""
    lock_connector(session, _connector_id(session, owned(session, table, row_id, tenant_id)))
    return find(session, table, row_id)


def _connector_id(session: Session, row: Base) -> str:
    if isinstance(row, ChannelConnector):
        return row.id
    if isinstance(row, ChannelFallback):
        return find(session, ChannelAccount, row.account_id).connector_id
    connector_id: str = row.connector_id  # type: ignore[attr-defined]  # every other table of a connector has it
    return connector_id
