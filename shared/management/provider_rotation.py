"""Use cases: a receiving secret that we register at the provider is replaced there, and the old one ends only after that.

The new secret holds at once beside the old one. Sync registers it once the edge has it, and in the transaction in which it stores
that every registration of the connector has it, it gives the others their end. A refused registration leaves them as they are.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelWebhook, SecretRotation, SyncJob
from shared.adapters.vault import Vault
from shared.domain.enums import AccountStatus, SecretUse
from shared.domain.errors import Conflict
from shared.domain.syncing import ROTATION
from shared.management.changes import audit_note, lock_connector
from shared.management.rules import rules_enforced
from shared.management.secret_rotation import add_secret, end_others
from shared.management.sync_requests import ask_for_sync
from shared.management.webhooks import NewSecret
from shared.providers import provider_of

DEFAULT_OVERLAP_SECONDS = 86_400  # what was on its way under the old secret is repeated for hours
_NEW_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRotation:
    """`value` None: a new one is made; nobody needs to know it, because sync registers it."""

    use: SecretUse
    overlap_seconds: int = DEFAULT_OVERLAP_SECONDS
    value: str | None = field(default=None, repr=False)


def rotate_secret(session: Session, vault: Vault, connector_id: str, new: NewRotation, *, actor: str) -> str:
    """Begin a rotation; returns the new secret's id. One that is under way is taken over: its secret will end like the others.

    Raises NotFound, Conflict (`not_registered_here`: the provider makes this secret; `webhook_missing`, `secrets_too_many`,
    `secret_known`).
    """
    connector = lock_connector(session, connector_id)
    setting_up = provider_of(connector.tipo).setting_up
    if setting_up is None or new.use not in setting_up.registers:
        whose = f"we do not register the {new.use.value} secret of {connector.tipo.value}"
        told = f"{whose}: set it there, then `channels webhooks secrets add`"
        raise Conflict(told, reason="not_registered_here")
    value = new.value or secrets.token_urlsafe(_NEW_BYTES)
    secret_id = add_secret(session, vault, connector.id, NewSecret(use=new.use, value=value), actor=actor, asking=False)
    row = {
        "connector_id": connector.id,
        "use": new.use.value,
        "secret_id": secret_id,
        "overlap_seconds": new.overlap_seconds,
        "asked_at": func.now(),
    }
    begun = upsert(SecretRotation).values(**row).on_conflict_do_update(index_elements=["connector_id", "use"], set_=row)
    with rules_enforced():
        session.execute(begun)
    facts = {"use": new.use.value, "overlap_seconds": new.overlap_seconds}
    audit_note(session, connector, "webhook.secret_rotation_begun", facts, tenant_id=connector.tenant_id, actor=actor)
    ask_for_sync(session, connector, None, ROTATION)
    return secret_id


def finish_rotations(session: Session, vault: Vault, connector: ChannelConnector, *, now_ms: int, actor: str) -> list[str]:
    """End what was replaced and is registered nowhere any more; the connector is locked. Returns the ids of the new secrets."""
    done: list[str] = []
    registered = _registered_everywhere(session, connector)
    if registered is None:
        return done
    rows = {str(row) for row in session.scalars(select(ChannelWebhook.id).where(ChannelWebhook.connector_id == connector.id))}
    for rotation in session.scalars(select(SecretRotation).where(SecretRotation.connector_id == connector.id)).all():
        # A secret is named by a row that holds it. With the row the name is gone, not the secret in the other rows: then what is
        # registered, which was chosen as the newest of them, takes its place.
        renamed = _row_of(rotation.secret_id) not in rows and _row_of(registered) in rows
        if registered != rotation.secret_id and not renamed:
            continue
        not_after_ms = now_ms + rotation.overlap_seconds * 1000
        end_others(session, vault, connector, registered, not_after_ms, actor=actor)
        session.execute(
            delete(SecretRotation).where(SecretRotation.connector_id == connector.id, SecretRotation.use == rotation.use)
        )
        facts = {"use": rotation.use, "others_end_at_ms": not_after_ms}
        audit_note(session, connector, "webhook.secret_rotated", facts, tenant_id=connector.tenant_id, actor=actor)
        done.append(registered)
    return done


def _row_of(secret_id: str) -> str:
    return secret_id.partition("/")[0]


def _registered_everywhere(session: Session, connector: ChannelConnector) -> str | None:
    """The secret that every registration of the connector has; None where there is no such one."""
    setting_up = provider_of(connector.tipo).setting_up
    if setting_up is None:
        return None
    if not setting_up.per_account:
        own: str | None = session.scalar(select(SyncJob.registered_secret).where(SyncJob.subject_id == connector.id))
        return own
    wanted = (
        select(SyncJob.registered_secret)
        .select_from(ChannelAccount)
        .outerjoin(SyncJob, SyncJob.subject_id == ChannelAccount.id)
        .where(ChannelAccount.connector_id == connector.id, ChannelAccount.status != AccountStatus.INACTIVE)
    )
    registered: Sequence[str | None] = session.scalars(wanted).all()
    return registered[0] if len(set(registered)) == 1 else None
