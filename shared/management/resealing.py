"""Use case: new data keys for one tenant, and everything that its columns hold sealed with them, in one transaction.

The old keys go on opening for as long as something that they sealed is kept elsewhere, and are handed out no more from then on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session, undefer

from shared.adapters.receiving_secrets import open_segredo, seal_segredo
from shared.adapters.sealing import KeyRing
from shared.adapters.tables import ChannelConnector, ChannelToken, ChannelWebhook, DataKey, IdempotencyKey, Tenant
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import CorruptData, SealBroken
from shared.management.changes import announce_connector, audited, find, lock_connectors_of
from shared.management.data_keys import add_key, wrapped_keys
from shared.management.opened_tokens import reseal_token
from shared.management.repeated_requests import reseal_digest
from shared.management.rules import flush, rules_enforced
from shared.management.tokens import reseal_fingerprint

_HANDED_OUT_FOR = {
    # Dead letters are kept for 30 days, raw records for 8; both hold what this key sealed.
    KeyPurpose.INGEST: dt.timedelta(days=31),
    # Only for whoever has just read a row and looks for its key now.
    KeyPurpose.CREDENTIAL: dt.timedelta(hours=1),
}


@dataclass(slots=True)
class Resealed:
    """What was sealed anew. `unreadable`: ids of rows that no key opens (their key was erased); they stay as they are."""

    tokens: int = 0
    webhooks: int = 0
    retired_keys: int = 0
    unreadable: tuple[str, ...] = ()


def reseal_tenant(session: Session, vault: Vault, tenant_id: str, *, actor: str) -> Resealed:
    """Runs as the owner of the tables. Each token that is opened for it leaves its row in the audit log.

    Raises NotFound, KeyRefused, Unavailable; then nothing is changed.
    """
    find(session, Tenant, tenant_id)
    for purpose in KeyPurpose:
        keys = wrapped_keys(session, tenant_id, purpose)
        if keys:
            vault.ring(purpose, tenant_id, keys).warm()  # a key service that is slow is waited for before anything is locked
    connectors = _lock_all(session, tenant_id)
    done, unreadable = Resealed(), list[str]()
    rings = {purpose: _renewed(session, vault, tenant_id, purpose, done, actor=actor) for purpose in KeyPurpose}
    with session.no_autoflush:  # changed rows are sent together, not one before each further statement
        _reseal_tokens(session, rings[KeyPurpose.CREDENTIAL], tenant_id, done, unreadable, actor=actor)
    flush(session)
    _reseal_webhooks(session, rings[KeyPurpose.INGEST], tenant_id, done, unreadable, actor=actor)
    for connector in connectors:
        announce_connector(session, connector.id)
    for request in session.scalars(select(IdempotencyKey).where(IdempotencyKey.tenant_id == tenant_id)):
        reseal_digest(rings[KeyPurpose.CREDENTIAL], request)
    flush(session)
    done.unreadable = tuple(unreadable)
    return done


def _lock_all(session: Session, tenant_id: str) -> Sequence[ChannelConnector]:
    """Nobody seals with the old keys from here on: use cases lock a connector, or refer to the tenant before they seal."""
    lock_connectors_of(session, tenant_id)
    with rules_enforced():
        session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())
    return lock_connectors_of(session, tenant_id)  # also those that were being created


def _renewed(session: Session, vault: Vault, tenant_id: str, purpose: KeyPurpose, done: Resealed, *, actor: str) -> KeyRing:
    wanted = select(DataKey).where(DataKey.tenant_id == tenant_id, DataKey.purpose == purpose.value)
    old = session.scalars(wanted.where(DataKey.retired_at.is_(None))).all()
    if old:
        add_key(session, vault, tenant_id, purpose, actor=actor)
    now = session.scalar(select(func.now()))
    assert now is not None  # noqa: S101  a clock always answers
    for row in old:
        with audited(session, row, "data_key.retired", tenant_id=tenant_id, actor=actor):
            row.retired_at = now + _HANDED_OUT_FOR[purpose]
    done.retired_keys += len(old)
    return vault.ring(purpose, tenant_id, wrapped_keys(session, tenant_id, purpose))


def _reseal_tokens(session: Session, ring: KeyRing, tenant_id: str, done: Resealed, unreadable: list[str], *, actor: str) -> None:
    wanted = select(ChannelToken).where(ChannelToken.connector_id.in_(_connectors_of(tenant_id))).order_by(ChannelToken.id)
    for token in session.scalars(wanted.options(undefer(ChannelToken.valor_encrypted))).all():
        try:
            reseal_token(session, ring, tenant_id, token, actor=actor)
            reseal_fingerprint(ring, tenant_id, token)
            done.tokens += 1
        except SealBroken:
            unreadable.append(token.id)


def _reseal_webhooks(
    session: Session, ring: KeyRing, tenant_id: str, done: Resealed, unreadable: list[str], *, actor: str
) -> None:
    wanted = select(ChannelWebhook).where(
        ChannelWebhook.connector_id.in_(_connectors_of(tenant_id)), ChannelWebhook.segredo != ""
    )
    for webhook in session.scalars(wanted.order_by(ChannelWebhook.id)).all():
        try:
            secrets = open_segredo(ring, tenant_id, webhook.id, webhook.segredo or "")
        except (SealBroken, CorruptData):
            unreadable.append(webhook.id)
            continue
        with audited(session, webhook, "webhook.resealed", tenant_id=tenant_id, actor=actor):
            webhook.segredo = seal_segredo(ring, tenant_id, webhook.id, secrets)
        done.webhooks += 1


def _connectors_of(tenant_id: str) -> Select[str]:
    return select(ChannelConnector.id).where(ChannelConnector.tenant_id == tenant_id)
