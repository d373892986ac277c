"""Use case: tell every reader anew what connectors and accounts are, from the rows as they stand.

For a snapshot topic that was lost or made anew, or a reader that is doubted. Versions are counted on and the notices go through
the outbox like any change, so it may run beside everything else: one connector at a time, under its lock.

After PostgreSQL was restored to an earlier state its versions are lower than those that readers have, and readers ignore what is
older; so versions are lifted above what the topics hold first, and what the topics hold and the rows do not is told to be gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Engine, exists, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from shared.adapters.database import unit_of_work
from shared.adapters.snapshot_contents import PublishedSnapshot
from shared.adapters.tables import ChannelAccount, ChannelConnector, Outbox, SnapshotVersion
from shared.domain.errors import NotFound
from shared.domain.topics import Topic
from shared.management.changes import announce_accounts, announce_connector, audit_note, lock_connector
from shared.management.rules import rules_enforced

_TOPICS = {"connector": Topic.CONNECTOR_SNAPSHOT, "account": Topic.ACCOUNT_SNAPSHOT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """One connector told anew, with so many accounts."""

    tenant_id: str
    connector_id: str
    accounts: int


def rebuild_snapshots(
    api: Engine,
    worker: Engine,
    connector_ids: Collection[str] | None = None,
    *,
    published: Mapping[str, PublishedSnapshot] | None = None,
    actor: str,
) -> Iterator[Rebuilt]:
    """Each connector as it is done, a transaction each; None for all. Blocks; what was yielded stays done if it is broken off.

    `published`: what the topics hold, above which versions are lifted. `worker` is only read: it sees every tenant.
    Raises NotFound for an id without a connector, before anything is changed.
    """
    for tenant_id, connector_id in _wanted(worker, connector_ids):
        with unit_of_work(api, tenant_id=tenant_id) as session:
            try:
                accounts = _tell_connector(session, tenant_id, connector_id, published or {}, actor=actor)
            except NotFound:  # deleted since we looked; its deletion is told by whoever did that
                continue
            session.commit()
        yield Rebuilt(tenant_id=tenant_id, connector_id=connector_id, accounts=accounts)


def tell_strangers_gone(api: Engine, worker: Engine, published: Mapping[str, PublishedSnapshot]) -> int:
    """Tell of every object that the topics hold and the database does not know, that it is gone. Returns how many."""
    with rules_enforced(), worker.connect() as connection:
        known = {str(row) for table in (ChannelConnector, ChannelAccount) for row in connection.scalars(select(table.id))}
    gone = sorted((one for one in published.values() if one.subject_id not in known), key=lambda one: one.tenant_id)
    for tenant_id, subjects in groupby(gone, key=lambda one: one.tenant_id):
        told = list(subjects)
        with rules_enforced(), unit_of_work(api, tenant_id=tenant_id) as session:
            session.execute(insert(Outbox), [{"topic": one.topic.value, "subject_id": one.subject_id} for one in told])
            session.commit()
    return len(gone)


def repeat_deletions(api: Engine, worker: Engine) -> int:
    """Tell once more of every object that is gone, for a topic that still holds it. Returns how many."""
    alive = exists().where(ChannelConnector.id == SnapshotVersion.subject_id) | exists().where(
        ChannelAccount.id == SnapshotVersion.subject_id
    )
    statement = select(SnapshotVersion.tenant_id, SnapshotVersion.kind, SnapshotVersion.subject_id)
    with rules_enforced(), worker.connect() as connection:
        gone = connection.execute(
            statement.where(~alive, SnapshotVersion.tenant_id.is_not(None)).order_by(SnapshotVersion.tenant_id)
        ).all()
    for tenant_id, subjects in groupby(gone, key=lambda row: row.tenant_id):
        notices = [{"topic": _TOPICS[row.kind].value, "subject_id": row.subject_id} for row in subjects]
        with rules_enforced(), unit_of_work(api, tenant_id=tenant_id) as session:
            session.execute(insert(Outbox), notices)
            session.commit()
    return len(gone)


def _wanted(worker: Engine, connector_ids: Collection[str] | None) -> list[tuple[str, str]]:
    statement = select(ChannelConnector.tenant_id, ChannelConnector.id).order_by(ChannelConnector.id)
    if connector_ids is not None:
        statement = statement.where(ChannelConnector.id.in_(connector_ids))
    with rules_enforced(), worker.connect() as connection:
        found = [(tenant_id, connector_id) for tenant_id, connector_id in connection.execute(statement)]
    missing = set(connector_ids or ()) - {connector_id for _, connector_id in found}
    if missing:
        raise NotFound(f"channel_connector {min(missing)} does not exist")
    return found


def _tell_connector(
    session: Session, tenant_id: str, connector_id: str, published: Mapping[str, PublishedSnapshot], *, actor: str
) -> int:
    connector = lock_connector(session, connector_id)
    with rules_enforced():
        accounts = _lift(session, connector.id, published)
    announce_connector(session, connector.id)
    announce_accounts(session, connector.id)
    audit_note(session, connector, "connector.snapshots_rebuilt", {"accounts": accounts}, tenant_id=tenant_id, actor=actor)
    return accounts


def _lift(session: Session, connector_id: str, published: Mapping[str, PublishedSnapshot]) -> int:
    """Set the versions of a connector and its accounts to those of the topics, where these are higher. Returns how many
    accounts there are."""
    accounts = session.scalars(select(ChannelAccount.id).where(ChannelAccount.connector_id == connector_id)).all()
    kinds = {connector_id: "connector"} | dict.fromkeys(accounts, "account")
    counted = select(SnapshotVersion.subject_id, SnapshotVersion.version).where(SnapshotVersion.subject_id.in_(kinds))
    known = {row.subject_id: row.version for row in session.execute(counted)}
    lower = [
        {"subject_id": subject, "kind": kind, "version": published[subject].version}
        for subject, kind in kinds.items()
        if subject in published and published[subject].version > known.get(subject, 0)
    ]
    if lower:
        row = upsert(SnapshotVersion)
        lifted = row.on_conflict_do_update(index_elements=["subject_id"], set_={"version": row.excluded.version})
        session.execute(lifted, lower)
    return len(accounts)
