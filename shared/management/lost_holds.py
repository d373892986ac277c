"""Held items whose raw records went away with a raw topic that was deleted and made anew: listed, and ended as dead letters.

Each is ended in three places: a dead letter (so that `channels dlq list` has it), the books (-1 held, +1 dead-lettered on the
line that it stands on), and its row. Events go first, in one transaction and under ids that are the same in every run; so a run
that broke off before the rows were ended is repeated, and a reader that goes by ids sees each once.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from shared.adapters.avro import Codec
from shared.adapters.kafka import event_headers, full_name
from shared.adapters.one_transaction import write_together
from shared.adapters.router_store import RouterStore
from shared.adapters.transaction_parts import OutMessage
from shared.domain.enums import ItemOutcome
from shared.domain.records import AuditCount, AuditRecorded, DeadLetter, RawPosition
from shared.domain.topics import Topic

REASON = "raw_topic_recreated"
_HOUR_MS = 3_600_000
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LostHold:
    """One unfinished row of `held_record`; times in milliseconds since 1970."""

    id: str
    tenant_id: str | None
    connector_id: str
    account_id: str
    origin: RawPosition
    reason: str
    first_arrival_at_ms: int


def lost_holds(store: RouterStore, topic_id: str) -> list[LostHold]:
    """Unfinished rows that lie in another incarnation of the raw topic, oldest first. Raises Unavailable."""
    with store.transaction() as cursor:
        cursor.execute(
            "SELECT h.id::text, c.tenant_id::text, h.connector_id::text, h.account_id::text, h.epoch::text, h.raw_partition,"
            " h.raw_offset, h.item, h.reason, (extract(epoch FROM h.first_arrival_at) * 1000)::bigint"
            " FROM held_record h LEFT JOIN channel_connector c ON c.id = h.connector_id"
            " WHERE h.state <> 'done' AND h.epoch <> %s::uuid ORDER BY h.seq",
            (topic_id,),
        )
        return [
            LostHold(
                id=row[0],
                tenant_id=row[1],
                connector_id=row[2],
                account_id=row[3],
                origin=RawPosition(epoch=row[4], partition=row[5], offset=row[6], item=row[7]),
                reason=row[8],
                first_arrival_at_ms=row[9],
            )
            for row in cursor.fetchall()
        ]


def unfinished_holds(store: RouterStore) -> int:
    """Rows of any incarnation that have not ended. Raises Unavailable."""
    with store.transaction() as cursor:
        cursor.execute("SELECT count(*) FROM held_record WHERE state <> 'done'")
        return int(cursor.fetchall()[0][0])


def end_lost_holds(
    bootstrap: str, topic_prefix: str, codec: Codec, store: RouterStore, holds: Sequence[LostHold], now_ms: int
) -> None:
    """End them. Blocks; raises Unavailable: run it again then."""
    for start in range(0, len(holds), _AT_ONCE):
        part = holds[start : start + _AT_ONCE]
        messages = [_letter(one, codec, topic_prefix, now_ms) for one in part]
        messages += [_book(event, codec, topic_prefix, now_ms) for event in _books(part)]
        write_together(bootstrap, f"{topic_prefix}channels-adopt", messages)
        with store.transaction() as cursor:
            _finish(cursor, [one.id for one in part])


def _finish(cursor: psycopg.Cursor[Any], ids: list[str]) -> None:
    # waiting -> sent -> done is the only way.
    cursor.execute("UPDATE held_record SET state = 'sent' WHERE id = ANY(%s::uuid[]) AND state = 'waiting'", (ids,))
    cursor.execute(
        "UPDATE held_record SET state = 'done', decision = coalesce(decision, '{}') || jsonb_build_object('outcome',"
        " jsonb_build_object('outcome', 'dead_lettered', 'reason', %s::text)) WHERE id = ANY(%s::uuid[]) AND state = 'sent'",
        (REASON, ids),
    )


def _letter(one: LostHold, codec: Codec, prefix: str, now_ms: int) -> OutMessage:
    event = DeadLetter(
        record_id="",
        tenant_id=one.tenant_id,
        connector_id=one.connector_id,
        account_id=one.account_id,
        origin=one.origin,
        origin_topic=full_name(prefix, Topic.WEBHOOK_RECEIVED),
        reason=REASON,
        detail=f"held: {one.reason}",
        schema_version="1",
        first_arrival_at_ms=one.first_arrival_at_ms,
        dead_lettered_at_ms=now_ms,
        sealed_fragment=None,
    )
    return _message(Topic.WEBHOOK_RECEIVED_DLQ, one.connector_id, event, _stable_id(one.id, "letter"), codec, prefix, now_ms)


def _books(holds: Sequence[LostHold]) -> list[AuditRecorded]:
    """One per old partition, over an empty range: nothing new was read."""
    lines: dict[tuple[str, int], Counter[tuple[str, str, int, ItemOutcome, str]]] = {}
    for one in holds:
        counts = lines.setdefault((one.origin.epoch, one.origin.partition), Counter())
        line = one.connector_id, one.account_id, one.first_arrival_at_ms - one.first_arrival_at_ms % _HOUR_MS
        counts[*line, ItemOutcome.HELD, ""] -= 1
        counts[*line, ItemOutcome.DEAD_LETTERED, REASON] += 1
    first = {(one.origin.epoch, one.origin.partition): one.origin.offset for one in reversed(holds)}
    return [
        AuditRecorded(
            epoch=epoch,
            partition=partition,
            first_offset=first[epoch, partition],
            end_offset=first[epoch, partition],
            counts=tuple(
                AuditCount(connector_id=key[0], account_id=key[1], hour_ms=key[2], outcome=key[3], reason=key[4], count=count)
                for key, count in counts.items()
            ),
        )
        for (epoch, partition), counts in lines.items()
    ]


def _book(event: AuditRecorded, codec: Codec, prefix: str, now_ms: int) -> OutMessage:
    event_id = _stable_id(event.epoch, str(event.partition), str(event.first_offset), REASON)
    return _message(Topic.AUDIT, str(event.partition), event, event_id, codec, prefix, now_ms)


def _message(topic: Topic, key: str, event: Any, event_id: str, codec: Codec, prefix: str, now_ms: int) -> OutMessage:
    headers = event_headers(event_id=event_id, event_type=topic.value, source="/channels/adopt", subject=key, time_ms=now_ms)
    return OutMessage(full_name(prefix, topic), key.encode(), codec.encode(topic, event), headers)


def _stable_id(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "|".join(("urn:channels:adopt", *parts))))
