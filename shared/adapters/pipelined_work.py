"""A unit of work for one tenant whose statements travel together: what needs no answer waits for the next that asks, or for
the commit, and goes with it in one round trip.

The unit of work of `database.py` makes a round trip of each statement; a change of one row takes seven, each with the cost of a
statement built, sent, waited for and taken apart. Here beginning, naming the tenant and the first questions are one, and all
that is written is another, with the commit at its end. The server runs what comes in one piece one after the other and stops
at the first error, so it is the same transaction; only the refusal of a change is told later, at the commit at the latest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, PoolProxiedConnection, event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.sql.base import Executable

from shared.adapters.database import ActingSession, act_for, is_still
from shared.adapters.prepared import (
    BEGIN,
    COMMIT,
    Call,
    Rows,
    acting_for,
    prepared_of,
    told_as_by_an_engine,
    written,
)

_QUEUE = "statements_that_wait"


class Queue:
    """The statements of one transaction that were not sent yet, in order."""

    def __init__(self, proxied: PoolProxiedConnection, tenant_id: str) -> None:
        self._proxied = proxied
        self._prepared = prepared_of(proxied)
        self._tenant_id = tenant_id
        self._waiting: list[Call] = [BEGIN, acting_for(tenant_id)]
        self._first = len(self._waiting)
        self._begun = False

    def add(self, call: Call) -> None:
        """Let one wait."""
        self._waiting.append(call)

    def ask(self, calls: Sequence[Call]) -> list[Rows]:
        """Send what waits and these; the rows that these give. Raises DBAPIError."""
        sent, self._waiting = self._waiting, []
        self._begun = True
        try:
            with told_as_by_an_engine():
                return self._prepared.execute([*sent, *calls], first=len(sent))
        except BaseException as error:
            if not is_still(self._prepared.connection):  # lost, or whoever waited for the answer has gone
                self._proxied.invalidate(error)
            raise

    def send(self) -> None:
        """Send what waits."""
        if self._waiting:
            self.ask(())

    def commit(self) -> None:
        """Send what waits, and with it the commit; where nothing was sent and nothing waits there is nothing to commit."""
        if self._prepared.connection.pgconn.transaction_status == TransactionStatus.INERROR:
            self.add(acting_for(self._tenant_id))  # refused; PostgreSQL takes a COMMIT alone for a rollback, and says yes
        if self._begun or len(self._waiting) > self._first:
            self.ask((COMMIT,))
        self.forget()

    def forget(self) -> None:
        """Nothing of it is to be sent any more."""
        self._waiting = []


class PipelinedSession(ActingSession):
    """A session that acts for one tenant. What goes through `execute` and through flushes is in order with the rest."""

    _queue: Queue | None = None

    def begin_for(self, connection: Connection, tenant_id: str) -> None:
        """Nothing is sent yet."""
        proxied = connection.connection
        self._queue = proxied.info[_QUEUE] = Queue(proxied, tenant_id)

    def execute_all(self, *asked: tuple[Executable, Mapping[str, Any]]) -> list[Rows]:
        """Ask several things in one round trip; each sees what those before it changed. Raises DBAPIError."""
        if self.autoflush:
            self.flush()
        return self._in_order().ask([written(statement, values) for statement, values in asked])

    def send_later(self, statement: Executable, values: Mapping[str, Any]) -> None:
        """Run a statement whose rows nobody wants, at the commit at the latest; its refusal is told then."""
        self._in_order().add(written(statement, values))

    def begin_nested(self) -> SessionTransaction:
        """Refused: when one is rolled back, the driver lets the server forget what is prepared, in the midst of a transaction."""
        raise NotImplementedError("pipelined work has no savepoints")

    def commit(self) -> None:
        """Raises DBAPIError, also for what waited."""
        self.flush()
        if not self.is_active:
            super().commit()  # raises PendingRollbackError
        queue, self._queue = self._queue, None  # what comes after begins anew
        if queue is not None:
            queue.commit()
        super().commit()

    def rollback(self) -> None:
        """Of what was sent; what was not is not sent any more."""
        self._forget()
        super().rollback()

    def close(self) -> None:
        """The same."""
        self._forget()
        super().close()

    def _forget(self) -> None:
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.forget()

    def _in_order(self) -> Queue:
        if self._queue is None or not self.is_active:
            self.connection()  # raises PendingRollbackError after a flush that was refused: its transaction is over
        assert self._queue is not None  # noqa: S101  a connection is begun for the tenant
        return self._queue


@contextmanager
def pipelined_work(engine: Engine, *, tenant_id: str) -> Iterator[PipelinedSession]:
    """One transaction for one tenant. Nothing stays unless the block calls `session.commit()`; errors pass unchanged."""
    if not event.contains(engine, "before_cursor_execute", _send_what_waits):
        event.listen(engine, "before_cursor_execute", _send_what_waits)
    with PipelinedSession(engine, expire_on_commit=False) as session:
        act_for(session, tenant_id)
        yield session


def send_later(session: Session, statement: Executable, values: Mapping[str, Any]) -> None:
    """Run a statement whose rows nobody wants: by a `PipelinedSession` at its commit at the latest, by others now."""
    if isinstance(session, PipelinedSession):
        session.send_later(statement, values)
    else:
        session.execute(statement, dict(values))


def _send_what_waits(connection: Connection, *_: object) -> None:
    queue = connection.connection.info.get(_QUEUE)
    if queue is not None:
        queue.send()
