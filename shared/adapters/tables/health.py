"""What health remembers between checks, and what is usual for an account (design section 6, Health)."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import BigInteger, CheckConstraint, Date, ForeignKey, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, UnlimitedText
from shared.domain.enums import HealthStatus


class HealthState(Base):
    """One connector or account: streaks, breaker, and when its next check is due.

    `lease_until`: a process runs that check until then. `owns`: health holds the connector in `error`.
    """

    __tablename__ = "health_state"
    __table_args__ = (
        CheckConstraint("breaker IN ('closed', 'open', 'half_open')", name="breaker"),
        CheckConstraint("subject_id = coalesce(account_id, connector_id)", name="subject"),
    )

    subject_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id", ondelete="CASCADE"), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), index=True)
    due_at: Mapped[dt.datetime] = mapped_column(index=True)
    lease_until: Mapped[dt.datetime | None]
    grade: Mapped[HealthStatus | None]
    cause: Mapped[UnlimitedText | None]
    breaker: Mapped[UnlimitedText] = mapped_column(server_default="closed")
    failures: Mapped[int] = mapped_column(server_default="0")
    passes: Mapped[int] = mapped_column(server_default="0")
    unknowns: Mapped[int] = mapped_column(server_default="0")
    opened_at: Mapped[dt.datetime | None]
    closed_at: Mapped[dt.datetime | None]
    open_seconds: Mapped[int] = mapped_column(server_default="0")
    owns: Mapped[bool] = mapped_column(server_default="false")


class AccountActivity(Base):
    """Inbound items of one account on one day, by hour (UTC)."""

    __tablename__ = "account_activity"
    __table_args__ = (CheckConstraint("array_length(hours, 1) = 24", name="hours"),)

    account_id: Mapped[str] = mapped_column(ForeignKey("channel_account.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    hours: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
