"""`/v1/tokens`: credentials go in and never come out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import Response

from services.control.bodies import TokenBody, TokenPatch, given
from services.control.call import IdempotencyKey, IfMatch, Pages, Reader, SecretKeeper, paged, shown
from services.control.route import looks, router_of
from services.control.views import PageView, Shown, TokenView
from shared.adapters.tables import ChannelConnector, ChannelToken
from shared.management.lists import list_parts, part_order
from shared.management.ownership import looked_up
from shared.management.tokens import NewToken, add_token, describe_token, revoke_token

router = router_of("/v1", "tokens")


@router.get("/connectors/{connector_id}/tokens", response_model=PageView[TokenView])
@looks
def list_them(call: Reader, pages: Pages, connector_id: UUID) -> Response:
    """Tokens of a connector, oldest first, without their values."""
    listed = ("tokens", str(connector_id))
    with call.looking() as reader:
        asked = pages.slice(listed, part_order(ChannelToken))
        return paged(TokenView, list_parts(reader, call.tenant, ChannelToken, str(connector_id), asked), listed)


@router.post("/connectors/{connector_id}/tokens", status_code=201, response_model=TokenView)
def create(call: SecretKeeper, connector_id: UUID, body: TokenBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Hand in one more; older ones stay usable until they are deleted."""

    def make(session: Any) -> Shown:
        parent = call.parent(session, ChannelConnector, connector_id)
        return TokenView.of(add_token(session, call.parts.vault, parent, NewToken(**body.model_dump()), actor=call.actor))

    return call.create(idempotency_key, body, "/v1/tokens", make)


@router.get("/tokens/{token_id}", response_model=TokenView)
@looks
def read(call: Reader, token_id: UUID) -> Response:
    """What is known of one token."""
    with call.looking() as reader:
        return shown(TokenView.of(looked_up(reader, ChannelToken, str(token_id), call.tenant)))


@router.patch("/tokens/{token_id}", response_model=TokenView)
def change(call: SecretKeeper, token_id: UUID, body: TokenPatch, if_match: IfMatch = None) -> Response:
    """Correct when it expires, or what is noted of it."""
    with call.changing() as session:
        row = call.current(session, TokenView, token_id, if_match)
        changes = given(body)
        known = {"expires_at": None, "metadata": None, **changes}
        cleared = [name for name, value in changes.items() if value is None]
        describe_token(session, row.id, **known, cleared=cleared, actor=call.actor)
        return shown(TokenView.of(row))


@router.delete("/tokens/{token_id}", status_code=204)
def delete(call: SecretKeeper, token_id: UUID, if_match: IfMatch = None) -> None:
    """Revoke it here (not at the provider); 409 `token_missing` if an active connector would be left without a valid one."""
    with call.changing() as session:
        revoke_token(session, call.current(session, TokenView, token_id, if_match).id, actor=call.actor)
