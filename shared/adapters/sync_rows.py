"""`sync_job`: requests coalesced into one row, rows taken under a lease, results. All times are the caller's, ms."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from shared.adapters.health_rows import moment
from shared.domain.enums import ConnectorType
from shared.domain.syncing import (
    GOOD,
    OBSERVED,
    OVERTAKEN,
    REQUESTED,
    SECRET_BEGAN,
    SyncOutcome,
    SyncRequest,
    SyncResult,
    SyncState,
    TakenJob,
)

MAX_CAUSES = 16
Executor = Connection | Session

_SUBJECTS = text(
    "SELECT c.id::text AS connector_id, c.tipo::text, a.id::text AS account_id, coalesce(a.status <> 'inactive', false) AS works"
    " FROM channel_connector c LEFT JOIN channel_account a ON a.connector_id = c.id AND (a.id = ANY(CAST(:accounts AS uuid[]))"
    "  OR c.tipo::text = ANY(:spread) AND a.status <> 'inactive' AND c.id = ANY(CAST(:whole AS uuid[])))"
    " WHERE c.id = ANY(CAST(:connectors AS uuid[])) AND c.status <> 'archived'"
)
# What was only seen somewhere neither hastens a job that waits after a fault, nor wakes one that waits for a person.
_ASK = text("""
INSERT INTO sync_job AS j (subject_id, connector_id, account_id, state, asked, causes, asked_since, due_at)
SELECT coalesce(g.account_id, g.connector_id), g.connector_id, g.account_id, 'waiting', g.requests, g.causes, :now, :due
FROM jsonb_to_recordset(:rows) AS g (connector_id uuid, account_id uuid, requests bigint, causes text[])
ORDER BY 1
ON CONFLICT (subject_id) DO UPDATE SET
    asked = j.asked + excluded.asked,
    causes = (SELECT coalesce(array_agg(one), '{}') FROM (
        SELECT DISTINCT one, one = :requested AS person, one = ANY(CAST(:observed AS text[])) AS seen
        FROM unnest(j.causes || excluded.causes) AS one ORDER BY person DESC, seen, one LIMIT :most) AS few),
    state = CASE WHEN j.state = 'idle' OR j.state = 'stopped' AND NOT excluded.causes <@ CAST(:observed AS text[]) THEN 'waiting'
        ELSE j.state END,
    attempt = CASE WHEN j.state = 'stopped' AND NOT excluded.causes <@ CAST(:observed AS text[]) THEN 0 ELSE j.attempt END,
    asked_since = CASE WHEN j.state IN ('idle', 'stopped') THEN :now ELSE j.asked_since END,
    due_at = CASE
        WHEN j.state = 'running' THEN NULL
        WHEN j.state = 'stopped' AND excluded.causes <@ CAST(:observed AS text[]) THEN NULL
        WHEN j.state IN ('idle', 'stopped') THEN excluded.due_at
        WHEN j.attempt = 0 THEN least(greatest(j.due_at, excluded.due_at), j.asked_since + CAST(:longest AS interval))
        WHEN NOT excluded.causes <@ CAST(:observed AS text[]) THEN least(j.due_at, excluded.due_at)
        ELSE j.due_at END
""").bindparams(bindparam("rows", type_=JSONB))
# Who died may have registered something: what the provider has is not known then.
_TAKE = text("""
WITH due AS (
    SELECT subject_id FROM sync_job
    WHERE due_at <= :now OR lease_until <= :now OR recheck_at <= :now AND state IN ('idle', 'stopped')
    ORDER BY coalesce(due_at, lease_until, recheck_at) LIMIT :most FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE sync_job j SET state = 'running', due_at = NULL, lease = gen_random_uuid(), lease_until = :until, started_at = :now,
        attempt = j.attempt + 1, taken = j.asked, causes = '{}',
        registered_secret = CASE WHEN j.state = 'running' THEN NULL ELSE j.registered_secret END,
        taken_causes = (SELECT coalesce(array_agg(DISTINCT one), '{}') FROM unnest(j.taken_causes || j.causes
            || CASE WHEN j.state IN ('idle', 'stopped') THEN ARRAY[:begun] ELSE '{}' END) AS one)
    FROM due WHERE j.subject_id = due.subject_id
    RETURNING j.*
)
SELECT t.subject_id::text, c.tenant_id::text, t.connector_id::text, t.account_id::text, t.lease::text, t.attempt,
    t.taken_causes AS causes, t.registered_url, t.registered_secret
FROM taken t JOIN channel_connector c ON c.id = t.connector_id
""")
# What was asked meanwhile is one more sync; after a refusal only if it may change the answer.
_FINISH = text("""
UPDATE sync_job j SET
    state = CASE WHEN :good AND j.asked = j.taken THEN 'idle'
        WHEN :stopped AND j.causes <@ CAST(:observed AS text[]) THEN 'stopped' ELSE 'waiting' END,
    due_at = CASE WHEN :good AND j.asked = j.taken OR :stopped AND j.causes <@ CAST(:observed AS text[]) THEN NULL
        WHEN :good OR :stopped THEN :again ELSE :due END,
    asked_since = CASE WHEN j.asked > j.taken THEN :now ELSE j.asked_since END,
    taken_causes = CASE WHEN :good THEN '{}' ELSE j.taken_causes END,
    attempt = CASE WHEN :good OR :stopped THEN 0 ELSE j.attempt END, lease = NULL, lease_until = NULL,
    outcome = :outcome, cause = :cause, action = :action, missing = :missing, by_hand = :by_hand,
    registered_url = coalesce(:registered_url, j.registered_url),
    registered_secret = coalesce(:registered_secret, j.registered_secret),
    recheck_at = :recheck,
    finished_at = :now, succeeded_at = CASE WHEN :synced THEN :now ELSE j.succeeded_at END
WHERE j.subject_id = CAST(:subject_id AS uuid) AND j.state = 'running' AND j.lease = CAST(:lease AS uuid)
""")
# What a registration held up came to is not known: whoever had the job since may have been before it, and not after it.
_OVERTAKE = text("""
UPDATE sync_job j SET asked = j.asked + 1, causes = array_append(array_remove(j.causes, :cause), :cause),
    registered_secret = CASE WHEN j.state = 'running' THEN j.registered_secret ELSE '' END,
    state = CASE WHEN j.state IN ('idle', 'stopped') THEN 'waiting' ELSE j.state END,
    attempt = CASE WHEN j.state = 'stopped' THEN 0 ELSE j.attempt END,
    asked_since = CASE WHEN j.state IN ('idle', 'stopped') THEN :now ELSE j.asked_since END,
    due_at = CASE WHEN j.state = 'running' THEN NULL ELSE least(coalesce(j.due_at, :due), :due) END
WHERE j.subject_id = CAST(:subject_id AS uuid)
""")
_BEFORE = text(
    "SELECT outcome, cause FROM sync_job WHERE subject_id = CAST(:subject_id AS uuid) AND state = 'running'"
    " AND lease = CAST(:lease AS uuid) FOR UPDATE"
)
# Something was done about a credential: whoever was refused may ask again. Also if it was done while the job ran, which may have
# looked before: what it was refused with is older than its beginning, or it is tried once more in vain.
_WAKE = text(
    "UPDATE sync_job j SET state = 'waiting', due_at = :now, attempt = 0 WHERE j.state = 'stopped' AND EXISTS ("
    " SELECT FROM channel_token t WHERE t.connector_id = j.connector_id AND t.created_at > j.started_at)"
)
# In the transaction that stores a renewed token: its `created_at` is when its provider was asked, which may be long before.
_WAKE_OF = text(
    "UPDATE sync_job SET state = 'waiting', due_at = clock_timestamp(), attempt = 0"
    " WHERE state = 'stopped' AND connector_id = ANY(CAST(:connectors AS uuid[]))"
)
_COUNTS = text(
    "SELECT state, count(*) AS jobs, coalesce(extract(epoch FROM :now - min(coalesce(due_at, started_at))), 0) AS age"
    " FROM sync_job WHERE state <> 'idle' GROUP BY state"
)
_SYNCED = text("UPDATE channel_account SET ultima_sync = :now WHERE id = ANY(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A connector, or an account of it (`works`: it is not turned off), as requests name them."""

    connector_id: str
    tipo: ConnectorType
    account_id: str | None
    works: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCounts:
    """What is not done. `oldest_seconds`: since when the oldest is due or runs; negative: it is not due yet."""

    jobs: dict[SyncState, int]
    oldest_seconds: float


def known_subjects(
    session: Session, connectors: Collection[str], accounts: Collection[str], whole: Collection[str], spread: Collection[str]
) -> list[Subject]:
    """The connectors (without archived ones), each with those of its accounts that are named, and where it is one of `whole`
    and of a type of `spread`, with all that are turned on."""
    values = {"connectors": list(connectors), "accounts": list(accounts), "whole": list(whole), "spread": list(spread)}
    rows = session.execute(_SUBJECTS, values).mappings()
    return [Subject(**{**row, "tipo": ConnectorType(row["tipo"])}) for row in rows]


def ask_for_jobs(session: Session, requests: Sequence[SyncRequest], *, now_ms: int, debounce_ms: int, longest_ms: int) -> None:
    """Count requests; each subject once. What is new waits for `debounce_ms`, with what follows for `longest_ms` at most."""
    if not requests:
        return
    rows = [
        {
            "connector_id": one.connector_id,
            "account_id": one.account_id,
            "requests": one.requests,
            "causes": list(one.causes),
        }
        for one in requests
    ]
    values = {
        "rows": rows,
        "requested": REQUESTED,
        "observed": sorted(OBSERVED),
        "now": moment(now_ms),
        "due": moment(now_ms + debounce_ms),
    }
    session.execute(_ASK, {**values, "most": MAX_CAUSES, "longest": f"{longest_ms} milliseconds"})


def take_jobs(executor: Executor, *, now_ms: int, lease_ms: int, most: int) -> list[TakenJob]:
    """Take what is due, what has to be looked at again, and what somebody has left behind under a lease that is over; whoever
    else looks passes it by."""
    values = {"now": moment(now_ms), "until": moment(now_ms + lease_ms), "most": most, "begun": SECRET_BEGAN}
    rows = executor.execute(_TAKE, values).mappings()
    return [TakenJob(**{**row, "causes": tuple(row["causes"]), "lease_until_ms": now_ms + lease_ms}) for row in rows]


def outcome_before(session: Session, job: TakenJob) -> tuple[str | None, str | None] | None:
    """(outcome, cause) of the sync before this one, with the row locked; None if the job is somebody else's by now."""
    row = session.execute(_BEFORE, {"subject_id": job.subject_id, "lease": job.lease}).first()
    return None if row is None else (row.outcome, row.cause)


def finish_job(session: Session, job: TakenJob, result: SyncResult, *, now_ms: int, again_ms: int) -> bool:
    """Store the result and give the job back: what was asked meanwhile is due at `again_ms`. False if it is not ours any more."""
    values = {
        "subject_id": job.subject_id,
        "lease": job.lease,
        "good": result.outcome in GOOD,
        "stopped": result.outcome not in GOOD and result.due_ms is None,
        "synced": result.outcome is SyncOutcome.SYNCED,
        "observed": sorted(OBSERVED),
        "outcome": result.outcome.value,
        "cause": result.cause,
        "action": result.action,
        "missing": list(result.missing),
        "by_hand": list(result.by_hand),
        "registered_url": result.registered_url,
        "registered_secret": result.registered_secret,
        "due": moment(result.due_ms or now_ms),
        "recheck": None if result.recheck_ms is None else moment(result.recheck_ms),
        "again": moment(again_ms),
        "now": moment(now_ms),
    }
    found: Any = session.execute(_FINISH, values)
    return bool(found.rowcount)


def note_overtaken(session: Session, job: TakenJob, *, now_ms: int, due_ms: int) -> None:
    """Have the job done once more, at `due_ms` at the latest, by whoever has it: what this one registered came too late."""
    values = {"subject_id": job.subject_id, "cause": OVERTAKEN, "now": moment(now_ms), "due": moment(due_ms)}
    session.execute(_OVERTAKE, values)


def mark_synced(session: Session, account_ids: Collection[str], now_ms: int) -> None:
    """`ultima_sync` of these accounts. In no snapshot and in no audit row: it says nothing about a change."""
    if account_ids:
        session.execute(_SYNCED, {"ids": sorted(account_ids), "now": moment(now_ms)})


def wake_jobs(executor: Executor, now_ms: int) -> int:
    """Jobs that wait for a person, and whose connector has a newer token; as a role that sees tokens. Returns how many."""
    found: Any = executor.execute(_WAKE, {"now": moment(now_ms)})
    return int(found.rowcount)


def wake_jobs_of(session: Session, connectors: Collection[str]) -> None:
    """The same at once for these connectors, which have just got a token."""
    session.execute(_WAKE_OF, {"connectors": sorted(connectors)})


def count_jobs(executor: Executor, now_ms: int) -> JobCounts:
    """What is not idle."""
    rows = executor.execute(_COUNTS, {"now": moment(now_ms)}).all()
    ages = [float(row.age) for row in rows if row.state != SyncState.STOPPED]
    return JobCounts(jobs={SyncState(row.state): row.jobs for row in rows}, oldest_seconds=max(ages, default=0.0))
