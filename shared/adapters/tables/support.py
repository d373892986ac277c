"""Our own tables beside the nine (design section 5): reference copies, change notices, keys, audit, the router's memory."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
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

_ACTING_TENANT = text("channels_tenant()")  # whom the transaction acts for; NULL where a role works for all


class Tenant(Base):
    """A customer of the platform. `timezone` is an IANA name; it decides where a day ends."""

    __tablename__ = "tenant"

    id: Mapped[UuidPk]
    name: Mapped[UnlimitedText]
    timezone: Mapped[UnlimitedText] = mapped_column(server_default="UTC")


class OrgUnit(Base):
    """Reference copy of another module's unit; `version` is the one of its snapshot, null for a row made by hand.

    `deleted_at`: the original is gone; the row stays for the accounts that still name it.
    """

    __tablename__ = "org_unit"

    id: Mapped[UuidPk]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    name: Mapped[UnlimitedText]
    version: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[dt.datetime | None]


class AutomationFlow(Base):
    """Reference copy of another module's flow; an account may use it while `published` and of category `intake`.

    `version` and `deleted_at` as in `OrgUnit`; a deleted flow is not `published`.
    """

    __tablename__ = "automation_flow"

    id: Mapped[UuidPk]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    name: Mapped[UnlimitedText]
    category: Mapped[UnlimitedText]
    published: Mapped[bool]
    version: Mapped[int | None] = mapped_column(BigInteger)
    deleted_at: Mapped[dt.datetime | None]


class ConnectorDefaultFallback(Base):
    """The diagram's `defaultFallback`: what an account without a fallback of its own uses."""

    __tablename__ = "connector_default_fallback"

    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), primary_key=True)
    fallback_id: Mapped[str] = mapped_column(ForeignKey("channel_fallback.id"), index=True)


class AccountState(Base):
    """State beside an account's row. `cause` is set while the account is pending only because its connector left active.

    `route` paused: its flow is not asked, for the short code in `route_cause`, since `route_since`.
    """

    __tablename__ = "account_state"
    __table_args__ = (CheckConstraint("route IN ('open', 'paused')", name="route"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), primary_key=True)
    route: Mapped[UnlimitedText] = mapped_column(server_default="open")
    fallback: Mapped[UnlimitedText | None]
    cause: Mapped[UnlimitedText | None]
    since: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    route_cause: Mapped[UnlimitedText | None]
    route_since: Mapped[dt.datetime | None]


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


class ConsumerOffset(Base):
    """How far a consumer came in one incarnation of a topic, moved together with what it took in."""

    __tablename__ = "consumer_offset"

    consumer: Mapped[str] = mapped_column(Text, primary_key=True)
    topic: Mapped[str] = mapped_column(Text, primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    topic_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    next_offset: Mapped[int] = mapped_column(BigInteger)


class MailboxPosition(Base):
    """How far a mailbox was read over IMAP, and which process may read it until when (`shared.adapters.mailbox_positions`)."""

    __tablename__ = "mailbox_position"

    account_id: Mapped[str] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), primary_key=True)
    server: Mapped[UnlimitedText] = mapped_column(server_default="")
    uid_validity: Mapped[int | None] = mapped_column(BigInteger)
    last_uid: Mapped[int] = mapped_column(BigInteger, server_default="0")
    resync_since: Mapped[dt.date | None]
    resync_until_uid: Mapped[int | None] = mapped_column(BigInteger)
    moved_at: Mapped[dt.datetime | None]
    lease_holder: Mapped[UnlimitedText | None]
    lease_epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    lease_until: Mapped[dt.datetime | None]


class Outbox(Base):
    """Notices that something changed, written in the change's own transaction; the relay publishes and deletes them."""

    __tablename__ = "outbox"
    __table_args__ = (
        CheckConstraint(
            "topic IN ('channel.connector.snapshot', 'channel.account.snapshot', 'channel.connector.status_changed',"
            " 'channel.token.expiring', 'channel.health.checked', 'channel.route.status_changed',"
            " 'channel.account.sync_required')",
            name="topic",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[UnlimitedText]
    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    detail: Mapped[Json | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    batch_number: Mapped[int | None] = mapped_column(BigInteger)
    tenant_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), server_default=_ACTING_TENANT)


class SnapshotVersion(Base):
    """Version of the next snapshot of a connector or an account; counted under the connector's lock, never reset."""

    __tablename__ = "snapshot_version"
    __table_args__ = (CheckConstraint("kind IN ('connector', 'account')", name="kind"),)

    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    kind: Mapped[UnlimitedText]
    version: Mapped[int] = mapped_column(BigInteger)
    tenant_id: Mapped[str | None] = mapped_column(Uuid(as_uuid=False), server_default=_ACTING_TENANT)


class DataKey(Base):
    """Wrapped data keys per tenant and purpose. The newest seals, the others open; a retired one is handed out no more."""

    __tablename__ = "data_key"
    __table_args__ = (
        CheckConstraint("purpose IN ('ingest', 'credential')", name="purpose"),
        Index(None, "tenant_id", "purpose"),
    )

    key_id: Mapped[UuidPk]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    purpose: Mapped[UnlimitedText]
    wrapped: Mapped[UnlimitedText]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[dt.datetime | None]


class SecretUse(Base):
    """When a receiving secret last proved a webhook; `secret` is its number in the row's sealed list."""

    __tablename__ = "secret_use"

    webhook_id: Mapped[str] = mapped_column(ForeignKey("channel_webhook.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last_used_at: Mapped[dt.datetime]


class AuditLog(Base):
    """Who did what: one row per change, with masked values. Insert-only for every role but the owner."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index(None, "tenant_id", "at"),
        Index(None, "subject_id"),
        Index(None, "tenant_id", "id"),
        Index(None, "tenant_id", "actor", "id"),
        Index(None, "tenant_id", "action", "id"),
        Index(None, "subject_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"))
    actor: Mapped[UnlimitedText]
    action: Mapped[UnlimitedText]
    subject_type: Mapped[UnlimitedText]
    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False))
    before: Mapped[Json | None]
    after: Mapped[Json | None]
    at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class IdempotencyKey(Base):
    """What a creation answered, for whoever repeats it with the same `Idempotency-Key`; kept for a day.

    `request_digest` is sealed: the request may have carried a credential. Status is null only inside its own transaction.
    """

    __tablename__ = "idempotency_key"
    __table_args__ = (
        CheckConstraint("length(key) BETWEEN 1 AND 255", name="length"),
        Index(None, "tenant_id", "created_at"),
    )

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    request_digest: Mapped[UnlimitedText]
    status: Mapped[int | None]
    headers: Mapped[Json | None]
    answer: Mapped[Json | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
