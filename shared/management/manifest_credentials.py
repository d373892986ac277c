"""The tokens and webhooks of a manifest's connector: new values are sealed, stored ones stand in for sources not at hand.

A part that names what is stored by its `id` (as `channels export` writes it) needs its source only where that is not stored.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import func, select

from shared.adapters.tables import ChannelConnector, ChannelToken, ChannelWebhook
from shared.domain.enums import WebhookEvent
from shared.management.manifest import SecretPart, TokenPart, WebhookPart, milliseconds
from shared.management.manifest_pass import Pass
from shared.management.manifest_text import Fault, Place
from shared.management.tokens import NewToken, add_token, describe_token, holds_value
from shared.management.webhooks import (
    NewSecret,
    NewWebhook,
    create_webhook,
    known_secrets,
    receiving_url,
    set_webhook_secrets,
    update_webhook,
)
from shared.providers.contract import ReceivingSecret


def put_token(current: Pass, place: Place, connector: ChannelConnector, part: TokenPart) -> None:
    """Store one credential, unless it is stored."""
    session, vault, actor = current.session, current.applier.vault, current.applier.actor
    with current.at(place):
        stored = session.scalars(
            select(ChannelToken).where(ChannelToken.connector_id == connector.id, ChannelToken.kind == part.kind)
        ).all()
        value = current.checked.secrets.get(place)
        if value is None:
            row = next((row for row in stored if row.id == part.id), None)
            if row is None and place in current.checked.wanting:
                current.checked.faults.append(_wanting(current.checked.wanting[place], "token"))
        else:
            row = next((row for row in stored if holds_value(session, vault, connector.tenant_id, row, value, actor=actor)), None)
        if row is not None:
            current.saw(row)
            describe_token(session, row.id, expires_at=part.expires_at, metadata=part.metadata, actor=actor)
        elif value is not None:
            token_id = part.id if part.id not in {one.id for one in stored} else None  # a rotated value is another token
            new = NewToken(kind=part.kind, value=value, expires_at=part.expires_at, metadata=part.metadata, id=token_id)
            current.saw(add_token(session, vault, connector.id, new, actor=actor))


def put_webhooks(current: Pass, place: Place, connector: ChannelConnector, parts: tuple[WebhookPart, ...]) -> None:
    """Create or update the rows of all the connector's webhooks."""
    rows = {
        row.evento: row
        for row in current.session.scalars(select(ChannelWebhook).where(ChannelWebhook.connector_id == connector.id))
    }
    known: dict[str, ReceivingSecret] = {}
    if any((*place, "webhooks") == wanting[:-3] for wanting in current.checked.wanting):
        for row in rows.values():
            actor = current.applier.actor
            found = known_secrets(current.session, current.applier.vault, connector, row, actor=actor)
            known |= {secret.id: secret for secret in found}
    for index, part in enumerate(parts):
        where = (*place, "webhooks", index)
        secrets = _secrets(current, where, part, known)
        for evento in part.events:
            if current.sound(where):
                _put_row(current, where, connector, (evento, rows.get(evento)), part, secrets)


def _put_row(
    current: Pass,
    place: Place,
    connector: ChannelConnector,
    event_row: tuple[WebhookEvent, ChannelWebhook | None],
    part: WebhookPart,
    secrets: tuple[NewSecret, ...],
) -> None:
    session, vault, actor = current.session, current.applier.vault, current.applier.actor
    evento, row = event_row
    url = part.url or receiving_url(current.applier.public_url, connector.id)
    with current.at(place):
        if row is None:
            new = NewWebhook(evento=evento, url=url, secrets=secrets, status=part.status)
            current.saw(create_webhook(session, vault, connector.id, new, actor=actor))
            return
        current.saw(row)
        if secrets:  # before the status: an active row needs them
            set_webhook_secrets(session, vault, row.id, secrets, actor=actor)
        update_webhook(session, row.id, url=url, status=part.status, actor=actor)


def _secrets(current: Pass, place: Place, part: WebhookPart, known: Mapping[str, ReceivingSecret]) -> tuple[NewSecret, ...]:
    # With their sources where those are at hand, else as they are stored.
    secrets = []
    for index, secret in enumerate(part.secrets):
        where = (*place, "secrets", index)
        value = current.checked.secrets.get(where)
        stored = known.get(secret.id or "")
        if value is None and stored is not None and stored.use is secret.use:
            value = stored.value.decode()
        if value is None:
            _note_missing(current, where, secret)
            continue
        times = milliseconds(secret.not_before), milliseconds(secret.not_after)
        secrets.append(NewSecret(use=secret.use, value=value, not_before_ms=times[0], not_after_ms=times[1]))
    return tuple(secrets)


def _note_missing(current: Pass, place: Place, secret: SecretPart) -> None:
    fault = current.checked.wanting.get(place)
    if fault is None:
        return  # its fault is told already
    if secret.not_after is not None and secret.not_after < current.session.scalars(select(func.now())).one():
        current.report.notes.append(f"{fault.place}: left out, it has expired and is not stored here")
        return
    current.checked.faults.append(_wanting(fault, "secret"))


def _wanting(fault: Fault, what: str) -> Fault:
    return Fault(fault.line, fault.place, f"{fault.message}, and no {what} of this id is stored here")
