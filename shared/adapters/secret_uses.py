"""`secret_use`: written by the router, read by whoever rotates a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg


class SecretUseRow(NamedTuple):
    """A secret by its row and number, and when the last webhook that it proved came in."""

    webhook_id: str
    number: int
    at_ms: int


def note_secret_uses(cursor: psycopg.Cursor[Any], rows: Sequence[SecretUseRow]) -> None:
    """Times only move forward; a webhook that is gone is skipped. Rows sorted by key, one statement."""
    cursor.execute(
        "INSERT INTO secret_use (webhook_id, secret, last_used_at)"
        " SELECT id, given.secret, to_timestamp(given.at_ms / 1000.0)"
        " FROM unnest(%s::uuid[], %s::int[], %s::bigint[]) AS given (webhook_id, secret, at_ms)"
        " JOIN channel_webhook ON id = given.webhook_id ORDER BY id, given.secret"
        " ON CONFLICT (webhook_id, secret) DO UPDATE SET last_used_at = excluded.last_used_at"
        " WHERE secret_use.last_used_at < excluded.last_used_at",
        ([row.webhook_id for row in rows], [row.number for row in rows], [row.at_ms for row in rows]),
    )
