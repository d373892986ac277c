"""Use case of `channel_health_check`: record how one check went."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.adapters.tables import ChannelHealthCheck
from shared.domain.enums import HealthStatus
from shared.management.changes import audit_new, lock_connector


def record_check(
    session: Session,
    connector_id: str,
    status: HealthStatus,
    mensagem: str,
    *,
    actor: str,
    duracao_ms: int | None = None,
    account_id: str | None = None,
) -> ChannelHealthCheck:
    """Store a check that ran now. No snapshot shows checks, so none is announced. Raises NotFound."""
    connector = lock_connector(session, connector_id)
    now = session.scalar(select(func.clock_timestamp()))
    check = ChannelHealthCheck(
        connector_id=connector.id,
        account_id=account_id,
        status=status,
        mensagem=mensagem,
        executado_em=now,
        duracao_ms=duracao_ms,
    )
    audit_new(session, check, "health_check.recorded", tenant_id=connector.tenant_id, actor=actor)
    return check
