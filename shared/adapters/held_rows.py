"""The router's statements on `held_record`, inside the transaction of a batch (`router_store`). Times travel as milliseconds.

The relay moves rows from waiting to sent (`redelivery_rows`); whatever else happens to a row happens here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import psycopg

from shared.adapters.binary_arrays import bigints, ints, new_uuids, texts, uuids
from shared.adapters.router_store import Stale
from shared.domain.enums import HeldState, HoldReason
from shared.domain.holding import BLOCKING, HeldRow, NewHold, Position, Settlement, TargetLine, Waiting, WantedRows

_COLUMNS = (
    "h.id::text, h.seq, h.connector_id::text, h.account_id::text, h.conversation_id::text, h.target, h.request_id::text,"
    " h.epoch::text, h.raw_partition, h.raw_offset, h.item, h.reason, h.attempt, h.decision, h.state,"
    " (extract(epoch FROM h.first_arrival_at) * 1000)::bigint, (extract(epoch FROM h.expires_at) * 1000)::bigint"
)
# Whether anybody waits is asked once: where nobody does, which is the usual case, the long lists are not looked at. It is asked
# in the order of an index, or the table would be read up to the first such row, which may be its last. A subquery with a limit is
# never turned into a join over the whole table, whatever the statistics say, and of a line it reads the first rows alone.
_BLOCKING = "h.blocks AND h.state <> 'done'"
_FOR_TARGET = "NOT h.blocks AND h.state <> 'done'"
READ = (
    f"SELECT {_COLUMNS} FROM unnest(%b::int[], %b::bigint[], %b::bigint[]) AS r(partition, first, behind)"  # noqa: S608  no input in it
    " JOIN held_record AS h ON h.raw_partition = r.partition AND h.raw_offset >= r.first AND h.raw_offset < r.behind"
    " WHERE h.epoch = %s::uuid"
    f" UNION ALL SELECT {_COLUMNS}"
    " FROM unnest(%b::uuid[], %b::int[], %b::bigint[], %b::text[]) AS c(epoch, partition, place, item)"
    " JOIN held_record AS h ON h.epoch = c.epoch AND h.raw_partition = c.partition AND h.raw_offset = c.place AND h.item = c.item"
    f" UNION ALL SELECT {_COLUMNS} FROM unnest(%b::uuid[], %b::int[]) AS v(id, most) CROSS JOIN LATERAL ("
    f"  SELECT * FROM held_record AS h WHERE {_BLOCKING} AND h.conversation_id = v.id ORDER BY h.seq LIMIT v.most) AS h"
    f" WHERE (SELECT true FROM held_record AS h WHERE {_BLOCKING} ORDER BY h.conversation_id, h.seq LIMIT 1)"
    f" UNION ALL SELECT {_COLUMNS} FROM unnest(%b::uuid[], %b::text[], %b::int[]) AS t(connector_id, target, most)"
    f" CROSS JOIN LATERAL (SELECT * FROM held_record AS h WHERE {_FOR_TARGET}"
    "  AND h.connector_id = t.connector_id AND h.target = t.target ORDER BY h.seq LIMIT t.most) AS h"
    f" WHERE (SELECT true FROM held_record AS h WHERE {_FOR_TARGET} ORDER BY h.connector_id, h.target, h.seq LIMIT 1)"
    f" UNION ALL SELECT {_COLUMNS} FROM unnest(%b::uuid[]) AS m(id) CROSS JOIN LATERAL ("
    f"  SELECT * FROM held_record AS h WHERE {_BLOCKING} AND h.request_id = m.id LIMIT 1) AS h"
    f" UNION ALL SELECT {_COLUMNS} FROM unnest(%b::uuid[], %b::text[]) AS e(conversation_id, target) CROSS JOIN LATERAL ("
    f"  SELECT * FROM held_record AS h WHERE {_BLOCKING} AND h.conversation_id = e.conversation_id AND h.target = e.target"
    "  OFFSET 0) AS h"
)
# The first of each line by a look of its own, again: a line may be very long.
WAKE_CONVERSATIONS = (
    "UPDATE held_record AS w SET due_at = now() FROM unnest(%b::uuid[]) AS v(id) CROSS JOIN LATERAL ("  # noqa: S608
    f"  SELECT h.id FROM held_record AS h WHERE {_BLOCKING} AND h.conversation_id = v.id ORDER BY h.seq LIMIT 1"
    " ) AS head WHERE w.id = head.id AND w.state = 'waiting' AND w.reason = 'queued' AND w.due_at > now()"
)
WAKE_TARGETS = (
    "UPDATE held_record AS w SET due_at = now() FROM unnest(%b::uuid[], %b::text[]) AS t(connector_id, target)"  # noqa: S608
    f" CROSS JOIN LATERAL (SELECT h.id FROM held_record AS h WHERE {_FOR_TARGET}"
    "  AND h.connector_id = t.connector_id AND h.target = t.target ORDER BY h.seq LIMIT 1"
    " ) AS head WHERE w.id = head.id AND w.state = 'waiting' AND w.due_at > now()"
)


# In the order of an index again, and by the position of the batch's records: finished rows of a batch that is tried again count.
LOOK = (
    f"SELECT (SELECT true FROM held_record AS h WHERE {_BLOCKING} ORDER BY h.conversation_id, h.seq LIMIT 1),"  # noqa: S608
    f" (SELECT true FROM held_record AS h WHERE {_FOR_TARGET} ORDER BY h.connector_id, h.target, h.seq LIMIT 1),"
    " (SELECT true FROM unnest(%b::int[], %b::bigint[], %b::bigint[]) AS r(partition, first, behind) JOIN held_record AS h"
    "  ON h.raw_partition = r.partition AND h.raw_offset >= r.first AND h.raw_offset < r.behind WHERE h.epoch = %s::uuid LIMIT 1)"
)


def anything_waits(cursor: psycopg.Cursor[Any], epoch: str, ranges: Mapping[int, tuple[int, int]]) -> bool:
    """Whether there is anything for `read_held` to find, but what copies name. Asked first: the lists that it takes are long.

    Nobody but this worker adds rows for the connectors of its partitions.
    """
    partitions = sorted(ranges)
    cursor.execute(
        LOOK,
        (
            ints(partitions),
            bigints([ranges[partition][0] for partition in partitions]),
            bigints([ranges[partition][1] for partition in partitions]),
            epoch,
        ),
    )
    return any(cursor.fetchall()[0])


def accounts_of(cursor: psycopg.Cursor[Any], positions: Collection[Position]) -> dict[Position, str]:
    """Position -> account of the row that stands there: whose the item was when it was held."""
    ordered = sorted(positions)
    cursor.execute(
        "SELECT h.epoch::text, h.raw_partition, h.raw_offset, h.item, h.account_id::text"
        " FROM unnest(%b::uuid[], %b::int[], %b::bigint[], %b::text[]) AS c(epoch, partition, place, item)"
        " JOIN held_record AS h ON h.epoch = c.epoch AND h.raw_partition = c.partition AND h.raw_offset = c.place"
        "  AND h.item = c.item",
        _position_arrays(ordered),
    )
    return {(row[0], row[1], row[2], row[3]): row[4] for row in cursor.fetchall()}


def read_held(
    cursor: psycopg.Cursor[Any], epoch: str, ranges: Mapping[int, tuple[int, int]], wanted: WantedRows
) -> list[HeldRow]:
    """Rows at the positions of the batch (`ranges`: partition -> (first, end)), finished ones too, and the wanted ones. Some
    come twice."""
    cursor.execute(READ, read_values(epoch, ranges, wanted))
    return [_row(*values) for values in cursor.fetchall()]


def read_values(epoch: str, ranges: Mapping[int, tuple[int, int]], wanted: WantedRows) -> tuple[Any, ...]:
    """The parameters of READ."""
    partitions, copies, messages = sorted(ranges), sorted(wanted.copies_of), sorted(wanted.messages)
    conversations, lines, edits = sorted(wanted.conversations), sorted(wanted.targets), sorted(wanted.edits)
    return (
        ints(partitions),
        bigints([ranges[partition][0] for partition in partitions]),
        bigints([ranges[partition][1] for partition in partitions]),
        epoch,
        *_position_arrays(copies),
        uuids(conversations),
        ints([wanted.conversations[one] for one in conversations]),
        uuids([line[0] for line in lines]),
        texts([line[1] for line in lines]),
        ints([wanted.targets[line] for line in lines]),
        uuids(messages),
        uuids([edit[0] for edit in edits]),
        texts([edit[1] for edit in edits]),
    )


def insert_holds(cursor: psycopg.Cursor[Any], holds: Sequence[NewHold]) -> None:
    """Add rows, in order of arrival (`seq` follows it). None stands yet: a replay finds its row and holds nothing anew."""
    if not holds:
        return
    waits = [hold.waiting for hold in holds]
    cursor.execute(
        "INSERT INTO held_record (id, connector_id, account_id, conversation_id, target, request_id, epoch, raw_partition,"
        " raw_offset, item, reason, blocks, decision, due_at, expires_at, first_arrival_at)"
        " SELECT u.id, u.connector, u.account, u.conversation, u.target, u.request, u.epoch, u.partition, u.place, u.item,"
        "  u.reason, u.conversation IS NOT NULL, u.decision::jsonb, to_timestamp(u.due / 1000.0),"
        "  to_timestamp(u.expiry / 1000.0), to_timestamp(u.arrival / 1000.0)"
        " FROM unnest(%b::uuid[], %b::uuid[], %b::uuid[], %b::uuid[], %b::text[], %b::uuid[], %b::uuid[], %b::int[],"
        "  %b::bigint[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[]) WITH ORDINALITY"
        "  AS u(id, connector, account, conversation, target, request, epoch, partition, place, item, reason, decision, due,"
        "   expiry, arrival, n) ORDER BY u.n",
        (
            new_uuids(len(holds)),
            uuids([hold.connector_id for hold in holds]),
            uuids([hold.account_id for hold in holds]),
            *_line_arrays(waits),
            uuids([wait.request_id for wait in waits]),
            *_position_arrays([hold.position for hold in holds]),
            texts([wait.reason.value for wait in waits]),
            texts([_json(wait.decision) for wait in waits]),
            bigints([wait.due_ms for wait in waits]),
            bigints([hold.expires_ms for hold in holds]),
            bigints([hold.first_arrival_ms for hold in holds]),
        ),
    )


def settle_held(cursor: psycopg.Cursor[Any], settlements: Iterable[Settlement]) -> None:
    """Move rows to the copies that settled them: done, or waiting again. Raises Stale where a row is not as it was read.

    `settlements` stand in order of the copies; those that go to the back of a line stand there in the same order.
    """
    given = list(settlements)
    ordered = sorted(given, key=lambda one: one.row.seq)
    early = [one.row.id for one in ordered if one.row.state is HeldState.WAITING]
    if early:  # a copy outlived its mark: the database was restored to an earlier time
        cursor.execute("UPDATE held_record SET state = 'sent' WHERE id = ANY(%b::uuid[]) AND state = 'waiting'", (uuids(early),))
    _finish(cursor, [one for one in ordered if one.waiting is None])
    _hold_again(cursor, [one for one in ordered if one.waiting is not None])
    back = [(one.row.id,) for one in given if one.waiting is not None and one.waiting.at_the_back]
    if back:  # seldom: an edit whose message came late. One by one, for a single statement would number them in any order
        cursor.executemany("UPDATE held_record SET seq = DEFAULT WHERE id = %s::uuid AND state = 'waiting'", back)


def wake_heads(cursor: psycopg.Cursor[Any], conversations: Collection[str], targets: Collection[TargetLine]) -> None:
    """Let the first of each line come out now, if it only waits for its turn (or for the message that has just come)."""
    if conversations:
        cursor.execute(WAKE_CONVERSATIONS, (uuids(sorted(conversations)),))
    if targets:
        lines = sorted(targets)
        cursor.execute(WAKE_TARGETS, (uuids([line[0] for line in lines]), texts([line[1] for line in lines])))


def _finish(cursor: psycopg.Cursor[Any], ended: Sequence[Settlement]) -> None:
    if not ended:
        return
    cursor.execute(
        "UPDATE held_record AS h SET state = 'done', epoch = u.epoch, raw_partition = u.partition, raw_offset = u.place,"
        "  item = u.item, decision = coalesce(h.decision, '{}') || u.decision::jsonb"
        " FROM unnest(%b::uuid[], %b::uuid[], %b::int[], %b::bigint[], %b::text[], %b::text[])"
        "  AS u(id, epoch, partition, place, item, decision) WHERE h.id = u.id AND h.state = 'sent'",
        (
            uuids([one.row.id for one in ended]),
            *_position_arrays([one.position for one in ended]),
            texts([_json(one.decision or {}) for one in ended]),
        ),
    )
    _all_there(cursor, ended)


def _hold_again(cursor: psycopg.Cursor[Any], held: Sequence[Settlement]) -> None:
    waits = [one.waiting for one in held if one.waiting is not None]
    if not waits:
        return
    cursor.execute(
        "UPDATE held_record AS h SET state = 'waiting', attempt = h.attempt + 1, copy_offset = NULL, epoch = u.epoch,"
        "  raw_partition = u.partition, raw_offset = u.place, item = u.item, reason = u.reason,"
        "  blocks = u.conversation IS NOT NULL, conversation_id = coalesce(u.conversation, h.conversation_id),"
        "  target = coalesce(u.target, h.target), request_id = coalesce(u.request, h.request_id),"
        "  decision = coalesce(h.decision, '{}') || coalesce(u.decision::jsonb, '{}'),"
        # By our clock its deadline may not have come, by PostgreSQL's it may have passed: it must not be sent in a circle.
        "  due_at = greatest(to_timestamp(u.due / 1000.0), now() + interval '1 second')"
        " FROM unnest(%b::uuid[], %b::uuid[], %b::int[], %b::bigint[], %b::text[], %b::uuid[], %b::text[], %b::uuid[],"
        "  %b::text[], %b::text[], %b::bigint[])"
        "  AS u(id, epoch, partition, place, item, conversation, target, request, reason, decision, due)"
        " WHERE h.id = u.id AND h.state = 'sent'",
        (
            uuids([one.row.id for one in held]),
            *_position_arrays([one.position for one in held]),
            *_line_arrays(waits),
            uuids([wait.request_id for wait in waits]),
            texts([wait.reason.value for wait in waits]),
            texts([_json(wait.decision) for wait in waits]),
            bigints([wait.due_ms for wait in waits]),
        ),
    )
    _all_there(cursor, held)


def _all_there(cursor: psycopg.Cursor[Any], wanted: Sequence[Settlement]) -> None:
    if cursor.rowcount != len(wanted):
        raise Stale(f"{len(wanted) - cursor.rowcount} held records are no longer as they were read")


def _line_arrays(waits: Sequence[Waiting]) -> tuple[Any, Any]:
    """Conversation where it blocks, and it stands in that line alone; its target beside it says what it has waited for."""
    return (
        uuids([wait.conversation_id if wait.reason in BLOCKING else None for wait in waits]),
        texts([wait.target for wait in waits]),
    )


def _position_arrays(positions: Sequence[Position]) -> tuple[Any, Any, Any, Any]:
    return (
        uuids([position[0] for position in positions]),
        ints([position[1] for position in positions]),
        bigints([position[2] for position in positions]),
        texts([position[3] for position in positions]),
    )


def _row(
    row_id: str,
    seq: int,
    connector_id: str,
    account_id: str,
    conversation_id: str | None,
    target: str | None,
    request_id: str | None,
    epoch: str,
    partition: int,
    offset: int,
    item: str,
    reason: str,
    attempt: int,
    decision: Mapping[str, Any] | None,
    state: str,
    first_arrival_ms: int,
    expires_ms: int,
) -> HeldRow:
    return HeldRow(
        id=row_id,
        seq=seq,
        connector_id=connector_id,
        account_id=account_id,
        conversation_id=conversation_id,
        target=target,
        request_id=request_id,
        position=(epoch, partition, offset, item),
        reason=HoldReason(reason),
        attempt=attempt,
        decision=decision,
        state=HeldState(state),
        first_arrival_ms=first_arrival_ms,
        expires_ms=expires_ms,
    )


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"), sort_keys=True)
