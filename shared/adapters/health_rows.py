"""`health_state` and the checks written with it, in batches: one statement each. All times are the caller's, ms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.orm import Session

from shared.domain.enums import ConnectorStatus, ConnectorType, HealthStatus

Executor = Connection | Session


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRow:
    """A row of `health_state` as it is kept. `route_cause`: what the account's route is paused for, None while it is open.

    Of a connector `accounts` that are on (active, or pending only because it is in error), and those of them that are `down`:
    breaker not closed and route paused.
    """

    subject_id: str
    connector_id: str
    account_id: str | None
    due_ms: int
    grade: HealthStatus | None
    cause: str | None
    breaker: str
    failures: int
    passes: int
    unknowns: int
    opened_ms: int | None
    closed_ms: int | None
    open_seconds: int
    owns: bool
    route_cause: str | None = None
    accounts: int = 0
    down: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRow:
    """What is to be checked: a connector, or an account of it. `identidade`, `account_config`: of a connector its first one's."""

    subject_id: str
    tenant_id: str
    connector_id: str
    account_id: str | None
    due_ms: int
    tipo: ConnectorType
    status: ConnectorStatus
    project: str | None
    config: Mapping[str, Any]
    identidade: str | None
    account_config: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """A check to be written: its row, the state after it, and the event's body."""

    check_id: str
    tenant_id: str
    status: HealthStatus
    message: str
    at_ms: int
    duration_ms: int
    state: StateRow
    event: Mapping[str, Any]
    asks_for_sync: bool = False


_MS = "(extract(epoch FROM {0}) * 1000)::bigint"
_STATE = (
    "s.subject_id::text, s.connector_id::text, s.account_id::text, "
    + _MS.format("s.due_at")
    + " AS due_ms, s.grade::text, s.cause, s.breaker, s.failures, s.passes, s.unknowns, "
    + _MS.format("s.opened_at")
    + " AS opened_ms, "
    + _MS.format("s.closed_at")
    + " AS closed_ms, s.open_seconds, s.owns, (SELECT coalesce(r.route_cause, '') FROM account_state r"
    " WHERE r.account_id = s.account_id AND r.route = 'paused') AS route_cause"
)
_PLAN = text(
    "INSERT INTO health_state (subject_id, connector_id, account_id, due_at)"
    " SELECT n.subject_id, n.connector_id, n.account_id, :now + random() * make_interval(secs => CAST(:spread AS float8)) FROM ("
    "  SELECT c.id AS subject_id, c.id AS connector_id, NULL::uuid AS account_id FROM channel_connector c"
    "  WHERE c.status <> 'archived'"
    "  UNION ALL SELECT a.id, a.connector_id, a.id FROM channel_account a JOIN channel_connector c ON c.id = a.connector_id"
    "  WHERE c.status <> 'archived' AND a.status <> 'inactive') n"
    " WHERE NOT EXISTS (SELECT 1 FROM health_state s WHERE s.subject_id = n.subject_id) LIMIT :most ON CONFLICT DO NOTHING"
)
_TAKE = text(
    "WITH due AS (SELECT s.subject_id FROM health_state s JOIN channel_connector c ON c.id = s.connector_id"
    "  LEFT JOIN channel_account a ON a.id = s.account_id"
    "  WHERE s.due_at <= :now AND (s.lease_until IS NULL OR s.lease_until <= :now) AND c.status <> 'archived'"
    "  AND (a.id IS NULL OR a.status <> 'inactive') ORDER BY s.due_at LIMIT :most FOR UPDATE OF s SKIP LOCKED),"
    " taken AS (UPDATE health_state s SET lease_until = :until FROM due WHERE s.subject_id = due.subject_id"
    "  RETURNING s.subject_id, s.connector_id, s.account_id, s.due_at)"
    " SELECT t.subject_id::text, c.tenant_id::text, t.connector_id::text, t.account_id::text, "
    + _MS.format("t.due_at")
    + " AS due_ms, c.tipo::text, c.status::text, c.projeto_referencia AS project, c.config, a.identidade,"
    " coalesce(a.config, '{}') AS account_config"
    " FROM taken t JOIN channel_connector c ON c.id = t.connector_id LEFT JOIN LATERAL ("
    "  SELECT x.identidade, x.config FROM channel_account x WHERE x.connector_id = t.connector_id"
    "  AND (x.id = t.account_id OR t.account_id IS NULL AND x.status <> 'inactive') ORDER BY x.id LIMIT 1) a ON true"
)
_LOCK = text(
    f"SELECT {_STATE}, w.accounts, w.down FROM health_state s LEFT JOIN LATERAL ("
    "  SELECT count(*) AS accounts, count(*) FILTER (WHERE h.breaker <> 'closed' AND r.route = 'paused') AS down"
    "  FROM channel_account a LEFT JOIN account_state r ON r.account_id = a.id LEFT JOIN health_state h ON h.subject_id = a.id"
    "  WHERE s.account_id IS NULL AND a.connector_id = s.connector_id"
    "  AND (a.status = 'active' OR a.status = 'pending' AND r.cause = 'connector_error')) w ON true"
    " WHERE s.subject_id = ANY(:ids) ORDER BY s.subject_id FOR UPDATE OF s"
).bindparams(bindparam("ids", type_=ARRAY(UUID(as_uuid=False))))
_HOLD = text("UPDATE health_state SET owns = :owns WHERE subject_id = CAST(:id AS uuid)")
_GIVEN = (
    "jsonb_to_recordset(:rows) AS g (check_id uuid, subject_id uuid, connector_id uuid, account_id uuid, tenant_id uuid,"
    " status text, message text, at timestamptz, duration_ms int, due_at timestamptz, grade text, cause text, breaker text,"
    " failures int, passes int, unknowns int, opened_at timestamptz, closed_at timestamptz, open_seconds int, owns boolean,"
    " event jsonb)"
)
_ROWS = bindparam("rows", type_=JSONB)
_INSERT = text(
    "INSERT INTO channel_health_check (id, connector_id, account_id, status, mensagem, executado_em, duracao_ms)"
    f" SELECT g.check_id, g.connector_id, g.account_id, g.status::health_status, g.message, g.at, g.duration_ms FROM {_GIVEN}"
    " ON CONFLICT (id) DO NOTHING"
).bindparams(_ROWS)
_UPDATE = text(
    "UPDATE health_state s SET due_at = g.due_at, lease_until = NULL, grade = g.grade::health_status, cause = g.cause,"
    " breaker = g.breaker, failures = g.failures, passes = g.passes, unknowns = g.unknowns, opened_at = g.opened_at,"
    f" closed_at = g.closed_at, open_seconds = g.open_seconds, owns = g.owns FROM {_GIVEN} WHERE s.subject_id = g.subject_id"
).bindparams(_ROWS)
_TELL = text("SELECT tell_health_checks(:rows)").bindparams(_ROWS)
_TELL_OWN = text(
    "INSERT INTO outbox (topic, subject_id, tenant_id, detail)"
    f" SELECT 'channel.health.checked', g.connector_id, g.tenant_id, g.event FROM {_GIVEN}"
).bindparams(_ROWS)
_ASK = text("SELECT tell_sync_required(:rows)").bindparams(_ROWS)
_PRUNE = text(
    "DELETE FROM channel_health_check WHERE id IN (SELECT id FROM channel_health_check WHERE executado_em < :before"
    " ORDER BY executado_em LIMIT :most)"
)


def plan_subjects(executor: Executor, *, now_ms: int, spread_seconds: float, most: int) -> int:
    """Give a row to each connector and account that has none; its first check within `spread_seconds`. Returns how many."""
    values = {"now": moment(now_ms), "spread": spread_seconds, "most": most}
    return int(executor.execute(_PLAN, values).rowcount)  # type: ignore[attr-defined]


def take_due(executor: Executor, *, now_ms: int, lease_ms: int, most: int) -> list[SubjectRow]:
    """Take what is due, for this long; whoever else looks passes it by."""
    rows = executor.execute(_TAKE, {"now": moment(now_ms), "until": moment(now_ms + lease_ms), "most": most}).mappings()
    return [SubjectRow(**{**row, "tipo": ConnectorType(row["tipo"]), "status": ConnectorStatus(row["status"])}) for row in rows]


def lock_states(executor: Executor, subject_ids: Collection[str]) -> dict[str, StateRow]:
    """The rows as they are, locked in one order until the transaction ends."""
    found = executor.execute(_LOCK, {"ids": sorted(subject_ids)}).mappings()
    rows = (StateRow(**{**row, "grade": None if row["grade"] is None else HealthStatus(row["grade"])}) for row in found)
    return {row.subject_id: row for row in rows}


def hold_connector(executor: Executor, connector_id: str, *, owns: bool) -> None:
    """Note whether it is health that holds the connector in error; the row is locked."""
    executor.execute(_HOLD, {"id": connector_id, "owns": owns})


def insert_checks(executor: Executor, rows: Sequence[CheckRow]) -> None:
    """The rows of the checks; one that is there stays as it is."""
    executor.execute(_INSERT, {"rows": [_given(row) for row in rows]})


def update_states(executor: Executor, rows: Sequence[CheckRow]) -> None:
    """What is known after the checks, and when the next ones are due. Ends the leases."""
    executor.execute(_UPDATE, {"rows": [_given(row) for row in rows]})


def tell_checks(executor: Executor, rows: Sequence[CheckRow]) -> None:
    """Ask the relay for one `channel.health.checked` each, as the worker."""
    executor.execute(_TELL, {"rows": [_given(row) for row in rows]})


def tell_own_checks(executor: Executor, rows: Sequence[CheckRow]) -> None:
    """The same as the role of the use cases, for the tenant that it acts for."""
    executor.execute(_TELL_OWN, {"rows": [_given(row) for row in rows]})


def ask_for_syncs(executor: Executor, rows: Sequence[CheckRow], cause: str) -> None:
    """Ask the relay for one `channel.account.sync_required` for each check that gives cause to it, as the worker."""
    asking = [
        {
            "connector_id": row.state.connector_id,
            "account_id": row.state.account_id,
            "tenant_id": row.tenant_id,
            "cause": cause,
            "at_ms": row.at_ms,
        }
        for row in rows
        if row.asks_for_sync
    ]
    if asking:
        executor.execute(_ASK, {"rows": asking})


def failing_connectors(executor: Executor) -> tuple[int, int]:
    """How many connectors fail now whose breakers are not open, of how many; over all tenants."""
    row = executor.execute(text("SELECT failing, connectors FROM health_failing()")).one()
    return int(row.failing), int(row.connectors)


def prune_checks(executor: Executor, *, before_ms: int, most: int) -> int:
    """Delete up to `most` checks that ran before; returns how many."""
    return int(executor.execute(_PRUNE, {"before": moment(before_ms), "most": most}).rowcount)  # type: ignore[attr-defined]


def moment(at_ms: int) -> dt.datetime:
    """The time of milliseconds since the Unix epoch."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC)


def _text(at_ms: int | None) -> str | None:
    return None if at_ms is None else moment(at_ms).isoformat()


def _given(row: CheckRow) -> dict[str, Any]:
    state = row.state
    return {
        "check_id": row.check_id,
        "subject_id": state.subject_id,
        "connector_id": state.connector_id,
        "account_id": state.account_id,
        "tenant_id": row.tenant_id,
        "status": row.status.value,
        "message": row.message,
        "at": _text(row.at_ms),
        "duration_ms": row.duration_ms,
        "due_at": _text(state.due_ms),
        "grade": None if state.grade is None else state.grade.value,
        "cause": state.cause,
        "breaker": state.breaker,
        "failures": state.failures,
        "passes": state.passes,
        "unknowns": state.unknowns,
        "opened_at": _text(state.opened_ms),
        "closed_at": _text(state.closed_ms),
        "open_seconds": state.open_seconds,
        "owns": state.owns,
        "event": dict(row.event),
    }
