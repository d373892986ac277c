"""Reads what a job is about: connector, accounts, webhooks, keys and rotations of one instant, as the role of the workers."""

from __future__ import annotations

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from services.sync.planning import AccountFacts, Facts, WebhookFacts
from shared.adapters.database import unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelWebhook, SecretRotation, SnapshotVersion
from shared.domain.enums import AccountStatus, ConnectorStatus, KeyPurpose
from shared.domain.syncing import TakenJob
from shared.management.data_keys import wrapped_keys
from shared.management.lifting import REFERENCES

_ONE_INSTANT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def read_facts(worker: Engine, job: TakenJob) -> Facts | None:
    """None if the connector is gone. Raises Unavailable, ConfigError."""
    with translated(), unit_of_work(worker) as session:
        session.execute(_ONE_INSTANT)
        connector = session.get(ChannelConnector, job.connector_id)
        if connector is None:
            return None
        rotations = session.execute(
            select(SecretRotation.use, SecretRotation.secret_id).where(SecretRotation.connector_id == connector.id)
        )
        return Facts(
            tenant_id=connector.tenant_id,
            connector_id=connector.id,
            tipo=connector.tipo,
            status=ConnectorStatus(connector.status),
            project=connector.projeto_referencia,
            config={name: value for name, value in connector.config.items() if name != REFERENCES},
            version=session.scalar(select(SnapshotVersion.version).where(SnapshotVersion.subject_id == connector.id)) or 0,
            webhooks=_webhooks(session, connector.id),
            accounts=_accounts(session, job),
            ingest_keys=wrapped_keys(session, connector.tenant_id, KeyPurpose.INGEST),
            rotations={row.use: row.secret_id for row in rotations},
        )


def _webhooks(session: Session, connector_id: str) -> tuple[WebhookFacts, ...]:
    rows = session.scalars(select(ChannelWebhook).where(ChannelWebhook.connector_id == connector_id).order_by(ChannelWebhook.id))
    return tuple(WebhookFacts(id=row.id, evento=row.evento, url=row.url, status=row.status, segredo=row.segredo) for row in rows)


def _accounts(session: Session, job: TakenJob) -> tuple[AccountFacts, ...]:
    columns = (ChannelAccount.id, ChannelAccount.identidade, ChannelAccount.config, ChannelAccount.webhook_url)
    wanted = select(*columns).where(
        ChannelAccount.connector_id == job.connector_id, ChannelAccount.status != AccountStatus.INACTIVE
    )
    if job.account_id is not None:
        wanted = wanted.where(ChannelAccount.id == job.account_id)
    rows = session.execute(wanted.order_by(ChannelAccount.id)).all()
    return tuple(
        AccountFacts(id=row.id, identidade=row.identidade, config=row.config or {}, webhook_url=row.webhook_url) for row in rows
    )
