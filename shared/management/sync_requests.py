"""Asks sync to have a look at a connector or an account: a notice in the outbox, in the transaction of what gives cause to it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from shared.adapters.pipelined_work import send_later
from shared.adapters.reading import Reading, ask_all
from shared.adapters.tables import ChannelAccount, ChannelConnector, SyncJob
from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import Conflict
from shared.domain.syncing import REQUESTED
from shared.management.change_statements import NOTE_SYNC, NOTE_SYNC_AND_TELL
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


def ask_for_sync(session: Session, connector: ChannelConnector, account_id: str | None, cause: str) -> None:
    """Ask the relay for one `channel.account.sync_required`. `cause`: a short code."""
    send_later(session, NOTE_SYNC, _notice(connector, account_id, cause))


def sync_connector(session: Session, connector_id: str, *, actor: str) -> Asked:
    """A person asks. Raises NotFound, Conflict (`connector_archived`)."""
    connector = lock_connector(session, connector_id)
    _refuse_archived(connector)
    audit_note(session, connector, "connector.sync_requested", {}, tenant_id=connector.tenant_id, actor=actor)
    return _asked_by_a_person(session, connector, None)


def sync_account(session: Session, account_id: str, *, actor: str) -> Asked:
    """The same for one account. Raises NotFound, Conflict (`connector_archived`)."""
    connector, account = lock_connector_of(session, ChannelAccount, account_id)
    _refuse_archived(connector)
    audit_note(session, account, "account.sync_requested", {}, tenant_id=connector.tenant_id, actor=actor)
    return _asked_by_a_person(session, connector, account.id)


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


def _asked_by_a_person(session: Session, connector: ChannelConnector, account_id: str | None) -> Asked:
    with rules_enforced():
        [told] = ask_all(session, (NOTE_SYNC_AND_TELL, _notice(connector, account_id, REQUESTED)))
    return Asked(connector_id=connector.id, account_id=account_id, requested_at_ms=told.one().requested_at_ms)


def _notice(connector: ChannelConnector, account_id: str | None, cause: str) -> dict[str, Any]:
    detail = {
        "tenant_id": connector.tenant_id,
        "connector_id": connector.id,
        "account_id": account_id,
        "cause": cause,
        "detail": "",
    }
    return {"subject": account_id or connector.id, "told": detail}


def _refuse_archived(connector: ChannelConnector) -> None:
    if connector.status is ConnectorStatus.ARCHIVED:
        raise Conflict("an archived connector is not synced", reason="connector_archived")


SYNCS = Order(columns=(SyncJob.subject_id,))
_SYNCS = Listing(order=SYNCS, conditions={"connector_id": SyncJob.connector_id == bindparam("connector_id")})
