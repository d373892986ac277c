"""The schedule of token renewals and the budgets of the services called for them (design section 6, Tokens)."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from shared.adapters.tables.base import Base, UnlimitedText


class TokenRenewal(Base):
    """What is to happen with one token, and when.

    `task`: renew, retire (it was replaced: take it away), test, watch (tell people that it ends), none. `state`: planned;
    calling, with the `intent` of one call; stopped, until a person acts (`cause`, `action`). `planned_for`: the token's
    `expires_at` that the plan was made from. `attempt` counts since the last success, `unknown_calls` those whose answer
    nobody has. `notice_seconds` is the threshold that `notice_at` stands for, `noticed_seconds` the one that was told last.
    """

    __tablename__ = "token_renewal"
    __table_args__ = (
        CheckConstraint("task IN ('renew', 'retire', 'test', 'watch', 'none')", name="task"),
        CheckConstraint("state IN ('planned', 'calling', 'stopped')", name="state"),
        CheckConstraint("state <> 'calling' OR lease_until IS NOT NULL AND intent IS NOT NULL", name="lease"),
        CheckConstraint("(task IN ('watch', 'none') OR state = 'stopped') = (due_at IS NULL)", name="due"),
        Index(None, "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index(None, "notice_at", postgresql_where=text("notice_at IS NOT NULL")),
    )

    token_id: Mapped[str] = mapped_column(ForeignKey("channel_token.id", ondelete="CASCADE"), primary_key=True)
    task: Mapped[UnlimitedText]
    service: Mapped[UnlimitedText]
    state: Mapped[UnlimitedText] = mapped_column(server_default="planned")
    planned_for: Mapped[dt.datetime | None]
    due_at: Mapped[dt.datetime | None]
    ends_at: Mapped[dt.datetime | None]
    lease_until: Mapped[dt.datetime | None]
    intent: Mapped[str | None] = mapped_column(Uuid(as_uuid=False))
    attempt: Mapped[int] = mapped_column(server_default="0")
    unknown_calls: Mapped[int] = mapped_column(server_default="0")
    cause: Mapped[UnlimitedText | None]
    action: Mapped[UnlimitedText | None]
    notice_at: Mapped[dt.datetime | None]
    notice_seconds: Mapped[int | None]
    noticed_seconds: Mapped[int | None]
    changed_at: Mapped[dt.datetime]


class ProviderBudget(Base):
    """How many calls a service has had in the window that began at `window_at`."""

    __tablename__ = "provider_budget"

    service: Mapped[str] = mapped_column(Text, primary_key=True)
    window_at: Mapped[dt.datetime]
    used: Mapped[int]
