"""Our own tables beside the nine (design section 5): reference copies, change notices, keys, audit, how far readers came."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Text,
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
