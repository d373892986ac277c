"""The schedule of renewals in PostgreSQL: read, planned, taken under leases, settled. No statement asks the server for the time.

For the role `channels_credential`. Every function is part of its caller's transaction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from shared.domain.enums import ConnectorStatus, ConnectorType, RenewalState, RenewalTask, TokenKind
from shared.domain.renewals import ConnectorTokens, Job, RenewalPlan, Standing, TokenFacts

_UTC = dt.UTC
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=_UTC)

_UNPLANNED = text(
    "SELECT DISTINCT t.connector_id::text FROM channel_token t LEFT JOIN token_renewal r ON r.token_id = t.id"
    " WHERE r.token_id IS NULL OR r.state <> 'calling' AND r.task <> 'retire'"
    " AND r.planned_for IS DISTINCT FROM date_trunc('milliseconds', t.expires_at)"
    " LIMIT :limit"
)
_PAGE = text("SELECT id::text FROM channel_connector WHERE id > :after ORDER BY id LIMIT :limit")
_CONNECTORS = text(
    "SELECT id::text, tenant_id::text, tipo::text, status::text, config FROM channel_connector"
    " WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id"
)
_TOKENS = text(
    "SELECT t.connector_id::text, t.id::text AS token_id, t.kind::text, t.created_at, t.expires_at,"
    " nullif(t.metadata - 'fingerprint', '{}') AS notes, r.task, r.service, r.state, r.planned_for"
    " FROM channel_token t LEFT JOIN token_renewal r ON r.token_id = t.id"
    " WHERE t.connector_id = ANY(CAST(:ids AS uuid[])) ORDER BY t.created_at, t.id"
)
# A plan for a token that is gone by now is left out. What it replaces must not be under way, unless its caller holds it. In one
# order, so that two who plan the same tokens wait for each other instead of both.
_PLAN = """
INSERT INTO token_renewal AS r
    (token_id, task, service, state, planned_for, due_at, ends_at, notice_at, notice_seconds, changed_at)
SELECT p.token_id, p.task, p.service, 'planned', p.planned_for, p.due_at, p.ends_at, p.notice_at, p.notice_seconds,
       CAST(:now AS timestamptz)
FROM unnest(CAST(:token_id AS uuid[]), CAST(:task AS text[]), CAST(:service AS text[]), CAST(:planned_for AS timestamptz[]),
            CAST(:due_at AS timestamptz[]), CAST(:ends_at AS timestamptz[]), CAST(:notice_at AS timestamptz[]),
            CAST(:notice_seconds AS integer[]))
     AS p (token_id, task, service, planned_for, due_at, ends_at, notice_at, notice_seconds)
JOIN channel_token t ON t.id = p.token_id
ORDER BY p.token_id
ON CONFLICT (token_id) DO UPDATE SET task = excluded.task, service = excluded.service, state = 'planned',
    planned_for = excluded.planned_for, due_at = excluded.due_at, ends_at = excluded.ends_at, lease_until = NULL, intent = NULL,
    attempt = 0, unknown_calls = 0, cause = NULL, action = NULL, notice_at = excluded.notice_at,
    notice_seconds = excluded.notice_seconds, noticed_seconds = NULL, changed_at = excluded.changed_at
"""
_PLAN_ANEW = text(f"{_PLAN} WHERE r.state <> 'calling' AND r.task <> 'retire'")
_PLAN_OVER = text(_PLAN)
_DUE = text(
    "SELECT service, count(*) AS rows, min(due_at) AS oldest FROM token_renewal WHERE due_at <= :now"
    " AND (state = 'planned' OR state = 'calling' AND lease_until < :now AND :abandoned) GROUP BY service ORDER BY min(due_at)"
)
_WINDOW = text(
    "INSERT INTO provider_budget AS b (service, window_at, used) VALUES (:service, :window, 0)"
    " ON CONFLICT (service) DO UPDATE SET window_at = greatest(b.window_at, excluded.window_at),"
    " used = CASE WHEN b.window_at < excluded.window_at THEN 0 ELSE b.used END RETURNING used"
)
_USE = text("UPDATE provider_budget SET used = used + :calls WHERE service = :service")
# First what ends first: a row with much time left can wait, whenever it became due.
_TAKE = text("""
WITH due AS (
    SELECT token_id, state AS was FROM token_renewal
    WHERE service = :service AND due_at <= :now
      AND (state = 'planned' OR state = 'calling' AND lease_until < :now AND :abandoned)
    ORDER BY ends_at NULLS LAST, due_at LIMIT :limit FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE token_renewal r SET state = 'calling', lease_until = :until, intent = CAST(:intent AS uuid), attempt = r.attempt + 1,
        unknown_calls = r.unknown_calls + (due.was = 'calling')::int, changed_at = :now
    FROM due WHERE r.token_id = due.token_id
    RETURNING r.token_id, r.task, r.service, r.attempt, r.unknown_calls, r.due_at, r.ends_at
)
SELECT taken.*, t.connector_id FROM taken JOIN channel_token t ON t.id = taken.token_id
""")
_POSTPONE = text(
    "UPDATE token_renewal SET state = 'planned', due_at = :due_at, lease_until = NULL, intent = NULL, cause = :cause,"
    " unknown_calls = unknown_calls + :unknown, attempt = CASE WHEN :fresh THEN 0 ELSE attempt END, changed_at = :now"
    " WHERE token_id = :token_id AND intent = CAST(:intent AS uuid) AND state = 'calling'"
)
_HELD = text(
    "SELECT token_id::text FROM token_renewal WHERE token_id = ANY(CAST(:ids AS uuid[])) AND task = :task"
    " ORDER BY token_id FOR UPDATE"
)
_LOCK = text("SELECT lock_connectors(CAST(:ids AS uuid[]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRows:
    """What of one service is due, and since when the oldest is (ms)."""

    service: str
    rows: int
    oldest_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many calls a service may have in each window. Windows begin at multiples of their length."""

    calls: int
    window_seconds: int


def moment(ms: int) -> dt.datetime:
    """The instant; milliseconds exactly."""
    return _EPOCH + dt.timedelta(milliseconds=ms)


def milliseconds(at: dt.datetime) -> int:
    """The instant as ms since the epoch, rounded down."""
    return (at - _EPOCH) // dt.timedelta(milliseconds=1)


def unplanned_connectors(session: Session, limit: int) -> list[str]:
    """Connectors with a token that has no row, or whose end was changed since."""
    return list(session.scalars(_UNPLANNED, {"limit": limit}))


def connectors_after(session: Session, after: str | None, limit: int) -> list[str]:
    """A page of all connectors, in the order of their ids."""
    return list(session.scalars(_PAGE, {"after": after or "00000000-0000-0000-0000-000000000000", "limit": limit}))


def read_tokens(session: Session, connector_ids: Collection[str]) -> list[tuple[ConnectorTokens, dict[str, Standing]]]:
    """The connectors with their tokens, and what the schedule says of them; one without tokens is left out."""
    asked = {"ids": list(connector_ids)}
    tokens: dict[str, list[Any]] = {}
    for row in session.execute(_TOKENS, asked):
        tokens.setdefault(row.connector_id, []).append(row)
    connectors = [row for row in session.execute(_CONNECTORS, asked) if row.id in tokens]
    return [(_connector(row, tokens[row.id]), _standing(tokens[row.id])) for row in connectors]


def put_plans(session: Session, plans: Iterable[RenewalPlan], now_ms: int, *, held: bool = False) -> None:
    """Write rows anew. `held`: the caller holds what it replaces; otherwise rows under way, or to go, stay as they are."""
    rows = [_plan_values(plan) for plan in plans]
    if rows:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        session.execute(_PLAN_OVER if held else _PLAN_ANEW, {**columns, "now": moment(now_ms)})


def due_services(session: Session, now_ms: int, *, abandoned: bool) -> list[DueRows]:
    """Services with rows to take. `abandoned`: also those whose lease is over."""
    rows = session.execute(_DUE, {"now": moment(now_ms), "abandoned": abandoned})
    return [DueRows(service=row.service, rows=row.rows, oldest_ms=milliseconds(row.oldest)) for row in rows]


def budget_left(session: Session, service: str, budget: Budget, now_ms: int) -> int:
    """Calls that are left in the present window; locks the service's budget until the transaction ends."""
    length_ms = budget.window_seconds * 1000
    window = moment(now_ms - now_ms % length_ms)
    used: int = session.execute(_WINDOW, {"service": service, "window": window}).scalar_one()
    return max(budget.calls - used, 0)


def take(
    session: Session, service: str, limit: int, *, intent: str, now_ms: int, lease_seconds: float, abandoned: bool
) -> list[Job]:
    """Up to `limit` rows with their intent set, and their calls counted. The intent holds once the caller has committed."""
    values = {
        "service": service,
        "limit": limit,
        "intent": intent,
        "now": moment(now_ms),
        "until": moment(now_ms + round(lease_seconds * 1000)),
        "abandoned": abandoned,
    }
    rows = session.execute(_TAKE, values).all()
    if rows:
        session.execute(_USE, {"service": service, "calls": len(rows)})
    return [
        Job(
            token_id=str(row.token_id),
            connector_id=str(row.connector_id),
            task=RenewalTask(row.task),
            service=row.service,
            intent=intent,
            attempt=row.attempt,
            unknown_calls=row.unknown_calls,
            due_ms=milliseconds(row.due_at),
            ends_ms=None if row.ends_at is None else milliseconds(row.ends_at),
        )
        for row in rows
    ]


def postpone(
    session: Session, job: Job, *, due_ms: int, cause: str | None, unknown: bool, now_ms: int, fresh: bool = False
) -> bool:
    """Give the row back for later, if it is still this job's. `fresh`: its tries are counted anew."""
    values = {"token_id": job.token_id, "intent": job.intent, "due_at": moment(due_ms), "cause": cause, "now": moment(now_ms)}
    result: Any = session.execute(_POSTPONE, {**values, "unknown": int(unknown), "fresh": fresh})
    return bool(result.rowcount)


def lock_connectors(session: Session, connector_ids: Collection[str]) -> None:
    """Lock connectors as every use case does, in one order."""
    session.execute(_LOCK, {"ids": sorted(set(connector_ids))})


def still_to_do(session: Session, token_ids: Collection[str], task: RenewalTask) -> set[str]:
    """Which of these have still this task, locked: the comparison before a result is stored.

    Whose intent it is does not matter: who brings the new token is right, however long it took.
    """
    return set(session.scalars(_HELD, {"ids": list(token_ids), "task": task.value}))


def _plan_values(plan: RenewalPlan) -> Mapping[str, Any]:
    return {
        "token_id": plan.token_id,
        "task": plan.task.value,
        "service": plan.service,
        "planned_for": _moment(plan.planned_for_ms),
        "due_at": _moment(plan.due_ms),
        "ends_at": _moment(plan.ends_ms),
        "notice_at": None if plan.notice is None else moment(plan.notice.at_ms),
        "notice_seconds": None if plan.notice is None else plan.notice.threshold_seconds,
    }


def _moment(ms: int | None) -> dt.datetime | None:
    return None if ms is None else moment(ms)


def _milliseconds(at: dt.datetime | None) -> int | None:
    return None if at is None else milliseconds(at)


def _connector(connector: Any, rows: Sequence[Any]) -> ConnectorTokens:
    settings = dict(connector.config or {})
    pasted = settings.pop("token_ids", None) or {}
    names = {token_id: name.lower().replace("-", "_") for name, token_id in pasted.items()}
    return ConnectorTokens(
        connector_id=connector.id,
        tenant_id=connector.tenant_id,
        tipo=ConnectorType(connector.tipo),
        status=ConnectorStatus(connector.status),
        settings=settings,
        tokens=tuple(
            TokenFacts(
                token_id=row.token_id,
                kind=TokenKind(row.kind),
                created_ms=milliseconds(row.created_at),
                expires_ms=_milliseconds(row.expires_at),
                account=_text(row.notes, "account"),
                name=(_text(row.notes, "name") or names.get(row.token_id)) if row.kind == TokenKind.SECRET else None,
                notes=row.notes or {},
            )
            for row in rows
        ),
    )


def _text(notes: Any, name: str) -> str | None:
    found = (notes or {}).get(name)
    return found if isinstance(found, str) else None


def _standing(rows: Sequence[Any]) -> dict[str, Standing]:
    return {
        row.token_id: Standing(
            token_id=row.token_id,
            task=RenewalTask(row.task),
            service=row.service,
            state=RenewalState(row.state),
            planned_for_ms=_milliseconds(row.planned_for),
        )
        for row in rows
        if row.task is not None
    }
