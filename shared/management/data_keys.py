"""The data keys of a tenant: made on first need, handed out newest first, rotated."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Select, bindparam, func, or_, select
from sqlalchemy.orm import Session

from shared.adapters.event_loop import off_loop
from shared.adapters.reading import ask_all
from shared.adapters.sealing import Aad, KeyRing
from shared.adapters.tables import DataKey, Tenant
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.snapshots import WrappedDataKey
from shared.management.changes import announce_connector, audit_new, find, lock_connectors_of


def in_use() -> ColumnElement[bool]:
    """The keys that are handed out: a retired one until its time comes, so that what it sealed meanwhile still opens."""
    return or_(DataKey.retired_at.is_(None), DataKey.retired_at > func.now())


def wrapped_keys(session: Session, tenant_id: str, purpose: KeyPurpose) -> tuple[WrappedDataKey, ...]:
    """The keys that are handed out for one tenant and purpose: the first seals, any opens."""
    [keys] = ask_all(session, (_KEYS_OF_ONE, {"tenant": tenant_id, "wanted": purpose.value}))
    return tuple(WrappedDataKey(key_id=key.key_id, wrapped=key.wrapped) for key in keys)


def wrapped_keys_of(session: Session, tenant_ids: Collection[str], purpose: KeyPurpose) -> dict[str, tuple[WrappedDataKey, ...]]:
    """The same for several tenants, each by its id."""
    keys = session.execute(_first_sealing(DataKey.tenant_id.in_(tenant_ids), DataKey.purpose == purpose.value))
    found: dict[str, list[WrappedDataKey]] = {tenant_id: [] for tenant_id in tenant_ids}
    for key in keys:
        found.setdefault(key.tenant_id, []).append(WrappedDataKey(key_id=key.key_id, wrapped=key.wrapped))
    return {tenant_id: tuple(wrapped) for tenant_id, wrapped in found.items()}


def _first_sealing(*wanted: ColumnElement[bool]) -> Select[str, str, str]:
    # A retired one never seals, also if the key that took its place was begun earlier (two commands at once).
    order = DataKey.retired_at.is_not(None), DataKey.created_at.desc(), DataKey.key_id.desc()
    return select(DataKey.tenant_id, DataKey.key_id, DataKey.wrapped).where(*wanted, in_use()).order_by(*order)


_KEYS_OF_ONE = _first_sealing(DataKey.tenant_id == bindparam("tenant"), DataKey.purpose == bindparam("wanted"))


def ring_for(session: Session, vault: Vault, tenant_id: str, purpose: KeyPurpose, *, actor: str) -> KeyRing:
    """A ring to seal and open with; makes the tenant's first key where there is none. Raises NotFound, Unavailable."""
    keys = wrapped_keys(session, tenant_id, purpose)
    if not keys:
        find(session, Tenant, tenant_id, lock=True)  # two first needs at once make one key
        keys = wrapped_keys(session, tenant_id, purpose) or (add_key(session, vault, tenant_id, purpose, actor=actor),)
    return vault.ring(purpose, tenant_id, keys)


def seal(ring: KeyRing, plain: bytes, aad: Aad) -> str:
    """Seal a text; its key, if it was never opened, is opened in a thread where the caller runs on a loop. Raises Unavailable."""
    return ring.seal_text(plain, aad) if ring.ready else off_loop(ring.seal_text, plain, aad)


def unseal(ring: KeyRing, sealed: str, aad: Aad) -> bytes:
    """Open a text, which may be sealed with any key of the ring; may wait for the key as `seal` does. Raises SealBroken."""
    return off_loop(ring.open_text, sealed, aad)


def rotate_data_key(session: Session, vault: Vault, tenant_id: str, purpose: KeyPurpose, *, actor: str) -> WrappedDataKey:
    """Make a new key that seals from now on; the others go on opening. Connectors whose snapshot names it are announced."""
    connectors = lock_connectors_of(session, tenant_id)
    find(session, Tenant, tenant_id, lock=True)
    key = add_key(session, vault, tenant_id, purpose, actor=actor)
    if purpose is KeyPurpose.INGEST:
        for connector in connectors:
            announce_connector(session, connector.id)
    return key


def add_key(session: Session, vault: Vault, tenant_id: str, purpose: KeyPurpose, *, actor: str) -> WrappedDataKey:
    """A new key in front of the others; the caller holds the tenant's lock. Raises Unavailable, KeyRefused."""
    key = off_loop(vault.new_data_key, purpose, tenant_id)
    row = DataKey(key_id=key.key_id, tenant_id=tenant_id, purpose=purpose.value, wrapped=key.wrapped)
    audit_new(session, row, "data_key.created", tenant_id=tenant_id, actor=actor)
    return key
