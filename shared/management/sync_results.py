"""Use case: a sync has ended. Result, `ultima_sync`, what steps learnt, the end of replaced secrets: all in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.sync_rows import finish_job, mark_synced, note_overtaken, outcome_before
from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelToken
from shared.adapters.vault import Vault
from shared.domain.errors import NotFound
from shared.domain.syncing import GOOD, SyncOutcome, SyncResult, TakenJob
from shared.management.changes import audit_note, find, lock_connector
from shared.management.provider_rotation import finish_rotations

_GOOD = frozenset(one.value for one in GOOD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a result. `news`: it is another one than before; `rotated`: secrets that took the place of others."""

    news: bool
    rotated: Sequence[str]


def store_sync(
    session: Session,
    vault: Vault,
    job: TakenJob,
    result: SyncResult,
    *,
    synced: Collection[str],
    writes: Sequence[Callable[[Session], None]],
    seen: Collection[str] | None = None,
    now_ms: int,
    again_ms: int,
    actor: str,
) -> Stored | None:
    """None if the job is somebody else's by now, or its subject gone: nothing is stored, but that the provider may have
    been told something behind the other's back. The caller commits.

    `seen`: ids of the tokens that the connector had when the job looked, None if it looked for none. Who is refused, and has
    another one by now, tries again: whoever stored it saw a job that runs, and left it alone.

    A failure leaves an audit row when it is another one than before (`sync.failed`), and so does its end (`sync.recovered`).
    """
    try:
        connector = lock_connector(session, job.connector_id)
        subject = connector if job.account_id is None else find(session, ChannelAccount, job.account_id)
    except NotFound:
        return None
    before = outcome_before(session, job)
    if before is None:
        if result.registered_secret is not None:  # it may have told the provider something after the one that has the job now
            note_overtaken(session, job, now_ms=now_ms, due_ms=again_ms)
        return None
    for write in writes:
        write(session)
    if not result.good and result.due_ms is None and seen is not None and _tokens_of(session, connector.id) - set(seen):
        result = replace(result, due_ms=again_ms)
    finish_job(session, job, result, now_ms=now_ms, again_ms=again_ms)
    rotated: Sequence[str] = ()
    if result.outcome is SyncOutcome.SYNCED:
        rotated = finish_rotations(session, vault, connector, now_ms=now_ms, actor=actor)
    mark_synced(session, synced, now_ms)
    news = _audit(session, connector, subject, before, result, actor=actor)
    return Stored(news=news, rotated=rotated)


def _tokens_of(session: Session, connector_id: str) -> set[str]:
    # The connector's lock, which whoever stores a token takes first, keeps this true until the commit.
    return set(session.scalars(select(ChannelToken.id).where(ChannelToken.connector_id == connector_id)))


def _audit(
    session: Session,
    connector: ChannelConnector,
    subject: ChannelConnector | ChannelAccount,
    before: tuple[str | None, str | None],
    result: SyncResult,
    *,
    actor: str,
) -> bool:
    was_good = before[0] is None or before[0] in _GOOD
    if result.good and was_good:
        return False
    if not result.good and before == (result.outcome.value, result.cause):
        return False
    facts = {"outcome": result.outcome.value, "cause": result.cause, "action": result.action, "missing": list(result.missing)}
    action = "sync.recovered" if result.good else "sync.failed"
    audit_note(session, subject, action, facts, tenant_id=connector.tenant_id, actor=actor)
    return True
