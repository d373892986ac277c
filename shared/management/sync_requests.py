"""Asks sync to have a look at a connector or an account: a notice in the outbox, in the transaction of what gives cause to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, insert, or_, select
from sqlalchemy.orm import Session

from shared.adapters.reading import Reading
from shared.adapters.tables import ChannelAccount, ChannelConnector, Outbox, SyncJob, loaded_columns
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import Conflict
from shared.domain.syncing import REQUESTED
from shared.domain.topics import Topic
from shared.management.changes import audit_note, lock_connector, lock_connector_of
from shared.management.rules import rules_enforced


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A sync was asked for: the next one that begins at `requested_at_ms` or later answers it."""

    connector_id: str
    account_id: str | None
    requested_at_ms: int


def ask_for_sync(session: Session, connector: ChannelConnector, account_id: str | None, cause: str) -> Asked:
    """Ask the relay for one `channel.account.sync_required`. `cause`: a short code."""
    now = session.scalar(select(func.clock_timestamp()))
    assert now is not None  # noqa: S101  a clock always answers
    asked = Asked(connector_id=connector.id, account_id=account_id, requested_at_ms=int(now.timestamp() * 1000))
    detail = {
        "tenant_id": connector.tenant_id,
        "connector_id": connector.id,
        "account_id": account_id,
        "cause": cause,
        "detail": "",
        "requested_at_ms": asked.requested_at_ms,
    }
    with rules_enforced():
        notice = {"topic": Topic.SYNC_REQUIRED.value, "subject_id": account_id or connector.id, "detail": detail}
        session.execute(insert(Outbox).values(**notice))
    return asked


def sync_connector(session: Session, connector_id: str, *, actor: str) -> Asked:
    """A person asks. Raises NotFound, Conflict (`connector_archived`)."""
    connector = lock_connector(session, connector_id)
    _refuse_archived(connector)
    audit_note(session, connector, "connector.sync_requested", {}, tenant_id=connector.tenant_id, actor=actor)
    return ask_for_sync(session, connector, None, REQUESTED)


def sync_account(session: Session, account_id: str, *, actor: str) -> Asked:
    """The same for one account. Raises NotFound, Conflict (`connector_archived`)."""
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    _refuse_archived(connector)
    audit_note(session, account, "account.sync_requested", {}, tenant_id=connector.tenant_id, actor=actor)
    return ask_for_sync(session, connector, account.id, REQUESTED)


def syncs_of(reader: Reading, connector_id: str, account_id: str | None = None) -> Sequence[SyncJob]:
    """What sync knows of a connector: its own job, or one for each account; with `account_id` those that are about it.

    The connector is the caller's to have looked up. The rows are to be read only.
    """
    if account_id is None:
        return tuple(reader.execute(_ALL, {"connector_id": connector_id}).all())
    return tuple(reader.execute(OF_ACCOUNT, {"connector_id": connector_id, "account_id": account_id}).all())


def _refuse_archived(connector: ChannelConnector) -> None:
    if connector.status is ConnectorStatus.ARCHIVED:
        raise Conflict("an archived connector is not synced", reason="connector_archived")


_ALL = select(*loaded_columns(SyncJob)).where(SyncJob.connector_id == bindparam("connector_id")).order_by(SyncJob.subject_id)
OF_ACCOUNT = _ALL.where(or_(SyncJob.account_id.is_(None), SyncJob.account_id == bindparam("account_id")))
