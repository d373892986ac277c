"""Reads for one tenant, each in one round trip: what an API is asked most of all day.

A read through a session takes five round trips (is the connection alive, begin, name the tenant, ask, roll back) and builds
objects that nobody changes. Here naming the tenant and asking travel together, as one implicit transaction of PostgreSQL
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html), which leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row
from sqlalchemy import Dialect, Engine, Select
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

_ACT = "SELECT set_config('channels.tenant', %s, true)"  # true: it ends with the implicit transaction
_MAX_STATEMENTS = 512

Asked = tuple[Select[Any], Mapping[str, Any]]


class Reading(Protocol):
    """What runs a statement that only reads: a session, or a `TenantReader`. The rows have attributes either way."""

    def execute(self, statement: Any, params: Any = ..., /) -> Any:
        """Rows with the methods `all`, `first`, `one`, `one_or_none`."""
        ...


class Rows(list[Any]):
    """What was found. Ids are text, enums are their values."""

    def all(self) -> list[Any]:
        """Every row."""
        return self

    def first(self) -> Any:
        """The first, or None."""
        return self[0] if self else None

    def one_or_none(self) -> Any:
        """The only one, or None; raises MultipleResultsFound."""
        if len(self) > 1:
            raise MultipleResultsFound(f"{len(self)} rows where one was expected")
        return self.first()

    def one(self) -> Any:
        """The only one; raises NoResultFound, MultipleResultsFound."""
        if not self:
            raise NoResultFound("no row was found when one was required")
        return self.one_or_none()


class TenantReader:
    """Sees the rows of one tenant, as they are at each statement. Not for several threads; blocks for a round trip."""

    def __init__(self, connection: psycopg.Connection[Any], dialect: Dialect, tenant_id: str) -> None:
        self._connection = connection
        self._dialect = dialect
        self._tenant = str(UUID(tenant_id))

    def execute(self, statement: Select[Any], params: Mapping[str, Any] | None = None, /) -> Rows:
        """Run one statement, written once with `bindparam`s: its text is kept. Raises DBAPIError."""
        [found] = self.execute_all((statement, params or {}))
        return found

    def execute_all(self, *asked: Asked) -> list[Rows]:
        """Run several that do not need each other's answers, in one round trip."""
        cursors = []
        with self._connection.pipeline(), self._connection.cursor() as acting:
            acting.execute(_ACT, (self._tenant,), prepare=True)
            for statement, values in asked:
                cursor = self._connection.cursor(row_factory=namedtuple_row)
                cursor.adapters.register_loader("uuid", _Text)
                text, defaults = _written(statement, self._dialect)
                cursor.execute(text, {name: _plain(values.get(name, default)) for name, default in defaults}, prepare=True)
                cursors.append(cursor)
        return [Rows(cursor.fetchall()) for cursor in cursors]


def ask_all(reader: Reading, *asked: Asked) -> list[Rows]:
    """Several statements, by a `TenantReader` in one round trip."""
    if isinstance(reader, TenantReader):
        return reader.execute_all(*asked)
    return [Rows(reader.execute(statement, values).all()) for statement, values in asked]


@contextmanager
def reading(engine: Engine, tenant_id: str) -> Iterator[TenantReader]:
    """A reader on a connection of the pool. Raises DBAPIError (also what the driver raised), sqlalchemy's TimeoutError."""
    proxied = engine.raw_connection()
    driver: Any = proxied.driver_connection
    try:
        driver.autocommit = True  # else the driver would begin a transaction of its own
        yield TenantReader(driver, engine.dialect, tenant_id)
    except psycopg.Error as error:
        # As the engine would tell it. No statement and no values: they may be a caller's secret.
        raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=engine.dialect) from error
    finally:
        try:
            if not driver.closed and driver.pgconn.transaction_status == TransactionStatus.IDLE:
                driver.autocommit = False
            else:
                proxied.invalidate()
        except psycopg.Error:  # it ended this very moment
            proxied.invalidate()
        finally:
            proxied.close()


class _Text(Loader):
    """Ids as canonical text, as the mappings have them."""

    def load(self, data: Any) -> str:
        """From the text format."""
        return bytes(data).decode()


@lru_cache(_MAX_STATEMENTS)
def _written(statement: Select[Any], dialect: Dialect) -> tuple[str, tuple[tuple[str, Any], ...]]:
    compiled = statement.compile(dialect=dialect)
    return str(compiled), tuple(compiled.params.items())


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
