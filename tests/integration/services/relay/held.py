"""Held records as a router would leave and settle them, and their copies as an independent reader sees them."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import psycopg
from confluent_kafka import Producer

from services.relay.copies import CopyOutcome
from services.relay.raw_copies import RawCopies
from services.relay.redelivery import Redelivery, RedeliveryParts
from shared.adapters.clock import new_uuid7
from shared.adapters.group_offsets import commit_offsets
from shared.adapters.kafka import client_config, full_name
from shared.adapters.placed_records import PlacedRecords
from shared.adapters.redelivery_rows import RedeliveryRows
from shared.adapters.transaction_parts import topic_incarnation
from shared.domain.topics import Topic
from shared.runtime.metrics import RelayMetrics
from tests.pipeline import Pipeline, Read
from tests.waiting import eventually

NOT_OURS = b"\xc3\x01 no record of ours"
_INSERT = """INSERT INTO held_record (id, connector_id, account_id, conversation_id, target, epoch, raw_partition, raw_offset,
    item, reason, blocks, due_at, expires_at, first_arrival_at)
SELECT gen_random_uuid(), %(connector)s, %(account)s, u.conversation, u.target, %(epoch)s, u.partition, u.place, u.item,
    u.reason, u.target IS NULL, now() + u.due * interval '1 second', now() + u.expires * interval '1 second', now()
FROM unnest(%(conversations)s::uuid[], %(targets)s::text[], %(partitions)s::int[], %(places)s::bigint[], %(items)s::text[],
    %(reasons)s::text[], %(due)s::float[], %(expires)s::float[]) WITH ORDINALITY
    AS u(conversation, target, partition, place, item, reason, due, expires, n) ORDER BY u.n RETURNING id::text"""


@dataclass(kw_only=True)
class Held:
    """One row to be inserted. A `target` makes it one that waits for a message, else it blocks its conversation. In seconds."""

    place: tuple[int, int]
    conversation: str | None = None
    target: str | None = None
    item: str = "/entry/0/changes/0/value/messages/0"
    reason: str = "intake"
    due: float = -1.0
    expires: float = 86_400.0


@dataclass
class Holding:
    """The held records of one pipeline."""

    pipeline: Pipeline
    epoch: str = field(init=False)
    _markers: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.topic = full_name(self.pipeline.prefix, Topic.WEBHOOK_RECEIVED)
        self.epoch = topic_incarnation(self.pipeline.bootstrap, self.topic)

    def post(self, count: int, partition: int = 0) -> list[tuple[int, int]]:
        """So many raw records in one partition; where each lies."""
        places: list[tuple[int, int]] = []
        producer = Producer(client_config(self.pipeline.bootstrap, "test") | {"linger.ms": 1})
        posted = _Posted(self.pipeline, producer, partition, places)
        for number in range(count):
            posted.post(json.dumps({"number": number}).encode())
        assert producer.flush(30) == 0
        return sorted(places)

    def insert(self, *rows: Held, epoch: str | None = None) -> list[str]:
        """As the router does; the ids."""
        values = {
            "connector": self.pipeline.connector_id,
            "account": self.pipeline.unit_account_id,
            "epoch": epoch or self.epoch,
            "conversations": [row.conversation or (None if row.target else new_uuid7()) for row in rows],
            "targets": [row.target for row in rows],
            "partitions": [row.place[0] for row in rows],
            "places": [row.place[1] for row in rows],
            "items": [row.item for row in rows],
            "reasons": [row.reason for row in rows],
            "due": [float(row.due) for row in rows],
            "expires": [float(row.expires) for row in rows],
        }
        with psycopg.connect(self.pipeline.database.worker_url.replace("+psycopg", ""), autocommit=True) as connection:
            return [row[0] for row in connection.execute(_INSERT, values).fetchall()]

    def row(self, row_id: str) -> dict[str, Any]:
        """The row as it is."""
        names = ["state", "copy_offset", "sent_at", "due_at", "raw_partition", "raw_offset", "item", "epoch", "attempt"]
        [found] = self.pipeline.sql(f"SELECT {', '.join(names)} FROM held_record WHERE id = %s", row_id)
        return dict(zip(names, found, strict=True))

    def states(self) -> Counter[str]:
        """State -> how many rows."""
        return Counter(dict(self.pipeline.sql("SELECT state, count(*) FROM held_record GROUP BY state")))

    def noted(self) -> int:
        """How many rows are sent and have the place of their copy."""
        [[count]] = self.pipeline.sql("SELECT count(*) FROM held_record WHERE state = 'sent' AND copy_offset IS NOT NULL")
        return int(count)

    def settle(self, row_id: str, copy: Read, state: str = "done") -> None:
        """As the router does with a copy that finds its row: done, or waiting again at the copy's position."""
        at = copy.event.redelivery_of
        self.pipeline.sql(
            "UPDATE held_record SET state = %s, raw_partition = %s, raw_offset = %s, epoch = %s, attempt = attempt + 1"
            " WHERE id = %s AND state = 'sent' AND (epoch, raw_partition, raw_offset, item) = (%s::uuid, %s, %s, %s)",
            state,
            copy.partition,
            copy.offset,
            self.epoch,
            row_id,
            at.epoch,
            at.partition,
            at.offset,
            at.item,
        )

    def commit(self, offsets: dict[int, int]) -> None:
        """The router has come so far."""
        group = f"{self.pipeline.prefix}channels-router"
        commit_offsets(self.pipeline.bootstrap, group, self.topic, offsets, 20)

    def age_sent(self, seconds: int = 31) -> None:
        """Time passes for what is sent."""
        self.pipeline.sql("UPDATE held_record SET sent_at = sent_at - %s * interval '1 second' WHERE state = 'sent'", seconds)

    def wait_for_resending(self) -> None:
        """Until what is to be sent again has been looked for: a row that has waited for it for long was found."""
        [place] = self.post(1)
        [row] = self.insert(Held(place=place, due=600))
        self.pipeline.sql("UPDATE held_record SET state = 'sent' WHERE id = %s", row)
        self.pipeline.sql("UPDATE held_record SET sent_at = now() - interval '1 hour' WHERE id = %s", row)
        eventually(lambda: self.row(row)["copy_offset"] is not None, 20)
        self.pipeline.sql("DELETE FROM held_record WHERE id = %s", row)
        self._markers.add(place)

    def copies(self, expected: int, seconds: float = 20.0) -> list[Read]:
        """The copies in the raw topic, in order of partition and place; waits until there are so many."""
        found: list[Read] = []

        def enough() -> bool:
            found[:] = [one for one in raw_records(self.pipeline) if self._is_copy(one)]
            return len(found) >= expected

        eventually(enough, seconds)
        return found

    def _is_copy(self, one: Read) -> bool:
        return one.event.redelivery_of is not None and self.place_of(one) not in self._markers

    def place_of(self, copy: Read) -> tuple[int, int]:
        """What the copy stands for."""
        return copy.event.redelivery_of.partition, copy.event.redelivery_of.offset

    def originals(self) -> dict[tuple[int, int], Read]:
        """What came in."""
        return {(one.partition, one.offset): one for one in raw_records(self.pipeline) if one.event.redelivery_of is None}

    def redelivery(
        self, registry: Any, *, rows: RedeliveryRows | None = None, raw: RawCopies | None = None, batch: int = 1_000
    ) -> Redelivery:
        """One in this process, not started."""
        return Redelivery(
            RedeliveryParts(
                rows=rows or RedeliveryRows(self.pipeline.database.worker_url),
                raw=raw or self.raw_copies(),
                metrics=RelayMetrics(registry),
                poll_seconds=0.02,
                batch_rows=batch,
            )
        )

    def raw_copies(self, kind: type[RawCopies] = RawCopies) -> RawCopies:
        """The raw topic as the relay works on it."""
        group = f"{self.pipeline.prefix}channels-router"
        return kind(self.pipeline.bootstrap, self.topic, group, self.pipeline.codec)


@dataclass
class _Posted:
    """Posts through the pipeline into a partition of the caller's choice."""

    pipeline: Pipeline
    producer: Producer
    partition: int
    places: list[tuple[int, int]]

    def post(self, body: bytes) -> None:
        place = self.pipeline.producer
        self.pipeline.producer = self  # type: ignore[assignment]
        try:
            self.pipeline.post(body, flush=False)
        finally:
            self.pipeline.producer = place

    def produce(self, topic: str, *, key: bytes, value: bytes, headers: Any) -> None:
        def delivered(error: object, message: Any) -> None:
            assert error is None
            self.places.append((message.partition(), message.offset()))

        self.producer.produce(topic, value, key, self.partition, delivered, headers=headers)
        self.producer.poll(0)


def raw_records(pipeline: Pipeline) -> list[Read]:
    """All of the raw topic that can be read now."""
    with PlacedRecords(pipeline.bootstrap, full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)) as placed:
        bounds = placed.bounds()
        places = [(partition, offset) for partition, (first, end) in bounds.items() for offset in range(first, end)]
        with closing(placed.each(places, bounds)) as records:
            return [
                Read(
                    record.partition,
                    record.offset,
                    record.key.decode(),
                    dict(record.headers),
                    pipeline.codec.decode(Topic.WEBHOOK_RECEIVED, record.value),
                )
                for record in records
                if record.value != NOT_OURS
            ]


def counts(registry: Any) -> dict[str, int]:
    """Outcome -> copies, where there are any."""
    found = {
        outcome: registry.get_sample_value("channels_relay_held_copies_total", {"outcome": outcome}) for outcome in CopyOutcome
    }
    return {outcome.value: int(value) for outcome, value in found.items() if value}
