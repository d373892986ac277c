"""Use case: a tenant's data keys are deleted. What they sealed, here, in topics or in backups of columns, never opens again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.tables import DataKey, Tenant
from shared.management.changes import announce_connector, audit_gone, find, lock_connectors_of


@dataclass(frozen=True, slots=True)
class Erased:
    """How many keys are gone, and how many connectors can receive nothing any more."""

    keys: int
    connectors: int


def erase_keys(session: Session, tenant_id: str, *, actor: str) -> Erased:
    """Delete every data key of the tenant, retired ones too, and announce its connectors without keys.

    Running services drop what they had opened when the snapshots reach them. Asks no key service. Raises NotFound.
    """
    connectors = lock_connectors_of(session, tenant_id)
    find(session, Tenant, tenant_id, lock=True)
    rows = session.scalars(select(DataKey).where(DataKey.tenant_id == tenant_id).order_by(DataKey.key_id)).all()
    for row in rows:
        audit_gone(session, row, "data_key.erased", tenant_id=tenant_id, actor=actor)
    for connector in connectors if rows else ():
        announce_connector(session, connector.id)
    return Erased(keys=len(rows), connectors=len(connectors))
