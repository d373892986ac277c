"""The router's statements on `held_record`, inside the transaction of a batch (`router_store`). Times travel as milliseconds.

The relay moves rows from waiting to sent (`redelivery_rows`); whatever else happens to a row happens here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg

from shared.adapters.binary_arrays import bigints, ints, texts, uuids
from shared.adapters.clock import new_uuid7
from shared.adapters.router_store import Stale
from shared.domain.enums import HeldState, HoldReason
from shared.domain.holding import BLOCKING, HeldRow, NewHold, Position, Settlement, Waiting

TargetLine = tuple[str, str]  # connector, external key of the message

_COLUMNS = (
    "h.id::text, h.seq, h.connector_id::text, h.account_id::text, h.conversation_id::text, h.target, h.request_id::text,"
    " h.epoch::text, h.raw_partition, h.raw_offset, h.item, h.reason, h.attempt, h.decision, h.state,"
    " (extract(epoch FROM h.first_arrival_at) * 1000)::bigint, (extract(epoch FROM h.expires_at) * 1000)::bigint"
)
_READ = (
    f"SELECT {_COLUMNS} FROM held_record AS h"  # noqa: S608  no input in it
    " JOIN unnest(%b::int[], %b::bigint[], %b::bigint[]) AS r(partition, first, behind)"
    " ON h.raw_partition = r.partition AND h.raw_offset >= r.first AND h.raw_offset < r.behind WHERE h.epoch = %s::uuid"
    f" UNION SELECT {_COLUMNS} FROM held_record AS h"
    " JOIN unnest(%b::uuid[], %b::int[], %b::bigint[], %b::text[]) AS c(epoch, partition, place, item)"
    " ON h.epoch = c.epoch AND h.raw_partition = c.partition AND h.raw_offset = c.place AND h.item = c.item"
    f" UNION SELECT {_COLUMNS} FROM held_record AS h JOIN unnest(%b::uuid[]) AS v(id) ON h.conversation_id = v.id"
    " WHERE h.blocks AND h.state <> 'done'"
    f" UNION SELECT {_COLUMNS} FROM held_record AS h"
    " JOIN unnest(%b::uuid[], %b::text[]) AS t(connector_id, target) ON h.connector_id = t.connector_id AND h.target = t.target"
    " WHERE NOT h.blocks AND h.state <> 'done'"
)


class Waiters(NamedTuple):
    """Whether anything waits at all: in the line of any conversation, of any message; or any row is of the batch's records."""

    in_conversations: bool
    for_targets: bool
    of_batch: bool


def look(cursor: psycopg.Cursor[Any], epoch: str, ranges: Mapping[int, tuple[int, int]]) -> Waiters:
    """Asked before the long lists of `read_held` are made; nobody but this worker adds rows for its partitions' connectors."""
    partitions = sorted(ranges)
    cursor.execute(
        "SELECT EXISTS (SELECT FROM held_record WHERE blocks AND state <> 'done'),"
        " EXISTS (SELECT FROM held_record WHERE NOT blocks AND state <> 'done'),"
        " EXISTS (SELECT FROM held_record AS h JOIN unnest(%b::int[], %b::bigint[], %b::bigint[]) AS r(partition, first, behind)"
        "  ON h.raw_partition = r.partition AND h.raw_offset >= r.first AND h.raw_offset < r.behind WHERE h.epoch = %s::uuid)",
        (
            ints(partitions),
            bigints([ranges[partition][0] for partition in partitions]),
            bigints([ranges[partition][1] for partition in partitions]),
            epoch,
        ),
    )
    return Waiters(*cursor.fetchall()[0])


def read_held(
    cursor: psycopg.Cursor[Any],
    epoch: str,
    ranges: Mapping[int, tuple[int, int]],
    copies_of: Collection[Position],
    conversations: Collection[str],
    targets: Collection[TargetLine],
) -> list[HeldRow]:
    """Rows at the positions of the batch (`ranges`: partition -> (first, end)), rows that its copies name, and the unfinished
    rows of these conversations and messages."""
    partitions, copies, lines = sorted(ranges), sorted(copies_of), sorted(targets)
    cursor.execute(
        _READ,
        (
            ints(partitions),
            bigints([ranges[partition][0] for partition in partitions]),
            bigints([ranges[partition][1] for partition in partitions]),
            epoch,
            uuids([copy[0] for copy in copies]),
            ints([copy[1] for copy in copies]),
            bigints([copy[2] for copy in copies]),
            texts([copy[3] for copy in copies]),
            uuids(sorted(conversations)),
            uuids([line[0] for line in lines]),
            texts([line[1] for line in lines]),
        ),
    )
    return [_row(*values) for values in cursor.fetchall()]


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
            uuids([new_uuid7() for _ in holds]),
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
        cursor.execute(
            "UPDATE held_record AS h SET due_at = now() FROM ("
            "  SELECT DISTINCT ON (w.conversation_id) w.id FROM held_record AS w"
            "  WHERE w.conversation_id = ANY(%b::uuid[]) AND w.blocks AND w.state <> 'done' ORDER BY w.conversation_id, w.seq"
            " ) AS head WHERE h.id = head.id AND h.state = 'waiting' AND h.reason = 'queued' AND h.due_at > now()",
            (uuids(sorted(conversations)),),
        )
    if targets:
        lines = sorted(targets)
        cursor.execute(
            "UPDATE held_record AS h SET due_at = now() FROM ("
            "  SELECT DISTINCT ON (w.connector_id, w.target) w.id FROM held_record AS w"
            "  JOIN unnest(%b::uuid[], %b::text[]) AS t(connector_id, target)"
            "   ON w.connector_id = t.connector_id AND w.target = t.target"
            "  WHERE NOT w.blocks AND w.state <> 'done' ORDER BY w.connector_id, w.target, w.seq"
            " ) AS head WHERE h.id = head.id AND h.state = 'waiting' AND h.due_at > now()",
            (uuids([line[0] for line in lines]), texts([line[1] for line in lines])),
        )


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
        "  decision = coalesce(h.decision, '{}') || coalesce(u.decision::jsonb, '{}'), due_at = to_timestamp(u.due / 1000.0)"
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
