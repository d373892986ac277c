"""Use cases of `channel_connector`: register, change, and move between its four states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.reading import ask_all
from shared.adapters.tables import ChannelConnector, ChannelToken
from shared.adapters.vault import Vault
from shared.domain.enums import ConnectorStatus, ConnectorType, KeyPurpose
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.capabilities import add_preset
from shared.management.changes import (
    allowed_changes,
    announce_accounts,
    announce_connector,
    announce_status,
    audit_new,
    audited,
    lock_connector,
)
from shared.management.data_keys import ring_for
from shared.management.lifting import REFERENCES, lift_tokens
from shared.management.sync_requests import ask_for_sync
from shared.management.tokens import NewToken, holds_value, seal_token
from shared.providers import provider_of
from shared.providers.contract import Provider

TRANSITIONS: dict[ConnectorStatus, frozenset[ConnectorStatus]] = {
    ConnectorStatus.PENDING: frozenset({ConnectorStatus.ACTIVE, ConnectorStatus.ERROR, ConnectorStatus.ARCHIVED}),
    ConnectorStatus.ACTIVE: frozenset({ConnectorStatus.PENDING, ConnectorStatus.ERROR, ConnectorStatus.ARCHIVED}),
    ConnectorStatus.ERROR: frozenset({ConnectorStatus.ACTIVE, ConnectorStatus.PENDING, ConnectorStatus.ARCHIVED}),
    ConnectorStatus.ARCHIVED: frozenset(),
}
_CHANGEABLE = frozenset({"nome", "projeto_referencia", "config"})
_ALIVE = or_(ChannelToken.expires_at.is_(None), ChannelToken.expires_at > func.now())
_TOKENS = select(_ALIVE.label("alive")).where(
    ChannelToken.connector_id == bindparam("connector"), ChannelToken.kind == bindparam("wanted")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConnector:
    """What a caller gives to register a connector. Credentials in `config` are moved to tokens."""

    tenant_id: str
    tipo: ConnectorType
    nome: str
    config: Mapping[str, Any]
    projeto_referencia: str | None = None
    id: str | None = None


def create_connector(session: Session, vault: Vault, new: NewConnector, *, actor: str) -> ChannelConnector:
    """Register a pending connector with its provider's capabilities. Raises InvalidInput, Unavailable."""
    provider = provider_of(new.tipo)
    config, tokens = checked_config(provider, new.config)
    connector = ChannelConnector(
        id=new.id or new_uuid7(),
        tenant_id=new.tenant_id,
        tipo=new.tipo,
        nome=_checked_name(new.nome),
        projeto_referencia=new.projeto_referencia,
        config=config,
        status=ConnectorStatus.PENDING,
    )
    try:  # the edge seals bodies under this key, whether or not the provider signs its webhooks
        ring_for(session, vault, new.tenant_id, KeyPurpose.INGEST, actor=actor)
    except NotFound as error:
        raise InvalidInput("there is no such tenant", reason="tenant_unknown", pointer="/tenant_id") from error
    audit_new(session, connector, "connector.created", tenant_id=new.tenant_id, actor=actor)
    if tokens:
        with audited(session, connector, "connector.tokens_lifted", tenant_id=new.tenant_id, actor=actor):
            connector.config = _stored_config(session, vault, connector, config, tokens, actor=actor)
    add_preset(session, connector, provider, actor=actor)
    announce_connector(session, connector.id)
    announce_status(session, connector.id, None, connector.status, cause="created", actor=actor)
    return connector


def update_connector(
    session: Session, vault: Vault, connector_id: str, changes: Mapping[str, Any], *, actor: str
) -> ChannelConnector:
    """Change `nome`, `projeto_referencia` or `config` (the whole of it). Raises NotFound, InvalidInput."""
    allowed_changes(changes, _CHANGEABLE)
    connector = lock_connector(session, connector_id)
    with audited(session, connector, "connector.updated", tenant_id=connector.tenant_id, actor=actor) as trace:
        if "nome" in changes:
            connector.nome = _checked_name(changes["nome"])
        if "projeto_referencia" in changes:
            connector.projeto_referencia = changes["projeto_referencia"]
        if "config" in changes:
            config, tokens = checked_config(provider_of(connector.tipo), changes["config"])
            connector.config = _stored_config(session, vault, connector, config, tokens, actor=actor)
    if trace.changed:
        announce_connector(session, connector.id)
        if "config" in changes:
            ask_for_sync(session, connector, None, "config_changed")
    return connector


def change_status(session: Session, connector_id: str, status: ConnectorStatus, *, cause: str, actor: str) -> ChannelConnector:
    """Move a connector to another state; its accounts follow (in the database, same transaction). Same state: no change.

    Raises NotFound, Conflict (`illegal_transition`, `token_missing`, `token_expired`, `check_missing`).
    """
    connector = lock_connector(session, connector_id)
    old = connector.status
    if old is status:
        return connector
    if status not in TRANSITIONS[old]:
        raise Conflict(f"a connector does not go from {old} to {status}", reason="illegal_transition")
    if status is ConnectorStatus.ACTIVE:
        _require_token(session, connector)
    with audited(session, connector, "connector.status_changed", tenant_id=connector.tenant_id, actor=actor):
        connector.status = status
    announce_status(session, connector.id, old, status, cause=cause, actor=actor)
    announce_connector(session, connector.id)
    announce_accounts(session, connector.id)
    if status is ConnectorStatus.ACTIVE:
        ask_for_sync(session, connector, None, "connector_activated")
    return connector


def archive_connector(session: Session, connector_id: str, *, actor: str) -> ChannelConnector:
    """Take a connector out of use for good."""
    return change_status(session, connector_id, ConnectorStatus.ARCHIVED, cause="archived", actor=actor)


def checked_config(provider: Provider, config: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, NewToken]]]:
    """The config as the provider wants it, and the credentials that were in it by name. Raises InvalidInput."""
    kept, lifted = lift_tokens(config)
    try:
        cleaned = provider.check_config(kept)
    except InvalidInput as error:
        raise InvalidInput(str(error), reason=error.reason, pointer=_under("/config", error.pointer)) from error
    return cleaned, [(name, NewToken(kind=kind, value=value)) for name, (kind, value) in lifted.items()]


def _stored_config(
    session: Session,
    vault: Vault,
    connector: ChannelConnector,
    config: dict[str, Any],
    tokens: list[tuple[str, NewToken]],
    *,
    actor: str,
) -> dict[str, Any]:
    # The config as it is kept: in place of each credential, which token row holds it.
    references: dict[str, str] = dict(connector.config.get(REFERENCES, {}))
    for name, new in tokens:
        known = session.get(ChannelToken, references[name]) if name in references else None
        if known is None or not holds_value(session, vault, connector.tenant_id, known, new.value, actor=actor):
            references[name] = seal_token(session, vault, connector, new, actor=actor).id
    return {**config, **({REFERENCES: references} if references else {})}


def _require_token(session: Session, connector: ChannelConnector) -> None:
    # The database asks for any token; the provider knows which kind it is that must be there.
    kind = provider_of(connector.tipo).required_token
    if kind is None:
        return
    [found] = ask_all(session, (_TOKENS, {"connector": connector.id, "wanted": kind}))
    if not found:
        raise Conflict(f"this provider needs a token of kind {kind}; register one first", reason="token_missing")
    if not any(token.alive for token in found):
        raise Conflict(f"every token of kind {kind} has expired; register a new one", reason="token_expired")


def _checked_name(nome: object) -> str:
    if not isinstance(nome, str) or not nome.strip():
        raise InvalidInput("nome cannot be blank", reason="nome_missing", pointer="/nome")
    return nome.strip()


def _under(root: str, pointer: str) -> str:
    return pointer if pointer.startswith(root) else f"{root}{pointer}"
