"""Use case: every data key under the newest key-encryption key. What is sealed stays as it is; only the keys are wrapped anew."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from shared.adapters.tables import DataKey, Outbox
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.snapshots import WrappedDataKey
from shared.domain.topics import Topic
from shared.management.changes import announce_connector, audited, find, lock_connectors_of
from shared.management.data_keys import in_use
from shared.management.rules import rules_enforced


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """How many keys of one tenant were wrapped anew, and how many snapshots will say so."""

    keys: int
    connectors: int


def tenants_to_rewrap(session: Session, vault: Vault) -> list[str]:
    """The tenants that have a key under an older key-encryption key, in a fixed order; asks no key service."""
    keys = session.execute(select(DataKey.tenant_id, DataKey.purpose, DataKey.key_id, DataKey.wrapped).where(in_use())).all()
    return sorted(
        {
            key.tenant_id
            for key in keys
            if not vault.is_newest(KeyPurpose(key.purpose), WrappedDataKey(key_id=key.key_id, wrapped=key.wrapped))
        }
    )


def rewrap_tenant(session: Session, vault: Vault, tenant_id: str, *, actor: str) -> Rewrapped:
    """Rewrap one tenant's keys and announce the connectors whose snapshot carries them; nothing to do: nothing changes.

    The key service is asked before anything is locked, and a key that somebody else changed meanwhile is left to them.
    Both key-encryption keys hold until the snapshots are out. Raises KeyRefused, SealBroken, Unavailable.
    """
    rows = session.scalars(select(DataKey).where(DataKey.tenant_id == tenant_id, in_use()).order_by(DataKey.key_id)).all()
    found = {row.key_id: vault.rewrap(KeyPurpose(row.purpose), tenant_id, _key(row)) for row in rows}
    before = {row.key_id: row.wrapped for row in rows}
    changed = {key_id: key for key_id, key in found.items() if key is not None}
    connectors = lock_connectors_of(session, tenant_id) if changed else []
    purposes = set()
    for key_id, key in changed.items():
        row = find(session, DataKey, key_id, lock=True)
        if row.wrapped == before[key_id]:
            with audited(session, row, "data_key.rewrapped", tenant_id=tenant_id, actor=actor):
                row.wrapped = key.wrapped
            purposes.add(row.purpose)
    announced = connectors if KeyPurpose.INGEST in purposes else []
    for connector in announced:
        announce_connector(session, connector.id)
    return Rewrapped(keys=len(changed), connectors=len(announced))


def lock_data_keys(session: Session) -> None:
    """Wait for whoever is writing a data key, and let nobody write one until the transaction ends. Raises Unavailable."""
    with rules_enforced():
        session.execute(text("LOCK TABLE data_key IN SHARE MODE"))


def snapshots_pending(session: Session) -> bool:
    """Whether a snapshot with changed keys may not be published yet; until then an old key-encryption key is needed."""
    return session.scalar(select(Outbox.id).where(Outbox.topic == Topic.CONNECTOR_SNAPSHOT.value).limit(1)) is not None


def _key(row: DataKey) -> WrappedDataKey:
    return WrappedDataKey(key_id=row.key_id, wrapped=row.wrapped)
