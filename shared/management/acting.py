"""For whom an operator's command acts, where it is told a name or a connector. The API knows it from the caller's token."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.database import act_for
from shared.domain.errors import NotFound


def act_for_connector(session: Session, connector_id: str) -> str:
    """Make the session act for the tenant of this connector; returns the tenant's id. Raises NotFound."""
    try:
        tenant_id = session.scalar(select(func.tenant_of_connector(UUID(connector_id))))
    except ValueError:
        tenant_id = None
    if tenant_id is None:
        raise NotFound(f"channel_connector {connector_id[:64]} does not exist")
    act_for(session, str(tenant_id))
    return str(tenant_id)


def tenants_named(session: Session, name: str) -> list[str]:
    """Ids of the tenants of this name, also for a session that acts for nobody yet."""
    return [str(tenant_id) for tenant_id in session.scalars(select(func.tenants_named(name)))]
