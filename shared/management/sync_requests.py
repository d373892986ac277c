"""Asks sync to have a look at a connector or an account: a notice in the outbox, in the transaction of what gives cause to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.orm import Session

from shared.adapters.reading import Reading
from shared.adapters.tables import ChannelAccount, ChannelConnector, Outbox, SyncJob
from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import Conflict
from shared.domain.syncing import REQUESTED
from shared.domain.topics import Topic
from shared.management.changes import audit_note, find, lock_connector, lock_connector_of
from shared.management.ownership import looked_up
from shared.management.paging import Listing, Order, Page, Slice, page
from shared.management.rules import rules_enforced
from shared.providers import provider_of


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


def subjects_of(session: Session, asked: Asked) -> list[str]:
    """Ids of the connectors or accounts whose syncs answer the request."""
    connector = find(session, ChannelConnector, asked.connector_id)
    setting_up = provider_of(connector.tipo).setting_up
    if setting_up is None or not setting_up.per_account:
        return [connector.id]
    working = select(ChannelAccount.id).where(
        ChannelAccount.connector_id == connector.id, ChannelAccount.status != AccountStatus.INACTIVE
    )
    if asked.account_id is not None:
        working = working.where(ChannelAccount.id == asked.account_id)
    return list(session.scalars(working.order_by(ChannelAccount.id)))


def syncs_since(session: Session, subjects: Sequence[str], asked: Asked) -> Sequence[SyncJob]:
    """Those of the subjects whose sync began when it was asked for, or later, and has ended."""
    since = dt.datetime.fromtimestamp(asked.requested_at_ms / 1000, dt.UTC)
    wanted = select(SyncJob).where(
        SyncJob.subject_id.in_(subjects), SyncJob.started_at >= since, SyncJob.finished_at >= SyncJob.started_at
    )
    return session.scalars(wanted.order_by(SyncJob.subject_id)).all()


def list_syncs(reader: Reading, tenant_id: str, connector_id: str, asked: Slice) -> Page[SyncJob]:
    """What sync knows of a connector: its own job, or one for each account. Raises NotFound."""
    looked_up(reader, ChannelConnector, connector_id, tenant_id)
    return page(reader, _SYNCS, {"connector_id": connector_id}, asked)


def _refuse_archived(connector: ChannelConnector) -> None:
    if connector.status is ConnectorStatus.ARCHIVED:
        raise Conflict("an archived connector is not synced", reason="connector_archived")


SYNCS = Order(columns=(SyncJob.subject_id,))
_SYNCS = Listing(order=SYNCS, conditions={"connector_id": SyncJob.connector_id == bindparam("connector_id")})
