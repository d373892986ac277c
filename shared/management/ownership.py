"""Which tenant a row belongs to, for callers that name a row by its id.

Row-level security holds the line in the database; this says "does not exist" before it, and gives the connector whose lock
every change begins with.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from shared.adapters.pipelined_work import PipelinedSession
from shared.adapters.plain_rows import adopt, is_whole
from shared.adapters.reading import Asked, Reading
from shared.adapters.tables import Base, ChannelAccount, ChannelConnector, ChannelFallback, loaded_columns
from shared.domain.errors import NotFound
from shared.management.changes import find, hold

Row = TypeVar("Row", bound=Base)


def owned(session: Session, table: type[Row], row_id: str, tenant_id: str) -> Row:
    """A row of this tenant as it is now; raises NotFound alike for no row and for another tenant's."""
    row: Row | None = session.scalar(_owned_row(table), _names(table, row_id, tenant_id))
    return _required(row, table, row_id)


def looked_up(reader: Reading, table: type[Row], row_id: str, tenant_id: str) -> Row:
    """The same to be read only: it has the attributes of the row, and is no object of a session. For the many who only look."""
    return found_row(reader.execute(*asked_for(table, row_id, tenant_id)), table, row_id)


def asked_for(table: type[Row], row_id: str, tenant_id: str) -> Asked:
    """What `looked_up` asks, to be asked together with other things (`ask_all`); raises NotFound for an id that is none."""
    return _looked_up_row(table), _names(table, row_id, tenant_id)


def found_row(rows: Any, table: type[Row], row_id: str) -> Row:
    """The row in what was found; raises NotFound."""
    found: Row | None = rows.one_or_none()
    return _required(found, table, row_id)


@cache
def _owned_row(table: type[Base]) -> Select[Any]:
    return _of_tenant(select(table), table).execution_options(populate_existing=True)


@cache
def _looked_up_row(table: type[Base]) -> Select[Any]:
    return _of_tenant(select(*loaded_columns(table)), table)


def _of_tenant(statement: Select[Any], table: type[Base]) -> Select[Any]:
    """Written once per table: to build it anew would cost more than to run it."""
    mapped: Any = table
    if table is ChannelFallback:
        statement = statement.join(ChannelAccount, ChannelAccount.id == ChannelFallback.account_id)
        statement = statement.join(ChannelConnector, ChannelConnector.id == ChannelAccount.connector_id)
    elif table is not ChannelConnector:
        statement = statement.join(ChannelConnector, ChannelConnector.id == mapped.connector_id)
    return statement.where(mapped.id == bindparam("row_id"), ChannelConnector.tenant_id == bindparam("tenant_id"))


def _names(table: type[Base], row_id: str, tenant_id: str) -> dict[str, str]:
    try:
        return {"row_id": str(UUID(row_id)), "tenant_id": tenant_id}
    except ValueError:
        raise NotFound(f"{table.__tablename__} has no row of this id") from None


def _required(row: Row | None, table: type[Row], row_id: str) -> Row:
    if row is None:
        raise _missing(table, row_id)
    return row


def _missing(table: type[Base], row_id: str) -> NotFound:
    return NotFound(f"{table.__tablename__} {row_id} does not exist")


def owned_for_change(session: Session, table: type[Row], row_id: str, tenant_id: str) -> Row:
    """The same under the lock of its connector, so that what is compared now still holds when it is changed."""
    names = _names(table, row_id, tenant_id)
    connector: ChannelConnector | None
    row: Any
    if isinstance(session, PipelinedSession) and is_whole(table):
        connector, row = _locked_and_read(session, table, names)
    else:
        connector = session.scalar(_lock_of_connector(table), names)
        # Read once the lock is held: what was joined to a row that had to be waited for is as it was before.
        row = connector if connector is None or isinstance(connector, table) else find(session, table, row_id)
    if connector is None:
        raise _missing(table, row_id)
    hold(session, connector, row)
    return cast(Row, row)


def _locked_and_read(session: PipelinedSession, table: type[Row], names: dict[str, str]) -> Any:
    # In one round trip, and yet one after the other: the second sees what the first one had to wait for.
    asked = [(_plain_lock_of_connector(table), names)]
    if table is not ChannelConnector:
        asked.append((_looked_up_row(table), names))
    locked, *read = session.execute_all(*asked)
    found = [rows.one_or_none() for rows in (locked, *read)]
    if None in found:
        return None, None
    connector = adopt(session, ChannelConnector, found[0])
    return connector, adopt(session, table, found[-1]) if read else connector


@cache
def _lock_of_connector(table: type[Base]) -> Select[Any]:
    return _locking(select(ChannelConnector), table).execution_options(populate_existing=True)


@cache
def _plain_lock_of_connector(table: type[Base]) -> Select[Any]:
    return _locking(select(*loaded_columns(ChannelConnector)), table)


def _locking(statement: Any, table: type[Base]) -> Select[Any]:
    if table is ChannelFallback:
        statement = statement.join(ChannelAccount, ChannelAccount.connector_id == ChannelConnector.id)
        statement = statement.join(ChannelFallback, ChannelFallback.account_id == ChannelAccount.id)
    elif table is not ChannelConnector:
        mapped: Any = table
        statement = statement.join(table, mapped.connector_id == ChannelConnector.id)
    row: Any = table
    wanted = row.id == bindparam("row_id"), ChannelConnector.tenant_id == bindparam("tenant_id")
    locking: Select[Any] = statement.where(*wanted).with_for_update(key_share=True, of=ChannelConnector)
    return locking
