"""The relay's part of a redelivery, done by the test's own hand: so that a test decides when, how often, and what is left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from shared.adapters.kafka import full_name
from shared.adapters.placed_records import Copy, PlacedRecords
from shared.domain.records import RawPosition, WebhookReceived
from shared.domain.topics import Topic
from tests.pipeline import Pipeline

_HEADS = """
SELECT h.id, h.epoch::text, h.raw_partition, h.raw_offset, h.item FROM held_record h
WHERE h.state = 'waiting' AND (h.due_at <= now() OR %s)
  AND NOT EXISTS (SELECT 1 FROM held_record b WHERE b.state <> 'done' AND b.seq < h.seq AND b.blocks = h.blocks
      AND (h.blocks AND b.conversation_id = h.conversation_id OR NOT h.blocks AND b.target = h.target))
ORDER BY h.raw_partition, h.raw_offset, h.seq
"""


class HandRelay:
    """Copies of what is due (or of every head, with `early`)."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    def deliver(self, *, early: bool = False, times: int = 1, mark: bool = True) -> int:
        """Mark and copy all heads that are due; `times` copies of each. Returns how many rows it took."""
        rows = self._pipeline.sql(_HEADS, early)
        if mark:
            self._pipeline.sql("UPDATE held_record SET state = 'sent' WHERE id = ANY(%s)", [row[0] for row in rows])
        self.copy([row[1:] for row in rows] * times)
        return len(rows)

    def copy(self, positions: list[tuple[Any, ...]]) -> None:
        """Append a copy of the item at each (epoch, partition, offset, item), whatever its row says."""
        pipeline, codec = self._pipeline, self._pipeline.codec
        with PlacedRecords(pipeline.bootstrap, full_name(pipeline.prefix, Topic.WEBHOOK_RECEIVED)) as places:
            found = places.read_at({(partition, offset) for _, partition, offset, _ in positions})
            copies = []
            for epoch, partition, offset, item in positions:
                placed = found[partition, offset]
                record: WebhookReceived = codec.decode(Topic.WEBHOOK_RECEIVED, placed.value)
                of = RawPosition(epoch=epoch, partition=partition, offset=offset, item=item)
                again = replace(record, redelivery_of=of, only_item=item, redrive=None)
                copies.append(Copy(partition, placed.key, codec.encode(Topic.WEBHOOK_RECEIVED, again), placed.headers))
            assert None not in places.append(copies)
