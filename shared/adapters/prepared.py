"""Statements that a connection holds prepared, and that travel several in one piece: one round trip for all of them.

It speaks the driver's lower language (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html): a session or the
driver's cursors would cost more than the round trip. What comes back are plain rows.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import psycopg
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.base import Executable

_PREPARED = "prepared"
_MAX_STATEMENTS = 512
_MAX_PREPARED = 100  # of one connection
_MAX_VALUES = 100  # of one statement
_ENCODING = "utf-8"

Call = tuple[str, Sequence[Any]]  # text, and a value for each of its places

BEGIN: Call = ("BEGIN", ())
COMMIT: Call = ("COMMIT", ())


def acting_for(tenant_id: str) -> Call:
    """Name the tenant whose rows are seen until the transaction ends. Raises ValueError if it is no UUID."""
    return "SELECT set_config('channels.tenant', $1, true)", (str(UUID(tenant_id)),)  # true: no longer than that


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


class PreparedStatements:
    """A connection, and the statements that it holds prepared."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.adapters = _ADAPTERS  # with `connection` what the driver calls a context
        self._transformer = Transformer(self)
        self._names: dict[str, bytes] = {}
        self._made = 0

    def execute(self, calls: Sequence[Call]) -> list[Rows]:
        """Run statements in one piece: in the transaction at hand, or else in one of their own (which stays open if BEGIN is
        among them). Raises psycopg.Error, of the first that failed; those after it were not run."""
        at_hand = self.connection.pgconn.transaction_status != TransactionStatus.IDLE
        try:
            return self._execute(calls)
        except psycopg.errors.InvalidSqlStatementName:
            # After a transaction that failed the driver forgets all that is prepared, so the first statement of the next one
            # finds nothing, and nothing was done yet.
            self._names.clear()
            if at_hand:
                raise
            self._roll_back()
            return self._execute(calls)

    def _execute(self, calls: Sequence[Call]) -> list[Rows]:
        told = [self._transformer.dump_sequence(values, _TEXTS[: len(values)]) for _, values in calls]
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
        made = zip(unknown.items(), results, strict=False)
        self._names |= {text: name for (text, name), result in made if result.status == ExecStatus.COMMAND_OK}
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result, encoding=_ENCODING)
        found = [self._rows(result) for result in results[len(unknown) : -1]]
        while len(self._names) > _MAX_PREPARED:
            oldest = next(iter(self._names))
            self.connection.wait(_alone(pgconn, b"DEALLOCATE " + self._names.pop(oldest)))
        return found

    def _new_name(self) -> bytes:
        self._made += 1
        return f"kept_{self._made}".encode()

    def _rows(self, result: PGresult) -> Rows:
        if not result.nfields:
            return Rows()
        self._transformer.set_pgresult(result)
        return Rows(self._transformer.load_rows(0, result.ntuples, _row_of(result)))

    def _roll_back(self) -> None:
        if self.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            self.connection.wait(_alone(self.connection.pgconn, b"ROLLBACK"))


def prepared_of(proxied: PoolProxiedConnection) -> PreparedStatements:
    """Those of a connection of a pool, for as long as it lives."""
    found = proxied.info.get(_PREPARED)
    if found is None:
        driver: Any = proxied.driver_connection
        found = proxied.info[_PREPARED] = PreparedStatements(driver)
    return cast(PreparedStatements, found)


def written(statement: Executable, values: Mapping[str, Any]) -> Call:
    """A statement that was written once with `bindparam`s (its text is kept), with these values in their places."""
    text, places = _written(statement)
    return text, [_plain(values.get(name, default)) for name, default in places]


@contextmanager
def told_as_by_an_engine() -> Iterator[None]:
    """Errors of the driver in the block as SQLAlchemy tells them: DBAPIError."""
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
def _written(statement: Any) -> tuple[str, tuple[tuple[str, Any], ...]]:
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
    if isinstance(value, Enum):
        return value.value
    return Jsonb(value) if isinstance(value, dict) else value


_TEXTS = [PyFormat.TEXT] * _MAX_VALUES
_DIALECT = cast(Any, PGDialect_psycopg)(paramstyle="numeric_dollar")
_ADAPTERS = AdaptersMap(psycopg.adapters)
_ADAPTERS.register_loader("uuid", TextLoader)  # ids as canonical text, as the mappings have them
