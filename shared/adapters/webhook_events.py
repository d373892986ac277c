"""`channel_webhook.ultimo_evento_em`: written by the router."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg


def note_webhook_events(cursor: psycopg.Cursor[Any], rows: Sequence[tuple[str, int]]) -> None:
    """(webhook id, ms) sorted by id; times only move forward, rows that are gone are skipped. One statement."""
    cursor.execute(
        "WITH given AS (SELECT * FROM unnest(%s::uuid[], %s::bigint[]) AS g (id, at_ms)),"
        " free AS (SELECT w.id, g.at_ms FROM channel_webhook w JOIN given g ON g.id = w.id ORDER BY w.id FOR NO KEY UPDATE OF w)"
        " UPDATE channel_webhook w SET ultimo_evento_em = to_timestamp(free.at_ms / 1000.0) FROM free WHERE w.id = free.id"
        " AND (w.ultimo_evento_em IS NULL OR w.ultimo_evento_em < to_timestamp(free.at_ms / 1000.0))",
        ([one for one, _ in rows], [at for _, at in rows]),
    )
