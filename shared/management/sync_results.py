"""Use case: a sync has ended. Result, `ultima_sync`, what steps learnt, the end of replaced secrets: all in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from shared.adapters.sync_rows import finish_job, mark_synced, outcome_before
from shared.adapters.tables import ChannelAccount, ChannelConnector
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
    now_ms: int,
    again_ms: int,
    actor: str,
) -> Stored | None:
    """None if the job is somebody else's by now, or its subject gone: nothing is stored. The caller commits.

    A failure leaves an audit row when it is another one than before (`sync.failed`), and so does its end (`sync.recovered`).
    """
    try:
        connector = lock_connector(session, job.connector_id)
        subject = connector if job.account_id is None else find(session, ChannelAccount, job.account_id)
    except NotFound:
        return None
    before = outcome_before(session, job)
    if before is None:
        return None
    for write in writes:
        write(session)
    finish_job(session, job, result, now_ms=now_ms, again_ms=again_ms)
    rotated: Sequence[str] = ()
    if result.outcome is SyncOutcome.SYNCED:
        rotated = finish_rotations(session, vault, connector, now_ms=now_ms, actor=actor)
    mark_synced(session, synced, now_ms)
    news = _audit(session, connector, subject, before, result, actor=actor)
    return Stored(news=news, rotated=rotated)


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
