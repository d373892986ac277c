"""Offsets that a consumer keeps in PostgreSQL, in the transaction of what it took in: each record has its effect exactly once."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.adapters.tables import ConsumerOffset
from shared.domain.errors import Fenced


def begin_offset(session: Session, consumer: str, topic: str, partition: int, topic_id: str) -> int:
    """Where to read on in this incarnation of the topic; 0 for a new one. The caller commits."""
    row = {"consumer": consumer, "topic": topic, "partition": partition, "topic_id": topic_id, "next_offset": 0}
    fresh = insert(ConsumerOffset).values(**row)
    session.execute(
        fresh.on_conflict_do_update(
            index_elements=["consumer", "topic", "partition"],
            set_={"topic_id": topic_id, "next_offset": 0},
            where=ConsumerOffset.topic_id != topic_id,
        )
    )
    key = (ConsumerOffset.consumer == consumer, ConsumerOffset.topic == topic, ConsumerOffset.partition == partition)
    return session.scalars(select(ConsumerOffset.next_offset).where(*key)).one()


def advance_offset(session: Session, consumer: str, topic: str, partition: int, topic_id: str, *, start: int, end: int) -> None:
    """Move from `start` to `end`; first statement of the transaction. Raises Fenced if another process has moved it."""
    moved = session.execute(
        update(ConsumerOffset)
        .where(
            ConsumerOffset.consumer == consumer,
            ConsumerOffset.topic == topic,
            ConsumerOffset.partition == partition,
            ConsumerOffset.topic_id == topic_id,
            ConsumerOffset.next_offset == start,
        )
        .values(next_offset=end)
        .returning(ConsumerOffset.next_offset)
    )
    if moved.first() is None:
        raise Fenced(f"another process reads {topic}/{partition}")
