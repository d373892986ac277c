"""The nine tables of the owner's text, letter by letter, with the additions that design section 5 lists and no other.

A column named `metadata` is the attribute `extra` here, because SQLAlchemy keeps that name for itself.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, column_property, mapped_column

from shared.adapters.tables.base import Base, Json, UnlimitedText, UuidPk
from shared.adapters.tables.descriptions import ChannelOverride
from shared.adapters.tables.renewals import TokenRenewal
from shared.adapters.tables.support import AccountState
from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    EntityType,
    FallbackType,
    Feature,
    HealthStatus,
    TokenKind,
    UsageType,
    WebhookEvent,
    WebhookStatus,
)

_CAUSE: ColumnElement[str] = literal_column("'cause'")
_SINCE: ColumnElement[str] = literal_column("'since'")


class ChannelConnector(Base):
    """One set-up at one provider."""

    __tablename__ = "channel_connector"
    __table_args__ = (Index(None, "tenant_id", "id"), Index(None, "tenant_id", "nome", "id"))

    id: Mapped[UuidPk]
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenant.id"), index=True)
    tipo: Mapped[ConnectorType]
    nome: Mapped[str]
    projeto_referencia: Mapped[str | None]
    config: Mapped[Json]
    status: Mapped[ConnectorStatus]
    ultimo_heartbeat: Mapped[dt.datetime | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class ChannelAccount(Base):
    """One number, mailbox or widget of a connector. Active only under an active connector (trigger)."""

    __tablename__ = "channel_account"
    __table_args__ = (
        UniqueConstraint("connector_id", "identidade"),
        CheckConstraint("org_unit_id IS NOT NULL OR intake_flow_id IS NOT NULL", name="route_missing"),
        Index(None, "connector_id", "id"),
        Index(None, "identidade", "connector_id", "id"),
    )

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    identidade: Mapped[str]
    nome_exibicao: Mapped[str | None]
    status: Mapped[AccountStatus]
    org_unit_id: Mapped[str | None] = mapped_column(ForeignKey("org_unit.id"), index=True)
    intake_flow_id: Mapped[str | None] = mapped_column(ForeignKey("automation_flow.id"), index=True)
    config: Mapped[Json | None]
    webhook_url: Mapped[str | None]
    ultima_sync: Mapped[dt.datetime | None]
    extra: Mapped[Json | None] = mapped_column("metadata")
    if TYPE_CHECKING:
        pause: Mapped[Json | None]  # read only, from `account_state`: `cause` and `since` while its route is paused, else None


ChannelAccount.pause = column_property(
    select(func.jsonb_build_object(_CAUSE, AccountState.route_cause, _SINCE, AccountState.route_since, type_=JSONB))
    .where(AccountState.account_id == ChannelAccount.id, AccountState.route == literal_column("'paused'"))
    .correlate_except(AccountState)
    .scalar_subquery(),
    expire_on_flush=False,
)


class ChannelCapability(Base):
    """What a connector can do. One row per feature."""

    __tablename__ = "channel_capability"
    __table_args__ = (UniqueConstraint("connector_id", "feature"),)

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    feature: Mapped[Feature]
    enabled: Mapped[bool]
    constraints: Mapped[Json | None]
    if TYPE_CHECKING:
        manual: Mapped[list[str] | None]  # read only, from `channel_override`: what a person set, None for nothing


ChannelCapability.manual = column_property(
    select(ChannelOverride.members)
    .where(
        ChannelOverride.subject_id == ChannelCapability.connector_id,
        ChannelOverride.field == literal_column("'capability:'").concat(cast(ChannelCapability.feature, Text)),
    )
    .correlate_except(ChannelOverride)
    .scalar_subquery(),
    expire_on_flush=False,
)


class ChannelToken(Base):
    """A credential. `valor_encrypted` holds sealed text that only the role `channels_credential` may read back."""

    __tablename__ = "channel_token"

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    kind: Mapped[TokenKind]
    # Loaded only where it is named: most roles have no right to read it.
    valor_encrypted: Mapped[UnlimitedText] = mapped_column(deferred=True, deferred_raiseload=True)
    expires_at: Mapped[dt.datetime | None]
    extra: Mapped[Json | None] = mapped_column("metadata")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    if TYPE_CHECKING:
        renewal: Mapped[Json | None]  # read only, from `token_renewal`; None until the rotator has seen the token


ChannelToken.renewal = column_property(
    select(
        func.jsonb_build_object(
            *("task", TokenRenewal.task, "state", TokenRenewal.state, "attempt", TokenRenewal.attempt),
            *("due_at", TokenRenewal.due_at, "cause", TokenRenewal.cause, "action", TokenRenewal.action),
            type_=JSONB,
        )
    )
    .where(TokenRenewal.token_id == ChannelToken.id)
    .correlate_except(TokenRenewal)
    .scalar_subquery(),
    expire_on_flush=False,
)


class ChannelWebhook(Base):
    """One class of inbound items. `segredo` holds the sealed list of receiving secrets; active needs it."""

    __tablename__ = "channel_webhook"
    __table_args__ = (CheckConstraint("status <> 'active' OR (segredo IS NOT NULL AND segredo <> '')", name="segredo_missing"),)

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    evento: Mapped[WebhookEvent]
    url: Mapped[str]
    segredo: Mapped[str | None]
    status: Mapped[WebhookStatus]
    ultimo_evento_em: Mapped[dt.datetime | None]


class ChannelHealthCheck(Base):
    """One graded check. `account_id` is an addition: one banned number must not pause its neighbours."""

    __tablename__ = "channel_health_check"
    __table_args__ = (
        Index(None, "connector_id", "executado_em", "id"),
        Index(None, "account_id", "executado_em", "id"),
    )

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id"))
    status: Mapped[HealthStatus]
    mensagem: Mapped[UnlimitedText | None]
    executado_em: Mapped[dt.datetime] = mapped_column(index=True)
    duracao_ms: Mapped[int | None]


class ChannelUsageLog(Base):
    """Volume per day and type. The unique constraint is an addition: counts are added to one row."""

    __tablename__ = "channel_usage_log"
    __table_args__ = (
        UniqueConstraint("connector_id", "account_id", "tipo", "data", postgresql_nulls_not_distinct=True),
        Index(None, "connector_id", "data", "id"),
        Index(None, "account_id", "data", "id"),
    )

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id"), index=True)
    tipo: Mapped[UsageType]
    quantidade: Mapped[int]
    data: Mapped[dt.date] = mapped_column(index=True)
    extra: Mapped[Json | None] = mapped_column("metadata")


class ChannelMapping(Base):
    """External key to internal id. `account_id` is an addition that the owner's diagram has."""

    __tablename__ = "channel_mapping"
    __table_args__ = (
        UniqueConstraint("connector_id", "chave_externa", "entidade_type"),
        Index(None, "connector_id", "id"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[UuidPk]
    connector_id: Mapped[str] = mapped_column(ForeignKey("channel_connector.id"), index=True)
    account_id: Mapped[str | None] = mapped_column(ForeignKey("channel_account.id"))
    chave_externa: Mapped[str]
    entidade_type: Mapped[EntityType]
    entidade_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), index=True)
    extra: Mapped[Json | None] = mapped_column("metadata")


class ChannelFallback(Base):
    """Where an account's traffic goes when its checks keep failing."""

    __tablename__ = "channel_fallback"

    id: Mapped[UuidPk]
    account_id: Mapped[str] = mapped_column(ForeignKey("channel_account.id"), index=True)
    tipo: Mapped[FallbackType]
    destino: Mapped[str]
    ativo: Mapped[bool]
