"""Held records as the relay works on them: what is due is marked sent, a copy's place is noted, what is old is deleted.

Nothing here waits for a row that somebody else holds (SKIP LOCKED), so the relay and the routers cannot wait for each other in a
circle. And nothing here needs to be done by one relay alone: each statement moves a row from a state that it names, and a copy's
place is noted only for the very sending that made it (`sent_at`). A relay that was frozen, and wakes when another one has taken
over, does no more harm than to write a copy that finds its row settled.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Row, event, text

from shared.adapters.database import create_engine_for
from shared.adapters.outbox import SESSION_SECONDS, translated

RESEND_SECONDS = 30
_STATEMENT_SECONDS = 8

# How the planner sees a line: its first unfinished row, found by one probe of the line's index. A subquery that yields a value is
# never turned into a join, so this stays so whatever the statistics say.
_FIRST_IN_CONVERSATION = (
    "(SELECT b.seq FROM held_record b WHERE b.blocks AND b.state <> 'done' AND b.conversation_id = h.conversation_id"
    " ORDER BY b.seq LIMIT 1)"
)
_FIRST_FOR_TARGET = (
    "(SELECT b.seq FROM held_record b WHERE NOT b.blocks AND b.state <> 'done' AND b.connector_id = h.connector_id"
    " AND b.target = h.target ORDER BY b.seq LIMIT 1)"
)
# Nothing unfinished stands before it in its line. A row stands in one line at a time: that of its conversation while it blocks.
_IS_HEAD = f"h.seq <= coalesce(CASE WHEN h.blocks THEN {_FIRST_IN_CONVERSATION} ELSE {_FIRST_FOR_TARGET} END, h.seq)"
_IS_DUE = f"h.state = 'waiting' AND h.due_at <= now() AND {_IS_HEAD}"
_ROW = (
    "h.id::text, h.connector_id::text, h.epoch::text, h.raw_partition, h.raw_offset, h.item, h.sent_at,"
    " (extract(epoch FROM h.first_arrival_at) * 1000)::bigint AS first_arrival_at_ms, h.expires_at <= now() AS expired"
)
# Each change is made in two parts: rows are chosen by their state and locked, and with the locks held they are changed by their
# ids alone. Were the state named there too, a planner that believes there are few such rows would look at all of them for each
# id (`state || ''`, and the subquery with a limit, keep it from that where the ids come from outside).
# ruff: noqa: S608  the statements are put together from the constants above, no input is in them
TAKE = text(
    f"WITH due AS MATERIALIZED (SELECT h.id FROM held_record h WHERE {_IS_DUE}"
    "  ORDER BY h.due_at LIMIT :rows FOR UPDATE OF h SKIP LOCKED)"
    " UPDATE held_record h SET state = 'sent', copy_offset = NULL FROM due WHERE h.id = due.id"
    f" RETURNING {_ROW}"
)
NOTE = text(
    "WITH noted AS MATERIALIZED (SELECT mine.id, u.copied"
    "  FROM unnest(CAST(:ids AS uuid[]), CAST(:epochs AS uuid[]), CAST(:partitions AS int[]), CAST(:offsets AS bigint[]),"
    "   CAST(:copies AS bigint[])) AS u(id, epoch, partition, raw_offset, copied)"
    "  CROSS JOIN LATERAL (SELECT h.id FROM held_record h WHERE h.id = u.id AND h.state || '' = 'sent' AND h.sent_at = :sent_at"
    "   AND h.epoch = u.epoch AND h.raw_partition = u.partition AND h.raw_offset = u.raw_offset"
    "   LIMIT 1 FOR UPDATE SKIP LOCKED) AS mine)"
    " UPDATE held_record h SET copy_offset = noted.copied FROM noted WHERE h.id = noted.id"
)
_LONG_SENT = f"h.state = 'sent' AND h.sent_at <= now() - interval '{RESEND_SECONDS} seconds'"
_ANY_LONG_SENT = text(f"SELECT EXISTS (SELECT FROM held_record h WHERE {_LONG_SENT})")
TAKE_AGAIN = text(
    "WITH stuck AS MATERIALIZED (SELECT h.id FROM held_record h"
    "  LEFT JOIN unnest(CAST(:partitions AS int[]), CAST(:passed AS bigint[]), CAST(:ends AS bigint[]))"
    "   AS u(partition, passed, log_end)"
    "   ON u.partition = h.raw_partition"
    f" WHERE {_LONG_SENT} AND (h.copy_offset IS NULL OR u.partition IS NULL OR h.copy_offset < u.passed"
    "   OR h.copy_offset >= u.log_end) ORDER BY h.sent_at LIMIT :rows FOR UPDATE OF h SKIP LOCKED)"
    " UPDATE held_record h SET sent_at = now() FROM stuck"
    f" WHERE h.id = stuck.id RETURNING {_ROW}"
)
_SWEEP = text(
    "WITH forgotten AS MATERIALIZED (SELECT h.id FROM held_record h WHERE h.state = 'waiting' AND h.due_at > now()"
    f"  AND (h.reason IN ('queued', 'behind_target') OR h.expires_at <= now()) AND {_IS_HEAD}"
    "  LIMIT :rows FOR UPDATE OF h SKIP LOCKED)"
    " UPDATE held_record h SET due_at = now() FROM forgotten WHERE h.id = forgotten.id"
)
_WAKE = text(
    "WITH woken AS MATERIALIZED (SELECT h.id FROM held_record h WHERE h.account_id = ANY(CAST(:accounts AS uuid[]))"
    "  AND h.state = 'waiting' AND h.reason IN ('paused', 'flow_unusable')"
    "  AND h.due_at > now() + :delay LIMIT :rows FOR UPDATE OF h SKIP LOCKED)"
    " UPDATE held_record h SET due_at = now() + :delay FROM woken WHERE h.id = woken.id"
)
_PRUNE_DONE = text(
    "DELETE FROM held_record h WHERE h.id IN (SELECT d.id FROM held_record d"
    "  WHERE d.state = 'done' AND d.done_at < now() - :age"
    # A router that has settled a batch here, and has not told Kafka yet, finds by these rows what it decided, however late.
    "   AND NOT EXISTS (SELECT FROM router_progress p WHERE p.topic_id = d.epoch AND p.partition = d.raw_partition"
    "    AND p.first_offset <= d.raw_offset)"
    "  ORDER BY d.done_at LIMIT :rows FOR UPDATE OF d SKIP LOCKED)"
)
_CLAIM_BLOCKS = text("SELECT pg_relation_size('claim') / current_setting('block_size')::int")
PRUNE_CLAIMS = text(
    "DELETE FROM claim WHERE ctid >= CAST(:first AS tid) AND ctid < CAST(:last AS tid) AND claimed_at < now() - :age"
)
_DUE = text(
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(d.due_at)), 0)"
    f" FROM (SELECT h.due_at FROM held_record h WHERE {_IS_DUE} ORDER BY h.due_at LIMIT :rows) AS d"
)
_TENANTS = text("SELECT id::text, tenant_id::text FROM channel_connector WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRow:
    """One item to be sent again, and where it lies. `expired`: its deadline has passed, whatever it waited for."""

    id: str
    connector_id: str
    epoch: str
    partition: int
    offset: int
    item: str
    first_arrival_at_ms: int
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Rows that were marked sent in one transaction, by order of place. `sent_at` is None when there are none."""

    rows: Sequence[DueRow]
    sent_at: dt.datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReach:
    """A raw partition: the router has committed `passed`, the log ends at `end` (both are the offset after the last one)."""

    partition: int
    passed: int
    end: int


class RedeliveryRows:
    """One connection as the worker role, opened when it is needed. Not for several threads.

    Each method is one transaction of one statement; raises DatabaseAway, and ConfigError where no retry heals it.
    """

    def __init__(self, url: str) -> None:
        self._engine = create_engine_for(url, pool_size=1, application_name="channels-relay-held")
        event.listen(self._engine, "connect", prepare_session)

    def take(self, rows: int) -> Sending:
        """Mark so many rows sent that are due and head of their line, the longest due first."""
        return self._sending(TAKE, {"rows": rows})

    def note_copies(self, sending: Sending, copies: Mapping[DueRow, int]) -> None:
        """Row -> offset of its copy, in the row's own partition. A row that was settled or sent anew meanwhile is left alone."""
        rows = list(copies)
        values = {
            "ids": [row.id for row in rows],
            "epochs": [row.epoch for row in rows],
            "partitions": [row.partition for row in rows],
            "offsets": [row.offset for row in rows],
            "copies": list(copies.values()),
            "sent_at": sending.sent_at,
        }
        with translated(), self._engine.begin() as connection:
            connection.execute(NOTE, values)

    def any_long_sent(self) -> bool:
        """Whether a row was sent more than RESEND_SECONDS ago and is not finished."""
        with translated(), self._engine.begin() as connection:
            return bool(connection.execute(_ANY_LONG_SENT).scalar_one())

    def take_again(self, reaches: Collection[PartitionReach], rows: int) -> Sending:
        """Mark rows sent anew that were sent RESEND_SECONDS ago or earlier and whose copy the router has passed, or is nowhere.

        `reaches` must have been asked of Kafka before.
        """
        values = {
            "partitions": [reach.partition for reach in reaches],
            "passed": [reach.passed for reach in reaches],
            "ends": [reach.end for reach in reaches],
            "rows": rows,
        }
        return self._sending(TAKE_AGAIN, values)

    def sweep(self, rows: int) -> int:
        """Make rows due that wait although nothing stands before them, or although they have expired; how many."""
        return self._changed(_SWEEP, {"rows": rows})

    def wake(self, accounts: Collection[str], delay: dt.timedelta, rows: int) -> int:
        """Make so many rows of these accounts due (in `delay`) that wait for a new configuration; how many."""
        return self._changed(_WAKE, {"accounts": list(accounts), "delay": delay, "rows": rows})

    def prune_done(self, age: dt.timedelta, rows: int) -> int:
        """Delete so many rows that were done before `age`, up to the routers' last batches; how many."""
        return self._changed(_PRUNE_DONE, {"age": age, "rows": rows})

    def claim_blocks(self) -> int:
        """How many pages the table of claims has."""
        with translated(), self._engine.begin() as connection:
            return int(connection.execute(_CLAIM_BLOCKS).scalar_one())

    def prune_claims(self, age: dt.timedelta, first_block: int, blocks: int) -> int:
        """Delete the claims older than `age` that lie in these pages of the table; how many."""
        tids = {"first": f"({first_block},0)", "last": f"({first_block + blocks},0)"}
        return self._changed(PRUNE_CLAIMS, {"age": age, **tids})

    def due(self, at_most: int) -> tuple[int, float]:
        """How many rows are due and not behind others (counted up to `at_most`), and for how many seconds the first has been."""
        with translated(), self._engine.begin() as connection:
            count, seconds = connection.execute(_DUE, {"rows": at_most}).one()
        return count, max(0.0, float(seconds))

    def tenants(self, connectors: Collection[str]) -> dict[str, str]:
        """Connector -> tenant; a connector that was deleted is absent."""
        with translated(), self._engine.begin() as connection:
            return {row[0]: row[1] for row in connection.execute(_TENANTS, {"ids": list(connectors)})}

    def close(self) -> None:
        """End the session."""
        self._engine.dispose()

    def _sending(self, statement: Any, values: Mapping[str, Any]) -> Sending:
        with translated(), self._engine.begin() as connection:
            found = connection.execute(statement, values).all()
        rows = sorted((_due_row(row) for row in found), key=lambda row: (row.partition, row.offset, row.item))
        return Sending(rows=rows, sent_at=found[0].sent_at if found else None)

    def _changed(self, statement: Any, values: Mapping[str, Any]) -> int:
        with translated(), self._engine.begin() as connection:
            return connection.execute(statement, values).rowcount


def _due_row(row: Row[Any]) -> DueRow:
    return DueRow(
        id=row.id,
        connector_id=row.connector_id,
        epoch=row.epoch,
        partition=row.raw_partition,
        offset=row.raw_offset,
        item=row.item,
        first_arrival_at_ms=row.first_arrival_at_ms,
        expired=row.expired,
    )


def prepare_session(driver: psycopg.Connection[Any], _record: object) -> None:
    """A frozen relay's session, and the rows it holds, end as its lease does; plans are for a few rows of a table of any size.

    A plan made for an empty table is not kept, and a batch is never joined by reading the whole table.
    """
    with driver.cursor() as cursor:
        for setting in ("idle_session_timeout", "idle_in_transaction_session_timeout"):
            cursor.execute(f"SET {setting} = '{SESSION_SECONDS}s'")
        cursor.execute(f"SET statement_timeout = '{_STATEMENT_SECONDS}s'")
        cursor.execute("SET plan_cache_mode = force_custom_plan")
        for join in ("enable_hashjoin", "enable_mergejoin"):
            cursor.execute(f"SET {join} = off")
    driver.commit()
