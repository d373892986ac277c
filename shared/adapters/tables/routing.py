"""The router's memory (design section 6): what it holds back, who processed an item first, and what became of it."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, Json, UnlimitedText, UuidPk


class HeldRecord(Base):
    """One inbound item that must happen later (design section 6, Held). Its raw position moves with each record that holds it.

    `blocks`: later items of the conversation wait behind it; otherwise it waits for the message `target` (an external key), and
    only what is about the same one waits behind it. `seq` is the order of arrival. `request_id`: the id of the message a flow was
    asked about. `decision`: ids and short codes only, `request` (what the flow was asked), `answer` (what it said), `outcome`.
    """

    __tablename__ = "held_record"
    __table_args__ = (
        UniqueConstraint("epoch", "raw_partition", "raw_offset", "item"),
        CheckConstraint("state IN ('waiting', 'sent', 'done')", name="state"),
        CheckConstraint(
            "reason IN ('intake', 'flow_unusable', 'paused', 'queued', 'target_unknown', 'behind_target')", name="reason"
        ),
        CheckConstraint("CASE WHEN blocks THEN conversation_id IS NOT NULL ELSE target IS NOT NULL END", name="line"),
        Index("ix_held_record_due", "due_at", postgresql_where=text("state = 'waiting'")),
        Index("ix_held_record_conversation", "conversation_id", "seq", postgresql_where=text("blocks AND state <> 'done'")),
        Index(
            "ix_held_record_target",
            "connector_id",
            "target",
            "seq",
            postgresql_where=text("NOT blocks AND state <> 'done'"),
        ),
        Index("ix_held_record_sent", "raw_partition", "copy_offset", postgresql_where=text("state = 'sent'")),
        Index("ix_held_record_request", "request_id", postgresql_where=text("request_id IS NOT NULL")),
        Index("ix_held_record_account", "account_id", postgresql_where=text("state <> 'done'")),
        Index("ix_held_record_done", "done_at", postgresql_where=text("state = 'done'")),
    )

    id: Mapped[UuidPk]
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    connector_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    account_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    conversation_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    target: Mapped[UnlimitedText | None]
    request_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    epoch: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    raw_partition: Mapped[int]
    raw_offset: Mapped[int] = mapped_column(BigInteger)
    item: Mapped[UnlimitedText]
    reason: Mapped[UnlimitedText]
    blocks: Mapped[bool]
    attempt: Mapped[int] = mapped_column(server_default="1")
    decision: Mapped[Json | None]
    state: Mapped[UnlimitedText] = mapped_column(server_default="waiting")
    due_at: Mapped[dt.datetime]
    expires_at: Mapped[dt.datetime]
    first_arrival_at: Mapped[dt.datetime]
    sent_at: Mapped[dt.datetime | None]
    copy_offset: Mapped[int | None] = mapped_column(BigInteger)
    done_at: Mapped[dt.datetime | None]


class Claim(Base):
    """Who processed an item first (design section 6). The owner of a claim is (epoch, raw_partition, raw_offset, item)."""

    __tablename__ = "claim"

    key: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    raw_partition: Mapped[int]
    raw_offset: Mapped[int] = mapped_column(BigInteger)
    item: Mapped[UnlimitedText]
    epoch: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    taken_from: Mapped[UnlimitedText | None]
    claimed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DeliveryState(Base):
    """Receipts, insert-only: one row per message, participant and state, owned by the item that brought it first."""

    __tablename__ = "delivery_state"

    message_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    participant: Mapped[str] = mapped_column(Text, primary_key=True, server_default="")
    status: Mapped[str] = mapped_column(Text, primary_key=True)
    epoch: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    raw_partition: Mapped[int]
    raw_offset: Mapped[int] = mapped_column(BigInteger)
    item: Mapped[UnlimitedText]
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DeadLetterMark(Base):
    """What became of a dead letter, by its place in its topic. A redriven one names its copy, a dropped one says why (`note`)."""

    __tablename__ = "dead_letter_mark"
    __table_args__ = (
        CheckConstraint(
            "outcome = 'redriven' AND raw_partition IS NOT NULL AND raw_offset IS NOT NULL"
            " OR outcome = 'dropped' AND note ~ '\\S'",
            name="outcome",
        ),
    )

    topic_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    letter_offset: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    outcome: Mapped[UnlimitedText]
    note: Mapped[UnlimitedText | None]
    raw_partition: Mapped[int | None]
    raw_offset: Mapped[int | None] = mapped_column(BigInteger)
    actor: Mapped[UnlimitedText]
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class RouterProgress(Base):
    """How far the router's claims went per raw partition; tells a stale worker and a re-created topic.

    `holder`: the process that works on it, which each one writes before it asks Kafka where to begin.
    """

    __tablename__ = "router_progress"

    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    topic_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    first_offset: Mapped[int] = mapped_column(BigInteger)
    end_offset: Mapped[int] = mapped_column(BigInteger)
    holder: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
