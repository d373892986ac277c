"""The router's connection and its statements: progress, claims, receipts (`mapping_rows` has those of the mappings).

One transaction per batch, rows sorted by key. The lock order is the same for every worker (progress, claim, mapping,
delivery_state), so two workers cannot wait for each other in a circle. Arrays travel as one parameter each, in binary
form: one round trip per step whatever the size of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy.engine import make_url

from shared.adapters.binary_arrays import bigints, byteas, ints, register_arrays, texts, uuids
from shared.adapters.clock import new_uuid7
from shared.adapters.database import DatabaseFault, classify
from shared.domain.errors import ChannelsError, Unavailable

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[None]]


class Stale(ChannelsError):
    """Raised when another worker has moved a partition on: drop the batch and read the committed offsets anew."""

    code = "stale"
    retryable = True


class RecordRejected(ChannelsError):
    """Raised when the database refuses a value of the batch (SQLSTATE classes 22 and 23): look for the one bad record."""

    code = "database_rejected"


class DatabaseBroken(ChannelsError):
    """Raised for SQLSTATE classes that no retry heals (42, XX, …): a wrong schema or a damaged database. Stop."""

    code = "database_broken"


@dataclass(slots=True)
class ClaimRow:
    """One item to claim. `taken_from`: the owners (text form, a line each) whose claim a redelivered copy may take over."""

    key: bytes
    partition: int
    offset: int
    item: str
    taken_from: str | None = None


@dataclass(slots=True)
class ReceiptInsert:
    """One receipt of a known message."""

    message_id: str
    participant: str
    status: str
    partition: int
    offset: int
    item: str


class _Connection(psycopg.Connection[Any]):
    around: Around = nullcontext

    def wait(self, gen: PQGen[T], *arguments: Any, **named: Any) -> T:
        with self.around():
            return super().wait(gen, *arguments, **named)


class RouterStore:
    """One connection as the worker role. Not for several threads. Blocks; every statement has a time limit."""

    def __init__(self, url: str, *, statement_timeout_ms: int = 15_000, idle_in_transaction_timeout_ms: int = 8_000) -> None:
        parsed = make_url(url)
        parts: dict[str, Any] = {
            "host": parsed.query.get("host", parsed.host),
            "port": parsed.query.get("port", parsed.port),
            "user": parsed.username,
            "password": parsed.password,
            "dbname": parsed.database,
        }
        self._parameters = {name: value for name, value in parts.items() if value is not None}
        self._parameters |= {
            "connect_timeout": 3,
            "application_name": "channels-router",
            "tcp_user_timeout": statement_timeout_ms,
            # A host that vanished while we wait for its answer is noticed by these alone.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 4,
            # A worker frozen in a transaction must not keep its rows from the one that takes over.
            "options": f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={statement_timeout_ms}"
            f" -c idle_in_transaction_session_timeout={idle_in_transaction_timeout_ms}",
        }
        self._connection: _Connection | None = None
        self.holder = new_uuid7()
        self._around: Around = nullcontext

    def wait_in(self, around: Around) -> None:
        """Whenever this waits for the server, let it be inside of `around()`; from the next connection on."""
        self._around = around

    def connect(self) -> None:
        """Open the connection unless it is open; raises Unavailable."""
        if self._connection is not None and not self._connection.closed:
            return
        with _translated():
            self._connection = _Connection.connect(**self._parameters, autocommit=True)
            self._connection.around = self._around
            register_arrays(self._connection)
            self._connection.execute("SELECT 1")

    def close(self) -> None:
        """Drop the connection; the next `connect` opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        """One transaction: committed at the end of the block, rolled back if it raises. Driver errors are translated."""
        self.connect()
        assert self._connection is not None  # noqa: S101  connect() has just set it
        try:
            with _translated(), self._connection.transaction(), self._connection.cursor() as cursor:
                yield cursor
        except (Unavailable, DatabaseBroken):
            self.close()
            raise

    def progress(self, topic: str) -> dict[int, tuple[str, int, int]]:
        """partition -> (topic id, first offset, end offset) of one topic."""
        with self.transaction() as cursor:
            cursor.execute(
                "SELECT partition, topic_id::text, first_offset, end_offset FROM router_progress WHERE topic = %s", (topic,)
            )
            return {row[0]: (row[1], row[2], row[3]) for row in cursor.fetchall()}

    def hold(self, topic: str, partitions: Iterable[int]) -> None:
        """These partitions are ours from now on; whoever had them finds that out by its next batch.

        To be called before Kafka is asked for the committed offsets: what another one settles in between is then known.
        """
        with self.transaction() as cursor:
            cursor.execute(
                "UPDATE router_progress SET holder = %s::uuid WHERE topic = %s AND partition = ANY(%s)",
                (self.holder, topic, sorted(partitions)),
            )

    def start_progress(self, topic: str, topic_id: str, partition: int, offset: int, *, replace: bool = False) -> None:
        """Begin the book of one partition; `replace` (adopt) overwrites what stands there."""
        action = (
            "DO UPDATE SET topic_id = excluded.topic_id, first_offset = excluded.first_offset, end_offset = excluded.end_offset"
            if replace
            else "DO NOTHING"
        )
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO router_progress (topic, partition, topic_id, first_offset, end_offset, holder)"  # noqa: S608  no input in it
                f" VALUES (%s, %s, %s::uuid, %s, %s, %s::uuid) ON CONFLICT (topic, partition) {action}",
                (topic, partition, topic_id, offset, offset, self.holder),
            )


def assert_progress(
    cursor: psycopg.Cursor[Any], topic: str, topic_id: str, ranges: Mapping[int, tuple[int, int]], holder: str
) -> None:
    """First statement of a batch. `ranges`: partition -> (committed offset, end of the batch). Raises Stale.

    The offset alone tells no worker that was frozen while another one settled just its batch; the holder does.
    """
    ordered = sorted(ranges)
    cursor.execute(
        "UPDATE router_progress AS p SET first_offset = r.committed, end_offset = greatest(p.end_offset, r.batch_end)"
        " FROM (SELECT * FROM unnest(%b::int[], %b::bigint[], %b::bigint[]) AS u(partition, committed, batch_end)"
        "       ORDER BY 1) AS r"
        " WHERE p.topic = %s AND p.partition = r.partition AND p.topic_id = %s::uuid AND p.first_offset <= r.committed"
        "  AND p.holder = %s::uuid",
        (
            ints(ordered),
            bigints([ranges[p][0] for p in ordered]),
            bigints([ranges[p][1] for p in ordered]),
            topic,
            topic_id,
            holder,
        ),
    )
    if cursor.rowcount != len(ordered):
        raise Stale(f"router_progress has moved on for one of the partitions {ordered}: another worker has them")


def claim(cursor: psycopg.Cursor[Any], epoch: str, rows: Iterable[ClaimRow]) -> dict[bytes, tuple[str, int, int, str]]:
    """Claim all keys in one statement; key -> owner (epoch, partition, offset, item) as it stands afterwards.

    A stored owner stays, unless it is one that a redelivered copy names in `taken_from` (compare and set). A row that
    stays is locked but not written anew, and its owner is asked for only then: mostly every claim is a new row.
    """
    ordered = sorted(rows, key=attrgetter("key"))
    keys = byteas([row.key for row in ordered])
    cursor.execute(
        "INSERT INTO claim AS c (key, epoch, raw_partition, raw_offset, item, taken_from)"
        " SELECT u.key, %s::uuid, u.p, u.o, u.i, u.t"
        " FROM unnest(%b::bytea[], %b::int[], %b::bigint[], %b::text[], %b::text[]) AS u(key, p, o, i, t) ORDER BY u.key"
        " ON CONFLICT (key) DO UPDATE SET (epoch, raw_partition, raw_offset, item, taken_from) ="
        "  (excluded.epoch, excluded.raw_partition, excluded.raw_offset, excluded.item, excluded.taken_from)"
        "  WHERE c.epoch::text || '/' || c.raw_partition || '/' || c.raw_offset || '/' || c.item"
        "   = ANY(string_to_array(excluded.taken_from, E'\\n'))",
        (
            epoch,
            keys,
            ints([row.partition for row in ordered]),
            bigints([row.offset for row in ordered]),
            texts([row.item for row in ordered]),
            texts([row.taken_from for row in ordered]),
        ),
    )
    owners = {row.key: (epoch, row.partition, row.offset, row.item) for row in ordered}
    if cursor.rowcount != len(ordered):
        cursor.execute(
            "SELECT key, epoch::text, raw_partition, raw_offset, item FROM claim WHERE key = ANY(%b::bytea[])", (keys,)
        )
        owners |= {bytes(row[0]): (row[1], row[2], row[3], row[4]) for row in cursor.fetchall()}
    return owners


def record_receipts(
    cursor: psycopg.Cursor[Any], epoch: str, rows: Iterable[ReceiptInsert]
) -> list[tuple[str, str, str, str, int, int, str]]:
    """Insert receipts (a row that stands keeps its owner), then read every row of the messages they name.

    Returns (message id, participant, status, epoch, partition, offset, item).
    """
    ordered = sorted(rows, key=lambda row: (row.message_id, row.participant, row.status))
    if not ordered:
        return []
    cursor.execute(
        "INSERT INTO delivery_state AS d (message_id, participant, status, epoch, raw_partition, raw_offset, item)"
        " SELECT u.m, u.p, u.s, %s::uuid, u.part, u.o, u.i"
        " FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::int[], %b::bigint[], %b::text[]) AS u(m, p, s, part, o, i)"
        " ORDER BY 1, 2, 3 ON CONFLICT (message_id, participant, status) DO NOTHING",
        (
            epoch,
            uuids([row.message_id for row in ordered]),
            texts([row.participant for row in ordered]),
            texts([row.status for row in ordered]),
            ints([row.partition for row in ordered]),
            bigints([row.offset for row in ordered]),
            texts([row.item for row in ordered]),
        ),
    )
    cursor.execute(
        "SELECT message_id::text, participant, status, epoch::text, raw_partition, raw_offset, item"
        " FROM delivery_state WHERE message_id = ANY(%b::uuid[])",
        (uuids(sorted({row.message_id for row in ordered})),),
    )
    return cursor.fetchall()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        summary = f"{type(error).__name__} ({error.sqlstate})"  # never the message: it may quote a value
        match classify(error):
            case DatabaseFault.BAD_DATA:
                raise RecordRejected(summary) from error
            case DatabaseFault.RETRY:
                raise Unavailable(f"PostgreSQL: {summary}") from error
            case DatabaseFault.STOP:
                raise DatabaseBroken(f"PostgreSQL: {summary}") from error
