"""The outbox in PostgreSQL, worked by one relay at a time.

The right to work is a session's advisory lock, and all work is done in that session: who has lost the lock has no connection left
to write with. A relay that hangs loses its session after `SESSION_SECONDS` of silence, so that a standby can take over. (Behind a
connection pooler this needs session pooling.)

`batch_number` of a row: null = waiting, n > 0 = part of batch n, SET_ASIDE = could not be published by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, extract, func, or_, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from shared.adapters.configuration_rows import read_configuration
from shared.adapters.database import DatabaseFault, classify, create_engine_for
from shared.adapters.tables import Outbox as OutboxTable
from shared.domain.configuration import ChangeNotice, ConfigurationRows
from shared.domain.errors import ConfigError, Unavailable
from shared.domain.topics import OUTBOX_EVENTS, Topic

SESSION_SECONDS = 10
SET_ASIDE = -1
_LOCK = 0x6368_2D72_656C_6179  # "ch-relay"
_CONNECTOR_TOPICS = (Topic.CONNECTOR_SNAPSHOT, Topic.CONNECTOR_STATUS_CHANGED)


class DatabaseAway(Unavailable):
    """Raised when PostgreSQL, or the session that holds the lock, is gone. The lease is lost with it."""

    code = "database_away"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits. `oldest_seconds` is 0 when nothing does."""

    waiting: int
    oldest_seconds: float
    set_aside: int


class RelayLease:
    """The right to be the one relay of this database. Not for several threads; all calls block for a round trip."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine_for(url, pool_size=1, application_name="channels-relay")

    @contextmanager
    def acquired(self) -> Iterator[LeasedOutbox | None]:
        """Within the block: the outbox, or None if another relay works. Raises DatabaseAway, ConfigError."""
        with translated():
            connection = self._engine.connect()
        try:
            with translated(), connection.begin():
                for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
                    connection.execute(text(f"SET {setting} = '{SESSION_SECONDS}s'"))
                mine = connection.execute(select(func.pg_try_advisory_lock(_LOCK))).scalar_one()
            yield LeasedOutbox(connection) if mine else None
        finally:
            connection.invalidate()  # ends the session, and the lock with it
            connection.close()

    def close(self) -> None:
        """Close what is open."""
        self._engine.dispose()


class Batch:
    """Rows stamped with one number, and the configuration of the same instant."""

    def __init__(self, connection: Connection, notices: Sequence[ChangeNotice], rows: ConfigurationRows) -> None:
        self._connection = connection
        self.notices = notices
        self.rows = rows

    def set_aside(self, ids: Collection[int]) -> None:
        """Take rows out of the batch that cannot be published; they stay in the table."""
        if ids:
            self._connection.execute(update(OutboxTable).where(OutboxTable.id.in_(ids)).values(batch_number=SET_ASIDE))


class LeasedOutbox:
    """The outbox in the hands of the relay that holds the lock. Every method raises DatabaseAway once the lock is lost."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self) -> None:
        """Return if the lock is still ours (its session answers)."""
        with self._transaction():
            self._connection.execute(select(1))

    def recover(self, committed: int) -> int:
        """Compare with the number that Kafka committed: delete what is out, free the rest. Returns the highest number used."""
        with self._transaction():
            highest = self._connection.execute(select(func.max(OutboxTable.batch_number))).scalar_one()
            self._connection.execute(delete(OutboxTable).where(OutboxTable.batch_number.between(1, committed)))
            self._connection.execute(update(OutboxTable).where(OutboxTable.batch_number > committed).values(batch_number=None))
        return max(highest or 0, committed)

    def retry_set_aside(self) -> None:
        """Let rows that were set aside wait again."""
        with self._transaction():
            self._connection.execute(update(OutboxTable).where(OutboxTable.batch_number == SET_ASIDE).values(batch_number=None))

    @contextmanager
    def batch(self, number: int, limit: int) -> Iterator[Batch]:
        """Stamp up to `limit` waiting rows and read what they are about, of one instant; commits when the block ends."""
        with self._transaction():
            notices = self._stamp(number, limit)
            rows = read_configuration(
                self._connection,
                {notice.subject_id for notice in notices if notice.topic in _CONNECTOR_TOPICS},
                {notice.subject_id for notice in notices if notice.topic is Topic.ACCOUNT_SNAPSHOT},
            )
            yield Batch(self._connection, notices, rows)

    def settle(self, number: int, told: Collection[str]) -> None:
        """Delete the rows of a published batch, and older rows set aside that its snapshots of `told` have made needless."""
        superseded = (
            (OutboxTable.batch_number == SET_ASIDE)
            & OutboxTable.topic.not_in([topic.value for topic in OUTBOX_EVENTS])
            & OutboxTable.subject_id.in_(told)
        )
        with self._transaction():
            self._connection.execute(delete(OutboxTable).where(or_(OutboxTable.batch_number == number, superseded)))

    def backlog(self) -> Backlog:
        """Count what waits; reads the whole table, so not for every round."""
        aside = func.coalesce(OutboxTable.batch_number == SET_ASIDE, False)
        age = func.now() - func.min(OutboxTable.created_at).filter(~aside)
        counts = select(func.count().filter(~aside), func.coalesce(extract("epoch", age), 0), func.count().filter(aside))
        with self._transaction():
            waiting, oldest_seconds, set_aside = self._connection.execute(counts.select_from(OutboxTable)).one()
        return Backlog(waiting=waiting, oldest_seconds=max(0.0, float(oldest_seconds)), set_aside=set_aside)

    def _stamp(self, number: int, limit: int) -> list[ChangeNotice]:
        waiting = select(OutboxTable.id).where(OutboxTable.batch_number.is_(None)).order_by(OutboxTable.id).limit(limit)
        stamped = self._connection.execute(
            update(OutboxTable)
            .where(OutboxTable.id.in_(waiting))
            .values(batch_number=number)
            .returning(OutboxTable.id, OutboxTable.topic, OutboxTable.subject_id, OutboxTable.detail, OutboxTable.created_at)
        )
        notices = [
            ChangeNotice(
                id=row.id,
                topic=Topic(row.topic),
                subject_id=row.subject_id,
                detail=row.detail,
                created_at_ms=int(row.created_at.timestamp() * 1000),
            )
            for row in stamped
        ]
        return sorted(notices, key=lambda notice: notice.id)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(), self._connection.begin():
            self._connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            yield


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the database as DatabaseAway, or as ConfigError where no retry heals them."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).partition("\n")[0]
        if classify(error) is DatabaseFault.RETRY:
            raise DatabaseAway(f"PostgreSQL: {cause}") from error
        raise ConfigError(
            f"PostgreSQL refuses the relay: {cause}. Is the schema up to date? `channels database prepare`"
        ) from error
