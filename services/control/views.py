"""What callers see of a row. A credential is in none of them: tokens and receiving secrets go in and never come out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel

from shared.adapters.tables import (
    AuditLog,
    Base,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelFallback,
    ChannelHealthCheck,
    ChannelMapping,
    ChannelToken,
    ChannelUsageLog,
    ChannelWebhook,
)
from shared.domain.enums import (
    AccountStatus,
    ConnectorStatus,
    ConnectorType,
    EntityType,
    FallbackType,
    Feature,
    HealthStatus,
    RenewalStanding,
    SecretUse,
    TokenKind,
    UsageType,
    WebhookEvent,
    WebhookStatus,
)
from shared.management.pauses import pause_of
from shared.management.tokens import renewal_of

Json = dict[str, Any]


class View(BaseModel):
    """Base of all: the description of what a row is told as. `VOLATILE`: fields that move by themselves and say nothing about a
    change by a person. `ATTRIBUTES`: those of the row that have another name than their field.

    Rows are told as plain values: an object of the description for each of them took ten times as long as the rest of a page.
    """

    TABLE: ClassVar[type[Base]]
    VOLATILE: ClassVar[frozenset[str]] = frozenset()
    ATTRIBUTES: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def told(cls, row: Any) -> Json:
        """The fields of one row."""
        names, values = _fields_of(cls)
        return dict(zip(names, values(row), strict=True))

    @classmethod
    def unseen(cls, _row: Any) -> str:
        """State that is not told, but that a change must not overwrite unseen: goes into the entity tag, not into the answer."""
        return ""

    @classmethod
    def of(cls, row: Any) -> Shown:
        """One row as callers see it."""
        return Shown(view=cls, told=cls.told(row), unseen=cls.unseen(row))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One row as callers see it: what is told of it, and what its entity tag holds beside that."""

    view: type[View]
    told: Json
    unseen: str

    @property
    def place(self) -> str:
        """The last part of its address."""
        return str(self.told["id"]).rpartition("/")[2]


@cache
def _fields_of(view: type[View]) -> tuple[tuple[str, ...], attrgetter[tuple[Any, ...]]]:
    names = tuple(view.model_fields)
    return names, attrgetter(*(view.ATTRIBUTES.get(name, name) for name in names))


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text is not None else None


Item = TypeVar("Item", bound=View)


class PageView(BaseModel, Generic[Item]):
    """One page; `next` is the `cursor` of the page after it, null at the end."""

    items: list[Item]
    next: str | None


class ConnectorView(View):
    """One set-up at one provider."""

    TABLE = ChannelConnector
    VOLATILE = frozenset({"ultimo_heartbeat"})
    id: str
    tipo: ConnectorType
    nome: str
    projeto_referencia: str | None
    config: Json
    status: ConnectorStatus
    ultimo_heartbeat: dt.datetime | None
    created_at: dt.datetime


_METADATA = {"metadata": "extra"}  # SQLAlchemy keeps that name for itself


class AccountView(View):
    """One number, mailbox or widget of a connector. `pause_cause`: why its route is paused; null while it is open."""

    TABLE = ChannelAccount
    VOLATILE = frozenset({"ultima_sync"})
    ATTRIBUTES = _METADATA | {"pause_cause": "pause", "paused_since": "pause"}
    id: str
    connector_id: str
    identidade: str
    nome_exibicao: str | None
    status: AccountStatus
    org_unit_id: str | None
    intake_flow_id: str | None
    config: Json | None
    webhook_url: str | None
    ultima_sync: dt.datetime | None
    metadata: Json | None
    pause_cause: str | None
    paused_since: dt.datetime | None

    @classmethod
    def told(cls, row: Any) -> Json:
        """With the pause of its route, which is state and no column of the account."""
        pause = pause_of(row)
        return super().told(row) | {"pause_cause": pause["pause_cause"], "paused_since": _moment(pause["paused_since"])}


class CapabilityView(View):
    """What a connector can do. `manual`: what a person set (`enabled`, `constraints.<name>`); the rest follows the provider."""

    TABLE = ChannelCapability
    id: str
    connector_id: str
    feature: Feature
    enabled: bool
    constraints: Json | None
    manual: list[str]

    @classmethod
    def told(cls, row: Any) -> Json:
        """With what is set by hand, which is no column of the row."""
        return super().told(row) | {"manual": row.manual or []}


class RenewalView(BaseModel):
    """What the token rotator has planned. `due_at` null: nothing is due. `cause`, `action`: what hinders it, and what to do."""

    state: RenewalStanding
    due_at: dt.datetime | None
    cause: str | None
    action: str | None


class TokenView(View):
    """What is known of a credential, without it. `expires_at` null: never. `renewal` null: the rotator has not seen it yet."""

    TABLE = ChannelToken
    VOLATILE = frozenset({"renewal"})
    ATTRIBUTES = _METADATA
    id: str
    connector_id: str
    kind: TokenKind
    expires_at: dt.datetime | None
    metadata: Json | None
    created_at: dt.datetime
    renewal: RenewalView | None

    @classmethod
    def told(cls, row: Any) -> Json:
        """Without the sealed digest that tells whether a value is known already."""
        kept = {name: value for name, value in (row.extra or {}).items() if name != "fingerprint"}
        renewal = renewal_of(row)
        if renewal is not None:
            renewal["due_at"] = _moment(renewal["due_at"])
        return super().told(row) | {"metadata": kept or None, "renewal": renewal}


class WebhookView(View):
    """One class of events that the provider posts."""

    TABLE = ChannelWebhook
    VOLATILE = frozenset({"ultimo_evento_em"})
    ATTRIBUTES: ClassVar = {"has_secret": "segredo"}
    id: str
    connector_id: str
    evento: WebhookEvent
    url: str
    has_secret: bool
    status: WebhookStatus
    ultimo_evento_em: dt.datetime | None

    @classmethod
    def told(cls, row: Any) -> Json:
        """Of `segredo` only whether there is one."""
        return super().told(row) | {"has_secret": bool(row.segredo)}

    @classmethod
    def unseen(cls, row: Any) -> str:
        """The sealed secrets."""
        return row.segredo or ""


class SecretView(View):
    """What is known of a receiving secret, without it. `id`: of its webhook and its number there; `webhooks`: the classes of
    events that hold it. Times in milliseconds since 1970, null: always; `last_used_at` follows within seconds."""

    VOLATILE = frozenset({"state", "last_used_at"})
    id: str
    use: SecretUse
    state: Literal["waiting", "live", "expired"]
    not_before_ms: int | None
    not_after_ms: int | None
    last_used_at: dt.datetime | None
    webhooks: list[WebhookEvent]

    @classmethod
    def within(cls, known: object, segredo: str | None) -> Shown:
        """With the sealed list that it stands in: after a change there the same number may be another secret's."""
        return Shown(view=cls, told=cls.told(known), unseen=segredo or "")


class FallbackView(View):
    """Where an account's traffic goes when its checks keep failing."""

    TABLE = ChannelFallback
    id: str
    account_id: str
    tipo: FallbackType
    destino: str
    ativo: bool


class HealthCheckView(View):
    """One graded check."""

    TABLE = ChannelHealthCheck
    id: str
    connector_id: str
    account_id: str | None
    status: HealthStatus
    mensagem: str | None
    executado_em: dt.datetime
    duracao_ms: int | None


class UsageView(View):
    """Volume of one day and type; `account_id` null: of the connector itself."""

    TABLE = ChannelUsageLog
    ATTRIBUTES = _METADATA
    id: str
    connector_id: str
    account_id: str | None
    tipo: UsageType
    quantidade: int
    data: dt.date
    metadata: Json | None


class MappingView(View):
    """An external key and the internal id it stands for."""

    TABLE = ChannelMapping
    ATTRIBUTES = _METADATA
    id: str
    connector_id: str
    account_id: str | None
    chave_externa: str
    entidade_type: EntityType
    entidade_id: str
    metadata: Json | None


class AuditView(View):
    """Who did what; secrets are masked in `before` and `after`."""

    TABLE = AuditLog
    id: int
    actor: str
    action: str
    subject_type: str
    subject_id: str
    before: Json | None
    after: Json | None
    at: dt.datetime


class ProviderView(BaseModel):
    """A connector type that can be registered."""

    tipo: ConnectorType
    required_token: TokenKind | None
    features: list[Feature]


class ProviderSchemaView(BaseModel):
    """JSON Schema (2020-12) of a provider's `config`, for connectors and for accounts."""

    connector: Json
    account: Json
