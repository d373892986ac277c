"""`/v1/connectors`: register, change, move between states, delete; and the connector's default fallback."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import Query, Response

from services.control.bodies import ConnectorBody, ConnectorPatch, DefaultFallbackBody, Name, given
from services.control.call import (
    IdempotencyKey,
    IfMatch,
    IfNoneMatch,
    Manager,
    Pages,
    Reader,
    paged,
    secrets_allowed,
    shown,
)
from services.control.etags import require_match, require_match_or_first
from services.control.route import changes, looks, router_of
from services.control.views import ConnectorView, FallbackView, PageView
from shared.adapters.tables import ChannelConnector
from shared.domain.enums import ConnectorStatus, ConnectorType
from shared.management.connectors import NewConnector, change_status, create_connector, update_connector
from shared.management.fallbacks import default_fallback, known_default_fallback, set_default_fallback
from shared.management.lifting import lift_tokens
from shared.management.lists import CONNECTORS, ConnectorFilter, list_connectors
from shared.management.ownership import looked_up, owned, owned_for_change
from shared.management.removal import delete_connector

router = router_of("/v1/connectors", "connectors")


@router.get("", response_model=PageView[ConnectorView])
@looks
def list_them(
    call: Reader,
    pages: Pages,
    tipo: ConnectorType | None = None,
    status: ConnectorStatus | None = None,
    nome: Annotated[Name | None, Query()] = None,
) -> Response:
    """Connectors of the tenant, oldest first."""
    wanted = ConnectorFilter(tipo=tipo, status=status, nome=nome)
    with call.looking() as reader:
        page = list_connectors(reader, call.tenant, wanted, pages.slice(wanted, CONNECTORS))
        return paged(ConnectorView, page, wanted)


@router.post("", status_code=201, response_model=ConnectorView)
def create(call: Manager, body: ConnectorBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Register a connector, pending. A credential in `config` needs `channel.secrets` and is moved to a token."""
    secrets_allowed(call, list(lift_tokens(body.config)[1]))
    new = NewConnector(tenant_id=call.tenant, **body.model_dump())
    return call.create(
        idempotency_key,
        body,
        "/v1/connectors",
        lambda session: ConnectorView.of(create_connector(session, call.parts.vault, new, actor=call.actor)),
    )


@router.get("/{connector_id}", response_model=ConnectorView)
@looks
def read(call: Reader, connector_id: UUID) -> Response:
    """One connector."""
    with call.looking() as reader:
        row = looked_up(reader, ChannelConnector, str(connector_id), call.tenant)
        return shown(ConnectorView.of(row))


@router.patch("/{connector_id}", response_model=ConnectorView)
@changes
def change(call: Manager, connector_id: UUID, body: ConnectorPatch, if_match: IfMatch = None) -> Response:
    """Change it, or move it to another state; its accounts follow when it leaves `active`, and return with it."""
    changes: dict[str, Any] = given(body)
    status = changes.pop("status", None)
    secrets_allowed(call, list(lift_tokens(changes.get("config", {}))[1]))
    with call.changing() as session:
        row = call.current(session, ConnectorView, connector_id, if_match)
        if changes:
            update_connector(session, call.parts.vault, row.id, changes, actor=call.actor)
        if status is not None:
            change_status(session, row.id, status, cause="changed by hand", actor=call.actor)
        return shown(ConnectorView.of(row))


@router.delete("/{connector_id}", status_code=204)
def delete(call: Manager, connector_id: UUID, if_match: IfMatch = None) -> None:
    """Delete one that never carried anything; otherwise 409 `connector_in_use`: archive it instead."""
    with call.changing() as session:
        row = call.current(session, ConnectorView, connector_id, if_match)
        delete_connector(session, row.id, actor=call.actor)


@router.get("/{connector_id}/default-fallback", response_model=FallbackView, tags=["fallbacks"])
def read_default(call: Reader, connector_id: UUID) -> Response:
    """What accounts without a fallback of their own use."""
    with call.reading() as session:
        row = owned(session, ChannelConnector, str(connector_id), call.tenant)
        return shown(FallbackView.of(default_fallback(session, row.id)))


@router.put("/{connector_id}/default-fallback", response_model=FallbackView, tags=["fallbacks"])
def set_default(
    call: Manager,
    connector_id: UUID,
    body: DefaultFallbackBody,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Set it to a fallback of one of the connector's accounts: the first one with `If-None-Match: *`, another one in place
    of the one whose tag is in `If-Match`."""
    with call.changing() as session:
        row = owned_for_change(session, ChannelConnector, str(connector_id), call.tenant)
        known = known_default_fallback(session, row.id)
        require_match_or_first(if_match, if_none_match, FallbackView.of(known) if known else None)
        set_default_fallback(session, row.id, body.fallback_id, actor=call.actor)
        return shown(FallbackView.of(default_fallback(session, row.id)))


@router.delete("/{connector_id}/default-fallback", status_code=204, tags=["fallbacks"])
def clear_default(call: Manager, connector_id: UUID, if_match: IfMatch = None) -> None:
    """Have none."""
    with call.changing() as session:
        row = owned_for_change(session, ChannelConnector, str(connector_id), call.tenant)
        require_match(if_match, FallbackView.of(default_fallback(session, row.id)))
        set_default_fallback(session, row.id, None, actor=call.actor)
