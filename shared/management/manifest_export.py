"""Writes what is configured in the form that `channels apply` reads. No secret leaves: where one is wanted stands a reference.

What `apply` cannot make stays out: runtime state (a connector in error is written as active), what has expired, and archived
connectors unless they are asked for. Ids are written, so that the installation itself takes the file back unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from shared.adapters.database import act_for
from shared.adapters.tables import (
    AutomationFlow,
    ChannelAccount,
    ChannelCapability,
    ChannelConnector,
    ChannelFallback,
    ChannelToken,
    OrgUnit,
)
from shared.adapters.vault import Vault
from shared.domain.enums import AccountStatus, ConnectorStatus, FallbackType
from shared.domain.errors import Conflict, InvalidInput
from shared.management.capabilities import by_hand
from shared.management.lifting import REFERENCES, refuse_secrets
from shared.management.manifest import (
    AccountPart,
    CapabilityPart,
    ConnectorPart,
    FallbackPart,
    FlowPart,
    Manifest,
    TenantPart,
    TokenPart,
    UnitPart,
)
from shared.management.manifest_rows import TenantRows, read_rows
from shared.management.manifest_sources import Sources, webhook_parts
from shared.management.masking import masked
from shared.management.naming import is_id
from shared.management.webhooks import receiving_url

_FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """Who exports, and with what. `public_url`: addresses that begin with it are left out, for `apply` fills them in."""

    vault: Vault
    public_url: str
    actor: str
    archived: bool = False


@dataclass(slots=True)
class Export:
    """A manifest, the sources of secrets that it names, and what a person should know."""

    manifest: Manifest
    sources: Sources
    notes: list[str] = field(default_factory=list)


def export_tenants(session: Session, tenant_ids: Sequence[str], exporter: Exporter) -> Export:
    """Everything of these tenants, in this order. Raises NotFound, Unavailable; Conflict for what the form cannot express."""
    export = Export(Manifest(version=1, tenants=()), Sources())
    parts = []
    for tenant_id in tenant_ids:
        act_for(session, tenant_id)
        try:
            parts.append(_tenant(export, session, tenant_id, exporter))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = f"{error.title}.{'.'.join(map(str, fault['loc']))}"
            raise Conflict(f"tenant {tenant_id} cannot be written: {place}: {fault['msg']}", reason="not_expressible") from None
    export.manifest = Manifest(version=1, tenants=tuple(parts))
    return export


def _tenant(export: Export, session: Session, tenant_id: str, exporter: Exporter) -> TenantPart:
    rows = read_rows(session, tenant_id, archived=exporter.archived)
    flows = [
        FlowPart(id=flow.id, name=flow.name, category=flow.category, published=flow.published)
        for flow in rows.flows
        if flow.deleted_at is None
    ]
    return TenantPart(
        id=rows.tenant.id,
        name=rows.tenant.name,
        timezone=rows.tenant.timezone,
        org_units=tuple(UnitPart(id=unit.id, name=unit.name) for unit in rows.units if unit.deleted_at is None),
        flows=tuple(flows),
        connectors=tuple(_connector(export, session, rows, connector, exporter) for connector in rows.connectors),
    )


def _connector(
    export: Export, session: Session, rows: TenantRows, connector: ChannelConnector, exporter: Exporter
) -> ConnectorPart:
    names = export.sources.naming(rows.tenant.name, connector.nome)
    default = rows.defaults.get(connector.id)
    config = {name: value for name, value in connector.config.items() if name != REFERENCES}
    tokens = [_token(export, connector, token, names.of(token.kind.value, token.id)) for token in rows.tokens[connector.id]]
    webhooks = webhook_parts(
        session, exporter.vault, connector, rows.webhooks[connector.id], names, receiving_url(exporter.public_url, connector.id),
        actor=exporter.actor,
    )  # fmt: skip
    return ConnectorPart(
        id=connector.id,
        nome=connector.nome,
        tipo=connector.tipo,
        projeto_referencia=connector.projeto_referencia,
        config=_open(export, config, f"config of connector {connector.nome!r}"),
        status=_status(connector),
        tokens=tuple(tokens),
        webhooks=webhooks,
        capabilities=_deviations(connector, rows.capabilities[connector.id]),
        accounts=tuple(
            _account(export, rows, account, default, exporter) for account in rows.accounts[connector.id]
        ),
    )  # fmt: skip


def _status(connector: ChannelConnector) -> Any:
    # A connector in error is meant to be active; its checks bring it back.
    return "active" if connector.status is ConnectorStatus.ERROR else connector.status.value


def _token(export: Export, connector: ChannelConnector, token: ChannelToken, env: str) -> TokenPart:
    noted = {name: value for name, value in (token.extra or {}).items() if name != _FINGERPRINT}
    metadata = _open(export, noted, f"metadata of a token of {connector.nome!r}")
    return TokenPart(kind=token.kind, id=token.id, env=env, expires_at=token.expires_at, metadata=metadata or None)


def _deviations(connector: ChannelConnector, rows: Sequence[ChannelCapability]) -> tuple[CapabilityPart, ...]:
    # What the provider said stays out: elsewhere it is another account's.
    found = []
    for row in rows:
        if row.manual:
            enabled, limits = by_hand(connector, row)
            found.append(CapabilityPart(feature=row.feature, enabled=enabled, constraints=limits))
    return tuple(found)


def _account(export: Export, rows: TenantRows, account: ChannelAccount, default: str | None, exporter: Exporter) -> AccountPart:
    usual_url = receiving_url(exporter.public_url, account.connector_id, account.id)
    told = f"account {account.identidade!r}"
    # Pending only because its connector is not active: it is meant to be active, and returns with it.
    waits = account.status is AccountStatus.PENDING and account.id in rows.waiting
    return AccountPart(
        id=account.id,
        identidade=account.identidade,
        nome_exibicao=(account.nome_exibicao or None) if account.id in rows.named else None,
        org_unit=_target(export, rows.units, account.org_unit_id, f"{told} is routed to a unit"),
        intake_flow=_target(export, rows.flows, account.intake_flow_id, f"{told} is routed to a flow"),
        config=_open(export, account.config or {}, f"config of {told}") or None,
        metadata=None if account.extra is None else _open(export, account.extra, f"metadata of {told}"),
        webhook_url=account.webhook_url if account.webhook_url != usual_url else None,
        status=AccountStatus.ACTIVE.value if waits else account.status.value,
        fallbacks=tuple(_fallback(row, default) for row in rows.fallbacks[account.id]),
    )


def _fallback(row: ChannelFallback, default: str | None) -> FallbackPart:
    return FallbackPart(tipo=FallbackType(row.tipo), destino=row.destino, ativo=row.ativo, default=row.id == default)


def _target(export: Export, rows: Sequence[OrgUnit | AutomationFlow], wanted: str | None, told: str) -> str | None:
    # By name where it says which one is meant.
    if wanted is None:
        return None
    row = next((row for row in rows if row.id == wanted), None)
    if row is None or row.deleted_at is not None:
        export.notes.append(f"{told} ({wanted}) that its owner has deleted; elsewhere it needs another")
        return wanted
    if isinstance(row, AutomationFlow) and not (row.published and row.category == "intake"):
        export.notes.append(f"{told} ({row.name!r}) that may not take messages in now; elsewhere that is refused")
    names = [row.name for row in rows]
    return row.name if names.count(row.name) == 1 and is_id(row.name) is None else row.id


def _open(export: Export, value: dict[str, Any], told: str) -> dict[str, Any]:
    # What the use cases let in holds no credential; what came in by another way must not leave by this one.
    try:
        refuse_secrets(value, "")
    except InvalidInput:
        export.notes.append(f"{told} holds a credential in clear, shown as ***: register it as a token and take it away there")
        return masked({"value": value})["value"]  # type: ignore[no-any-return]  # a mapping stays a mapping
    return value
