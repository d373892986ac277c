"""Use cases of `channel_webhook`: one row per class of inbound items, with its sealed receiving secrets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.receiving_secrets import number_of, open_segredo, seal_segredo
from shared.adapters.tables import ChannelConnector, ChannelWebhook
from shared.adapters.tables import SecretUse as UsedSecret
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose, SecretUse, WebhookEvent, WebhookStatus
from shared.domain.errors import Conflict, InvalidInput, UnknownKey
from shared.management.changes import announce_connector, audit_new, audited, lock_connector, lock_connector_of
from shared.management.data_keys import ring_for
from shared.management.lifting import refuse_secrets
from shared.management.sync_requests import ask_for_sync
from shared.providers.contract import ReceivingSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSecret:
    """A receiving secret in clear, on its way in; it counts from `not_before_ms` to `not_after_ms` (None: always)."""

    use: SecretUse
    value: str = field(repr=False)
    not_before_ms: int | None = None
    not_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWebhook:
    """What a caller gives to register a row. `url`: where the provider posts to; active needs a secret."""

    evento: WebhookEvent
    url: str
    secrets: Sequence[NewSecret]
    status: WebhookStatus = WebhookStatus.ACTIVE


def receiving_url(public_url: str, connector_id: str, account_id: str | None = None) -> str:
    """Where a provider posts to: for the whole connector, or dedicated to one account."""
    base = f"{public_url.rstrip('/')}/webhooks/{connector_id}"
    return f"{base}/{account_id}" if account_id else base


def checked_url(url: str, pointer: str = "/url") -> str:
    """The address, if it is one; raises InvalidInput."""
    if not url.startswith(("https://", "http://")) or any(character.isspace() for character in url):
        raise InvalidInput("url must be an http(s) address", reason="url_invalid", pointer=pointer)
    refuse_secrets(url, pointer)
    return url


def create_webhook(session: Session, vault: Vault, connector_id: str, new: NewWebhook, *, actor: str) -> ChannelWebhook:
    """A row for one class. Raises NotFound, InvalidInput, Conflict (`webhook_exists`, `segredo_missing`)."""
    connector = lock_connector(session, connector_id)
    taken = select(ChannelWebhook.id).where(ChannelWebhook.connector_id == connector.id, ChannelWebhook.evento == new.evento)
    if session.scalar(taken) is not None:  # the connector's lock keeps this true until the commit
        raise Conflict(f"the connector has a webhook row for {new.evento}", reason="webhook_exists")
    webhook = ChannelWebhook(
        id=new_uuid7(), connector_id=connector.id, evento=new.evento, url=checked_url(new.url), status=new.status
    )
    webhook.segredo = _sealed(session, vault, connector, webhook.id, _numbered(session, webhook.id, new.secrets, ()), actor=actor)
    audit_new(session, webhook, "webhook.created", tenant_id=connector.tenant_id, actor=actor)
    announce_connector(session, connector.id)
    if webhook.status is WebhookStatus.ACTIVE:
        ask_for_sync(session, connector, None, "webhook_created")
    return webhook


def set_webhook_secrets(session: Session, vault: Vault, webhook_id: str, secrets: Sequence[NewSecret], *, actor: str) -> bool:
    """Replace the list of secrets; False if it is the same already. Give old and new ones together to rotate without a gap."""
    connector, webhook = lock_connector_of(session, ChannelWebhook, webhook_id)
    known = known_secrets(session, vault, connector, webhook, actor=actor)
    numbered = _numbered(session, webhook.id, secrets, known)
    if known == numbered and bool(webhook.segredo) == bool(secrets):
        return False
    with audited(session, webhook, "webhook.secrets_set", tenant_id=connector.tenant_id, actor=actor):
        webhook.segredo = _sealed(session, vault, connector, webhook.id, numbered, actor=actor)
    announce_connector(session, connector.id)
    ask_for_sync(session, connector, None, "secrets_changed")
    return True


def update_webhook(
    session: Session, webhook_id: str, *, url: str | None = None, status: WebhookStatus | None = None, actor: str
) -> ChannelWebhook:
    """Change address or status; None leaves as it is. Raises Conflict (`segredo_missing`) for active without a secret."""
    connector, webhook = lock_connector_of(session, ChannelWebhook, webhook_id)
    with audited(session, webhook, "webhook.updated", tenant_id=connector.tenant_id, actor=actor) as trace:
        webhook.url = checked_url(url) if url is not None else webhook.url
        webhook.status = status or webhook.status
    if trace.changed:
        announce_connector(session, connector.id)
        ask_for_sync(session, connector, None, "webhook_changed")
    return webhook


def known_secrets(
    session: Session, vault: Vault, connector: ChannelConnector, webhook: ChannelWebhook, *, actor: str
) -> tuple[ReceivingSecret, ...]:
    """The row's secrets in clear; none if no key opens them (they were erased). Raises Unavailable, KeyRefused."""
    if not webhook.segredo:
        return ()
    ring = ring_for(session, vault, connector.tenant_id, KeyPurpose.INGEST, actor=actor)
    try:
        return open_segredo(ring, connector.tenant_id, webhook.id, webhook.segredo)
    except UnknownKey:
        return ()


def seal_secrets(
    session: Session,
    vault: Vault,
    connector: ChannelConnector,
    webhook: ChannelWebhook,
    secrets: Sequence[ReceivingSecret],
    *,
    actor: str,
) -> None:
    """Store a changed list in the row; the caller holds the connector's lock, audits and announces."""
    webhook.segredo = _sealed(session, vault, connector, webhook.id, secrets, actor=actor)


def next_number(session: Session, webhook_id: str, known: Sequence[ReceivingSecret]) -> int:
    """A number that no secret of the row has, and none had that proved a webhook: its last use is not the new one's."""
    used = session.scalar(select(func.max(UsedSecret.secret)).where(UsedSecret.webhook_id == webhook_id))
    numbers = [number for one in known if (number := number_of(webhook_id, one.id)) is not None]
    return max([*numbers, -1 if used is None else used]) + 1


def _sealed(
    session: Session,
    vault: Vault,
    connector: ChannelConnector,
    webhook_id: str,
    secrets: Sequence[ReceivingSecret],
    *,
    actor: str,
) -> str | None:
    if not secrets:
        return None
    if not all(secret.value for secret in secrets):
        raise InvalidInput("a secret cannot be empty", reason="secret_empty", pointer="/secrets")
    ring = ring_for(session, vault, connector.tenant_id, KeyPurpose.INGEST, actor=actor)
    return seal_segredo(ring, connector.tenant_id, webhook_id, secrets)


def _numbered(
    session: Session, webhook_id: str, secrets: Sequence[NewSecret], known: Sequence[ReceivingSecret]
) -> tuple[ReceivingSecret, ...]:
    # A secret that was there keeps its number, and with it the memory of its last use.
    left: dict[tuple[SecretUse, bytes], list[str]] = {}
    for one in known:
        left.setdefault((one.use, one.value), []).append(one.id)
    number = next_number(session, webhook_id, known)
    numbered = []
    for secret in secrets:
        value = secret.value.encode()
        same = left.get((secret.use, value))
        secret_id = same.pop(0) if same else None
        if secret_id is None:
            secret_id, number = f"{webhook_id}/{number}", number + 1
        numbered.append(
            ReceivingSecret(
                id=secret_id, use=secret.use, value=value, not_before_ms=secret.not_before_ms, not_after_ms=secret.not_after_ms
            )
        )
    return tuple(numbered)
