"""Statements that a connection holds prepared, and that travel several in one piece: one round trip for all of them.

It speaks the driver's lower language (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html): a session or the
driver's cursors would cost more than the round trip. What comes back are plain rows.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, StrEnum
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

import msgspec
import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader, PyFormat, Transformer
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.json import Jsonb
from psycopg.types.string import TextLoader
from sqlalchemy import PoolProxiedConnection, Select
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.sql.base import Executable

_PREPARED = "prepared"
_PLANS = "plans"
_MAX_STATEMENTS = 512
_MAX_PREPARED = 100  # of one connection
_MAX_VALUES = 100  # of one statement
_ENCODING = "utf-8"

Call = tuple[str, Sequence[Any]]  # text, and a value for each of its places

BEGIN: Call = ("BEGIN", ())
COMMIT: Call = ("COMMIT", ())


class Plans(StrEnum):
    """How PostgreSQL plans a statement that it has prepared, where its own choice between the two is a bad one."""

    FOR_EACH = "force_custom_plan"  # for the values at hand: where tenants differ so much that no plan suits all
    ONCE = "force_generic_plan"  # for all values: where guesses about the values at hand mislead


def planned(statement: Select[Any], plans: Plans | None) -> Select[Any]:
    """The statement, to be planned so by a `TenantReader`. Other readers leave it to PostgreSQL."""
    return statement if plans is None else statement.execution_options(**{_PLANS: plans})


def plans_of(statement: Executable) -> Plans | None:
    """What `planned` said."""
    found: Plans | None = statement.get_execution_options().get(_PLANS)
    return found


@lru_cache(_MAX_STATEMENTS)
def acting_for(tenant_id: str, plans: Plans | None = None) -> Call:
    """Name the tenant whose rows are seen until the transaction ends, and how its statements are planned. Raises ValueError if
    it is no UUID."""
    also = "" if plans is None else f", set_config('plan_cache_mode', '{plans}', true)"
    return f"SELECT set_config('channels.tenant', $1, true){also}", (str(UUID(tenant_id)),)  # true: no longer than that


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
        self._row_types: dict[str, Callable[[Sequence[Any]], Any]] = {}  # of the statements that have names
        self._made = 0

    def execute(self, calls: Sequence[Call], *, first: int = 0) -> list[Rows]:
        """Run statements in one piece: in the transaction at hand, or else in one of their own (which stays open if BEGIN is
        among them). Gives the rows of those from the `first` on (whose rows anybody wants).

        Raises psycopg.Error, of the first statement that failed; those after it were not run.
        """
        at_hand = self.connection.pgconn.transaction_status != TransactionStatus.IDLE
        try:
            return self._execute(calls, first)
        except psycopg.errors.InvalidSqlStatementName:
            # After a transaction that failed the driver forgets all that is prepared, so the first statement of the next one
            # finds nothing, and nothing was done yet.
            self._names.clear()
            if at_hand:
                raise
            self._roll_back()
            return self._execute(calls, first)

    def _execute(self, calls: Sequence[Call], first: int) -> list[Rows]:
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
        wanted = zip(calls[first:], results[len(unknown) + first : -1], strict=True)
        found = [self._rows(text, result) for (text, _), result in wanted]
        while len(self._names) > _MAX_PREPARED:
            oldest = next(iter(self._names))
            self._row_types.pop(oldest, None)
            self.connection.wait(_alone(pgconn, b"DEALLOCATE " + self._names.pop(oldest)))
        return found

    def _new_name(self) -> bytes:
        self._made += 1
        return f"kept_{self._made}".encode()

    def _rows(self, text: str, result: PGresult) -> Rows:
        if not result.ntuples:
            return Rows()
        made = self._row_types.get(text)
        if made is None:
            made = self._row_types[text] = _row_of(result)
        self._transformer.set_pgresult(result)
        return Rows(self._transformer.load_rows(0, result.ntuples, made))

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


class _JsonLoader(Loader):
    """The driver's goes through text, and takes longer than all other columns of a row together."""

    def load(self, data: Buffer) -> Any:
        return msgspec.json.decode(data)


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
_ADAPTERS.register_loader("jsonb", _JsonLoader)
