"""What people set by hand, what the provider said last of each account, and single calls that sync has to make."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, Json, UnlimitedText


class ChannelOverride(Base):
    """One thing that a person set: an account's `nome_exibicao`, or `members` of `capability:<feature>` of a connector.

    Members: `enabled`, and `constraints.<name>` of each limit.
    """

    __tablename__ = "channel_override"
    __table_args__ = (
        CheckConstraint("subject_id = coalesce(account_id, connector_id)", name="subject"),
        CheckConstraint(
            "CASE WHEN account_id IS NULL THEN starts_with(field, 'capability:') ELSE field = 'nome_exibicao' END", name="field"
        ),
    )

    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    field: Mapped[str] = mapped_column(Text, primary_key=True)
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), index=True)
    members: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    actor: Mapped[UnlimitedText]
    since: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class DescribedAccount(Base):
    """What the provider said last of an account. `features`: feature → `enabled` and `constraints`, where it spoke of them."""

    __tablename__ = "account_description"

    account_id: Mapped[str] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), primary_key=True)
    display_name: Mapped[UnlimitedText | None]
    verified_name: Mapped[UnlimitedText | None]
    tier: Mapped[UnlimitedText | None]
    throughput: Mapped[UnlimitedText | None]
    quality: Mapped[UnlimitedText | None]
    app_id: Mapped[UnlimitedText | None]
    features: Mapped[Json] = mapped_column(server_default=text("'{}'::jsonb"))
    changed_at: Mapped[dt.datetime]


class SyncErrand(Base):
    """One call that a connector waits for. `detail`: an address that may be fetched, or where a raw record lies."""

    __tablename__ = "sync_errand"
    __table_args__ = (CheckConstraint("length(cause) <= 64 AND length(detail) <= 512", name="sizes"),)

    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id", ondelete="CASCADE"), primary_key=True)
    cause: Mapped[str] = mapped_column(Text, primary_key=True)
    detail: Mapped[str] = mapped_column(Text, primary_key=True)
    asked_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
