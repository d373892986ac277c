"""What sync does at the providers, and which receiving secrets are being replaced there."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, UnlimitedText

_NONE = text("'{}'")


class SyncJob(Base):
    """One registration at a provider: a connector's, or an account's where each has its own.

    `asked` counts requests, `taken` those that the sync answers which began last. `state`: idle, waiting (until `due_at`),
    running (under `lease`), stopped (a person must act: `cause`, `action`). `missing`: what the provider lacks, `by_hand`:
    what no call can do. `registered_secret`: id of the secret that was registered last. `recheck_at`: when it is
    looked at again though nobody asks, because a receiving secret begins to hold.
    """

    __tablename__ = "sync_job"
    __table_args__ = (
        CheckConstraint("state IN ('idle', 'waiting', 'running', 'stopped')", name="state"),
        CheckConstraint("subject_id = coalesce(account_id, connector_id)", name="subject"),
        CheckConstraint("(state = 'waiting') = (due_at IS NOT NULL)", name="due"),
        CheckConstraint("(state = 'running') = (lease IS NOT NULL AND lease_until IS NOT NULL)", name="lease"),
        Index(None, "connector_id", "subject_id"),
        Index(None, "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index(None, "recheck_at", postgresql_where=text("recheck_at IS NOT NULL")),
        Index(None, "lease_until", postgresql_where=text("lease_until IS NOT NULL")),
        Index(None, "state", postgresql_where=text("state <> 'idle'")),
    )

    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id", ondelete="CASCADE"))
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), index=True)
    state: Mapped[UnlimitedText]
    asked: Mapped[int] = mapped_column(BigInteger)
    taken: Mapped[int] = mapped_column(BigInteger, server_default="0")
    causes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    taken_causes: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    asked_since: Mapped[dt.datetime]
    due_at: Mapped[dt.datetime | None]
    lease: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    lease_until: Mapped[dt.datetime | None]
    started_at: Mapped[dt.datetime | None]
    attempt: Mapped[int] = mapped_column(server_default="0")
    outcome: Mapped[UnlimitedText | None]
    cause: Mapped[UnlimitedText | None]
    action: Mapped[UnlimitedText | None]
    missing: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    by_hand: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=_NONE)
    registered_url: Mapped[UnlimitedText | None]
    registered_secret: Mapped[UnlimitedText | None]
    finished_at: Mapped[dt.datetime | None]
    succeeded_at: Mapped[dt.datetime | None]
    recheck_at: Mapped[dt.datetime | None]


class SecretRotation(Base):
    """A new receiving secret on its way to the provider; the others of its use end once every registration has it."""

    __tablename__ = "secret_rotation"
    __table_args__ = (
        CheckConstraint("use IN ('sign', 'handshake')", name="use"),
        CheckConstraint("overlap_seconds >= 0", name="overlap"),
    )

    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id", ondelete="CASCADE"), primary_key=True)
    use: Mapped[str] = mapped_column(Text, primary_key=True)
    secret_id: Mapped[UnlimitedText]
    overlap_seconds: Mapped[int]
    asked_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
