"""`/v1/webhooks`: which classes of events a connector takes, where the provider posts them, and with which secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import Path, Response
from sqlalchemy.orm import Session

from services.control.bodies import RotationBody, SecretBody, SecretPatch, SecretsBody, WebhookBody, WebhookPatch, given
from services.control.call import (
    Call,
    IdempotencyKey,
    IfMatch,
    Manager,
    Pages,
    Reader,
    SecretKeeper,
    SecretReader,
    listing,
    paged,
    secrets_allowed,
    shown,
)
from services.control.etags import require_match
from services.control.route import looks, router_of
from services.control.views import PageView, SecretView, Shown, WebhookView
from shared.adapters.tables import ChannelConnector, ChannelWebhook
from shared.domain.errors import NotFound
from shared.management.lists import list_parts, part_order
from shared.management.ownership import looked_up, owned, owned_for_change
from shared.management.provider_rotation import NewRotation, rotate_secret
from shared.management.removal import delete_webhook
from shared.management.secret_rotation import add_secret, expire_secret, secrets_of_webhook
from shared.management.webhooks import (
    NewSecret,
    NewWebhook,
    create_webhook,
    set_webhook_secrets,
    update_webhook,
)

router = router_of("/v1", "webhooks")

Number = Annotated[int, Path(ge=0, le=2**31 - 1, description="Number of the secret in its webhook.")]


@router.get("/connectors/{connector_id}/webhooks", response_model=PageView[WebhookView])
@looks
def list_them(call: Reader, pages: Pages, connector_id: UUID) -> Response:
    """Webhooks of a connector, oldest first, without their secrets."""
    listed = ("webhooks", str(connector_id))
    with call.looking() as reader:
        asked = pages.slice(listed, part_order(ChannelWebhook))
        return paged(WebhookView, list_parts(reader, call.tenant, ChannelWebhook, str(connector_id), asked), listed)


@router.post("/connectors/{connector_id}/webhooks", status_code=201, response_model=WebhookView)
def create(call: Manager, connector_id: UUID, body: WebhookBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Add a class of events; with secrets it needs `channel.secrets` too, and an active row needs a secret."""
    secrets_allowed(call, ["secrets"] if body.secrets else [])

    def make(session: Any) -> Shown:
        parent = call.parent(session, ChannelConnector, connector_id)
        new = NewWebhook(evento=body.evento, url=body.url, secrets=_secrets(body.secrets), status=body.status)
        return WebhookView.of(create_webhook(session, call.parts.vault, parent, new, actor=call.actor))

    return call.create(idempotency_key, body, "/v1/webhooks", make)


@router.get("/webhooks/{webhook_id}", response_model=WebhookView)
@looks
def read(call: Reader, webhook_id: UUID) -> Response:
    """One class of events."""
    with call.looking() as reader:
        return shown(WebhookView.of(looked_up(reader, ChannelWebhook, str(webhook_id), call.tenant)))


@router.patch("/webhooks/{webhook_id}", response_model=WebhookView)
def change(call: Manager, webhook_id: UUID, body: WebhookPatch, if_match: IfMatch = None) -> Response:
    """Change the address, or turn it on or off."""
    with call.changing() as session:
        row = call.current(session, WebhookView, webhook_id, if_match)
        update_webhook(session, row.id, **given(body), actor=call.actor)
        return shown(WebhookView.of(row))


@router.put("/webhooks/{webhook_id}/secrets", response_model=WebhookView)
def set_secrets(call: SecretKeeper, webhook_id: UUID, body: SecretsBody, if_match: IfMatch = None) -> Response:
    """Replace the list of secrets. If-Match takes the webhook's tag."""
    with call.changing() as session:
        row = call.current(session, WebhookView, webhook_id, if_match)
        set_webhook_secrets(session, call.parts.vault, row.id, _secrets(body.secrets), actor=call.actor)
        return shown(WebhookView.of(row))


@router.get("/webhooks/{webhook_id}/secrets", response_model=PageView[SecretView])
def list_secrets(call: SecretReader, webhook_id: UUID) -> Response:
    """What is known of each receiving secret, and when it last proved a webhook; never its value."""
    with call.reading() as session:
        row = owned(session, ChannelWebhook, str(webhook_id), call.tenant)
        known = secrets_of_webhook(session, call.parts.vault, row, actor=call.actor)
        return listing(map(SecretView.told, known))


@router.post("/webhooks/{webhook_id}/secrets", status_code=201, response_model=SecretView)
def add_one(call: SecretKeeper, webhook_id: UUID, body: SecretBody, idempotency_key: IdempotencyKey = None) -> Response:
    """One more, beside those that are there, in every webhook of the connector: a provider has one secret for all of them."""

    def make(session: Any) -> Shown:
        row = owned(session, ChannelWebhook, str(webhook_id), call.tenant)
        add_secret(session, call.parts.vault, row.connector_id, NewSecret(**body.model_dump()), actor=call.actor)
        return SecretView.within(secrets_of_webhook(session, call.parts.vault, row, actor=call.actor)[-1], row.segredo)

    return call.create(idempotency_key, body, f"/v1/webhooks/{webhook_id}/secrets", make)


@router.post("/webhooks/{webhook_id}/secrets:rotate", status_code=201, response_model=SecretView)
def rotate(call: SecretKeeper, webhook_id: UUID, body: RotationBody, idempotency_key: IdempotencyKey = None) -> Response:
    """Replace a secret that we register at the provider, in every webhook of the connector. The new one, which is the answer,
    holds at once; sync registers it, and then the others of its use get their end (`syncs` of the connector show how it goes).
    409 `not_registered_here` where the provider makes the secret."""

    def make(session: Any) -> Shown:
        row = owned(session, ChannelWebhook, str(webhook_id), call.tenant)
        new = NewRotation(use=body.use, overlap_seconds=body.overlap_seconds, value=body.value or None)
        rotate_secret(session, call.parts.vault, row.connector_id, new, actor=call.actor)
        return SecretView.within(secrets_of_webhook(session, call.parts.vault, row, actor=call.actor)[-1], row.segredo)

    return call.create(idempotency_key, body, f"/v1/webhooks/{webhook_id}/secrets", make)


@router.get("/webhooks/{webhook_id}/secrets/{number}", response_model=SecretView)
def read_secret(call: SecretReader, webhook_id: UUID, number: Number) -> Response:
    """What is known of one."""
    with call.reading() as session:
        row = owned(session, ChannelWebhook, str(webhook_id), call.tenant)
        return shown(_secret(call, session, row, number))


@router.patch("/webhooks/{webhook_id}/secrets/{number}", response_model=SecretView)
def expire(call: SecretKeeper, webhook_id: UUID, number: Number, body: SecretPatch, if_match: IfMatch = None) -> Response:
    """Say until when it holds, in every webhook that has it; 409 `secret_last` if none would be live after it."""
    with call.changing() as session:
        row = owned_for_change(session, ChannelWebhook, str(webhook_id), call.tenant)
        known = _secret(call, session, row, number)
        require_match(if_match, known)
        expire_secret(session, call.parts.vault, row.connector_id, known.told["id"], body.not_after_ms, actor=call.actor)
        return shown(_secret(call, session, row, number))


@router.delete("/webhooks/{webhook_id}", status_code=204)
def delete(call: Manager, webhook_id: UUID, if_match: IfMatch = None) -> None:
    """Take a class of events away."""
    with call.changing() as session:
        delete_webhook(session, call.current(session, WebhookView, webhook_id, if_match).id, actor=call.actor)


def _secrets(given_ones: Sequence[SecretBody]) -> list[NewSecret]:
    return [NewSecret(**one.model_dump()) for one in given_ones]


def _secret(call: Call, session: Session, row: ChannelWebhook, number: int) -> Shown:
    for known in secrets_of_webhook(session, call.parts.vault, row, actor=call.actor):
        if known.id == f"{row.id}/{number}":
            return SecretView.within(known, row.segredo)
    raise NotFound(f"the webhook has no secret {number}")
