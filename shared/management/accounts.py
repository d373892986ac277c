"""Use cases of `channel_account`: register a number, mailbox or widget, route it, turn it on and off."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import set_committed_value

from shared.adapters.clock import new_uuid7
from shared.adapters.reading import ask_all
from shared.adapters.tables import ChannelAccount, ChannelConnector
from shared.domain.enums import AccountStatus
from shared.domain.errors import Conflict, InvalidInput
from shared.management.changes import (
    allowed_changes,
    announce_account,
    audit_new,
    audited,
    lock_connector,
    lock_connector_of,
)
from shared.management.descriptions import follow_name
from shared.management.lifting import refuse_secrets
from shared.management.overrides import hold_name
from shared.management.sync_requests import ask_for_sync
from shared.management.webhooks import checked_url, receiving_url
from shared.providers import provider_of

_CHANGEABLE = frozenset({"nome_exibicao", "org_unit_id", "intake_flow_id", "config", "webhook_url", "metadata"})
_REGISTERED = frozenset({"config", "webhook_url"})  # what a provider is told, or called by
_MAX_METADATA_BYTES = 16 * 1024
_OTHERS = select(ChannelAccount.identidade, ChannelAccount.config).where(
    ChannelAccount.connector_id == bindparam("connector"), ChannelAccount.id != bindparam("this")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccount:
    """What a caller gives to register an account; at least one of unit and flow."""

    identidade: str
    org_unit_id: str | None = None
    intake_flow_id: str | None = None
    nome_exibicao: str | None = None
    config: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] | None = None
    id: str | None = None


def create_account(session: Session, connector_id: str, new: NewAccount, *, public_url: str, actor: str) -> ChannelAccount:
    """Register a pending account. `public_url`: where the edge is reached; the account's own webhook address follows.

    Raises NotFound, InvalidInput (`route_missing`, `org_unit_unknown`, `flow_…`), Conflict (`identity_taken`).
    """
    connector = lock_connector(session, connector_id)
    if new.org_unit_id is None and new.intake_flow_id is None:
        raise InvalidInput("an account needs org_unit_id or intake_flow_id", reason="route_missing", pointer="/org_unit_id")
    account_id = new.id or new_uuid7()
    account = ChannelAccount(
        id=account_id,
        connector_id=connector.id,
        identidade=provider_of(connector.tipo).normalise_identity(new.identidade),
        nome_exibicao=new.nome_exibicao,
        status=AccountStatus.PENDING,
        org_unit_id=_reference(new.org_unit_id, "org_unit"),
        intake_flow_id=_reference(new.intake_flow_id, "intake_flow"),
        config=_checked_config(connector, new.config),
        webhook_url=receiving_url(public_url, connector.id, account_id),
        extra=_checked_metadata(new.metadata),
    )
    _require_own_refs(session, connector, account)
    audit_new(session, account, "account.created", tenant_id=connector.tenant_id, actor=actor)
    if new.nome_exibicao:
        hold_name(session, account, actor=actor)
    set_committed_value(account, "pause", None)  # a new one is open, and its reader may have no session
    announce_account(session, account.id)
    ask_for_sync(session, connector, account.id, "account_created")
    return account


def update_account(session: Session, account_id: str, changes: Mapping[str, Any], *, actor: str) -> ChannelAccount:
    """Change name, route, config, address or metadata, by column name. Without a name the account has its provider's again.

    Raises as `create_account`, and Conflict (`route_missing`).
    """
    allowed_changes(changes, _CHANGEABLE)
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    with audited(session, account, "account.updated", tenant_id=connector.tenant_id, actor=actor) as trace:
        if "nome_exibicao" in changes:
            account.nome_exibicao = changes["nome_exibicao"] or follow_name(session, account)
        if "org_unit_id" in changes:
            account.org_unit_id = _reference(changes["org_unit_id"], "org_unit")
        if "intake_flow_id" in changes:
            account.intake_flow_id = _reference(changes["intake_flow_id"], "intake_flow")
        if "webhook_url" in changes:
            account.webhook_url = checked_url(changes["webhook_url"], "/webhook_url")
        if "metadata" in changes:
            account.extra = _checked_metadata(changes["metadata"])
        if "config" in changes:
            account.config = _checked_config(connector, changes["config"])
            _require_own_refs(session, connector, account)
    if changes.get("nome_exibicao"):
        hold_name(session, account, actor=actor)
    if trace.changed:
        announce_account(session, account.id)
        if _REGISTERED & changes.keys():
            ask_for_sync(session, connector, account.id, "account_changed")
    return account


def change_account_status(session: Session, account_id: str, status: AccountStatus, *, actor: str) -> ChannelAccount:
    """Turn an account on or off. Raises NotFound, Conflict (`connector_not_active`). Same state: no change."""
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    was = account.status
    if was is status:
        return account
    with audited(session, account, "account.status_changed", tenant_id=connector.tenant_id, actor=actor):
        account.status = status
    announce_account(session, account.id)
    if was is AccountStatus.INACTIVE:
        ask_for_sync(session, connector, account.id, "account_activated")
    return account


def _require_own_refs(session: Session, connector: ChannelConnector, account: ChannelAccount) -> None:
    # Payloads name an account by these; two accounts of one name could not be told apart.
    refs_of = provider_of(connector.tipo).account_refs
    mine = set(refs_of(account.identidade, account.config or {}))
    with session.no_autoflush:
        [others] = ask_all(session, (_OTHERS, {"connector": connector.id, "this": account.id}))
    if any(mine & set(refs_of(other.identidade, other.config or {})) for other in others):
        raise Conflict("another account of the connector goes by the same name at the provider", reason="account_ref_taken")


def _checked_config(connector: ChannelConnector, config: Mapping[str, Any] | None) -> dict[str, Any]:
    refuse_secrets(config or {}, "/config")
    try:
        return provider_of(connector.tipo).check_account_config(config or {})
    except InvalidInput as error:
        raise InvalidInput(str(error), reason=error.reason, pointer=f"/config{error.pointer}") from error


def _checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    refuse_secrets(metadata, "/metadata")
    if len(json.dumps(metadata).encode()) > _MAX_METADATA_BYTES:
        raise InvalidInput("metadata is larger than 16 KB", reason="metadata_too_large", pointer="/metadata")
    return dict(metadata)


def _reference(value: str | None, name: str) -> str | None:
    if value is None:
        return None
    try:
        return str(UUID(value))
    except ValueError:
        reason = "org_unit_unknown" if name == "org_unit" else "flow_unknown"
        raise InvalidInput(f"{name}_id is not an id", reason=reason, pointer=f"/{name}_id") from None
