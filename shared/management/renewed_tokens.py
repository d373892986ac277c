"""What becomes of a token that renews itself: the new one is stored, the old one taken away, or a person is called.

A result is stored in one transaction that first locks the connectors and then compares: what was renewed meanwhile, or taken
away by a person, is not written over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session

from shared.adapters.renewal_rows import lock_connectors, put_plans, still_to_do
from shared.adapters.sync_rows import wake_jobs_of
from shared.adapters.tables import ChannelToken, TokenRenewal
from shared.adapters.vault import Vault
from shared.domain.enums import ConnectorStatus, KeyPurpose, RenewalState, RenewalTask
from shared.domain.errors import Conflict
from shared.domain.renewals import Job, RenewalPlan
from shared.management.changes import audit_note, lock_connector_of
from shared.management.connectors import change_status
from shared.management.data_keys import wrapped_keys_of
from shared.management.masking import columns_of, masked
from shared.management.tokens import NewToken, sealed_token

_TRACES = text(
    "INSERT INTO audit_log (tenant_id, actor, action, subject_type, subject_id, after)"
    " SELECT tenant_id, actor, action, 'channel_token', subject_id, CAST(after AS jsonb)"
    " FROM unnest(CAST(:tenant_id AS uuid[]), CAST(:actor AS text[]), CAST(:action AS text[]), CAST(:subject_id AS uuid[]),"
    " CAST(:after AS text[])) AS traces (tenant_id, actor, action, subject_id, after)"
)
_BY_HAND = frozenset({RenewalTask.RENEW.value, RenewalTask.TEST.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewedTokens:
    """What a call brought, and the rows of the schedule that follow from it: of the new tokens and of those that they replace."""

    job: Job
    tenant_id: str
    new: tuple[NewToken, ...]
    plans: tuple[RenewalPlan, ...]


def store_renewals(session: Session, vault: Vault, renewed: Sequence[RenewedTokens], *, now_ms: int, actor: str) -> set[str]:
    """Store new tokens, and plan theirs and the old ones' future. Returns the ids of the tokens whose result was stored.

    Left out: a token that is gone, or that another result was stored for. For the role `channels_credential`; the caller
    commits. Raises Unavailable, SealBroken, SQLAlchemyError.
    """
    lock_connectors(session, [one.job.connector_id for one in renewed])
    held = still_to_do(session, [one.job.token_id for one in renewed], RenewalTask.RENEW)
    kept = [one for one in renewed if one.job.token_id in held]
    if not kept:
        return set()
    keys = wrapped_keys_of(session, {one.tenant_id for one in kept}, KeyPurpose.CREDENTIAL)
    rows, traces = [], []
    for one in kept:
        ring = vault.ring(KeyPurpose.CREDENTIAL, one.tenant_id, keys[one.tenant_id])
        for new in one.new:
            row = sealed_token(ring, one.tenant_id, one.job.connector_id, new)
            rows.append(row)
            after = {**masked(columns_of(row)), "replaces": one.job.token_id}
            traces.append(_trace(one.tenant_id, row.id, "token.renewed", actor, after=after))
    session.add_all(rows)
    session.flush()
    session.execute(_TRACES, _columns(traces))
    put_plans(session, [plan for one in kept for plan in one.plans], now_ms, held=True)
    wake_jobs_of(session, {one.job.connector_id for one in kept})
    return held


def retire_tokens(session: Session, jobs: Sequence[tuple[Job, str]], *, actor: str) -> set[str]:
    """Take away tokens that were replaced; (job, tenant). Returns the ids of those that are gone by this."""
    lock_connectors(session, [job.connector_id for job, _ in jobs])
    held = still_to_do(session, [job.token_id for job, _ in jobs], RenewalTask.RETIRE)
    if held:
        session.execute(delete(ChannelToken).where(ChannelToken.id.in_(held)))
        traces = [_trace(tenant, job.token_id, "token.retired", actor) for job, tenant in jobs if job.token_id in held]
        session.execute(_TRACES, _columns(traces))
    return held


def stop_renewal(session: Session, job: Job, *, cause: str, action: str, told: str, actor: str) -> bool:
    """No further try by itself. A connector whose token it is gets the status `error` with `told` as its cause.

    A token of one account alone leaves the connector to its neighbours. False if the row is not this job's any more. For the
    role `channels_api`, acting for the tenant; the caller commits.
    """
    connector, token = lock_connector_of(session, ChannelToken, job.token_id)
    stopped: Any = session.execute(
        update(TokenRenewal)
        .where(
            TokenRenewal.token_id == job.token_id,
            TokenRenewal.intent == job.intent,
            TokenRenewal.state == RenewalState.CALLING.value,
        )
        .values(
            state=RenewalState.STOPPED.value,
            due_at=None,
            lease_until=None,
            intent=None,
            cause=cause,
            action=action,
        )
    )
    if not stopped.rowcount:
        return False
    facts = {"cause": cause, "action": action, "attempt": job.attempt}
    audit_note(session, token, "token.renewal_stopped", facts, tenant_id=connector.tenant_id, actor=actor)
    of_account = (token.extra or {}).get("account") is not None
    if not of_account and connector.status is not ConnectorStatus.ARCHIVED:
        change_status(session, connector.id, ConnectorStatus.ERROR, cause=told, actor=actor)
    return True


def renew_now(session: Session, token_id: str, *, actor: str) -> TokenRenewal:
    """Make a token due at once, also one whose renewal has stopped. Raises NotFound, Conflict (`not_renewable`, `under_way`)."""
    connector, token = lock_connector_of(session, ChannelToken, token_id)
    row = session.scalars(select(TokenRenewal).where(TokenRenewal.token_id == token.id).with_for_update()).one_or_none()
    if row is None or row.task not in _BY_HAND:
        raise Conflict("this token cannot renew itself, or the rotator has not seen it yet", reason="not_renewable")
    if row.state == RenewalState.CALLING.value:
        raise Conflict("it is being renewed", reason="under_way")
    now = session.scalar(select(func.now()))
    row.state, row.due_at, row.attempt, row.unknown_calls, row.cause, row.action = "planned", now, 0, 0, None, None
    session.flush()
    audit_note(session, token, "token.renewal_ordered", {"task": row.task}, tenant_id=connector.tenant_id, actor=actor)
    return row


def renewals_of(session: Session, connector_id: str) -> list[tuple[Any, ...]]:
    """(token id, kind, task, state, due at, ends at, cause, action) of a connector's tokens that the rotator knows, oldest first.

    Times as ISO 8601 text, None where there is none.
    """
    found = session.execute(
        select(ChannelToken.id, ChannelToken.kind, TokenRenewal)
        .join(TokenRenewal, TokenRenewal.token_id == ChannelToken.id)
        .where(ChannelToken.connector_id == connector_id)
        .order_by(ChannelToken.created_at, ChannelToken.id)
    )
    return [
        (token_id, kind.value, row.task, row.state, _iso(row.due_at), _iso(row.ends_at), row.cause, row.action)
        for token_id, kind, row in found
    ]


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _trace(
    tenant_id: str, token_id: str, action: str, actor: str, *, after: dict[str, Any] | None = None
) -> dict[str, str | None]:
    written = None if after is None else json.dumps(after)
    return {"tenant_id": tenant_id, "actor": actor, "action": action, "subject_id": token_id, "after": written}


def _columns(rows: Sequence[dict[str, str | None]]) -> dict[str, list[str | None]]:
    return {name: [row[name] for row in rows] for name in rows[0]}
