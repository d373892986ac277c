"""Telling that a token ends, through the outbox: the threshold is marked as told in the transaction that writes the notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from shared.adapters.clock import new_uuid7
from shared.adapters.renewal_rows import milliseconds, moment
from shared.adapters.tables import Outbox
from shared.domain.enums import RenewalState, RenewalTask, TokenKind
from shared.domain.renewals import DueNotice, Notice
from shared.domain.topics import Topic

_DUE = text(
    "SELECT r.token_id::text, r.task, r.state, r.attempt, r.cause, r.action, r.ends_at, r.notice_seconds,"
    " c.id::text AS connector_id, c.tenant_id::text, t.kind::text"
    " FROM token_renewal r JOIN channel_token t ON t.id = r.token_id JOIN channel_connector c ON c.id = t.connector_id"
    " WHERE r.notice_at <= :now AND c.status <> 'archived' ORDER BY r.notice_at LIMIT :limit FOR UPDATE OF r SKIP LOCKED"
)
_TOLD = text(
    "UPDATE token_renewal SET noticed_seconds = :told, notice_at = CAST(:next_at AS timestamptz),"
    " notice_seconds = CAST(:next_seconds AS integer) WHERE token_id = CAST(:token_id AS uuid)"
)

# A due notice → the threshold that it is told for, and the next notice of the same token.
Telling = Callable[[DueNotice], tuple[int, Notice | None]]


def tell_due(session: Session, now_ms: int, limit: int, telling: Telling) -> list[DueNotice]:
    """Write a notice for each token that is due for one, up to `limit`; what was told. The caller commits."""
    notices = [_notice(row) for row in session.execute(_DUE, {"now": moment(now_ms), "limit": limit})]
    if not notices:
        return []
    told, events = [], []
    for notice in notices:
        threshold, following = telling(notice)
        told.append(
            {
                "token_id": notice.token_id,
                "told": threshold,
                "next_at": None if following is None else moment(following.at_ms),
                "next_seconds": None if following is None else following.threshold_seconds,
            }
        )
        events.append(_event(notice, threshold, now_ms))
    session.execute(insert(Outbox).inline(), events)
    session.execute(_TOLD, told)
    return notices


def _notice(row: Any) -> DueNotice:
    if row.state == RenewalState.STOPPED:
        renewal = "stopped"
    elif row.task != RenewalTask.RENEW:
        renewal = "none"
    else:
        renewal = "failing" if row.attempt else "planned"
    return DueNotice(
        token_id=row.token_id,
        connector_id=row.connector_id,
        tenant_id=row.tenant_id,
        kind=TokenKind(row.kind),
        ends_ms=milliseconds(row.ends_at),
        threshold_seconds=row.notice_seconds,
        renewal=renewal,
        cause=row.cause,
        action=row.action,
    )


def _event(notice: DueNotice, threshold_seconds: int, now_ms: int) -> dict[str, Any]:
    detail = {
        "notice_id": new_uuid7(),
        "tenant_id": notice.tenant_id,
        "token_id": notice.token_id,
        "kind": notice.kind.value,
        "expires_at_ms": notice.ends_ms,
        "seconds_left": (notice.ends_ms - now_ms) // 1000,
        "threshold_seconds": threshold_seconds,
        "renewal": notice.renewal,
        "cause": notice.cause,
        "action": notice.action,
        "noticed_at_ms": now_ms,
    }
    return {
        "topic": Topic.TOKEN_EXPIRING.value,
        "subject_id": notice.connector_id,
        "tenant_id": notice.tenant_id,
        "detail": detail,
    }
