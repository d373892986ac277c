"""Reads for one tenant, each in one round trip: what an API is asked most of all day.

A read through a session takes five round trips (is the connection alive, begin, name the tenant, ask, roll back) and builds
objects that nobody changes. Here naming the tenant and asking travel together, as one implicit transaction of PostgreSQL
(https://www.postgresql.org/docs/current/libpq-pipeline-mode.html), which leaves nothing behind.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from typing import Any, Protocol, cast
from uuid import UUID

import psycopg
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.types.string import TextLoader
from sqlalchemy import Engine, Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound

from shared.adapters.database import at_rest
from shared.adapters.event_loop import LoopPool

_ACT = "SELECT set_config('channels.tenant', $1, true)"  # true: it ends with the implicit transaction
_MAX_STATEMENTS = 512
_MAX_PREPARED = 100  # of one connection
_PREPARED = "prepared_reads"
_ENCODING = "utf-8"

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

    def __init__(self, prepared: _Prepared, tenant_id: str) -> None:
        self._prepared = prepared
        self._tenant = str(UUID(tenant_id))

    def execute(self, statement: Select[Any], params: Mapping[str, Any] | None = None, /) -> Rows:
        """Run one statement, written once with `bindparam`s: its text is kept. Raises DBAPIError."""
        [found] = self.execute_all((statement, params or {}))
        return found

    def execute_all(self, *asked: Asked) -> list[Rows]:
        """Run several that do not need each other's answers, in one round trip."""
        calls = [(_ACT, [self._tenant])]
        for statement, values in asked:
            text, defaults = _written(statement)
            calls.append((text, [_plain(values.get(name, default)) for name, default in defaults]))
        return self._prepared.execute(calls)[1:]


class _Prepared:
    """A connection, and the statements that it holds prepared. It speaks the driver's lower language: its cursors would cost
    more than the round trip."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.adapters = _ADAPTERS  # with `connection` what the driver calls a context
        self._transformer = Transformer(self)
        self._names: dict[str, bytes] = {}
        self._made = 0

    def execute(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Rows]:
        """Run statements in one implicit transaction. Raises psycopg.Error, of the first that failed."""
        try:
            return self._execute(calls)
        except psycopg.errors.InvalidSqlStatementName:  # the driver forgets all that is prepared after a transaction that failed
            self._names.clear()
            return self._execute(calls)

    def _execute(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Rows]:
        told = [self._transformer.dump_sequence(values, [PyFormat.TEXT] * len(values)) for _, values in calls]
        unknown = {text: self._new_name() for text, _ in calls if text not in self._names}
        names = self._names | unknown if unknown else self._names
        pgconn = self.connection.pgconn
        pgconn.enter_pipeline_mode()
        for text, name in unknown.items():
            pgconn.send_prepare(name, text.encode())
        for (text, _), values in zip(calls, told, strict=True):
            pgconn.send_query_prepared(names[text], values)
        pgconn.pipeline_sync()  # all of it goes in one piece
        results = self.connection.wait(_results(pgconn, len(unknown) + len(calls) + 1))
        pgconn.exit_pipeline_mode()
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, encoding=_ENCODING)
        found = [self._rows(result) for result in results[len(unknown) : -1]]
        if unknown:
            self._keep(unknown)
        return found

    def _new_name(self) -> bytes:
        self._made += 1
        return f"read_{self._made}".encode()

    def _rows(self, result: PGresult) -> Rows:
        self._transformer.set_pgresult(result)
        return Rows(self._transformer.load_rows(0, result.ntuples, _row_of(result)))

    def _keep(self, made: Mapping[str, bytes]) -> None:
        self._names |= made
        while len(self._names) > _MAX_PREPARED:
            oldest = next(iter(self._names))
            self.connection.wait(_alone(self.connection.pgconn, b"DEALLOCATE " + self._names.pop(oldest)))


def ask_all(reader: Reading, *asked: Asked) -> list[Rows]:
    """Several statements, by a `TenantReader` in one round trip."""
    if isinstance(reader, TenantReader):
        return reader.execute_all(*asked)
    return [Rows(reader.execute(statement, values).all()) for statement, values in asked]


@contextmanager
def reading(engine: Engine, tenant_id: str) -> Iterator[TenantReader]:
    """A reader on a connection of the pool. Raises DBAPIError (also what the driver raised), sqlalchemy's TimeoutError."""
    proxied = engine.raw_connection()
    prepared = proxied.info.get(_PREPARED)
    driver: Any = proxied.driver_connection
    if prepared is None:
        prepared = proxied.info[_PREPARED] = _Prepared(driver)
    try:
        with _told_as_by_an_engine():
            yield TenantReader(prepared, tenant_id)
    finally:
        if not at_rest(driver):
            proxied.invalidate()
        proxied.close()


@contextmanager
def reading_on_loop(pool: LoopPool, tenant_id: str) -> Iterator[TenantReader]:
    """The same for a function on a loop (`on_loop`). Raises DBAPIError."""
    with _told_as_by_an_engine(), pool.connection() as connection:
        if connection.prepared is None:
            connection.prepared = _Prepared(connection)
        yield TenantReader(connection.prepared, tenant_id)


@contextmanager
def _told_as_by_an_engine() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        # No statement and no values: they may be a caller's secret.
        raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=_DIALECT) from error


def _results(pgconn: Any, count: int) -> Any:
    # One entry for each command; what is yielded is what the driver waits for.
    yield from send(pgconn)
    results: list[PGresult] = []
    while len(results) < count:
        results += yield from fetch_many(pgconn)
    return results


def _alone(pgconn: Any, statement: bytes) -> Any:
    pgconn.send_query(statement)
    return (yield from execute(pgconn))


@lru_cache(_MAX_STATEMENTS)
def _written(statement: Select[Any]) -> tuple[str, tuple[tuple[str, Any], ...]]:
    compiled = statement.compile(dialect=_DIALECT)
    return str(compiled), tuple((name, compiled.params[name]) for name in compiled.positiontup or ())


def _row_of(result: PGresult) -> Callable[[Sequence[Any]], Any]:
    return _row_type(tuple((result.fname(number) or b"").decode() for number in range(result.nfields)))


@lru_cache(_MAX_STATEMENTS)
def _row_type(names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any]:
    named: Any = namedtuple
    make: Callable[[Sequence[Any]], Any] = named("Row", names, rename=True)._make
    return make


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


_DIALECT = cast(Any, PGDialect_psycopg)(paramstyle="numeric_dollar")
_ADAPTERS = AdaptersMap(psycopg.adapters)
_ADAPTERS.register_loader("uuid", TextLoader)  # ids as canonical text, as the mappings have them
