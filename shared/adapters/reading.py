"""Reads for one tenant, each in one round trip: what an API is asked most of all day.

A read through a session takes five round trips (is the connection alive, begin, name the tenant, ask, roll back) and builds
objects that nobody changes. Here naming the tenant and asking travel together, as one implicit transaction of PostgreSQL
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html), which leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine
from sqlalchemy.sql.base import Executable

from shared.adapters.database import at_rest
from shared.adapters.event_loop import LoopPool
from shared.adapters.pipelined_work import PipelinedSession
from shared.adapters.prepared import PreparedStatements, Rows, acting_for, plans_of, prepared_of, told_as_by_an_engine, written

Asked = tuple[Executable, Mapping[str, Any]]


class Reading(Protocol):
    """What runs a statement that only reads: a session, or a `TenantReader`. The rows have attributes either way."""

    def execute(self, statement: Any, params: Any = ..., /) -> Any:
        """Rows with the methods `all`, `first`, `one`, `one_or_none`."""
        ...


class TenantReader:
    """Sees the rows of one tenant, as they are at each statement. Not for several threads; blocks for a round trip."""

    def __init__(self, prepared: PreparedStatements, tenant_id: str) -> None:
        self._prepared = prepared
        self._tenant = tenant_id

    def execute(self, statement: Executable, params: Mapping[str, Any] | None = None, /) -> Rows:
        """Run one statement, written once with `bindparam`s: its text is kept. Raises DBAPIError."""
        [found] = self.execute_all((statement, params or {}))
        return found

    def execute_all(self, *asked: Asked) -> list[Rows]:
        """Run several that do not need each other's answers, in one round trip."""
        acting = acting_for(self._tenant, plans_of(asked[0][0]) if len(asked) == 1 else None)
        return self._prepared.execute([acting, *(written(statement, values) for statement, values in asked)], first=1)


def ask_all(reader: Reading, *asked: Asked) -> list[Rows]:
    """Several statements, by a `TenantReader` and a `PipelinedSession` in one round trip."""
    if isinstance(reader, TenantReader | PipelinedSession):
        return reader.execute_all(*asked)
    return [Rows(reader.execute(statement, values).all()) for statement, values in asked]


@contextmanager
def reading(engine: Engine, tenant_id: str) -> Iterator[TenantReader]:
    """A reader on a connection of the pool. Raises DBAPIError (also what the driver raised), sqlalchemy's TimeoutError."""
    proxied = engine.raw_connection()
    driver: Any = proxied.driver_connection
    try:
        with told_as_by_an_engine():
            yield TenantReader(prepared_of(proxied), tenant_id)
    finally:
        if not at_rest(driver):
            proxied.invalidate()
        proxied.close()


@contextmanager
def reading_on_loop(pool: LoopPool, tenant_id: str) -> Iterator[TenantReader]:
    """The same for a function on a loop (`on_loop`). Raises DBAPIError."""
    with told_as_by_an_engine(), pool.connection() as connection:
        if connection.prepared is None:
            connection.prepared = PreparedStatements(connection)
        yield TenantReader(connection.prepared, tenant_id)
