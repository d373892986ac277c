"""The statement with which a flow's answers reach the messages that wait for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg

from shared.adapters.binary_arrays import ints, texts, uuids


class Heard(StrEnum):
    """What became of one answer."""

    TAKEN = "taken"
    EXTENDED = "extended"
    REPEATED = "repeated"  # the message has its answer
    LATE = "late"  # the message has gone on without
    UNKNOWN = "unknown"  # nobody asked
    UNIT_UNKNOWN = "unit_unknown"  # not a unit of the message's tenant: no answer


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRow:
    """One answer. `extend_seconds` None: it is final, and `answer` is kept. `unit_id`: checked against the tenant's units."""

    request_id: str
    answer: dict[str, Any]
    unit_id: str | None
    extend_seconds: int | None


# Where PostgreSQL knows nothing yet of a growing table, it would hash all units with all connectors, and read all that is held:
# scalar subqueries and OFFSET 0 leave it the keys.
LOOK = (
    "SELECT u.n, h.id, h.state, h.reason, h.decision ? 'answer', u.unit IS NULL OR coalesce("
    "   (SELECT o.tenant_id FROM org_unit AS o WHERE o.id = u.unit AND o.deleted_at IS NULL)"
    "   = (SELECT c.tenant_id FROM channel_connector AS c WHERE c.id = h.connector_id), false)"
    " FROM unnest(%b::uuid[], %b::uuid[]) WITH ORDINALITY AS u(request, unit, n)"
    " LEFT JOIN LATERAL (SELECT * FROM held_record AS r WHERE r.request_id = u.request OFFSET 0) AS h ON true ORDER BY h.seq, u.n"
)
TAKE = (
    "UPDATE held_record AS h SET decision = coalesce(h.decision, '{}') || coalesce(u.answer::jsonb, '{}'),"
    "  due_at = CASE WHEN u.seconds IS NULL THEN now() ELSE least(now() + make_interval(secs => u.seconds), h.expires_at) END"
    " FROM unnest(%b::uuid[], %b::text[], %b::int[]) AS u(id, answer, seconds)"
    " WHERE h.id = u.id AND h.state = 'waiting' AND h.reason = 'intake' AND NOT h.decision ? 'answer'"
    " RETURNING h.id::text"
)


def hear_answers(cursor: psycopg.Cursor[Any], rows: Sequence[AnswerRow]) -> list[Heard]:
    """Give each message its answer, or time; one verdict per row. Two rows must not answer the same request."""
    cursor.execute(LOOK, (uuids([row.request_id for row in rows]), uuids([row.unit_id for row in rows])))
    verdicts, held = [Heard.UNKNOWN] * len(rows), [""] * len(rows)
    for number, row_id, state, reason, answered, unit_known in cursor.fetchall():
        verdicts[number - 1], held[number - 1] = _verdict(row_id, state, reason, answered, unit_known), str(row_id)
    fit = {row_id: row for row_id, row, verdict in zip(held, rows, verdicts, strict=True) if verdict is Heard.TAKEN}
    if not fit:
        return verdicts
    cursor.execute(
        TAKE,
        (
            uuids(list(fit)),
            texts([None if row.extend_seconds is not None else _json({"answer": row.answer}) for row in fit.values()]),
            ints([row.extend_seconds for row in fit.values()]),
        ),
    )
    taken = {row_id for (row_id,) in cursor.fetchall()}
    for index, row in enumerate(rows):
        if verdicts[index] is Heard.TAKEN:
            on_time = Heard.TAKEN if row.extend_seconds is None else Heard.EXTENDED
            verdicts[index] = on_time if held[index] in taken else Heard.LATE  # the relay was quicker
    return verdicts


def _verdict(row_id: Any, state: str, reason: str, answered: bool, unit_known: bool) -> Heard:
    if row_id is None:
        return Heard.UNKNOWN
    if answered:
        return Heard.REPEATED
    if state != "waiting":
        return Heard.LATE
    if reason != "intake":
        return Heard.UNKNOWN  # its turn to ask has not come
    return Heard.TAKEN if unit_known else Heard.UNIT_UNKNOWN


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
