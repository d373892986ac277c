"""What callers see of a row. A credential is in none of them: tokens and receiving secrets go in and never come out."""

from __future__ import annotations

import datetime as dt
from functools import cache
from operator import attrgetter
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr

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
_PAUSE = frozenset({"pause_cause", "paused_since"})


class View(BaseModel):
    """Base of all. `VOLATILE`: fields that move by themselves and say nothing about a change by a person."""

    model_config = ConfigDict(from_attributes=True)
    TABLE: ClassVar[type[Base]]
    VOLATILE: ClassVar[frozenset[str]] = frozenset()

    @property
    def unseen(self) -> str:
        """State that is not shown, but that a change must not overwrite unseen: goes into the entity tag, not into the answer."""
        return ""

    @property
    def place(self) -> str:
        """The last part of its address."""
        return str(getattr(self, "id"))  # noqa: B009  the base has none

    @classmethod
    def of(cls, row: Any) -> Self:
        """The view of one row."""
        return cls.model_validate(row)


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


class _WithUnseen(View):
    _unseen: str = PrivateAttr("")  # not of every view: a private attribute costs each one time

    @property
    def unseen(self) -> str:
        return self._unseen


class _WithMetadata(View):
    @classmethod
    def of(cls, row: Any) -> Self:
        """The column `metadata` is the attribute `extra` of a row."""
        values = {name: getattr(row, name) for name in cls.model_fields if name != "metadata"}
        return cls.model_validate({**values, "metadata": row.extra})


class AccountView(View):
    """One number, mailbox or widget of a connector. `pause_cause`: why its route is paused; null while it is open."""

    TABLE = ChannelAccount
    VOLATILE = frozenset({"ultima_sync"})
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
    def of(cls, row: Any) -> Self:
        """With the pause of its route, which is state and no column of the account."""
        names, values = _fields_of(cls)
        return cls.model_validate(dict(zip(names, values(row), strict=True)) | {"metadata": row.extra} | pause_of(row))


@cache
def _fields_of(view: type[View]) -> tuple[tuple[str, ...], attrgetter[tuple[Any, ...]]]:
    names = tuple(name for name in view.model_fields if name not in {"metadata", *_PAUSE})
    return names, attrgetter(*names)


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
    def of(cls, row: Any) -> Self:
        """With what is set by hand, which is no column of the row."""
        values = {name: getattr(row, name) for name in cls.model_fields if name != "manual"}
        return cls.model_validate({**values, "manual": row.manual or []})


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
    id: str
    connector_id: str
    kind: TokenKind
    expires_at: dt.datetime | None
    metadata: Json | None
    created_at: dt.datetime
    renewal: RenewalView | None

    @classmethod
    def of(cls, row: Any) -> Self:
        """Without the sealed digest that tells whether a value is known already."""
        values = {name: getattr(row, name) for name in cls.model_fields if name not in ("metadata", "renewal")}
        kept = {name: value for name, value in (row.extra or {}).items() if name != "fingerprint"}
        return cls.model_validate({**values, "metadata": kept or None, "renewal": renewal_of(row)})


class WebhookView(_WithUnseen):
    """One class of events that the provider posts."""

    TABLE = ChannelWebhook
    VOLATILE = frozenset({"ultimo_evento_em"})
    id: str
    connector_id: str
    evento: WebhookEvent
    url: str
    has_secret: bool
    status: WebhookStatus
    ultimo_evento_em: dt.datetime | None

    @classmethod
    def of(cls, row: Any) -> Self:
        """Of `segredo` only whether there is one."""
        values = {name: getattr(row, name) for name in cls.model_fields if name != "has_secret"}
        view = cls.model_validate({**values, "has_secret": bool(row.segredo)})
        view._unseen = row.segredo or ""  # sealed text
        return view


class SecretView(_WithUnseen):
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
    def within(cls, known: object, segredo: str | None) -> Self:
        """With the sealed list that it stands in: after a change there the same number may be another secret's."""
        view = cls.of(known)
        view._unseen = segredo or ""
        return view

    @property
    def place(self) -> str:
        """Its number in its webhook."""
        return self.id.rpartition("/")[2]


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


class UsageView(_WithMetadata):
    """Volume of one day and type; `account_id` null: of the connector itself."""

    TABLE = ChannelUsageLog
    id: str
    connector_id: str
    account_id: str | None
    tipo: UsageType
    quantidade: int
    data: dt.date
    metadata: Json | None


class MappingView(_WithMetadata):
    """An external key and the internal id it stands for."""

    TABLE = ChannelMapping
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
