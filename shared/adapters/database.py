"""PostgreSQL through SQLAlchemy: engines with sane time limits, the unit of work, and what each database error means."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg
from psycopg.generators import execute
from psycopg.pq import ExecStatus, PipelineStatus, TransactionStatus
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

_DRIVER = "postgresql+psycopg"
# Seconds. A statement or a lock that takes longer is given up: the caller tries again, nobody hangs for ever.
_CONNECT_TIMEOUT = 5
_STATEMENT_TIMEOUT = 15
_LOCK_TIMEOUT = 10
_IDLE_IN_TRANSACTION_TIMEOUT = 60

_RETURNED = "returned_at"
_FRESH_SECONDS = 0.5
_TENANT = "acting_for"
# true: the setting ends with the transaction, so that the pool hands on a connection that acts for nobody
_ACT = text("SELECT set_config('channels.tenant', :tenant, true)")

# 25006: a standby that was just promoted away; 25P03, 25P04: the server ended a session that sat too long in a transaction.
_RETRIED_OF_CLASS_25 = frozenset({"25006", "25P03", "25P04"})


class DatabaseFault(StrEnum):
    """What a worker does after a database error (design section 6)."""

    BAD_DATA = "bad_data"  # one of the values is at fault: find it, set it aside, go on
    RETRY = "retry"  # the database or the way to it is at fault: wait and try again
    STOP = "stop"  # the program or the schema is at fault: trying again would only repeat it


def create_engine_for(url: str, *, pool_size: int = 5, application_name: str = "channels") -> Engine:
    """An engine for one role's URL. Opens nothing yet; dead connections are noticed before use, time zone is UTC."""
    engine = create_engine(
        make_url(url).set(drivername=_DRIVER),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_LOCK_TIMEOUT,
        connect_args=connect_arguments(application_name),
    )
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _require_life)
    return engine


def connect_arguments(application_name: str) -> dict[str, Any]:
    """What every connection is opened with: time limits, and the time zone UTC."""
    options = {
        "statement_timeout": f"{_STATEMENT_TIMEOUT}s",
        "lock_timeout": f"{_LOCK_TIMEOUT}s",
        "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_TIMEOUT}s",
        "timezone": "UTC",
    }
    return {
        "connect_timeout": _CONNECT_TIMEOUT,
        "application_name": application_name,
        "tcp_user_timeout": _STATEMENT_TIMEOUT * 1000,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }


@contextmanager
def unit_of_work(engine: Engine, *, tenant_id: str | None = None) -> Iterator[Session]:
    """One transaction as a Session. Nothing stays unless the block calls `session.commit()`; errors pass unchanged.

    `tenant_id` is whose rows the role `channels_api` sees and writes; without it that role sees none. Other roles need none.
    """
    with ActingSession(engine, expire_on_commit=False) as session:
        if tenant_id is not None:
            act_for(session, tenant_id)
        yield session  # closing the session rolls back whatever was not committed


def act_for(session: Session, tenant_id: str) -> None:
    """Make this session act for one tenant from here on: in the transaction at hand and in each that follows.

    What is still pending is sent first, for whom it was meant. Raises ValueError if it is no UUID.
    """
    canonical = str(UUID(tenant_id))
    if session.in_transaction():
        session.flush()
        session.execute(_ACT, {"tenant": canonical})
    if not isinstance(session, ActingSession):
        raise TypeError("a unit of work is needed to act for a tenant")
    session.info[_TENANT] = canonical


def acting_for(session: Session) -> str | None:
    """Whom the session acts for."""
    found: str | None = session.info.get(_TENANT)
    return found


class ActingSession(Session):
    """A session whose every transaction begins by naming the tenant."""

    def begin_for(self, connection: Connection, tenant_id: str) -> None:
        """Begin the transaction and name the tenant, a canonical UUID."""
        if not _begun_for(connection, tenant_id):
            connection.execute(_ACT, {"tenant": tenant_id})


@event.listens_for(ActingSession, "after_begin")
def _begun(session: ActingSession, _transaction: object, connection: Connection) -> None:
    tenant = acting_for(session)
    if tenant is not None:
        session.begin_for(connection, tenant)


def _begun_for(connection: Connection, tenant: str) -> bool:
    """Begin and name the tenant in one round trip; False if that cannot be, or went wrong: the usual way then tells why."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection) or driver.pgconn.transaction_status != TransactionStatus.IDLE:
        return False
    if driver.autocommit or (driver.isolation_level, driver.read_only, driver.deferrable) != (None, None, None):
        return False
    try:
        # A canonical UUID (`act_for`) needs no quoting; the driver sees by the connection's state that it has begun.
        result = driver.pgconn.exec_(f"BEGIN; SELECT set_config('channels.tenant', '{tenant}', true)".encode())
        if result.status == ExecStatus.TUPLES_OK:
            return True
        if driver.pgconn.transaction_status == TransactionStatus.INERROR:  # begun, and then cancelled: it takes nothing more
            driver.pgconn.exec_(b"ROLLBACK")
    except psycopg.Error:
        pass
    return False


def _note_return(_driver: object, record: ConnectionPoolEntry) -> None:
    record.info[_RETURNED] = time.monotonic()


def _require_life(driver: psycopg.Connection[object], record: ConnectionPoolEntry, _proxy: object) -> None:
    """A connection that died in the pool is noticed before it is used. (SQLAlchemy's own ping takes ten times as long.)"""
    if not lives(driver, record.info.get(_RETURNED, 0.0)):
        raise InvalidatePoolError("the connection is lost")  # and with it all that are as old: new ones are opened


def lives(driver: psycopg.Connection[Any], returned_at: float) -> bool:
    """Whether a connection that lay in a pool can be used. `returned_at`: seconds of time.monotonic; may wait for a round trip.

    One that was in use a moment ago is not asked, only looked at: under load that is nearly every one, and a server that has
    gone left the end of the stream behind.
    """
    if time.monotonic() - returned_at < _FRESH_SECONDS and not _has_news(driver):
        return True
    try:
        driver.pgconn.send_query(b"")
        [answer] = driver.wait(execute(driver.pgconn))
    except psycopg.Error:
        return False
    return bool(answer.status == ExecStatus.EMPTY_QUERY)


def at_rest(driver: psycopg.Connection[Any]) -> bool:
    """Whether the connection can be handed on: nothing is under way, and nothing broke."""
    pgconn = driver.pgconn
    return (pgconn.transaction_status, pgconn.pipeline_status) == (TransactionStatus.IDLE, PipelineStatus.OFF)


def is_still(driver: psycopg.Connection[Any]) -> bool:
    """Whether the connection takes the next statement, if only a rollback."""
    pgconn = driver.pgconn
    takes_more = {TransactionStatus.IDLE, TransactionStatus.INTRANS, TransactionStatus.INERROR}
    return pgconn.transaction_status in takes_more and pgconn.pipeline_status == PipelineStatus.OFF


def _has_news(driver: psycopg.Connection[object]) -> bool:
    """Whether the server has sent something that nobody asked for, such as its end; without a round trip."""
    news = select.poll()
    try:
        news.register(driver.fileno(), select.POLLIN)
        return bool(news.poll(0))
    except (psycopg.Error, OSError, ValueError):
        return True


def classify(error: BaseException) -> DatabaseFault:
    """What to do after `error`, by its SQLSTATE class; an error that is not the database's is a reason to stop."""
    driver = _driver_error(error)
    if driver is None:
        return DatabaseFault.RETRY if isinstance(error, PoolTimeout) else DatabaseFault.STOP
    state = driver.sqlstate
    if state is None:  # raised on our side of the wire
        if isinstance(driver, psycopg.DataError):  # such as a NUL in a text
            return DatabaseFault.BAD_DATA
        return DatabaseFault.RETRY if isinstance(driver, psycopg.OperationalError) else DatabaseFault.STOP
    if state[:2] in {"22", "23", "54"}:  # 54: too large for what the database can hold, such as an index entry
        return DatabaseFault.BAD_DATA
    if state[:2] in {"08", "40", "53", "55", "57", "58"} or state in _RETRIED_OF_CLASS_25:
        return DatabaseFault.RETRY
    return DatabaseFault.STOP


def constraint_of(error: BaseException) -> str | None:
    """Name of the constraint (or of the trigger's rule) that refused the change, if it was one."""
    driver = _driver_error(error)
    return driver.diag.constraint_name if driver is not None else None


def is_foreign_row(error: BaseException) -> bool:
    """Whether row-level security refused to write a row: it is another tenant's, or refers to what is another's."""
    driver = _driver_error(error)
    # Not by its text, which has the server's language: this function of PostgreSQL raises nothing else under this state.
    return driver is not None and driver.sqlstate == "42501" and driver.diag.source_function == "ExecWithCheckOptions"


def _driver_error(error: BaseException) -> psycopg.Error | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, psycopg.Error):
            return seen
        seen = getattr(seen, "orig", None) if isinstance(seen, SQLAlchemyError) else seen.__cause__
    return None
