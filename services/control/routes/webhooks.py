"""`/v1/webhooks`: which classes of events a connector takes, where the provider posts them, and with which secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from services.control.bodies import SecretBody, SecretsBody, WebhookBody, WebhookPatch, given
from services.control.call import IdempotencyKey, IfMatch, Manager, Pages, Reader, SecretKeeper, paged, secrets_allowed, shown
from services.control.views import PageView, WebhookView
from shared.adapters.tables import ChannelConnector, ChannelWebhook
from shared.management.lists import list_parts, part_order
from shared.management.ownership import owned
from shared.management.removal import delete_webhook
from shared.management.webhooks import (
    NewSecret,
    NewWebhook,
    create_webhook,
    set_webhook_secrets,
    update_webhook,
)

router = APIRouter(prefix="/v1", tags=["webhooks"])


@router.get("/connectors/{connector_id}/webhooks")
def list_them(call: Reader, pages: Pages, connector_id: UUID) -> PageView[WebhookView]:
    """Webhooks of a connector, oldest first, without their secrets."""
    listed = ("webhooks", str(connector_id))
    with call.reading() as session:
        asked = pages.slice(listed, part_order(ChannelWebhook))
        return paged(WebhookView, list_parts(session, call.tenant, ChannelWebhook, str(connector_id), asked), listed)


@router.post("/connectors/{connector_id}/webhooks", status_code=201, response_model=WebhookView)
def create(call: Manager, connector_id: UUID, body: WebhookBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Add a class of events; with secrets it needs `channel.secrets` too, and an active row needs a secret."""
    secrets_allowed(call, ["secrets"] if body.secrets else [])

    def make(session: Any) -> WebhookView:
        parent = call.parent(session, ChannelConnector, connector_id)
        new = NewWebhook(evento=body.evento, url=body.url, secrets=_secrets(body.secrets), status=body.status)
        return WebhookView.of(create_webhook(session, call.parts.vault, parent, new, actor=call.actor))

    return call.create(idempotency_key, body, "/v1/webhooks", make)


@router.get("/webhooks/{webhook_id}")
def read(call: Reader, webhook_id: UUID, response: Response) -> WebhookView:
    """One class of events."""
    with call.reading() as session:
        return shown(WebhookView.of(owned(session, ChannelWebhook, str(webhook_id), call.tenant)), response)


@router.patch("/webhooks/{webhook_id}")
def change(call: Manager, webhook_id: UUID, body: WebhookPatch, response: Response, if_match: IfMatch = None) -> WebhookView:
    """Change the address, or turn it on or off."""
    with call.changing() as session:
        row = call.current(session, WebhookView, webhook_id, if_match)
        update_webhook(session, row.id, **given(body), actor=call.actor)
        return shown(WebhookView.of(row), response)


@router.put("/webhooks/{webhook_id}/secrets")
def set_secrets(
    call: SecretKeeper, webhook_id: UUID, body: SecretsBody, response: Response, if_match: IfMatch = None
) -> WebhookView:
    """Replace the list of secrets. If-Match takes the webhook's tag."""
    with call.changing() as session:
        row = call.current(session, WebhookView, webhook_id, if_match)
        set_webhook_secrets(session, call.parts.vault, row.id, _secrets(body.secrets), actor=call.actor)
        return shown(WebhookView.of(row), response)


@router.delete("/webhooks/{webhook_id}", status_code=204)
def delete(call: Manager, webhook_id: UUID, if_match: IfMatch = None) -> None:
    """Take a class of events away."""
    with call.changing() as session:
        delete_webhook(session, call.current(session, WebhookView, webhook_id, if_match).id, actor=call.actor)


def _secrets(given_ones: Sequence[SecretBody]) -> list[NewSecret]:
    return [NewSecret(**one.model_dump()) for one in given_ones]
