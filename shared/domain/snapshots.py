"""The payloads of the compacted topics: what is so now, by id. The others are in `shared.domain.records`."""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, FallbackType, WebhookEvent, WebhookStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedDataKey:
    """A data key, wrapped by the key service. Public by itself: useless without the key-encryption key."""

    key_id: str
    wrapped: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSnapshot:
    """One webhook row. `segredo` is the sealed text of its receiving secrets; its AAD row id is `webhook_id`."""

    webhook_id: str
    evento: WebhookEvent
    status: WebhookStatus
    segredo: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A public certificate that a provider's signatures name by its URL (Amazon SNS). PEM text."""

    url: str
    pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSnapshot:
    """`channel.connector.snapshot`, compacted by connector id. `config` is JSON text and holds no credential."""

    version: int
    connector_id: str
    tenant_id: str
    tipo: ConnectorType
    status: ConnectorStatus
    config: str
    webhooks: tuple[WebhookSnapshot, ...]
    ingest_keys: tuple[WrappedDataKey, ...]  # newest first: the first one seals
    certificates: tuple[Certificate, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackInForce:
    """Where an account's traffic goes while it is in force. `destino` by `tipo`: a number, an address, an address."""

    fallback_id: str
    tipo: FallbackType
    destino: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSnapshot:
    """`channel.account.snapshot`, compacted by account id. `account_refs` are what payloads call this account.

    `intake_deadline_seconds`: how long a message waits for its flow (None: the router's own). `pause_cause`: why the route to
    the flow is paused, None while it is open. `fallback`: set while health has paused the account, or its connector has left
    `active`: its own oldest active one, else its connector's default.
    """

    version: int
    account_id: str
    connector_id: str
    tenant_id: str
    identidade: str
    status: AccountStatus
    account_refs: tuple[str, ...]
    org_unit_id: str | None
    intake_flow_id: str | None
    intake_flow_usable: bool  # published and of category `intake` when the snapshot was built
    intake_deadline_seconds: int | None = None
    pause_cause: str | None = None
    fallback: FallbackInForce | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgUnitSnapshot:
    """`organization.org_unit.snapshot`, compacted by unit id. Another module writes it; a null value is a deletion."""

    version: int
    org_unit_id: str
    tenant_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSnapshot:
    """`automation.flow.snapshot`, compacted by flow id. Another module writes it; a null value is a deletion."""

    version: int
    flow_id: str
    tenant_id: str
    name: str
    category: str  # `intake` may take messages in; the others are the automation module's own
    published: bool
